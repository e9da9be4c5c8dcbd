"""Stitched films that tell how they were graded."""

import struct
from pathlib import Path

from pipeline.carry import CarryPlan
from pipeline.encoders import choose_encoding
from pipeline.hdr import Hdr10, parse_hdr10
from pipeline.job import EncodeRequest
from pipeline.stitch import Stitched, StitchRequest, stitch
from pipeline.storage import Storage
from tasks.picture import Colour
from tests.pipeline.pictures import constant_timeline, encode_all, picture_format


def graded() -> Hdr10:
    """A display of BT.2020 and 0.005 to 1000 cd/m2, MaxCLL 1000, MaxFALL 400."""
    points = (34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450)
    data = b"".join(struct.pack("=2i", v, 50000) for v in points)
    data += struct.pack("=6i", 50, 10000, 10000000, 10000, 1, 1)
    return parse_hdr10({"MASTERING_DISPLAY_METADATA": data, "CONTENT_LIGHT_LEVEL": struct.pack("=2I", 1000, 400)})


def stitched_hdr(container: str, codec: str, hdr: Hdr10, folder: Path) -> Stitched:
    """`film.CONTAINER` in `folder`, 12 frames of PQ in two parts."""
    format = picture_format("yuv420p10le", colour=Colour(9, 9, 16, False))
    timeline = constant_timeline(12)
    spec = choose_encoding(format, timeline, EncodeRequest(codec), container, hdr=hdr)
    parts = encode_all(format, timeline, spec, [0, 5, 12], folder)
    request = StitchRequest(str(folder / f"film.{container}"), CarryPlan(hdr=hdr))
    return stitch(Storage({}), parts, timeline, spec, request, folder / "work")

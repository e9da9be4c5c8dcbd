"""Values that pure tests need: an index without a file behind it."""

from fractions import Fraction

import numpy as np

from pipeline.index import SourceIdentity, SourceIndex, StreamInfo
from tasks.picture import Colour, PictureFormat, pixel_layout

BT709 = Colour(matrix=1, primaries=1, transfer=1, full_range=False)


def picture_format(width: int = 320, height: int = 180, layout: str = "yuv420p") -> PictureFormat:
    found = pixel_layout(layout)
    assert found is not None
    return PictureFormat(found, width, height, BT709)


def source_index(
    pts: list[int] | np.ndarray,
    *,
    end_pts: int,
    time_base: Fraction = Fraction(1, 1000),
    split_points: list[int] | None = None,
    rate: Fraction | None = Fraction(25),
    variable: bool = False,
    still: bool = False,
    origin: Fraction = Fraction(0),
    mode: str = "random",
) -> SourceIndex:
    """An index of one packet a frame, in presentation order."""
    frame_pts = np.asarray(pts, dtype=np.int64)
    rows = np.zeros((len(frame_pts), 6), dtype=np.int64)
    rows[:, 0] = rows[:, 1] = frame_pts
    return SourceIndex(
        uri="memory://made.mp4",
        identity=SourceIdentity("0" * 40, 1, False),
        container="mov,mp4,m4a,3gp,3g2,mj2",
        mode=mode,
        reason="",
        stream=StreamInfo(0, "video", "h264", time_base),
        extradata=b"",
        format=picture_format(),
        decoded_pixel_format="yuv420p",
        conversion="",
        display_matrix=None,
        packets=rows,
        frame_pts=frame_pts,
        frame_packets=np.arange(len(frame_pts), dtype=np.int64),
        end_pts=end_pts,
        split_points=np.array(split_points if split_points is not None else [0], dtype=np.int64),
        average_rate=rate,
        variable_rate=variable,
        origin_seconds=origin,
        ranged=True,
        still=still,
    )

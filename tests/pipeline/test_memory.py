"""What pictures took is given back, whatever small things were made meanwhile."""

import subprocess
import sys
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.decode import decode_source_frames
from pipeline.encode import encode_lease
from pipeline.encoders import choose_encoding
from pipeline.job import EncodeRequest
from pipeline.probe import probe
from pipeline.storage import Storage
from tasks.picture import FrameBatch
from tests.pipeline.pictures import batches, constant_timeline, make_lease, picture_format
from tests.sources import Sources

_PROGRAM = """
import pathlib, sys
import numpy as np
from tasks.heap import return_freed_planes

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "set":
    return_freed_planes()
np.ones(30 << 20, np.uint8)  # Freed: from now on glibc would put planes into its heaps.
before = resident()
planes, small = [], []
for i in range(100):
    planes.append(np.ones(2 << 20, np.uint8))
    small.append(bytes(700 + i))
planes.clear()
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is glibc's")
@pytest.mark.parametrize(("asked", "kept"), [("set", False), ("unset", True)])
def test_freed_planes_leave_the_process(asked: str, kept: bool) -> None:
    told = subprocess.run([sys.executable, "-c", _PROGRAM, asked], check=True, capture_output=True, text=True)
    assert (int(told.stdout) > 100 << 20) == kept


def test_a_decoded_batch_is_kept_by_nobody_else(sources: Sources) -> None:
    """Else a lease would hold one more batch than its queues."""
    index = probe(Storage({}), str(sources.path("open mp4")))
    decoded = decode_source_frames(Storage({}), index, 0, 24, 8)
    for _ in range(3):
        batch = next(decoded)
        planes = weakref.ref(batch.planes[0])
        del batch
        assert planes() is None


def test_an_encoded_batch_is_not_kept_while_the_next_is_waited_for(tmp_path: Path) -> None:
    format, timeline = picture_format(), constant_timeline(24)
    spec = choose_encoding(format, timeline, EncodeRequest(), "mp4")
    made: list[weakref.ref[np.ndarray]] = []

    def watched() -> Iterator[FrameBatch]:
        for batch in batches(format, timeline):
            own = replace(batch, planes=tuple(plane.copy() for plane in batch.planes))
            made.append(weakref.ref(own.planes[0]))
            yield own
            del own
            assert made[-1]() is None

    parts = encode_lease(Storage({}), make_lease(timeline, spec, [0, 16, 24], str(tmp_path)), watched(), tmp_path)
    assert len(list(parts)) == 2 and len(made) == 3


_ENCODE = """
import pathlib, sys
import numpy as np
from pipeline.encode import PartEncoder
from pipeline.encoders import choose_encoding
from pipeline.job import EncodeRequest
from tasks.picture import FrameBatch
from tests.pipeline.pictures import batches, constant_timeline, make_lease, picture_format

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096

format, timeline = picture_format("yuv420p", 1280, 720), constant_timeline(40)
planes = tuple(np.zeros((1, h, w), np.uint8) for h, w in ((720, 1280), (360, 640), (360, 640)))
encoder = PartEncoder(choose_encoding(format, timeline, EncodeRequest(), "mp4"), pathlib.Path(sys.argv[1]))
before = resident()
for i in range(40):
    encoder.write(FrameBatch(format, planes, i, timeline.pts[i : i + 1], np.arange(i, i + 1)))
full = resident()
encoder.finish()
print(full - before, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="read from Linux's /proc")
def test_an_encoder_gives_its_memory_back_before_its_part_is_uploaded(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ENCODE, str(tmp_path / "part.mp4")]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    full, finished = map(int, told.stdout.split())
    assert full > 30 << 20 and finished < full / 3

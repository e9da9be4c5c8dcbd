"""Files with bytes overwritten at random: a right answer or a SourceError, never a hang or a crash."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.decode import Counts, decode_source_frames
from pipeline.index import POS, SIZE
from pipeline.probe import probe
from pipeline.storage import Storage
from tasks.errors import SourceError
from tests.sources import Sources, number_in

_STORAGE = Storage()

#: Run in a process of its own, so that a crash or hang of a native library is seen as such.
_DECODE_ALL = """
import json, sys
from pipeline.decode import decode_source_frames
from pipeline.probe import probe
from pipeline.storage import Storage
from tasks.errors import SourceError
from tests.sources import number_in
for path in sys.argv[1:]:
    counts = {}
    try:
        index = probe(Storage(), path)
        batches = decode_source_frames(Storage(), index, 0, index.frames, 16, damaged="repeat", counts=counts)
        numbers = [number_in(luma) for batch in batches for luma in batch.planes[0]]
        print(json.dumps({"frames": index.frames, "numbers": numbers, "counts": counts}))
    except SourceError as error:
        print(json.dumps({"refused": error.message}))
"""


def _spoilt(data: bytes, seed: int) -> bytes:
    """Some bytes overwritten: single ones anywhere, or a run of them."""
    rng = np.random.default_rng(seed)
    spoilt = bytearray(data)
    if seed % 3 == 0:
        start = int(rng.integers(0, len(data) - 300))
        spoilt[start : start + 200] = rng.integers(0, 256, 200, dtype=np.uint8).tobytes()
    for place in rng.integers(0, len(data), 12 if seed % 3 else 0).tolist():
        spoilt[place] ^= int(rng.integers(1, 256))
    return bytes(spoilt) if seed % 5 else bytes(spoilt[: len(data) * 3 // 4])


@pytest.mark.parametrize("kind", ["open mp4", "fragmented mp4", "open mkv", "open ts", "mpeg2 mpg", "vp9 webm", "gif"])
def test_spoilt_bytes_never_hang_or_crash(kind: str, sources: Sources, tmp_path: Path) -> None:
    source = sources.path(kind)
    paths = []
    for seed in range(12):
        path = tmp_path / f"{seed}{source.suffix}"
        path.write_bytes(_spoilt(source.read_bytes(), seed))
        paths.append(str(path))
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", _DECODE_ALL, *paths],
        cwd=root, stdout=subprocess.PIPE, text=True, timeout=120, check=True,
    )  # fmt: skip
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == 12
    for result in results:
        if "refused" in result:
            assert "\n" not in result["refused"] and len(result["refused"]) > 40
        else:
            assert len(result["numbers"]) == result["frames"]


def test_pictures_behind_a_damaged_one_do_not_shift(sources: Sources, tmp_path: Path) -> None:
    source = sources.path("closed mp4")
    clean = probe(_STORAGE, str(source))
    data = bytearray(source.read_bytes())
    for frame in (10, 11, 60):
        pos, size = (int(clean.packets[clean.frame_packets[frame], column]) for column in (POS, SIZE))
        data[pos : pos + size] = bytes(size)
    (tmp_path / "spoilt.mp4").write_bytes(data)
    index = probe(_STORAGE, str(tmp_path / "spoilt.mp4"))
    counts: Counts = {}
    batches = decode_source_frames(_STORAGE, index, 0, index.frames, 16, damaged="repeat", counts=counts)
    numbers = [number_in(luma) for batch in batches for luma in batch.planes[0]]
    assert counts[0]["repeated"] == 3 and len(numbers) == clean.frames
    # What refers to a lost picture is covered up by the decoder until the next keyframe, but stays in place.
    assert numbers[96:] == list(range(96, 150)) and numbers[:8] == list(range(8))
    with pytest.raises(SourceError, match="source frame 1[01] "):
        list(decode_source_frames(_STORAGE, index, 0, index.frames, 16))

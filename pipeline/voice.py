"""The job's voice as features: decoded in blocks, written to a memory-mapped file as it comes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.audio import audio_blocks
from pipeline.storage import Storage
from tasks.mel import MelStream
from tasks.task import Voice

#: Samples a second that mel features are made from.
VOICE_RATE = 16_000
_BANDS = 80


def make_voices(storage: Storage, uris: Sequence[str], scratch: Path) -> Voice:
    """The first voice, with the others.

    Raises:
        SourceError: as `make_voice`.
    """
    first, *others = (make_voice(storage, uri, scratch, number) for number, uri in enumerate(uris))
    return replace(first, others=tuple(others))


def make_voice(storage: Storage, uri: str, scratch: Path, number: int = 0) -> Voice:
    """Mel features of a whole audio file; memory does not grow with its length.

    `number` tells its file apart from those of other voices in `scratch`.

    Raises:
        SourceError: the audio cannot be decoded or is empty.
    """
    columns = scratch / f"mel{number or ''}.columns"
    samples = 0
    stream = MelStream()
    with columns.open("wb") as file:
        for block in audio_blocks(storage, uri, rate=VOICE_RATE):
            samples += len(block)
            file.write(np.ascontiguousarray(stream.push(block).T).tobytes())
        file.write(np.ascontiguousarray(stream.finish().T).tobytes())
    mel = np.memmap(columns, dtype=np.float32, mode="r").reshape(-1, _BANDS).T
    return Voice(mel, samples / VOICE_RATE)

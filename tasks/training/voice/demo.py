"""The demo's voice: a line that says what it is, spoken by espeak-ng, with the time of each phoneme.

`python -m tasks.training.voice.demo` writes `voice.wav` and `voice.phonemes.json` into tasks/data/demo.
"""

import json
import wave
from pathlib import Path
from typing import Final

import numpy as np

from tasks.mel import SAMPLE_RATE
from tasks.training.voice.espeak import Utterance, Voice, speak

VOICE: Final = Voice("en-us+f3", words_per_minute=145, pitch=45)
TEXT: Final = (
    "This is a demonstration of Reelyard. <break time='700ms'/> "
    "The voice is synthetic: nobody said these words. "
    "A computer program moves the mouth in this picture."
)
FOLDER: Final = Path(__file__).parents[2] / "data" / "demo"


def write(utterance: Utterance, folder: Path) -> None:
    """`voice.wav` (16 kHz, 16 bit, mono; 0.4 s of silence at the end) and `voice.phonemes.json`."""
    with wave.open(str(folder / "voice.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        ended = np.pad(utterance.samples, (0, SAMPLE_RATE * 2 // 5))
        file.writeframes(np.rint(np.clip(ended, -1, 1) * 32767).astype("<i2").tobytes())
    rows = [[round(p.start_seconds, 3), round(p.end_seconds, 3), p.ipa] for p in utterance.phonemes]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "voice.phonemes.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    write(speak(TEXT, VOICE), FOLDER)

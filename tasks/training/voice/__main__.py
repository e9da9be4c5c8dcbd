"""`python -m tasks.training.voice --data DIR --teacher FILE --out FILE` makes the voice weights again."""

import argparse
import copy
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from tasks.nets.articulation_net import VoiceNet
from tasks.training.voice.clips import Clip, load_clips
from tasks.training.voice.corpus import utterances
from tasks.training.voice.examples import Example, clip_examples, synthetic_examples
from tasks.training.voice.figures import clip_offset, spoken_figures
from tasks.training.voice.mouths import learn_mouths
from tasks.training.voice.train import MEASURED, PHONETIC, calibrate, learn_phonetics

#: The permitted clips in which the person says what is heard; in the others mouths follow a song or nothing.
TEACHING: Final = (
    "LatentSync__assets_demo1_video",
    "LatentSync__assets_demo2_video",
    "LivePortrait__assets_examples_driving_d11",
    "LivePortrait__assets_examples_driving_d20",
    "MimicTalk__data_raw_examples_German_20s",
)
#: Talking clips that may not teach; they only test.
TESTING: Final = (
    "SampleVideo__hls_WindowsVideo",
    "V-Express__test_samples_emo_talk_mola_gt",
    "V-Express__test_samples_short_case_10_gt",
    "V-Express__test_samples_short_case_tys_gt",
    "V-Express__test_samples_vasa-1_10_gt",
    "V-Express__test_samples_vasa-1_l4_gt",
    "video-retalking__examples_face_1",
    "video-retalking__examples_face_2",
    "video-retalking__examples_face_4",
)


def main(arguments: Sequence[str]) -> None:
    """Trains, measures on people left out, writes the weights; prints as it goes."""
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    clips = {clip.name: clip for clip in load_clips(options.data, options.teacher, options.cache)}
    teaching = [clips[name] for name in TEACHING]
    assert all(clip.permitted for clip in teaching), "a clip that may not teach is among those that teach"
    net = VoiceNet().eval()
    synthetic = synthetic_examples(options.utterances, options.seed)
    say(f"{sum(example.mel.shape[1] for example in synthetic) / 80:.0f} s of synthetic sound")
    learn_phonetics(net, synthetic, steps=options.steps, seed=options.seed, say=say)
    calibrate(net, synthetic[:60], PHONETIC)
    offsets = {clip.name: clip_offset(clip, net).seconds for clip in teaching}
    say("offsets by the synthetic networks: " + ", ".join(f"{n} {s * 1000:+.0f} ms" for n, s in offsets.items()))
    examples = clip_examples(teaching, offsets)
    lesson = Lesson(examples, synthetic, options.mouth_steps, options.seed)
    taught = teach(net, lesson)
    save_file(compact(taught), options.out)
    report(net, lesson, taught, clips)


@dataclass(frozen=True)
class Lesson:
    """What there is to learn about real mouths, and how long."""

    clips: dict[str, Example]
    "by name; their offsets taken out"
    synthetic: Sequence[Example]
    "heard in between, so that phonetics and pauses are not forgotten"
    steps: int
    seed: int


def teach(net: VoiceNet, lesson: Lesson, *, without: str = "") -> VoiceNet:
    """A copy of `net` that knows real mouths, those of the clip `without` left out."""
    taught = copy.deepcopy(net)
    known = [example for name, example in lesson.clips.items() if name != without]
    learn_mouths(taught, known, lesson.synthetic, steps=lesson.steps, seed=lesson.seed, say=say)
    taught.eval().requires_grad_(False)
    calibrate(taught, known, MEASURED)
    return taught


def compact(net: VoiceNet) -> dict[str, Tensor]:
    """The numbers of a weights file; what measured networks know is worth two bytes each."""
    numbers = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    return {name: tensor.half() if name.startswith("measured.") else tensor for name, tensor in numbers.items()}


def report(net: VoiceNet, lesson: Lesson, taught: VoiceNet, clips: dict[str, Clip]) -> None:
    """Prints the figures of the model card; every person is judged by networks that never met them."""
    judged = [(clips[name], net, taught) for name in TESTING]
    judged += [(clips[name], net, teach(net, lesson, without=name)) for name in lesson.clips]
    scores = []
    for clip, before, after in judged:
        heard, known = clip_offset(clip, before), clip_offset(clip, after)
        scores.append((heard.correlation, known.correlation))
        say(
            f"{clip.name:44s} synthetic only r {heard.correlation:.2f}   ensemble r {known.correlation:.2f} "
            f"at {known.seconds * 1000:+.0f} ms, confidence {known.confidence:.2f}"
        )
    say("mean r: synthetic only {:.3f}, ensemble {:.3f}".format(*np.mean(scores, axis=0)))
    say(str(spoken_figures(list(utterances(30, lesson.seed + 1000)), taught)))


def say(line: str) -> None:
    """A line of progress."""
    print(line, flush=True)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tasks.training.voice", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.tsv and faces/")
    parser.add_argument("--teacher", type=Path, required=True, help="the FaceMesh checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="the weights file to write")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "reelyard-mouths")
    parser.add_argument("--utterances", type=int, default=240)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--mouth-steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])

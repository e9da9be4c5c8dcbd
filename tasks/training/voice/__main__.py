"""`python -m tasks.training.voice --data DIR --teacher FILE --out FILE` makes the voice weights again."""

import argparse
import copy
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from tasks.nets.articulation_net import VoiceNet
from tasks.training.voice.clips import Clip, load_clips
from tasks.training.voice.corpus import utterances
from tasks.training.voice.examples import Example, clip_examples, synthetic_examples
from tasks.training.voice.figures import clip_offset, spoken_figures
from tasks.training.voice.train import (
    calibrate,
    feature_spread,
    learn_mouths,
    learn_people,
    learn_phonetics,
    normal_equations,
)

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
    synthetic = synthetic_examples(options.utterances, options.seed)
    say(f"{sum(example.mel.shape[1] for example in synthetic) / 80:.0f} s of synthetic sound")
    net = _phonetics(options, synthetic)
    offsets = {clip.name: clip_offset(clip, net).seconds for clip in teaching}
    say("offsets by the first networks: " + ", ".join(f"{n} {s * 1000:+.0f} ms" for n, s in offsets.items()))
    examples = {clip.name: clip_examples([clip], offsets, copies=8, seed=options.seed) for clip in teaching}
    lesson = Lesson(tuple(teaching), examples, synthetic, options.people_steps, options.seed)
    spoken = list(utterances(max(1, options.utterances // 8), options.seed + 1000))
    taught = teach(net, lesson)
    save_file({name: tensor.contiguous() for name, tensor in taught.state_dict().items()}, options.out)
    say(str(spoken_figures(spoken, taught)))
    report(net, taught, lesson, [clips[name] for name in TESTING])


def _phonetics(options: argparse.Namespace, synthetic: Sequence[Example]) -> VoiceNet:
    """The networks before they meet a real mouth: learnt from synthetic speech, or those of `--start`."""
    net = VoiceNet().eval()
    if options.start:
        net.load_state_dict(load_file(options.start))
        return net
    learn_phonetics(net, synthetic, steps=options.steps, seed=options.seed, say=say)
    calibrate(net, synthetic[:60])
    return net


@dataclass(frozen=True)
class Lesson:
    """What there is to teach with."""

    clips: tuple[Clip, ...]
    examples: dict[str, list[Example]]
    "by clip: as it is, then disturbed copies"
    synthetic: list[Example]
    steps: int
    seed: int


def teach(net: VoiceNet, lesson: Lesson, *, without: str = "") -> VoiceNet:
    """A copy of `net` that knows real mouths, those of the clip `without` left out."""
    taught = copy.deepcopy(net)
    met = [found for name, found in lesson.examples.items() if name != without]
    every = [example for found in met for example in found]
    learn_people(taught, every, lesson.synthetic, steps=lesson.steps, seed=lesson.seed)
    taught.eval()
    spread = feature_spread(taught, [found[0] for found in met])
    normals = [normal_equations(taught, example, spread) for example in every]
    learn_mouths(taught, reduce(add, normals), spread)
    calibrate(taught, [found[0] for found in met])
    return taught


def report(net: VoiceNet, taught: VoiceNet, lesson: Lesson, testing: Sequence[Clip]) -> None:
    """Prints the figures of the model card; every person is judged by networks that never met them."""
    scores = [_judged(clip, net, taught) for clip in testing]
    scores += [_judged(clip, net, teach(net, lesson, without=clip.name)) for clip in lesson.clips]
    say("mean r: before {:.3f}, after {:.3f}".format(*np.mean(scores, axis=0)))


def _judged(clip: Clip, before: VoiceNet, after: VoiceNet) -> tuple[float, float]:
    heard, known = clip_offset(clip, before), clip_offset(clip, after)
    say(
        f"{clip.name:44s} before r {heard.correlation:.2f}   after r {known.correlation:.2f} "
        f"at {known.seconds * 1000:+.0f} ms, confidence {known.confidence:.2f}"
    )
    return heard.correlation, known.correlation


def say(line: str) -> None:
    """A line of progress."""
    print(line, flush=True)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tasks.training.voice", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.tsv and faces/")
    parser.add_argument("--teacher", type=Path, required=True, help="the FaceMesh checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="the weights file to write")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "reelyard-voice")
    parser.add_argument("--utterances", type=int, default=240)
    parser.add_argument("--steps", type=int, default=500, help="on synthetic speech")
    parser.add_argument("--people-steps", type=int, default=150, help="on clips")
    parser.add_argument("--start", type=Path, help="weights to go on from, instead of learning phonetics first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])

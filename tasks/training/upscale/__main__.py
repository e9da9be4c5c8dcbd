"""`python -m tasks.training.upscale --data DIR --out FILE` makes the enlarging weights again."""

import argparse
import logging
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from tasks.checkpoint import load
from tasks.nets.detail_net import DetailNet
from tasks.training.upscale.drawn import scene
from tasks.training.upscale.figures import mean_gain, scores
from tasks.training.upscale.fit import Lesson, Schedule, fit
from tasks.training.upscale.footage import lessons, library_stills

log = logging.getLogger(__name__)

_TESTS = ("Set5", "Set14")


def main(arguments: Sequence[str]) -> None:
    """Trains and writes the weights, at each look again; prints the figures on the test sets, which choose nothing."""
    options = _options(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    torch.set_num_threads(options.threads)
    photographs, drawings = _lessons(options)
    log.info("%d photographs, %d drawings", len(photographs), len(drawings))

    def look(name: str, average: DetailNet) -> None:
        _write(average, options.out)
        for test in _TESTS:
            found = scores(average, options.data / "super_resolution" / test)
            log.info(
                "%s, %s: bicubic + %.2f dB, %.2f", name, test, mean_gain(found), np.mean([s.network for s in found])
            )

    torch.manual_seed(options.seed)
    _write(fit(_network(options), photographs, drawings, _schedule(options), look), options.out)


def _lessons(options: argparse.Namespace) -> tuple[list[Lesson], list[Lesson]]:
    """Photographs and drawings, kept in the cache for the next run."""
    options.cache.mkdir(parents=True, exist_ok=True)
    stored = options.cache / f"lessons-{options.drawings}-{options.seed}.npz"
    if not stored.exists():
        rng = np.random.default_rng(options.seed)
        wholes = [*lessons(options.data, library_stills()), *(scene(rng) for _ in range(options.drawings))]
        np.savez(stored, allow_pickle=False, **{f"{k:05d}": whole for k, whole in enumerate(wholes)})
    with np.load(stored) as arrays:
        made = [Lesson.of(arrays[name]) for name in sorted(arrays)]
    border = len(made) - options.drawings
    return made[:border], made[border:]


def _network(options: argparse.Namespace) -> DetailNet:
    network = DetailNet()
    return load(network, options.start) if options.start else network


def _schedule(options: argparse.Namespace) -> Schedule:
    start = 1 if options.start else 0
    usual = Schedule(seed=options.seed + start)
    cycles = tuple(options.cycles) or usual.cycles[start:]
    return replace(usual, cycles=cycles, peak_rates=usual.peak_rates[start : start + len(cycles)])


def _write(network: DetailNet, path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tasks.training.upscale", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.tsv, video/ and odd/")
    parser.add_argument("--out", type=Path, required=True, help="the weights file to write")
    parser.add_argument("--start", type=Path, help="weights to go on from, after the first cycle")
    parser.add_argument("--cycles", type=int, nargs="*", default=(), help="steps of each cycle")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "reelyard-upscale")
    parser.add_argument("--drawings", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])

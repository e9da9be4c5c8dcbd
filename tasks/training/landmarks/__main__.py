"""`python -m tasks.training.landmarks --data DIR --teacher FILE --out FILE`: the network from nothing."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import torch
from safetensors.torch import load_file, save_file

from tasks.nets.landmark_net import LandmarkNet
from tasks.training.landmarks.fit import Cycle, Schedule, fit
from tasks.training.landmarks.labels import Amount, label
from tasks.training.landmarks.teacher import load_teacher


def main(arguments: Sequence[str]) -> None:
    """Labels the footage, fits the network, writes its weights; logs as it goes."""
    asked = _options(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(asked.threads)
    cv2.setNumThreads(1)
    amount, schedule = (_TINY_AMOUNT, _TINY_SCHEDULE) if asked.tiny else (Amount(), Schedule(seed=asked.seed))
    start = _network(asked.start) if asked.start else None
    labelled = label(load_teacher(asked.teacher), asked.data, asked.seed, amount)
    save(fit(labelled, schedule, start), asked.out)


#: Enough to go the whole way once, not to learn anything.
_TINY_AMOUNT = Amount(pictures=2, least_variants=2, portrait_variants=2)
_TINY_SCHEDULE = Schedule(Cycle(3, 1e-3), (Cycle(2, 1e-3), Cycle(2, 1e-3)), batch=4)


def save(network: torch.nn.Module, path: Path) -> None:
    """The weights as float16 safetensors."""
    save_file({k: v.detach().half().contiguous() for k, v in network.state_dict().items()}, str(path))


def _network(path: Path) -> LandmarkNet:
    network = LandmarkNet()
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return network


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    ask = argparse.ArgumentParser(prog="python -m tasks.training.landmarks", description=__doc__)
    ask.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.tsv and the footage it names")
    ask.add_argument("--teacher", type=Path, required=True, help="facemesh.pth")
    ask.add_argument("--out", type=Path, required=True, help="landmarks.safetensors to write")
    ask.add_argument("--start", type=Path, help="weights to go on from, instead of from nothing")
    ask.add_argument(
        "--tiny", action="store_true", help="go the whole way with next to no data; the weights are no use"
    )
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--threads", type=int, default=2)
    return ask.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])

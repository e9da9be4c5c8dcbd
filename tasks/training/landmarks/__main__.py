"""`python -m tasks.training.landmarks --data DIR --teacher FILE --out FILE`: the network from nothing."""

import argparse
import logging
from pathlib import Path

import cv2
import torch

from tasks.training.landmarks.fit import Schedule, fit
from tasks.training.landmarks.labels import label
from tasks.training.landmarks.teacher import load_teacher


def main() -> None:
    ask = argparse.ArgumentParser(prog="python -m tasks.training.landmarks", description=__doc__)
    ask.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.tsv and the footage it names")
    ask.add_argument("--teacher", type=Path, required=True, help="facemesh.pth")
    ask.add_argument("--out", type=Path, required=True, help="landmarks.safetensors to write")
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--threads", type=int, default=2)
    asked = ask.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(asked.threads)
    cv2.setNumThreads(1)
    labelled = label(load_teacher(asked.teacher), asked.data, asked.seed)
    save(fit(labelled, Schedule(seed=asked.seed)), asked.out)


def save(network: torch.nn.Module, path: Path) -> None:
    """The weights as float16 safetensors."""
    from safetensors.torch import save_file

    save_file({k: v.detach().half().contiguous() for k, v in network.state_dict().items()}, str(path))


if __name__ == "__main__":
    main()

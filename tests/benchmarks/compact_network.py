"""`python -m tests.benchmarks.compact_network FILE plain|ours WIDTH HEIGHT`: CPU ms a picture, on one thread."""

import statistics
import sys
import time
from pathlib import Path

import torch

from tasks.checkpoint import read
from tasks.heap import keep_freed_layers
from tasks.nets.enlarging import enlarging_network
from tasks.nets.srvgg_net import SRVGGNet
from tasks.runtime.built import NothingKept
from tasks.runtime.choice import Wish, choose_way
from tasks.runtime.machine import machine_of
from tasks.runtime.run import Run, ready, runner

_ROUNDS = 4


def main(path: Path, how: str, width: int, height: int) -> None:
    torch.set_num_threads(1)
    state = {name: tensor.float() for name, tensor in read(path).items()}
    network = enlarging_network(state, path.name)
    run: Run = network
    if how == "ours":
        keep_freed_layers()
        way = choose_way(Wish(), machine_of("cpu"), SRVGGNet.precisions, "SRVGGNetCompact")
        run = runner(ready(network, way), way, "cpu", NothingKept())
    x = torch.rand(1, 3, height, width)
    taken = []
    with torch.inference_mode():
        for _ in range(_ROUNDS + 1):
            started = time.process_time()
            run(x)
            taken.append(time.process_time() - started)
    print(1000 * statistics.median(taken[1:]))


main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

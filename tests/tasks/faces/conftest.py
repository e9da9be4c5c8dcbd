"""The shipped landmark network, loaded once, on one thread."""

from collections.abc import Iterator

import pytest
import torch

from tasks.faces.landmarks import LandmarkModel


@pytest.fixture(scope="session")
def model() -> Iterator[LandmarkModel]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield LandmarkModel()
    torch.set_num_threads(threads)

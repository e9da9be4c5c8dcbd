"""What a cell reserves."""

import pytest

from cluster.placement import cell_bundle
from tasks.errors import ResourceShortage


def test_a_cell_takes_two_processors_and_a_gpu_where_there_is_one() -> None:
    assert cell_bundle(16, 1, "auto") == {"CPU": 2.0, "GPU": 1.0}
    assert cell_bundle(16, 0, "auto") == {"CPU": 2.0}
    assert cell_bundle(1, 0, "cpu") == {"CPU": 1.0}


def test_a_gpu_is_left_to_others_when_the_cpu_is_asked_for() -> None:
    assert cell_bundle(16, 8, "cpu") == {"CPU": 2.0}


def test_a_gpu_that_is_not_there_is_refused_with_the_remedy() -> None:
    with pytest.raises(ResourceShortage, match="found no GPU in this Ray cluster.*--device cpu"):
        cell_bundle(16, 0, "cuda")

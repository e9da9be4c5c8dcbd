"""Where a run takes place."""

import pytest

from cluster.address import JOB_MARK, choose_place
from tasks.errors import JobError

_IN_A_JOB = {"RAY_ADDRESS": "10.0.0.1:6379", JOB_MARK: "{}"}


def test_an_address_is_joined_even_inside_a_job() -> None:
    place = choose_place(False, "head:6379", _IN_A_JOB)
    assert (place.kind, place.address) == ("joined", "head:6379")


def test_a_ray_job_joins_its_own_cluster_and_says_so() -> None:
    place = choose_place(False, None, _IN_A_JOB)
    assert (place.kind, place.address) == ("joined", "10.0.0.1:6379")
    assert "inside a Ray job" in place.reason


def test_any_other_ray_on_the_machine_is_ignored_and_named() -> None:
    place = choose_place(False, None, {"RAY_ADDRESS": "10.0.0.1:6379"})
    assert place.kind == "local"
    assert "--address 10.0.0.1:6379 joins it" in place.reason


def test_nothing_said_means_a_local_ray() -> None:
    assert choose_place(False, None, {}).kind == "local"


def test_in_process_uses_no_ray_whatever_the_environment() -> None:
    assert choose_place(True, None, _IN_A_JOB).kind == "in-process"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ray://head:10001", "Ray Client cannot carry streams"),
        ("http://head:8265", "reelyard submit --address http://head:8265"),
        ("head", "expected HOST:PORT or auto"),
        ("head:port", "expected HOST:PORT or auto"),
        ("head:99999", "expected HOST:PORT or auto"),
    ],
)
def test_an_address_that_cannot_be_joined_is_refused_with_the_remedy(address: str, words: str) -> None:
    with pytest.raises(JobError, match=words.replace(":", ":")):
        choose_place(False, address, {})


def test_in_process_and_an_address_do_not_go_together() -> None:
    with pytest.raises(JobError, match="give one of them"):
        choose_place(True, "head:6379", {})


def test_cells_have_a_gpu_each_unless_a_share_is_asked_for() -> None:
    assert choose_place(False, None, {}).gpus_per_cell == 1.0
    assert choose_place(False, "head:6379", {}, 0.25).gpus_per_cell == 0.25


@pytest.mark.parametrize("share", [0.0, -0.5, 0.01, 2.0, float("nan")])
def test_a_share_of_a_gpu_that_no_cell_can_have_is_refused(share: float) -> None:
    with pytest.raises(JobError, match=r"--gpus-per-cell \S+: expected 0.05 to 1, as 0.5 for two cells on each GPU"):
        choose_place(False, None, {}, share)


def test_one_process_shares_its_gpu_with_nobody() -> None:
    with pytest.raises(JobError, match="one process has its GPU alone"):
        choose_place(True, None, {}, 0.5)

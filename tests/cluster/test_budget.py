"""The object store's arithmetic, and which failures are tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.budget import local_store_bytes, plan_store
from cluster.retry import retry_of, wait_before
from tasks import errors
from tasks.picture import BATCH_BYTES


@given(
    batch=st.integers(1, 2 * 10**8),
    hops=st.integers(1, 2),
    store=st.integers(10**6, 10**11),
    leases=st.integers(1, 4),
)
def test_a_budget_fits_its_store_or_is_refused(batch: int, hops: int, store: int, leases: int) -> None:
    try:
        budget = plan_store(batch, hops, store, leases)
    except errors.ResourceShortage:
        assert hops * 2 * batch > 0.6 * store
    else:
        assert budget.needed_bytes <= 0.6 * store
        assert 1 <= budget.leases <= leases
        assert budget.window >= 1


def test_windows_shrink_before_leases_do() -> None:
    wide = plan_store(48_000_000, 2, 10**9)
    assert (wide.leases, wide.window) == (2, 2)
    narrow = plan_store(48_000_000, 2, 700_000_000)
    assert (narrow.leases, narrow.window) == (2, 1)
    single = plan_store(48_000_000, 2, 400_000_000)
    assert (single.leases, single.window) == (1, 1)


def test_a_store_too_small_is_refused_with_the_sum_and_the_remedy() -> None:
    with pytest.raises(
        errors.ResourceShortage, match=r"1 leases x 2 hops x 2 batches x 48 MB = 192 MB of 60 MB"
    ) as told:
        plan_store(48_000_000, 2, 100_000_000)
    assert "--shm-size" in str(told.value)
    assert "--in-process" in str(told.value)


def test_a_local_store_holds_usual_batches_and_spares_the_memory() -> None:
    assert plan_store(BATCH_BYTES, 2, local_store_bytes(32 * 10**9, 16 * 10**9)).window == 2
    assert local_store_bytes(2 * 10**9, 16 * 10**9) <= 0.3 * 2 * 10**9
    assert local_store_bytes(32 * 10**9, 64 * 2**20) == 150 * 2**20


def test_only_luck_is_tried_again() -> None:
    again = {name for name in vars(errors) if name[0].isupper() and retry_of(name).attempts > 1}
    assert again == {"WorkerLost", "StorageError"}
    assert retry_of("bug").attempts == 1


def test_waits_grow_and_end() -> None:
    waits = [wait_before("WorkerLost", failed) for failed in range(1, 5)]
    assert waits == [0.5, 1.0, 2.0, None]
    assert wait_before("SourceError", 1) is None

"""What a card says becomes figures and, where it matters, words with a remedy, each once; no watch ends a render."""

import threading
import time
from collections.abc import Iterator

import pytest

from cluster.gpus.nvml import NvmlCard
from cluster.gpus.opening import GAUGES, values_of
from cluster.gpus.reading import Card, Reading, Seen, driver_fault, warnings_of
from cluster.gpus.watch import GpuWatch

L4 = Card("NVIDIA L4", "550.54.15")
#: As NVML tells it of an L4 under load.
FINE = Reading(0.97, 18_300_000_000, 24_152_899_584, 68, 71.2, 72.0, 0, 0, 0)


def after(*readings: Reading, card: Card = L4) -> Seen:
    seen = Seen(card)
    for reading in readings:
        seen = seen.after(reading)
    return seen


def with_bits(bits: int, busy: float = 0.9) -> Reading:
    return Reading(busy, 1, 2, slowed_by=bits)


def test_a_run_remembers_the_most_and_the_mean() -> None:
    seen = after(FINE, Reading(0.03, 5, 24_152_899_584, 75, 30.0, 72.0))
    assert str(seen) == "NVIDIA L4: busy 50 % of the time, 18.3 GB at most, 75 °C, 71 W (2 readings)"
    assert str(Seen(L4)) == "NVIDIA L4: not looked at yet"
    assert str(after(Reading(0.5, 2_000_000_000, 3))) == "NVIDIA L4: busy 50 % of the time, 2.0 GB at most (1 readings)"


def test_a_card_that_is_well_warns_of_nothing() -> None:
    assert warnings_of(after(*[FINE] * 20), "12.8") == ()
    idle = [with_bits(0x1 | 0x2 | 0x10 | 0x100)] * 20
    assert warnings_of(after(*idle)) == (), "idle, application clocks, sync boost and display clocks do no harm"
    assert warnings_of(after(*[with_bits(0x04, busy=0)] * 20)) == (), "what does not compute is not slowed"


@pytest.mark.parametrize(
    ("bit", "words"),
    [
        (0x04, "is slowed down by its power limit: raise it (nvidia-smi -pl)"),
        (0x08, "is slowed down by its hardware's protection: look at its cooling"),
        (0x20, "is slowed down by heat: cool the machine better"),
        (0x40, "is slowed down by heat, near what harms it"),
        (0x80, "is slowed down by the machine's power brake"),
    ],
)
def test_slowing_that_lasts_is_told_with_its_remedy_and_a_spike_is_not(bit: int, words: str) -> None:
    spike = after(*[FINE] * 50, *[with_bits(bit)] * 4)
    assert warnings_of(spike) == ()
    [told] = warnings_of(after(*[FINE] * 10, *[with_bits(bit)] * 6))
    assert words in told and told.startswith("NVIDIA L4 ")


def test_lost_memory_is_told_if_it_was_lost_in_this_run() -> None:
    old = Card("NVIDIA L4", "550.54.15", lost_bits_at_start=2)
    assert warnings_of(after(Reading(0.9, 1, 2, lost_bits=2), card=old)) == ()
    [told] = warnings_of(after(Reading(0.9, 1, 2, lost_bits=3), Reading(0.9, 1, 2, lost_bits=None), card=old))
    assert "lost bits of its memory" in told and "drain the node" in told


@pytest.mark.parametrize(
    ("driver", "built_for", "old"),
    [
        ("550.54.15", "12.8", False),
        ("470.223.02", "12.8", True),
        ("570.10", "13.0", True),
        ("580.65", "13.0", False),
        ("", "13.0", False),
        ("550.54.15", "", False),
        ("550.54.15", "99.1", False),
    ],
)
def test_a_driver_older_than_torchs_cuda_is_told(driver: str, built_for: str, old: bool) -> None:
    assert bool(driver_fault(driver, built_for)) == old
    if (driver, built_for) == ("470.223.02", "12.8"):
        assert driver_fault(driver, built_for) == (
            "the driver 470.223.02 is too old for torch's CUDA 12.8: expected 525.60 or newer; update the driver, "
            "or install the torch build of an older CUDA (pytorch.org)"
        )


def test_what_a_card_does_not_tell_is_no_figure() -> None:
    assert set(values_of(FINE)) == set(GAUGES)
    assert values_of(FINE)["reelyard_gpu_slowed"] == 0 and values_of(with_bits(0x24))["reelyard_gpu_slowed"] == 1
    assert "reelyard_gpu_degrees" not in values_of(Reading(0.5, 1, 2))


class Told:
    """A card that says what was recorded, then fails."""

    card = L4

    def __init__(self, readings: list[Reading]) -> None:
        self._readings: Iterator[Reading] = iter(readings)
        self.ended = threading.Event()

    def read(self) -> Reading:
        try:
            return next(self._readings)
        except StopIteration:
            self.ended.set()
            raise OSError("NVML does not answer for NVIDIA L4: GPU is lost") from None


def test_a_watch_tells_each_thing_once_and_ends_in_words_with_its_card() -> None:
    warned: list[str] = []
    card = Told([with_bits(0x20)] * 12)

    def publish(reading: Reading) -> None:
        raise RuntimeError("no metrics here")

    watch = GpuWatch(card, built_for="13.0", warn=warned.append, publish=publish, period_seconds=0.001)
    assert card.ended.wait(10)
    time.sleep(0.05)
    watch.stop()
    assert watch.seen.readings == 12
    assert len(warned) == 3 and "too old" in warned[0] and "slowed down by heat" in warned[1]
    assert warned[2].startswith("NVML does not answer for NVIDIA L4: GPU is lost; expected it to")


def test_without_nvml_or_a_card_the_reason_is_said() -> None:
    with pytest.raises(OSError, match="nvidia-ml-py is not installed|NVML does not answer"):
        NvmlCard("GPU-0")

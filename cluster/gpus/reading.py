"""What a GPU said of itself, what of that is a warning, and what a run remembers of it; pure, knows no NVML."""

from dataclasses import dataclass, replace
from typing import Final, TypeVar

Number = TypeVar("Number", int, float)

#: Bits of nvmlDeviceGetCurrentClocksEventReasons that mean slower than the card could (nvml.h,
#: nvmlClocksEventReasons): what it was, what to do.  Idle, application clocks and sync boost are no harm.
_SLOWED: Final = {
    0x04: ("its power limit", "raise it (nvidia-smi -pl) where the machine can give more"),
    0x08: ("its hardware's protection", "look at its cooling and power supply (nvidia-smi -q -d PERFORMANCE)"),
    0x20: ("heat", "cool the machine better, or put fewer cards beside each other"),
    0x40: ("heat, near what harms it", "cool the machine better before it switches itself off"),
    0x80: ("the machine's power brake", "look at the machine's power supply, which asked it to take less"),
}
#: Of readings taken while the card worked: below that a spike, above it a state.
_OFTEN: Final = 0.1
_FEWEST: Final = 5
_BUSY_SHARE: Final = 0.05
#: The least driver on Linux for a major version of CUDA (CUDA Toolkit Release Notes, minor version compatibility).
_LEAST_DRIVER: Final = {11: (450, 80), 12: (525, 60), 13: (580, 0)}


@dataclass(frozen=True)
class Reading:
    """One look at a card; None where it does not tell."""

    busy_share: float
    "Of the last moments in which something was computed: 0 to 1."
    used_bytes: int
    total_bytes: int
    degrees: int | None = None
    "Celsius."
    watts: float | None = None
    limit_watts: float | None = None
    slowed_by: int = 0
    "Bits of NVML's reasons for lower clocks."
    lost_bits: int | None = None
    "ECC errors since the driver was loaded that were not corrected."
    mended_bits: int | None = None


@dataclass(frozen=True)
class Card:
    """Which card it is."""

    name: str
    driver: str
    "As 550.54.15."
    lost_bits_at_start: int = 0


@dataclass(frozen=True)
class Seen:
    """What a run remembers of one card."""

    card: Card
    readings: int = 0
    busy: float = 0.0
    "Sum of the shares."
    peak_bytes: int = 0
    hottest: int | None = None
    most_watts: float | None = None
    working: int = 0
    "Readings in which the card computed."
    slowed: tuple[tuple[int, int], ...] = ()
    "(bit, readings in which the card worked and was slowed by it)."
    lost_bits: int = 0

    def after(self, reading: Reading) -> "Seen":
        works = reading.busy_share >= _BUSY_SHARE
        counts = dict(self.slowed)
        for bit in _SLOWED:
            if works and reading.slowed_by & bit:
                counts[bit] = counts.get(bit, 0) + 1
        return replace(
            self,
            readings=self.readings + 1,
            busy=self.busy + reading.busy_share,
            peak_bytes=max(self.peak_bytes, reading.used_bytes),
            hottest=_most(self.hottest, reading.degrees),
            most_watts=_most(self.most_watts, reading.watts),
            working=self.working + works,
            slowed=tuple(sorted(counts.items())),
            lost_bits=max(self.lost_bits, (reading.lost_bits or 0) - self.card.lost_bits_at_start),
        )

    def __str__(self) -> str:
        """For the report."""
        if not self.readings:
            return f"{self.card.name}: not looked at yet"
        parts = [f"busy {100 * self.busy / self.readings:.0f} % of the time", f"{self.peak_bytes / 1e9:.1f} GB at most"]
        parts += [f"{self.hottest} °C"] if self.hottest is not None else []
        parts += [f"{self.most_watts:.0f} W"] if self.most_watts is not None else []
        return f"{self.card.name}: {', '.join(parts)} ({self.readings} readings)"


def warnings_of(seen: Seen, built_for: str = "") -> tuple[str, ...]:
    """What a person should know, each with its remedy; equal words for an equal state.

    `built_for` is the version of CUDA that torch was built for, as 12.8; empty where it is not known.
    """
    name = seen.card.name
    found = [
        f"{name} is slowed down by {cause}: {remedy}"
        for bit, (cause, remedy) in _SLOWED.items()
        if dict(seen.slowed).get(bit, 0) >= max(_FEWEST, _OFTEN * seen.working)
    ]
    if seen.lost_bits > 0:
        found.append(
            f"{name} lost bits of its memory (ECC errors that were not corrected): what it rendered since may be "
            "wrong; drain the node, reset or replace the card, and render its segments again"
        )
    fault = driver_fault(seen.card.driver, built_for)
    return (*found, f"{name}: {fault}") if fault else tuple(found)


def driver_fault(driver: str, built_for: str) -> str:
    """Why a driver is too old for a build of torch; empty where it is not, or either is not known."""
    least = _LEAST_DRIVER.get(_numbers(built_for)[0]) if _numbers(built_for) else None
    if least is None or not _numbers(driver) or _numbers(driver)[:2] >= least:
        return ""
    return (
        f"the driver {driver} is too old for torch's CUDA {built_for}: expected {least[0]}.{least[1]:02d} or newer; "
        "update the driver, or install the torch build of an older CUDA (pytorch.org)"
    )


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


def _most(old: Number | None, new: Number | None) -> Number | None:
    return new if old is None else old if new is None else max(old, new)

"""The watch over the card that a worker computes on, with its figures going to Ray's metrics."""

from collections.abc import Callable

from cluster.gpus.nvml import NvmlCard
from cluster.gpus.reading import Reading
from cluster.gpus.watch import GpuWatch

#: What each figure is called and means; Ray puts `ray_` before it and labels it with the node.
GAUGES = {
    "reelyard_gpu_busy_share": "Of the last moments in which the GPU computed something.",
    "reelyard_gpu_memory_bytes": "Of the GPU in use, by all processes.",
    "reelyard_gpu_degrees": "Celsius.",
    "reelyard_gpu_watts": "That the GPU takes.",
    "reelyard_gpu_slowed": "1 where the GPU is slower than it could be, for heat or power.",
    "reelyard_gpu_lost_bits": "ECC errors that were not corrected, since the driver was loaded.",
}
_HARMLESS = 0x1 | 0x2 | 0x10 | 0x100


def watch_of(device: str, warn: Callable[[str], None]) -> GpuWatch | None:
    """A watch over a CUDA device by torch's name of it; None, and a warning why, where it cannot be had."""
    import torch

    try:
        card = NvmlCard(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
    except (OSError, AttributeError) as error:
        warn(f"the GPU is not watched for heat, power and memory errors: {error}")
        return None
    return GpuWatch(card, built_for=torch.version.cuda or "", warn=warn, publish=to_ray())


def values_of(reading: Reading) -> dict[str, float]:
    """By the names of GAUGES, those that the card tells."""
    told = {
        "reelyard_gpu_busy_share": reading.busy_share,
        "reelyard_gpu_memory_bytes": reading.used_bytes,
        "reelyard_gpu_degrees": reading.degrees,
        "reelyard_gpu_watts": reading.watts,
        "reelyard_gpu_slowed": int(bool(reading.slowed_by & ~_HARMLESS)),
        "reelyard_gpu_lost_bits": reading.lost_bits,
    }
    return {name: float(value) for name, value in told.items() if value is not None}


def to_ray() -> Callable[[Reading], None]:
    """Sets Ray's gauges from each reading."""
    from ray.util.metrics import Gauge

    gauges = {name: Gauge(name, help) for name, help in GAUGES.items()}

    def publish(reading: Reading) -> None:
        for name, value in values_of(reading).items():
            gauges[name].set(value)

    return publish

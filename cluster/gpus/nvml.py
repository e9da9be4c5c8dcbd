"""NVIDIA's management library at arm's length: one card by its CUDA device, read as plain values.

Never run on a card yet: what the numbers mean is tested in `reading`, these calls are not.
"""

import contextlib
from collections.abc import Callable
from typing import Any

from cluster.gpus.reading import Card, Reading

_MISSING = "nvidia-ml-py is not installed: pip install nvidia-ml-py"


class NvmlCard:
    """One card, from its opening to `close`.

    Raises:
        OSError: the library or the card is not there; says why, in words.
    """

    def __init__(self, uuid: str) -> None:
        try:
            import pynvml
        except ImportError:
            raise OSError(_MISSING) from None
        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            self._card = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            name, driver = pynvml.nvmlDeviceGetName(self._card), pynvml.nvmlSystemGetDriverVersion()
        except pynvml.NVMLError as error:
            raise OSError(f"NVML does not answer for {uuid}: {error}") from error
        self.card = Card(str(name), str(driver), self._lost_bits() or 0)

    def read(self) -> Reading:
        """As of now.

        Raises:
            OSError: the card does not answer any more.
        """
        nvml, card = self._nvml, self._card
        try:
            memory, share = nvml.nvmlDeviceGetMemoryInfo(card), nvml.nvmlDeviceGetUtilizationRates(card).gpu / 100
        except nvml.NVMLError as error:
            raise OSError(f"NVML does not answer for {self.card.name}: {error}") from error
        return Reading(
            busy_share=share,
            used_bytes=memory.used,
            total_bytes=memory.total,
            degrees=self._told(lambda: int(nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU))),
            watts=self._told(lambda: nvml.nvmlDeviceGetPowerUsage(card) / 1000),
            limit_watts=self._told(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(card) / 1000),
            slowed_by=self._told(lambda: int(nvml.nvmlDeviceGetCurrentClocksEventReasons(card))) or 0,
            lost_bits=self._lost_bits(),
            mended_bits=self._ecc(nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
        )

    def close(self) -> None:
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()

    def _lost_bits(self) -> int | None:
        return self._ecc(self._nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED)

    def _ecc(self, kind: int) -> int | None:
        nvml = self._nvml
        count: int | None = self._told(
            lambda: int(nvml.nvmlDeviceGetTotalEccErrors(self._card, kind, nvml.NVML_VOLATILE_ECC))
        )
        return count

    def _told(self, ask: Callable[[], Any]) -> Any:
        """None where this kind of card does not tell."""
        try:
            return ask()
        except self._nvml.NVMLError:
            return None

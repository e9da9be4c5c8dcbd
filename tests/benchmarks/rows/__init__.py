"""The rows of the table, by the name that `--rows` takes, in the order of the table."""

from collections.abc import Callable

from tests.benchmarks.rows.efficiency import measure_efficiency, measure_tail
from tests.benchmarks.rows.first_frame import measure_first_frame
from tests.benchmarks.rows.identity import measure_identity
from tests.benchmarks.rows.index_bytes import measure_index_bytes
from tests.benchmarks.rows.lip_sync import measure_lip_sync
from tests.benchmarks.rows.peak_memory import measure_peak_memory
from tests.benchmarks.rows.residency import measure_residency
from tests.benchmarks.rows.scheduler import measure_scheduler
from tests.benchmarks.rows.upscale import measure_upscale
from tests.benchmarks.rows.upstream import measure_upstream
from tests.benchmarks.rows.wav2lip import measure_wav2lip
from tests.benchmarks.settings import Settings
from tests.benchmarks.table import Figure

ROWS: dict[str, Callable[[Settings], list[Figure]]] = {
    "identity": measure_identity,
    "lip-sync": measure_lip_sync,
    "wav2lip": measure_wav2lip,
    "upstream": measure_upstream,
    "upscale": measure_upscale,
    "residency": measure_residency,
    "memory": measure_peak_memory,
    "index": measure_index_bytes,
    "first-frame": measure_first_frame,
    "scheduler": measure_scheduler,
    "efficiency": measure_efficiency,
    "tail": measure_tail,
}

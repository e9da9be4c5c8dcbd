"""A checked manifest to its report: a place, a fleet on it, the batch, and the record of what happened."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cluster.address import Place
from cluster.batch.run import Batch, BatchSettings
from cluster.command_of import command_of
from cluster.dispatch.journal import Journal
from cluster.events import Listener
from cluster.fleet.opening import fleet_at
from cluster.manifest.existing import present
from cluster.manifest.values import Item
from cluster.report.batch_document import Prices
from cluster.report.document import versions
from cluster.report.exporters import exported
from cluster.report.metrics import samples_of
from cluster.report.record import Places, Record, places_of
from pipeline.inputs import uris_of
from pipeline.storage import Storage


@dataclass(frozen=True)
class BatchRequest:
    """How a manifest is to be run."""

    prefix: str
    "Where outputs go; report and event log lie there too."
    place: Place
    device: str = "auto"
    storage_options: tuple[tuple[str, str], ...] = ()
    report: str | None = None
    prices: Prices = field(default_factory=dict)
    settings: BatchSettings = field(default_factory=BatchSettings)
    metrics_port: int | None = None
    "Of an endpoint for Prometheus in this process; none where not given."


@dataclass(frozen=True)
class BatchEnd:
    """A finished run."""

    phases: dict[str, str]
    "The last of every item, by name."
    document: dict[str, Any]
    places: Places


def run_batch(items: Sequence[Item], request: BatchRequest, *listeners: Listener) -> BatchEnd:
    """Every item to its end; the report is written whatever happens.

    Raises:
        JobError: the cluster cannot be joined, or cannot read a path of this machine.
        KeyboardInterrupt: stopped; what runs was ended first, what is committed stays.
    """
    storage = Storage(dict(request.storage_options))
    places = places_of(request.prefix, datetime.now(UTC).isoformat(), request.report)
    with fleet_at(
        request.place,
        dict(request.storage_options),
        request.device,
        altering=any(item.job.tasks or item.job.label or item.job.bake_rotation for item in items),
        local_uris=_local_uris(storage, items),
        first_cells=len(items),
    ) as fleet:
        record = Record(storage, places, *listeners)
        journal = Journal(record)
        there = present(storage, [item.job.output for item in items])
        batch = Batch(items, fleet, journal, storage, lambda item: command_of(item.job), request.settings, there)
        try:
            joined = request.place.kind == "joined"
            with exported(lambda: record.look(lambda state: list(samples_of(state))), request.metrics_port, ray=joined):
                phases = batch.run()
        finally:
            document = record.finish(request.prices, versions())
    return BatchEnd(phases, document, places)


def _local_uris(storage: Storage, items: Sequence[Item]) -> tuple[str, ...]:
    """Paths that only this machine can read or write."""
    uris = (uri for item in items for uri in uris_of(item.job))
    return tuple(uri for uri in dict.fromkeys(uris) if storage.local_path(uri) is not None)

"""The fleet of a place, for the time of a block."""

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from cluster.address import Place
from cluster.fleet.values import Fleet
from cluster.gpus.allocator import let_segments_grow
from pipeline.pool import Decision
from pipeline.storage import Storage
from tasks.errors import JobError

log = logging.getLogger("reelyard")


@contextmanager
def fleet_at(
    place: Place,
    storage_options: Mapping[str, str],
    device: str,
    *,
    altering: bool,
    local_uris: tuple[str, ...] = (),
    first_cells: int = 1,
) -> Iterator[Fleet]:
    """Threads of this process, or cells on the Ray of the place.

    `altering`: something draws; `local_uris`: paths of this machine, which other machines cannot read;
    `first_cells`: started before anybody knows how much there is to do, more follow as there is work for them.

    Raises:
        JobError: the cluster cannot be joined, or has other machines and there are local paths.
        ResourceShortage: there is no place for a single cell.
    """
    if place.kind == "in-process":
        with _threads(storage_options, device, altering) as threads:
            yield threads
        return
    if device.startswith("cuda:"):
        raise JobError(f"--device {device}: Ray gives each worker its GPU; use --device cuda, or add --in-process")
    from cluster.connection import connected

    with connected(place) as connection:
        if local_uris and not connection.one_machine:
            raise JobError(
                f"{local_uris[0]}: a path of this machine, but the Ray cluster has other machines too; "
                "put it on s3:// or another object store, or leave out --address"
            )
        from cluster.fleet.ray_fleet import RayFleet

        how = {"altering": altering, "first_cells": first_cells, "gpus_per_cell": place.gpus_per_cell}
        with closing(RayFleet(connection, storage_options, device=device, **how)) as fleet:  # type: ignore[arg-type]
            yield fleet


@contextmanager
def _threads(storage_options: Mapping[str, str], device: str, altering: bool) -> Iterator[Fleet]:
    import av.logging

    from cluster.fleet.threads import ThreadFleet

    chosen, reason = "cpu", "no task draws: nothing is computed on a device"
    let_segments_grow(os.environ)
    if altering:
        from tasks.devices import choose_device

        choice = choose_device(device)
        chosen, reason = choice.device, choice.reason
    av.logging.set_level(None)
    with tempfile.TemporaryDirectory(prefix="reelyard-") as scratch:
        fleet = ThreadFleet(
            Storage(dict(storage_options)), chosen, Path(scratch), (Decision("device", chosen, reason),)
        )
        try:
            yield fleet
        finally:
            fleet.close()

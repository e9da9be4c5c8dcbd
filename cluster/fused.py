"""A whole cell in one process: decode, render and encode as threads, for a node without a processor to spare.

What the pull chain of three workers does, without its processes and without a copy between them.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping

from cluster.cell import Doing, EncodeWorker, Tally, ended
from cluster.chains import Chains
from cluster.gpus.allocator import let_segments_grow
from cluster.messages import Order
from cluster.transport import Worker, fetch
from pipeline.decode import decode_lease
from pipeline.part import Part, PartDetails
from pipeline.stages import in_thread, render_batches, staged


class FusedWorker(EncodeWorker):
    """Leases to committed parts, alone."""

    stage = "fused"

    def __init__(self, name: str, storage_options: Mapping[str, str], gpu_share: float = 1.0) -> None:
        super().__init__(name, storage_options, gpu_share)
        let_segments_grow(os.environ)
        self._chains = Chains(self._storage, self._share)
        self._device_lock = threading.Lock()

    def _encoded(self, order: Order, decode: Worker, render: Worker | None, doing: Doing) -> Iterator[Part]:
        """Both other workers are this one and are not called."""
        with ended(staged(self._parts(order, render is not None, doing), self.stage, self.name)) as committed:
            yield from committed

    def _parts(self, order: Order, drawn: bool, doing: Doing) -> Iterator[Part]:
        from pipeline.encode import encode_lease

        tally, lease, dropped = Tally(), fetch(order.lease), threading.Event()
        decoded = decode_lease(self._storage, fetch(order.index), lease, counts=tally.here)
        batches = in_thread(staged(decoded, "decode", self.name), "decode", dropped)
        chain = self._chains.held(order.specs, order.device, lease.built) if drawn else contextlib.nullcontext()
        with chain as loaded:
            if drawn:
                put = self._storage.put_bytes
                rendered = render_batches(loaded, lease, batches, self._device_lock, tally.here, put)
                batches = in_thread(staged(rendered, "render", self.name), "render", dropped)
            try:
                yield from encode_lease(
                    self._storage,
                    lease,
                    self._counted(doing, self._until_stopped(order, batches)),
                    self._scratch,
                    details=lambda work: PartDetails(
                        tally.counts_of(work.segment.number), tally.seconds_since(self.stage), self.name
                    ),
                )
            finally:
                dropped.set()

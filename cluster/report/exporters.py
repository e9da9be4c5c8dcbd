"""Where the metrics of a run go: to Ray's own, which its node agents export, and to an endpoint of the driver.

Ray puts `ray_` before each name, and exports nothing where its dashboard is off; the endpoint always works.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from cluster.report.metrics import METRICS, Metric, Sample
from tasks.errors import JobError

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

log = logging.getLogger("reelyard")

#: Ray forgets a gauge that was not set for a while.
_PUSH_SECONDS = 5.0
Samples = Callable[[], Sequence[Sample]]
"""The values as of now; called from threads of this file."""


@contextmanager
def exported(samples: Samples, port: int | None, *, ray: bool) -> Iterator[int | None]:
    """Both for the time of the block, as far as asked for: an endpoint at `port`, and Ray's where it is connected.

    Raises:
        JobError: the port cannot be had.
    """
    with ExitStack() as stack:
        if ray:
            stack.enter_context(pushed_to_ray(samples))
        yield None if port is None else stack.enter_context(served(samples, port))


@contextmanager
def served(samples: Samples, port: int, host: str = "0.0.0.0") -> Iterator[int]:
    """The port of an endpoint for Prometheus for the time of the block; 0 takes a free one.

    Raises:
        JobError: the port cannot be had.
    """
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(_Collector(samples))
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise JobError(
            f"--metrics-port {port}: found it taken or forbidden ({error.strerror or error}), expected a free port "
            "of this machine; choose another one, or 0 for any"
        ) from error
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Collector:
    """Asked by the registry for each scrape."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def describe(self) -> "list[Family]":
        return []

    def collect(self) -> "Iterator[Family]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        families = {name: kinds[m.kind](name, m.help, labels=m.labels) for name, m in METRICS.items()}
        for sample in self._samples():
            values = [sample.labels[name] for name in sample.metric.labels]
            families[sample.metric.name].add_metric(values, sample.value)
        yield from families.values()


class Meter(Protocol):
    """Of ray.util.metrics: a Counter has `inc`, a Gauge has `set`."""

    def __call__(self, value: float, tags: Mapping[str, str]) -> None:
        """Take in one value."""


class Pushed:
    """Samples to meters that count up: a counter is told by how much it grew."""

    def __init__(self, meter_of: Callable[[Metric], Meter]) -> None:
        self._meters = {name: meter_of(metric) for name, metric in METRICS.items()}
        self._told: dict[tuple[str, tuple[str, ...]], float] = {}

    def push(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            name, tags = sample.metric.name, dict(sample.labels)
            if sample.metric.kind == "gauge":
                self._meters[name](sample.value, tags)
                continue
            key = name, tuple(tags.values())
            grown = sample.value - self._told.get(key, 0.0)
            if grown > 0:
                self._meters[name](grown, tags)
                self._told[key] = sample.value


@contextmanager
def pushed_to_ray(samples: Samples, period_seconds: float = _PUSH_SECONDS) -> Iterator[None]:
    """Told to Ray's metrics every period for the time of the block, and once at its end; Ray is connected."""
    pushed, over = Pushed(_ray_meter), threading.Event()

    def push() -> None:
        last = False
        while not last:
            last = over.wait(period_seconds)
            try:
                pushed.push(samples())
            except Exception as error:
                log.warning("metrics are told to Ray no more: %s: %s", type(error).__name__, error)
                return

    thread = threading.Thread(target=push, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _ray_meter(metric: Metric) -> Meter:
    from ray.util.metrics import Counter, Gauge

    kind: Any = Counter if metric.kind == "counter" else Gauge
    made = kind(metric.name, description=metric.help, tag_keys=metric.labels)
    meter: Meter = made.inc if metric.kind == "counter" else made.set
    return meter

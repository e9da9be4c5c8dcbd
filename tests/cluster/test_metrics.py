"""Metrics: the same state by the endpoint and by Ray, and a dashboard that asks for nothing else."""

import json
import re
import socket
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from cluster.connection import Connection
from cluster.report.exporters import Pushed, exported, pushed_to_ray, served
from cluster.report.metrics import METRICS, Metric, Sample, samples_of
from cluster.report.state import RunState, folded
from tasks.errors import JobError
from tests.cluster.runs import run

DASHBOARD = Path(__file__).parents[2] / "k8s" / "grafana" / "reelyard-dashboard.json"


def _values(state: RunState) -> dict[tuple[str, ...], float]:
    return {(s.metric.name, *s.labels.values()): s.value for s in samples_of(state)}


def test_every_metric_is_told_of_a_run_and_nothing_twice() -> None:
    state = folded(run())
    samples = list(samples_of(state))
    assert {s.metric.name for s in samples} == set(METRICS)
    assert len(_values(state)) == len(samples)
    for sample in samples:
        assert tuple(sample.labels) == sample.metric.labels


def test_the_values_are_those_of_the_state() -> None:
    values = _values(folded(run()))
    assert values["reelyard_videos", "rendered"] == 9
    assert values["reelyard_videos", "waiting"] == 0
    assert values["reelyard_frames_total", "render"] == 9 * 1500
    assert values["reelyard_cells", "l4", "gone"] == 1
    assert values["reelyard_lease_failures_total", "OutOfVram", "render"] == 4


def test_labels_stay_few_however_many_videos() -> None:
    few, many = (len(_values(folded(run(8, videos, losses=0)))) for videos in (20, 400))
    assert many <= few + 2


def test_counters_are_named_and_grow_as_counters_do() -> None:
    assert all((m.kind == "counter") == m.name.endswith("_total") for m in METRICS.values())
    state, before = RunState(), dict[tuple[str, ...], float]()
    for event in run():
        state.take(event)
        now = _values(state)
        for key, value in before.items():
            if METRICS[key[0]].kind == "counter":
                assert now[key] >= value, key
        before = now


def test_the_endpoint_answers_a_scrape() -> None:
    state = folded(run())
    with served(lambda: list(samples_of(state)), 0, "127.0.0.1") as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        with (
            pytest.raises(JobError, match=rf"--metrics-port {port}: found it taken .* choose another"),
            served(list, port, "127.0.0.1"),
        ):
            pass
    assert 'reelyard_videos{phase="rendered"} 9.0' in text
    assert 'reelyard_frames_total{work="render"} 13500.0' in text
    assert "# TYPE reelyard_frames_total counter" in text
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))


def test_nothing_is_exported_unasked() -> None:
    with exported(list, None, ray=False) as port:
        assert port is None
    with exported(list, 0, ray=False) as port:
        assert port


def test_a_pushed_counter_is_told_by_its_growth() -> None:
    told: list[tuple[str, float, Mapping[str, str]]] = []

    def meter_of(metric: Metric):  # type: ignore[no-untyped-def]
        return lambda value, tags: told.append((metric.name, value, tags))

    pushed = Pushed(meter_of)
    frames, slots = METRICS["reelyard_frames_total"], METRICS["reelyard_slots"]
    for count in (0, 10, 10, 25):
        pushed.push([Sample(frames, count, {"work": "render"}), Sample(slots, 3, {"state": "free"})])
    assert [value for name, value, _ in told if name == frames.name] == [10, 15]
    assert [value for name, value, _ in told if name == slots.name] == [3, 3, 3, 3]


def _expressions() -> list[str]:
    document = json.loads(DASHBOARD.read_text())
    return [target["expr"] for panel in document["panels"] for target in panel["targets"]]


def test_the_dashboard_asks_for_metrics_and_labels_that_exist() -> None:
    asked = set()
    for expression in _expressions():
        names = {name.replace("${names}", "reelyard") for name in re.findall(r"\$\{names\}_\w+", expression)}
        assert names, expression
        asked |= names
        for name in names:
            assert name in METRICS, name
        labels = set(re.findall(r"(\w+)=~?\"", expression)) - {"instance"}
        grouped = {word.strip() for words in re.findall(r"by \(([^)]*)\)", expression) for word in words.split(",")}
        for name in names:
            assert labels | grouped <= set(METRICS[name].labels), expression
    assert asked == set(METRICS)


def test_the_dashboard_asks_for_phases_that_exist() -> None:
    phases = {s.labels["phase"] for s in samples_of(RunState()) if "phase" in s.labels}
    asked = {
        phase for e in _expressions() for words in re.findall(r"phase=~\"([^\"]+)\"", e) for phase in words.split("|")
    }
    assert asked
    assert asked <= phases


def test_panels_do_not_overlap_and_their_names_are_told_apart() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    squares = [
        (x, y)
        for p in (panel["gridPos"] for panel in panels)
        for x in range(p["x"], p["x"] + p["w"])
        for y in range(p["y"], p["y"] + p["h"])
    ]
    assert len(squares) == len(set(squares))
    assert max(x for x, _ in squares) < 24
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)


def test_a_connected_ray_takes_every_metric(connection: Connection, caplog: pytest.LogCaptureFixture) -> None:
    state, asked = folded(run()), []

    def samples() -> list[Sample]:
        asked.append(1)
        return list(samples_of(state))

    with pushed_to_ray(samples, period_seconds=0.05):
        time.sleep(0.3)
    assert len(asked) >= 2
    assert "told to Ray no more" not in caplog.text

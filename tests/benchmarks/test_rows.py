"""The arithmetic of the rows, on costs that are made up."""

import shutil
from pathlib import Path

import pytest

from tasks.training.upscale.figures import Score
from tests.benchmarks.commands import IN_PROCESS, RAY, ffmpeg_identity, x264_settings
from tests.benchmarks.meter import Line, Measured, Sample
from tests.benchmarks.pictures import nearly_still
from tests.benchmarks.rows import ROWS, efficiency, upscale, upstream
from tests.benchmarks.rows.identity import Cost, figures_of
from tests.benchmarks.sources import Source, write_unit


def _cost(cpu_seconds: float, wall_seconds: float, cores: int = 2) -> Cost:
    return Cost(cpu_seconds, wall_seconds, cores)


def test_identity_is_told_as_ratios_of_cpu_seconds_and_of_wall_over_its_bound() -> None:
    rounds = {
        "ffmpeg": [_cost(40.0, 41.0)],
        IN_PROCESS: [_cost(42.0, 22.0), _cost(42.0, 30.0), _cost(42.0, 22.0)],
        RAY: [_cost(50.4, 32.0)],
    }
    values = [figure.value for figure in figures_of(rounds, 750)]
    assert values == pytest.approx([1.05, 1.2, 22 / 21, 32 / 25.2])
    assert [figure.holds for figure in figures_of(rounds, 750)] == [True, True, True, False]


def test_cpu_seconds_between_two_looks_lie_on_a_line() -> None:
    samples = (Sample(1.0, 0.5, 0.0), Sample(2.0, 2.5, 0.0))
    measured = Measured(("x",), 2.0, 2.5, samples, (Line(1.5, "here"),))
    assert [measured.cpu_seconds_at(at) for at in (0.5, 1.0, 1.5, 2.0, 9.0)] == [0.25, 0.5, 1.5, 2.5, 2.5]


def test_ffmpeg_is_set_as_the_output_it_is_compared_with(tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("the ffmpeg command is not on this machine")
    source = tmp_path / "source.mp4"
    write_unit(nearly_still(128, 72, 60), Source("still", 128, 72, 2), source)
    wanted = x264_settings(source)
    assert (wanted["keyint"], wanted["crf"], wanted["threads"]) == ("50", "18.0", "1")
    assert x264_settings(ffmpeg_identity(source, source, tmp_path).output) == wanted


def test_every_row_has_a_name() -> None:
    assert list(ROWS) == [
        "identity",
        "lip-sync",
        "wav2lip",
        "upstream",
        "upscale",
        "residency",
        "memory",
        "index",
        "first-frame",
        "scheduler",
        "efficiency",
        "tail",
    ]


def test_an_enlargement_is_told_by_its_gain_over_bicubic() -> None:
    found = [Score("a", 30.0, 33.0), Score("b", 34.0, 36.4)]
    figure = upscale.gain_figure("Set5", 2.8, "FSRCNN 3.3", found)
    assert (round(figure.value, 3), figure.holds) == (2.7, False)
    assert figure.against == "34.70 dB, bicubic 32.00; by their papers FSRCNN 3.3"


def test_a_whole_task_is_told_in_the_upstream_method_s_time_and_memory() -> None:
    fast, lean = upstream.speed_figure(20.0, 0.16), upstream.memory_figure(10 * 10**9, 12 * 10**8, 60)
    assert (fast.value, fast.holds) == (125.0, True)
    assert (lean.value, lean.holds) == (0.12, False)
    assert "timed on a few frames" in fast.against


def test_efficiency_is_the_ideal_over_what_was_taken() -> None:
    run = {
        "ideal_seconds": 57.6,
        "seconds": 60.0,
        "frames": 11400,
        "leases": 4,
        "segments": 48,
        "driver_ms_a_segment": 4.0,
        "idle_driver_ms_a_segment": 1.5,
    }
    figures = efficiency.figures_of(8, run)
    assert [round(figure.value, 3) for figure in figures] == [0.96, 4.0, 4.0]
    assert [figure.holds for figure in figures] == [True, True, True]


def test_the_simulator_knows_the_ideal_and_what_a_lease_loses() -> None:
    assert efficiency.predicted_efficiency(4, 16, 30, 0.0) > 0.97
    assert efficiency.predicted_efficiency(4, 16, 30, 2.0) < efficiency.predicted_efficiency(4, 16, 30, 0.0)


def test_a_slow_cell_hardly_holds_up_the_end() -> None:
    assert efficiency.tail_figure().holds

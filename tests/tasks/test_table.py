"""Tasks by name: what is wrong is refused before anything is imported."""

import subprocess
import sys

import pytest

from tasks.errors import JobError
from tasks.quality import SelfChecking
from tasks.table import TASKS, open_task, parse_task, task_spec
from tasks.task import TaskSpec


def test_a_specification_holds_every_option_sorted() -> None:
    spec = parse_task("lip-sync:no_face=fail,face=left")
    assert spec.options == tuple(sorted(spec.options))
    assert dict(spec.options) == {**dict(parse_task("lip-sync").options), "face": "left", "no_face": "fail"}
    assert parse_task("lip-sync") == task_spec("lip-sync", {})


@pytest.mark.parametrize("entry", TASKS, ids=lambda entry: entry.name)
def test_every_default_passes_its_own_check(entry: object) -> None:
    for option in entry.options:  # type: ignore[attr-defined]
        assert option.help
        assert not option.default or option.fault(option.default) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lipsync", r"there is no task 'lipsync': did you mean 'lip-sync'\?; tasks are identity, rehearsal, lip-sync"),
        ("", r"there is no task ''; tasks are identity, rehearsal, lip-sync"),
        (
            "lip-sync:fase=left",
            r"has no option 'fase': did you mean 'face'\?; it takes face, no_face, sync_offset",
        ),
        ("identity:x=1", r"task 'identity' has no option 'x'; it takes none"),
        ("lip-sync:face", r"has 'face', expected key=value pairs"),
        ("lip-sync:face=left,", r"has '', expected key=value pairs"),
        ("lip-sync:face=left,face=right", r"gives 'face' twice"),
        ("lip-sync:face=middle", r"face is 'middle', expected largest, all, left, right, #N"),
        ("lip-sync:face=#0", r"face is '#0', expected"),
        ("lip-sync:no_face=drop", r"no_face is 'drop', expected one of keep, fail"),
        ("lip-sync:sync_offset=soon", r"sync_offset is 'soon', expected milliseconds from -2000 to 2000"),
        ("lip-sync:sync_offset=nan", r"sync_offset is 'nan', expected"),
        ("label", r"task 'label': text is '', expected some text"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_right(text: str, words: str) -> None:
    with pytest.raises(JobError, match=words):
        parse_task(text)


def test_values_may_hold_colons_equals_and_escaped_commas() -> None:
    assert parse_task(r"label:text=a: b=c\, d").option("text") == "a: b=c, d"


def test_tasks_open_with_their_specification() -> None:
    for spec in (task_spec("identity", {}), task_spec("label", {"text": "AI-generated"})):
        assert open_task(spec).spec == spec


def test_opening_checks_again_what_came_from_elsewhere() -> None:
    with pytest.raises(JobError, match="no option 'spin'"):
        open_task(TaskSpec("identity", (("spin", "1"),)))


def test_reading_the_table_imports_no_network_code() -> None:
    code = (
        "import sys, tasks.table, tasks.devices; tasks.table.parse_task('lip-sync:face=left');"
        "tasks.devices.choose_device('cpu');"
        "print([m for m in ('torch', 'cv2', 'librosa', 'PIL') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_table_says_which_tasks_need_a_voice_and_check_themselves_as_they_say_it_themselves() -> None:
    for entry in TASKS:
        options = {option.name: option.default or "text" for option in entry.options}
        task = open_task(task_spec(entry.name, options))
        assert task.needs.audio == entry.needs_audio
        assert isinstance(task, SelfChecking) == entry.checks_itself

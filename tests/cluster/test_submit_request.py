"""What is sent to a cluster, under which name, and how it is followed: without any cluster."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.address import JOB_MARK
from cluster.packages import own_code
from cluster.submit.arrival import check_arrival, code_mark
from cluster.submit.jobs import content_hash, find_job, next_step, running_job
from cluster.submit.places import Reads, refuse_secrets, seen_from_cluster
from cluster.submit.request import Start, choose_start, entrypoint, request_of, working_folder
from cluster.submit.shipping import staged
from cluster.submit.spelling import spelled
from pipeline.storage import Storage
from tasks.errors import JobError
from tests.cluster.submitted import READS, RENDER, job, parsed

# Names and attempts.


def test_the_same_content_follows_while_it_runs_and_is_the_next_attempt_after_it_ended() -> None:
    content, other = content_hash(["render", "a"]), content_hash(["render", "b"])
    assert content != other
    assert next_step(content, []).id == f"reelyard-{content}-1"
    ended = [job(f"reelyard-{content}-{n}", "FAILED") for n in (1, 10, 9)]
    step = next_step(content, [*ended, job(f"reelyard-{other}-44", "RUNNING"), job("raysubmit_x", "RUNNING")])
    assert (step.id, step.running) == (f"reelyard-{content}-11", None)
    assert step.before == ended[1]
    for status in ("PENDING", "RUNNING"):
        runs = job(f"reelyard-{content}-11", status)
        assert next_step(content, [*ended, runs]).running == runs


def test_a_job_is_found_by_what_a_person_would_type() -> None:
    one, two = job("reelyard-aaaaaaaaaaaa-1", began=1), job("reelyard-aaaaaaaaaaaa-2", began=2)
    other, foreign = job("reelyard-bbbbbbbbbbbb-1", began=3), job("raysubmit_1", began=9)
    jobs = [two, foreign, one, other]
    assert find_job(None, jobs) == other
    assert find_job("reelyard-aaaaaaaaaaaa-1", jobs) == one
    assert find_job("reelyard-aaaaaaaaaaaa", jobs) == two
    assert find_job("reelyard-b", jobs) == other
    assert find_job("raysubmit_1", jobs) == foreign
    with pytest.raises(JobError, match="write more of its id"):
        find_job("reelyard-", jobs)
    with pytest.raises(JobError, match="not on this cluster; found raysubmit_1 \\(SUCCEEDED\\), reelyard-bbb"):
        find_job("reelyard-c", jobs)
    with pytest.raises(JobError, match="no job of Reelyard on this cluster"):
        find_job(None, [foreign])


def test_what_is_stopped_without_an_id_is_the_only_one_that_runs() -> None:
    ended, runs = job("reelyard-aaaaaaaaaaaa-1"), job("reelyard-bbbbbbbbbbbb-1", "RUNNING")
    assert running_job(None, [ended, runs]) == runs
    assert running_job("reelyard-aaaaaaaaaaaa-1", [ended, runs]) == ended
    with pytest.raises(JobError, match="several jobs run: .*say which one"):
        running_job(None, [runs, job("reelyard-cccccccccccc-1", "PENDING")])
    with pytest.raises(JobError, match="no job of Reelyard runs"):
        running_job(None, [ended])


# The command, spelled out again.

_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=12)


@given(
    source=_TEXT, output=_TEXT, audio=st.none() | _TEXT, label=st.none() | _TEXT,
    tasks=st.lists(_TEXT, max_size=3), crf=st.none() | st.floats(-1e6, 1e6), qp=st.none() | st.integers(-9, 99),
    flags=st.sets(st.sampled_from(["--overwrite", "--keep-parts", "--deinterlace", "--bake-rotation"])),
)  # fmt: skip
def test_a_command_spelled_out_again_means_the_same(
    source: str, output: str, audio: str | None, label: str | None, tasks: list[str], crf: float | None,
    qp: int | None, flags: set[str],
) -> None:  # fmt: skip
    words = [*flags, f"--output={output}", *(f"--task={task}" for task in tasks)]
    for name, value in (("audio", audio), ("label", label), ("crf", crf), ("qp", qp)):
        words += [f"--{name}={value}"] if value is not None else []
    values = parsed(*words, "--", source)
    again = spelled(RENDER, values)
    assert parsed(*again) == values
    assert spelled(RENDER, parsed(*again)) == again


def test_the_order_of_options_and_spelled_defaults_make_no_other_job() -> None:
    def content(*words: str) -> str:
        return request_of(RENDER, parsed(*words), READS, one_machine=False, stage=None).content

    one = content("s3://in/a.mp4", "-o", "s3://out/a.mp4", "--crf", "20", "--codec", "h264")
    assert one == content("--codec=h264", "--crf", "20.0", "s3://in/a.mp4", "--device", "auto", "-o", "s3://out/a.mp4")
    assert one != content("s3://in/a.mp4", "-o", "s3://out/a.mp4", "--crf", "21", "--codec", "h264")


def test_the_shell_of_the_cluster_reads_the_words_as_they_were_typed() -> None:
    import shlex

    values = parsed("s3://in/it's $HOME; rm.mp4", "-o", "s3://out/a b.mp4", "--label", 'say "x" `y`')
    request = request_of(RENDER, values, READS, one_machine=False, stage=None)
    line = entrypoint(Start(("reelyard",), ""), request)
    words = shlex.split(line)
    assert words[:2] == ["reelyard", "render"]
    assert parsed(*words[2:]) == values
    assert "\n" not in line


# What must not travel, and what would mean something else there.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--storage-option", "secret=abc"), "--storage-option secret=…: everyone who sees"),
        (("--storage-option", "key=abc"), "a service account, or AWS_ACCESS_KEY_ID"),
        (("--storage-option", "endpoint_url=http://me:abc@host"), "http://host: holds a user name and password"),
        (("--audio", "https://b.s3.amazonaws.com/v.wav?X-Amz-Signature=abc&x=1"), "holds a signature or token"),
        (("--audio", "https://h/v.wav?sig=abc"), "holds a signature or token"),
        (("--audio", "https://me:abc@host/v.wav"), "https://host/v.wav: holds a user name and password"),
    ],
)
def test_a_secret_is_refused_and_not_repeated(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(JobError) as refused:
        refuse_secrets(parsed("s3://in/a.mp4", "-o", "s3://out/a.mp4", *words))
    assert told in refused.value.message
    assert "abc" not in refused.value.message


def test_what_everyone_may_see_travels() -> None:
    refuse_secrets(
        parsed(
            "https://host/a.mp4?version=3", "-o", "s3://out/a.mp4", "--storage-option", "endpoint_url=http://minio:9000",
            "--storage-option", "region=eu-west-1", "--storage-option", "anon=true",
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("in.mp4", "-o", "s3://out/a.mp4"), "source in.mp4: a path of this machine, which the cluster cannot read"),
        (("s3://in/a.mp4", "-o", "a.mp4"), "output a.mp4: a path of this machine, where the cluster cannot write"),
        (("s3://in/a.mp4", "-o", "s3://out/a.mp4", "--report", "r.json"), "report r.json: a path of this machine"),
        (("s3://in/a.mp4", "-o", "s3://out/a.mp4", "--work", "file:///w"), "work file:///w: a path of this machine"),
        (("s3://in/a.mp4", "-o", "s3://out/a.mp4", "--audio", "v.wav"), "reelyard submit --stage s3://BUCKET/PREFIX"),
        (("http://localhost:80/a.mp4", "-o", "s3://out/a.mp4"), "means another machine on the cluster"),
        (
            ("s3://in/a", "-o", "s3://out/a.mp4", "--storage-option", "endpoint_url=http://127.0.0.1:9000"),
            "means another machine on the cluster",
        ),
        (("memory://a.mp4", "-o", "s3://out/a.mp4"), "lies in the memory of one process"),
    ],
)
def test_what_a_cluster_elsewhere_cannot_reach_is_refused(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(JobError) as refused:
        seen_from_cluster(parsed(*words), READS, one_machine=False, stage=None)
    assert told in refused.value.message


def test_on_this_machine_alone_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = parsed("in.mp4", "-o", "sub/../out.mp4", "--audio", f"file://{tmp_path}/v%20v.wav", "--work", "s3://b/w")
    seen = seen_from_cluster(values, READS, one_machine=True, stage=None)
    assert seen["source"] == str(tmp_path / "in.mp4")
    assert seen["output"] == str(tmp_path / "out.mp4")
    assert seen["audio"] == str(tmp_path / "v v.wav")
    assert seen["work"] == "s3://b/w"
    assert {k: v for k, v in seen.items() if values[k] != v}.keys() == {"source", "output", "audio"}


def test_files_inside_of_words_become_absolute_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = (
        *(
            "a.mp4",
            "-o",
            "out.mp4",
            "--face",
            "like:bob.jpg#2",
            "--speaker",
            "2=b.wav",
            "--speaker",
            "like:ann.jpg=c.wav",
        ),
        *("--task", "lip-sync:model=./x.pth,face=like:bob.jpg", "--identity", "./arc.pth"),
    )
    seen = seen_from_cluster(parsed(*words), READS, one_machine=True, stage=None)
    assert seen["face"] == f"like:{tmp_path}/bob.jpg#2"
    assert seen["speaker"] == [f"track:2={tmp_path}/b.wav", f"like:{tmp_path}/ann.jpg={tmp_path}/c.wav"]
    assert seen["task"] == [f"lip-sync:face=like:{tmp_path}/bob.jpg,model={tmp_path}/x.pth"]
    assert seen["identity"] == f"{tmp_path}/arc.pth"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--speaker", "2=b.wav"), "input b.wav: a path of this machine, which the cluster cannot read"),
        (("--face", "like:bob.jpg"), "input bob.jpg: a path of this machine"),
        (("--task", "lip-sync:model=./x.pth"), "weights ./x.pth: a path of this machine.*an absolute path"),
    ],
)
def test_files_inside_of_words_are_refused_elsewhere(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(JobError, match=told):
        values = parsed("s3://i/a.mp4", "-o", "s3://o/a.mp4", *words)
        seen_from_cluster(values, READS, one_machine=False, stage=None)


def test_files_inside_of_words_are_staged_and_weights_of_every_node_stay() -> None:
    words = ("s3://i/a.mp4", "-o", "s3://o/a.mp4", "--face", "like:bob.jpg", "--speaker", "left=b.wav")
    values = parsed(*words, "--task", "lip-sync:model=/models/x.pth")
    seen = seen_from_cluster(values, READS, one_machine=False, stage=lambda path: f"s3://s/{path}")
    assert seen["face"] == "like:s3://s/bob.jpg"
    assert seen["speaker"] == ["left=s3://s/b.wav"]
    assert seen["task"] == ["lip-sync:model=/models/x.pth"]


def test_local_inputs_are_uploaded_once_by_content(tmp_path: Path, s3_options: Mapping[str, str]) -> None:
    storage = Storage(dict(s3_options))
    (tmp_path / "in.mp4").write_bytes(b"first")

    def stage(path: str) -> str:
        return staged(storage, path, "s3://bucket/stage/")

    values = parsed(str(tmp_path / "in.mp4"), "-o", "s3://bucket/out.mp4")
    seen = seen_from_cluster(values, READS, one_machine=False, stage=stage)
    uri = str(seen["source"])
    assert uri.startswith("s3://bucket/stage/")
    assert uri.endswith("/in.mp4")
    assert storage.read(uri) == b"first"
    before = storage.identity(uri)
    assert seen_from_cluster(values, READS, one_machine=False, stage=stage)["source"] == uri
    assert storage.identity(uri) == before
    (tmp_path / "in.mp4").write_bytes(b"other")
    other = str(seen_from_cluster(values, READS, one_machine=False, stage=stage)["source"])
    assert other != uri
    assert storage.read(uri) == b"first"


def test_a_list_travels_under_a_name_that_tells_its_content(tmp_path: Path) -> None:
    file = tmp_path / "videos.jsonl"
    file.write_text("one")
    reads = Reads((), (), lists=("source",))
    values = parsed(str(file), "-o", "s3://out/a.mp4")
    first = request_of(RENDER, values, reads, one_machine=False, stage=None)
    with working_folder(Start(("reelyard",), ""), first) as folder:
        assert folder is not None
        assert (Path(folder) / first.arguments[1]).read_text() == "one"
        assert [p.name for p in Path(folder).iterdir()] == [first.arguments[1]]
    assert not Path(folder).exists()
    here = request_of(RENDER, values, reads, one_machine=True, stage=None)
    assert here.arguments[1] == str(file)
    file.write_text("two")
    assert request_of(RENDER, values, reads, one_machine=False, stage=None).content != first.content
    assert request_of(RENDER, values, reads, one_machine=True, stage=None).content != here.content


def test_a_pattern_in_the_place_of_a_list_stays_a_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reads = Reads((), (), lists=("source",))

    def asked(source: str, one_machine: bool) -> str:
        return request_of(
            RENDER, parsed(source, "-o", "s3://o/a"), reads, one_machine=one_machine, stage=None
        ).arguments[1]

    assert asked("s3://in/*.mp4", False) == "s3://in/*.mp4"
    assert asked("clips/*.mp4", True) == str(tmp_path / "clips" / "*.mp4")
    assert asked("clips/", True) == f"{tmp_path}/clips/"
    with pytest.raises(JobError, match="source clips/: a path of this machine, which the cluster cannot read"):
        asked("clips/", False)


def test_shipped_code_is_this_code_and_starts() -> None:
    from cluster.packages import code_digest

    request = request_of(RENDER, parsed("s3://i", "-o", "s3://o"), READS, one_machine=False, stage=None)
    start = choose_start(True, None, one_machine=False)
    assert entrypoint(start, request).startswith("python reelyard.py render ")
    with working_folder(start, request) as folder:
        assert folder is not None
        assert code_digest(Path(folder)) == own_code().digest
        assert (Path(folder) / "reelyard.py").is_file()
        assert sum(p.stat().st_size for p in Path(folder).rglob("*")) < 20e6
    assert choose_start(False, None, one_machine=False).words == ("reelyard",)
    assert choose_start(False, "/opt/python", one_machine=False).words == ("/opt/python", "-m", "reelyard")
    with working_folder(choose_start(False, None, one_machine=False), request) as folder:
        assert folder is None


def test_another_reelyard_on_the_cluster_refuses_the_job() -> None:
    ours = f'{{"metadata": {{"reelyard_code": "{code_mark(own_code())}"}}}}'
    check_arrival({}, own_code())
    check_arrival({JOB_MARK: ours}, own_code())
    check_arrival({JOB_MARK: '{"runtime_env": {}}'}, own_code())
    with pytest.raises(JobError, match="is not the one that submitted this job \\(0000\\).*--ship"):
        check_arrival({JOB_MARK: '{"metadata": {"reelyard_code": "0000"}}'}, own_code())

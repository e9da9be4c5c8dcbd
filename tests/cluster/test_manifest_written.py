"""Items written as a manifest are read back as they were; for a cluster, with every place where it reaches."""

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.cli.batch import for_cluster
from cluster.manifest.read import read_manifest
from cluster.manifest.values import Item, ManifestError
from cluster.manifest.written import written
from cluster.submit.manifests import manifest_for_cluster
from pipeline.job import EncodeRequest, RenderJob
from pipeline.storage import Storage
from tasks.table import parse_task

_words = st.text("abc ü,;:\"'\\{}\u2028", min_size=1, max_size=8).map(str.strip).filter(bool)
_jobs = st.builds(
    RenderJob,
    source=st.just("s3://in/a.mp4"),
    output=st.just("s3://out/deep/a.mp4"),
    tasks=st.sampled_from([(), (parse_task("identity"),), (parse_task("lip-sync:face=left,sync_offset=40"),)]),
    audio=st.just("s3://in/v.wav"),
    fit=st.sampled_from(["audio:ping-pong", "audio:hold", "video"]),
    frame_rate=st.sampled_from([None, Fraction(25), Fraction(30000, 1001)]),
    trim=st.sampled_from([(None, None), (Fraction(1, 4), None), (None, Fraction(9)), (Fraction(1), Fraction(5, 2))]),
    segment_seconds=st.sampled_from([None, 12.5]),
    encode=st.builds(
        EncodeRequest,
        codec=st.sampled_from(["auto", "hevc"]),
        crf=st.sampled_from([None, 20.5]),
        preset=st.none() | _words,
    ),
    label=st.none() | _words,
    damaged=st.sampled_from(["fail", "repeat"]),
    decoder=st.sampled_from(["software", "nvdec"]),
    alpha=st.sampled_from(["fail", "drop"]),
    deinterlace=st.booleans(),
    quality=st.booleans(),
    quality_gate=st.sampled_from([(), (("flicker", 3.5), ("sync", 0.25))]),
    overwrite=st.booleans(),
    work=st.sampled_from([None, "s3://work/x"]),
)


def _can_be_asked_for(job: RenderJob) -> bool:
    """A check of what draws nothing is refused."""
    return not job.checked or any(spec.name == "lip-sync" for spec in job.tasks)


@given(_jobs.filter(_can_be_asked_for), st.integers(-3, 3), st.sampled_from(["", "ads"]), st.sampled_from([1.0, 0.25]))
def test_what_is_written_is_read_back_as_the_same_items(
    tmp_path_factory: pytest.TempPathFactory, job: RenderJob, priority: int, group: str, weight: float
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.jsonl"
    item = Item("deep/a.mp4", 1, job, priority, group, weight)
    path.write_text(written([item]))
    assert read_manifest(Storage(), str(path), prefix="s3://out/", existing=False).items == (item,)


def _local(folder: Path) -> Path:
    for name in ("a.mp4", "v.wav"):
        (folder / name).write_bytes(b"x")
    manifest = folder / "m.yaml"
    manifest.write_text(
        "defaults: {audio: v.wav, crf: 20}\nitems:\n- a.mp4\n- {source: 's3://in/b.mp4', priority: 2}\n"
    )
    return manifest


def test_local_files_of_a_manifest_are_uploaded_and_its_lines_name_them(tmp_path: Path) -> None:
    manifest, sent = str(_local(tmp_path)), list[str]()

    def upload(path: str) -> str:
        sent.append(path)
        return f"s3://stage/{Path(path).name}"

    values = {"manifest": manifest, "prefix": "s3://out/", "audio": None, "label": "x"}
    with for_cluster(values, upload) as seen:
        found = read_manifest(Storage(), str(seen["manifest"]), prefix="s3://out/", existing=False).items
    assert sent == [str(tmp_path / "a.mp4"), str(tmp_path / "v.wav")]
    assert [(item.name, item.job.source, item.job.audio) for item in found] == [
        ("a.mp4", "s3://stage/a.mp4", "s3://stage/v.wav"), ("b.mp4", "s3://in/b.mp4", "s3://stage/v.wav"),
    ]  # fmt: skip
    assert [(item.job.encode.crf, item.job.label, item.priority) for item in found] == [(20.0, "x", 0), (20.0, "x", 2)]
    assert not Path(seen["manifest"]).exists()


def test_a_manifest_that_names_no_place_of_this_machine_stays_as_it_is(tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('"s3://in/a.mp4"\n')
    values = {"manifest": str(manifest), "prefix": "s3://out/"}
    with for_cluster(values, None) as seen:
        assert seen == values


def test_what_a_cluster_cannot_reach_is_refused_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "c.mp4").write_bytes(b"x")
    (tmp_path / "m.jsonl").write_text('"c.mp4"\n{"source": "s3://in/d.mp4", "output": "here/d.mp4"}\n')
    items = read_manifest(Storage(), str(tmp_path / "m.jsonl"), prefix="s3://out", existing=False).items
    with pytest.raises(ManifestError) as found:
        manifest_for_cluster("m.jsonl", items, Storage(), None)
    first, second = (str(problem) for problem in found.value.problems)
    assert first.startswith("line 1: source ") and first.endswith("reelyard submit --stage s3://BUCKET/PREFIX …")
    assert second.startswith("line 2: output ") and second.endswith("expected s3:// or another object store")

"""A process killed in the middle of a write leaves nothing to be seen, and what it leaves can be found and removed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.job import EncodeRequest, RenderJob
from pipeline.render import render_in_process
from pipeline.storage import Storage
from tests.sources import Sources, sequential

#: Renders, and dies by SIGKILL when the second piece of the output goes out: a real one goes in pieces from
#: 100 MB on, here a small one does.
_RENDER_AND_DIE = """
import os, signal, sys
import s3fs
from pipeline.job import EncodeRequest, RenderJob
from pipeline.render import render_in_process

put, call = s3fs.S3FileSystem._put_file, s3fs.S3FileSystem._call_s3

async def in_pieces(self, path, key, *arguments, **options):
    pieces = {"chunksize": 1 << 18} if key.endswith("film.mkv") else {}
    return await put(self, path, key, *arguments, **{**options, **pieces})

async def deadly(self, method, *arguments, **options):
    if method == "upload_part" and options["PartNumber"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return await call(self, method, *arguments, **options)

s3fs.S3FileSystem._put_file, s3fs.S3FileSystem._call_s3 = in_pieces, deadly
source, output, *options = sys.argv[1:]
render_in_process(RenderJob(source, output, encode=EncodeRequest("ffv1"), segment_seconds=2.0,
                            storage_options=tuple(o.split("=", 1) for o in options)))
"""


def test_killed_in_its_final_upload_a_render_leaves_nothing_visible_and_resumes(
    sources: Sources, s3_options: dict[str, str]
) -> None:
    storage, options = Storage(s3_options), tuple(sorted(s3_options.items()))
    source, output = str(sources.path("open mp4")), "s3://bucket/killed/film.mkv"
    told = [f"{k}={v}" for k, v in options]
    died = subprocess.run([sys.executable, "-c", _RENDER_AND_DIE, source, output, *told], check=False)
    assert died.returncode == -signal.SIGKILL
    assert not storage.exists(output)
    pending = storage.unfinished(output)
    assert [write.uri for write in pending] == [output]
    job = RenderJob(source, output, encode=EncodeRequest("ffv1"), segment_seconds=2.0, storage_options=options)
    report = render_in_process(job)
    assert report.status == "rendered" and report.counts["segments resumed"] == report.counts["segments"] > 1
    assert report.counts["frames"] == sum(1 for _ in sequential(Path(source)))
    assert storage.list("s3://bucket/killed") == (output,)
    assert storage.unfinished("s3://bucket/killed") == pending  # Another driver's, for all this one knows.
    for write in pending:
        storage.discard(write)
        storage.discard(write)
    assert storage.unfinished("s3://bucket/killed") == () and storage.exists(output)


def test_uploads_to_other_keys_are_not_ours(s3_options: dict[str, str]) -> None:
    import boto3

    names = {"endpoint_url": "endpoint_url", "key": "aws_access_key_id", "secret": "aws_secret_access_key"}
    client = boto3.client(
        "s3", region_name="eu-central-1", **{names[k]: v for k, v in s3_options.items() if k in names}
    )
    keys = ("ours/film.mp4", "ours/film.mp4.work/parts/a.mp4", "ours/film.mp44", "ours/film.mp", "film.mp4")
    for key in keys:
        client.create_multipart_upload(Bucket="bucket", Key=key)
    storage = Storage(s3_options)
    assert [w.uri for w in storage.unfinished("s3://bucket/ours/film.mp4")] == ["s3://bucket/ours/film.mp4"]
    assert [w.uri for w in storage.unfinished("s3://bucket/ours/film.mp4.work/")] == [
        "s3://bucket/ours/film.mp4.work/parts/a.mp4"
    ]
    assert len(storage.unfinished("s3://bucket/ours")) == 4


_WRITE_AND_DIE = """
import os, signal, sys
import pipeline.storage as storage
storage._copy = lambda source, target: (target.write(b"half"), target.flush(), os.kill(os.getpid(), signal.SIGKILL))
storage.Storage({}).put_file(sys.argv[1], sys.argv[2])
"""


@pytest.mark.parametrize("name", ["film.mp4", "film.v2.mp4"])
def test_a_killed_local_write_is_found_by_its_target(name: str, tmp_path: Path) -> None:
    (tmp_path / "whole").write_bytes(b"whole")
    target = tmp_path / "out" / name
    died = subprocess.run([sys.executable, "-c", _WRITE_AND_DIE, str(tmp_path / "whole"), str(target)], check=False)
    assert died.returncode == -signal.SIGKILL and not target.exists()
    storage = Storage({})
    assert storage.list(str(tmp_path / "out")) == ()
    found = storage.unfinished(str(target))
    assert [write.uri for write in found] == [str(target)]
    assert storage.unfinished(str(tmp_path / "out")) == found
    assert storage.unfinished(str(tmp_path / "out" / "other.mp4")) == ()
    storage.discard(found[0])
    assert os.listdir(tmp_path / "out") == []

"""A manifest as a cluster can use it: local files of its lines uploaded, its lines written anew."""

from collections.abc import Callable, Sequence

from cluster.manifest.stage import local_files, moved
from cluster.manifest.values import Item, Problem, raise_problems
from cluster.manifest.written import written
from pipeline.inputs import inputs_of
from pipeline.storage import Storage


def manifest_for_cluster(
    uri: str, items: Sequence[Item], storage: Storage, upload: Callable[[str], str] | None
) -> str | None:
    """JSON lines whose every place a cluster reaches; None where the items name no place of this machine.

    `upload` puts a local file where the cluster reads it, and gives its URI.

    Raises:
        ManifestError: a line names what the cluster cannot read or write.
    """
    problems = [problem for item in items for problem in _out_of_reach(item, storage, upload is not None)]
    raise_problems(uri, problems)
    local = local_files(storage, items)
    if not local or upload is None:
        return None
    return written(moved(items, {path: upload(str(storage.local_path(path))) for path in local}))


def _out_of_reach(item: Item, storage: Storage, uploading: bool) -> list[Problem]:
    job = item.job
    problems = []
    for what, place in (("output", job.output), ("work", job.work)):
        if place and storage.local_path(place) is not None:
            fault = "a path of this machine, where the cluster cannot write; expected s3:// or another object store"
            problems.append(Problem(item.line, f"{what} {place}: {fault}"))
    for what, place in inputs_of(job):
        if storage.local_path(place) is not None and not uploading:
            fault = "a path of this machine, which the cluster cannot read; put it on s3:// or another object store"
            remedy = "or let it be uploaded: reelyard submit --stage s3://BUCKET/PREFIX …"
            problems.append(Problem(item.line, f"{what.removeprefix('--')} {place}: {fault}, {remedy}"))
    return problems

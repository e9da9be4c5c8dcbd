"""Checked items as a manifest again, every field in full, to be read on another machine; pure."""

import json
import re
from collections.abc import Iterable

from cluster.command_of import task_text, valued_options
from cluster.manifest.values import Item
from pipeline.job import RenderJob

_FLAGS = ("deinterlace", "bake_rotation", "overwrite", "keep_parts")


def fields_of(job: RenderJob) -> dict[str, object]:
    """What `job_of_fields` makes the same job of; storage options are no fields."""
    valued = {option.removeprefix("--").replace("-", "_"): value for option, value in valued_options(job)}
    valued.pop("storage_option", None)
    return {
        "source": job.source,
        "output": job.output,
        **({"task": [task_text(spec) for spec in job.tasks]} if job.tasks else {}),
        **{name: value for name, value in valued.items() if value is not None},
        **{flag: True for flag in _FLAGS if getattr(job, flag)},
    }


def manifest_of(items: Iterable[Item]) -> str:
    """JSON lines that `read_manifest` reads as the same items."""
    return "".join(json.dumps(_fields(item), ensure_ascii=False, sort_keys=True) + "\n" for item in items)


def _fields(item: Item) -> dict[str, object]:
    fields = fields_of(item.job) | {"priority": item.priority, "weight": item.weight}
    for name in ("source", "audio"):
        if name in fields:
            fields[name] = _literal(str(fields[name]))
    return fields | ({"group": item.group} if item.group else {})


def _literal(uri: str) -> str:
    """A pattern that names this one file, where its name holds what a pattern would."""
    return uri if uri.startswith(("http://", "https://")) else re.sub(r"[*?\[]", r"[\g<0>]", uri)

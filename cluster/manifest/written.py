"""Items as the lines of a manifest that reads back as the same items, from any folder; pure."""

import json
from collections.abc import Iterable

from cluster.command_of import task_text, valued_options
from cluster.manifest.values import Item

_FLAGS = ("quality", "deinterlace", "bake_rotation", "overwrite", "keep_parts")


def written(items: Iterable[Item]) -> str:
    """JSON lines; storage options are left out, since they belong to the command."""
    return "".join(f"{json.dumps(_fields(item), ensure_ascii=False)}\n" for item in items)


def _fields(item: Item) -> dict[str, object]:
    job = item.job
    valued = {option.removeprefix("--").replace("-", "_"): value for option, value in valued_options(job)}
    fields: dict[str, object] = {
        "source": job.source,
        "output": job.output,
        "task": [task_text(spec) for spec in job.tasks] or None,
        "speaker": [str(one) for one in job.speakers] or None,
        **{name: value for name, value in valued.items() if name not in ("storage_option", "speaker")},
        **{flag: getattr(job, flag) or None for flag in _FLAGS},
        "priority": item.priority or None,
        "group": item.group or None,
        "weight": item.weight if item.weight != 1.0 else None,
    }
    return {name: value for name, value in fields.items() if value is not None}

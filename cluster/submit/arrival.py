"""The other end: a command that was submitted looks whether the Reelyard that runs it is the one that sent it."""

import json
from collections.abc import Mapping

from cluster.address import JOB_MARK
from cluster.packages import Code
from tasks.errors import JobError

#: Under which a job's metadata tells whose code sent it.
CODE = "reelyard_code"


def code_mark(code: Code) -> str:
    return code.digest[:16]


def check_arrival(environment: Mapping[str, str], code: Code) -> None:
    """Raises:
    JobError: this is a submitted job, and its sender was another Reelyard.
    """
    if JOB_MARK not in environment:
        return
    sent = (json.loads(environment[JOB_MARK]).get("metadata") or {}).get(CODE)
    if sent not in (None, code_mark(code)):
        raise JobError(
            f"the Reelyard here ({code_mark(code)} in {code.root}) is not the one that submitted this job ({sent}): "
            "use an image or installation of the same version, or send yours along: reelyard submit --ship …"
        )

"""The pre-stop hook against a real Ray: a node that must go is announced, and its work waited for."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.kustomize import K8S

#: Process ids of its own, as a pod has them: the hook looks at every process it sees.
POD = ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]


def test_a_node_that_must_go_is_announced_and_its_work_waited_for() -> None:
    if not shutil.which("unshare") or subprocess.run([*POD, "true"], capture_output=True).returncode != 0:
        pytest.skip("process ids of their own are not permitted here (unshare --pid)")
    program = [sys.executable, str(Path(__file__).with_name("leaving.py")), str(K8S / "base" / "drain.py")]
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run([*POD, *program], capture_output=True, text=True, env=environment, timeout=180)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["drained_while_idle"] == 0 and told["idle_seconds"] < 20, told
    assert told["marked"] and told["waited_for_the_actor"], told
    assert told["seconds_after_it"] < 20, told

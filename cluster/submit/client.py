"""A cluster's Jobs API: the only file that knows Ray's client, its failures and its tokens."""

import asyncio
import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.submit.jobs import SubmittedJob
from tasks.errors import JobError, WorkerLost

#: Connecting, and waiting for one answer.
_TIMEOUT_SECONDS = (10.0, 120.0)
#: A log that says nothing for so long is asked for anew: the connection may be dead without knowing.
_QUIET_SECONDS = 60.0
#: How long a head may take to know its own node.
_FIRST_NODE_SECONDS = 30.0
#: Loggers of Ray's that set their own level, and tell of steps that are no choice of the user's.
_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
_STATUS = re.compile(r"status code (\d{3})")


class AlreadySubmitted(JobError):
    """Somebody else took this id in between."""


@dataclass(frozen=True)
class Submission:
    """What is sent."""

    id: str
    entrypoint: str
    metadata: Mapping[str, str]
    working_folder: str | None
    "Zipped, uploaded, and the folder the job starts in; None: nothing travels."


class Cluster:
    """The jobs of one cluster."""

    def __init__(self, address: str, client: Any) -> None:
        self.address = address
        self._client = client

    def jobs(self) -> list[SubmittedJob]:
        with told_by(self.address):
            return [_value(found) for found in self._client.list_jobs() if found.submission_id]

    def job(self, id: str) -> SubmittedJob:
        with told_by(self.address):
            return _value(self._client.get_job_info(id))

    def submit(self, submission: Submission) -> None:
        """Raises:
        AlreadySubmitted: the id is taken.
        """
        environment = {"working_dir": submission.working_folder} if submission.working_folder else None
        with told_by(self.address):
            self._client.submit_job(
                entrypoint=submission.entrypoint, submission_id=submission.id,
                runtime_env=environment, metadata=dict(submission.metadata),
            )  # fmt: skip

    def stop(self, id: str) -> None:
        with told_by(self.address):
            self._client.stop_job(id)

    def log(self, id: str) -> str:
        with told_by(self.address):
            return str(self._client.get_job_logs(id))

    def tail(self, id: str) -> Iterator[str]:
        """The log from its beginning, as it grows; ends with the job, or when nothing came for a while."""
        loop = asyncio.new_event_loop()
        pieces = self._client.tail_job_logs(id)
        try:
            while True:
                with told_by(self.address):
                    try:
                        piece = loop.run_until_complete(asyncio.wait_for(anext(pieces), _QUIET_SECONDS))
                    except (StopAsyncIteration, TimeoutError):
                        return
                yield piece
        finally:
            _close(loop, pieces)

    def on_this_machine(self) -> bool:
        """Whether all of the cluster is this machine, so that paths mean the same to both.

        A forwarded port looks local and is not: what counts is that the session's own processes
        run here, and see the same files.
        """
        try:
            with told_by(self.address):
                session = str(self._client.asked("/api/version")["session_name"])
            return _runs_here(session) and len(self._hosts()) == 1
        except (JobError, WorkerLost):
            return False

    def _hosts(self) -> set[str]:
        """Addresses of the machines; a head that was just started knows of none for some seconds."""
        hosts: set[str] = set()
        deadline = time.monotonic() + _FIRST_NODE_SECONDS
        while not hosts and time.monotonic() < deadline:
            with told_by(self.address):
                nodes = self._client.asked("/api/v0/nodes")["data"]["result"]["result"]
                hosts = {str(node["node_ip"]) for node in nodes if node["state"] == "ALIVE"}
            time.sleep(0 if hosts else 0.5)
        return hosts


def connect(address: str) -> Cluster:
    """The cluster whose dashboard answers at `address`.

    Raises:
        JobError: nothing answers, something else does, or it asks for another token.
    """
    use_token(os.environ)
    try:
        with told_by(address), _addressed(address):
            return Cluster(address, _client_class()(address))
    except WorkerLost as error:
        raise JobError(
            f"{error.message}; expected the dashboard of a Ray cluster: `ray start --head` starts one here, "
            "`kubectl port-forward service/CLUSTER-head-svc 8265` leads to one on Kubernetes, --address names another"
        ) from error


@contextmanager
def _addressed(address: str) -> Iterator[None]:
    """Ray's client reads its address from here before it looks at the one that it is given."""
    name = "RAY_API_SERVER_ADDRESS"
    before = os.environ.get(name)
    os.environ[name] = address
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def use_token(environment: Any) -> None:
    """Token mode where a token is at hand and no mode is set; Ray itself would send none then."""
    if "RAY_AUTH_MODE" in environment or not has_token(environment):
        return
    environment["RAY_AUTH_MODE"] = "token"
    if "ray" in sys.modules:
        raylet: Any = sys.modules["ray"]._raylet
        raylet.Config.initialize("")


def has_token(environment: Mapping[str, str]) -> bool:
    named = any(environment.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or (Path.home() / ".ray" / "auth_token").is_file()


def _client_class() -> Any:
    from ray.job_submission import JobSubmissionClient

    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)

    class Client(JobSubmissionClient):  # type: ignore[misc,unused-ignore]
        """Ray's, which would wait for ever for an answer that never comes."""

        def _do_request(self, method: str, endpoint: str, **given: Any) -> Any:
            return super()._do_request(method, endpoint, **{"timeout": _TIMEOUT_SECONDS, **given})

        def asked(self, endpoint: str) -> Any:
            answer = self._do_request("GET", endpoint)
            answer.raise_for_status()
            return answer.json()

    return Client


@contextmanager
def told_by(address: str) -> Iterator[None]:
    """Failures of Ray's client in our words: JobError where trying again is no use, else WorkerLost."""
    import aiohttp
    import requests
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError as error:
        raise JobError(_refused(address, "403" if "Authentication failed" in str(error) else "401")) from error
    except aiohttp.WSServerHandshakeError as error:
        if error.status in (401, 403):
            raise JobError(_refused(address, str(error.status))) from error
        raise WorkerLost(f"{address}: its log cannot be followed (HTTP {error.status})") from error
    except (requests.exceptions.JSONDecodeError, json.JSONDecodeError, KeyError) as error:
        raise JobError(f"{address}: answers, but not as a Ray dashboard; is it a proxy's login page?") from error
    except (requests.exceptions.RequestException, aiohttp.ClientError, OSError) as error:
        reason = _first_line(error)
        told = "" if reason.startswith("Failed to connect") else f" ({reason})"
        raise WorkerLost(f"{address}: does not answer{told}") from error
    except RuntimeError as error:
        raise _of_status(address, str(error)) from error


def _of_status(address: str, text: str) -> Exception:
    found = _STATUS.search(text)
    status = int(found[1]) if found else 0
    if "already exists" in text:
        return AlreadySubmitted(f"{address}: this job was submitted by another in the same moment; submit again")
    if status == 413:
        return JobError(f"{address}: a proxy refuses uploads of this size; use an image that holds Reelyard, no --ship")
    if 400 <= status < 500:
        return JobError(f"{address}: {_last_line(text)}")
    return WorkerLost(f"{address}: {_last_line(text)}")


def _refused(address: str, status: str) -> str:
    """Words for HTTP 401, where no token was sent, and 403, where a wrong one was."""
    set_it = (
        "set RAY_AUTH_TOKEN to the cluster's token, or RAY_AUTH_TOKEN_PATH to a file that holds it "
        "(and RAY_AUTH_MODE=token, which is the default where one of them is set)"
    )
    if status == "403":
        return f"{address}: refuses the token it was given ({status}); {set_it}"
    if os.environ.get("RAY_AUTH_MODE", "token") != "token":
        mode = os.environ["RAY_AUTH_MODE"]
        return f"{address}: asks for a token ({status}), but RAY_AUTH_MODE={mode} sends none; set RAY_AUTH_MODE=token"
    return f"{address}: asks for a token ({status}); found none; {set_it}"


def _value(details: Any) -> SubmittedJob:
    def seconds(milliseconds: int | None) -> float | None:
        return milliseconds / 1000 if milliseconds else None

    status = getattr(details.status, "value", details.status)
    return SubmittedJob(
        str(details.submission_id), str(status), details.entrypoint, details.message or "",
        seconds(details.start_time), seconds(details.end_time), details.driver_exit_code,
        dict(details.metadata or {}),
    )  # fmt: skip


def _runs_here(session: str) -> bool:
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        if any(session in word for word in process.info["cmdline"] or ()) and _sees_our_files(process.pid):
            return True
    return False


def _sees_our_files(pid: int) -> bool:
    """False for a process in a container of this machine; True where the system cannot tell."""
    if sys.platform != "linux":
        return True
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
    except OSError:
        return False


def _close(loop: asyncio.AbstractEventLoop, pieces: Any) -> None:
    """Ends the connection, also where Ctrl-C came in the middle of waiting for a piece."""
    waiting = asyncio.all_tasks(loop)
    for task in waiting:
        task.cancel()
    if waiting:
        loop.run_until_complete(asyncio.wait(waiting))
    loop.run_until_complete(pieces.aclose())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")[:200]


def _last_line(text: str) -> str:
    return text.strip().rstrip(".").splitlines()[-1].strip()[:300]

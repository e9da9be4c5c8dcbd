"""The address of a cluster's dashboard, where its Jobs API answers; pure."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from tasks.errors import JobError

DEFAULT = "http://127.0.0.1:8265"
_HOST = re.compile(r"^[A-Za-z0-9._\-\[\]:]+$")


def dashboard_address(asked: str | None, environment: Mapping[str, str]) -> str:
    """`--address`, else RAY_API_SERVER_ADDRESS, else an http RAY_ADDRESS, else this machine's.

    Raises:
        JobError: not an address of a dashboard.
    """
    if asked is not None:
        return _checked(asked, f"--address {asked}")
    named = environment.get("RAY_API_SERVER_ADDRESS")
    if named:
        return _checked(named, f"RAY_API_SERVER_ADDRESS={named}")
    joined = environment.get("RAY_ADDRESS", "")
    return _checked(joined, f"RAY_ADDRESS={joined}") if joined.startswith("http") else DEFAULT


def _checked(text: str, told: str) -> str:
    expected = "expected the address of the cluster's dashboard, as http://HEAD:8265"
    if text == "auto" or text.startswith("ray://"):
        raise JobError(f"{told}: {expected}")
    if "://" not in text and _HOST.match(text):
        text = f"http://{text}" if re.search(r":\d+$", text) else f"http://{text}:8265"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise JobError(f"{told}: {expected}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise JobError(f"{told}: {expected}")
    if port == 6379:
        raise JobError(f"{told}: found the port that Ray's own processes join; {expected}")
    if parts.username or parts.password:
        raise JobError(f"--address: holds a user name or password; {expected}, and a token in RAY_AUTH_TOKEN")
    return text.rstrip("/")

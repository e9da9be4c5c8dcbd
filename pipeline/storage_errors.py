"""What went wrong with storage, in words a user can act on; knows the drivers' errors by name only."""

import errno

from tasks.errors import SourceError, StorageError

#: Errors of the network or disk that another attempt may cure.
_TRANSIENT_ERRNO = {errno.EBUSY, errno.EIO, errno.EAGAIN, errno.ETIMEDOUT, errno.ECONNRESET, errno.EREMOTEIO}
_NETWORK_PACKAGES = ("aiohttp", "botocore", "aiobotocore", "urllib3")
_NETWORK_WORDS = ("Connect", "Timeout", "Payload", "Disconnected", "HTTPClientError", "IncompleteRead")


class NotFound(StorageError):
    """Nothing lies at the URI."""


class AlreadyThere(StorageError):
    """A create-only write found the URI taken; nothing was written."""


class AccessRefused(StorageError):
    """The credentials given do not open the URI, or there are none."""


def changed(uri: str) -> SourceError:
    """The error of a source that was replaced between indexing and reading."""
    return SourceError(
        f"{uri}: its bytes changed since it was indexed (another etag, size or time); "
        "leave the source alone while it is rendered, then run the same command again"
    )


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed a moment later."""
    error = _met(error)
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    if isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNO:
        return True
    if getattr(error, "status", 0) in (429, 500, 502, 503, 504):
        return True
    package, name = type(error).__module__.split(".")[0], type(error).__name__
    return package in _NETWORK_PACKAGES and any(word in name for word in _NETWORK_WORDS)


def explain(error: BaseException, uri: str, verb: str) -> StorageError | SourceError:
    """The error of our tree: what failed, on what, what to do."""
    error = _met(error)
    text = " ".join(str(error).split()) or type(error).__name__
    status = _status(error)
    if "PreconditionFailed" in text or "pre-conditions" in text or status == 412:
        return AlreadyThere(f"{uri}: already there; nothing was written") if verb == "write" else changed(uri)
    if isinstance(error, FileExistsError):
        return AlreadyThere(f"{uri}: already there; nothing was written")
    if "NoSuchBucket" in text or "bucket does not exist" in text:
        return NotFound(f"{uri}: no such bucket; check its name, or create it")
    if isinstance(error, FileNotFoundError) or status == 404:
        return NotFound(f"{uri}: no such file; check the spelling")
    if isinstance(error, IsADirectoryError | NotADirectoryError):
        return NotFound(f"{uri}: found a folder where a file was expected")
    if isinstance(error, PermissionError) or status in (401, 403):
        return AccessRefused(f"{uri}: no permission to {verb}; check the credentials and the rights on it ({text})")
    if "redential" in type(error).__name__ or "redential" in text:
        return AccessRefused(
            f"{uri}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or option anon=true"
        )
    if "NoRegion" in type(error).__name__ or "region" in text.lower():
        return StorageError(f"{uri}: the region is missing or wrong; set AWS_DEFAULT_REGION or option region ({text})")
    if "EndpointConnection" in type(error).__name__ or "onnect" in type(error).__name__:
        return StorageError(f"{uri}: the endpoint cannot be reached; check its address and the network ({text})")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"{uri}: no space left to {verb}; free some or choose another place")
    return StorageError(f"{uri}: could not {verb}: {type(error).__name__}: {text}")


def _status(error: BaseException) -> int:
    """The store's answer as a number of HTTP, where the error carries one; 0 where not."""
    found: int = getattr(error, "status", 0)
    if not found:  # botocore's errors carry the whole answer.
        found = getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return found


def _met(error: BaseException) -> BaseException:
    """What the driver met: of http it calls everything a missing file, the network's own faults too."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and cause is not None:
        return cause if type(cause).__module__.split(".")[0] in _NETWORK_PACKAGES else error
    return error

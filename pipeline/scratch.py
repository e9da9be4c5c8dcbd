"""Folders for a run's own files: held while somebody works in them, found again when their process is gone.

Who works in a folder holds a lock on a file in it, which the kernel gives back however the process
ends.  A folder that nobody holds has nothing in it that is missed: it may be removed at any time.
"""

import errno
import fcntl
import functools
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger("reelyard")

_NAMES, _LOCK = "reelyard-*", ".held"
#: What a file system without locks answers.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)


@contextmanager
def held(folder: Path) -> Iterator[Path]:
    """The folder, made if it is not there, and kept until the block ends; several may hold it."""
    lock = _locked(folder)
    try:
        yield folder
    finally:
        os.close(lock)


def _locked(folder: Path) -> int:
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue
        except FileExistsError:  # There when it was to be made, and gone when that was looked at.
            if folder.exists() and not folder.is_dir():
                raise
            continue
        _lock(lock, fcntl.LOCK_SH)
        if _is_there(lock, folder / _LOCK):
            return lock
        os.close(lock)  # Removed between the two calls, and the folder with it.


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, *_NO_LOCKS):
            raise
        return False
    return True


def _is_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def remove_abandoned(parent: Path) -> tuple[Path, ...]:
    """Removes folders of ours in `parent` that nobody holds any more, and tells which."""
    return tuple(folder for folder in sorted(parent.glob(_NAMES)) if _remove_unheld(folder))


def _remove_unheld(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:  # Never held, another user's, or just gone.
        return False
    try:
        if not _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
    finally:
        os.close(lock)


@functools.cache
def remove_abandoned_once(parent: Path) -> None:
    """As `remove_abandoned`, the first time that this process asks."""
    for folder in remove_abandoned(parent):
        log.info("removed %s, which a run that was killed left", folder)

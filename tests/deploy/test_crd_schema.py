"""The schema check against itself: any field of a valid document, renamed or of another type, is refused."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.deploy.crd_schema import Crds, StrictLoader
from tests.deploy.other_kinds import OTHER_KINDS

#: Maps with keys of the user's choice: a key of another name is no mistake there.
FREE = {
    "labels", "annotations", "matchLabels", "nodeSelector", "nodeLabels", "rayStartParams", "limits", "requests",
    "podSelector",
}  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Path of every key of every mapping whose keys the schema names."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not (path and path[-1] in FREE):
                yield (*path, key)
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from places(item, (*path, number))


def parent(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path[:-1]:
        document = document[step]
    return document


@pytest.mark.parametrize("overlay", ["overlays/aws-mps", "overlays/aws-cron"])
def test_every_field_of_another_name_or_type_is_refused(
    overlay: str, overlays: dict[str, list[dict[str, Any]]], crds: Crds
) -> None:
    whole = next(d for d in overlays[overlay] if crds.knows(d))
    missed, tried = missed_by(crds, whole)
    assert tried > 300
    assert missed == []


def test_so_it_is_in_the_kinds_of_kueue_and_prometheus(
    overlays: dict[str, list[dict[str, Any]]], other_kinds: Crds
) -> None:
    documents = [d for name in ("overlays/aws-kueue", "monitoring") for d in overlays[name] if d["kind"] in OTHER_KINDS]
    assert len(documents) == 7
    assert {d["metadata"]["name"]: missed for d in documents if (missed := missed_by(other_kinds, d)[0])} == {}


def missed_by(crds: Crds, whole: dict[str, Any]) -> tuple[list[Any], int]:
    """(mutations that pass, mutations tried) of a document that is valid itself."""
    assert crds.faults(whole) == []
    missed, tried = [], 0
    for path in places(whole):
        for mutate in (renamed, of_another_type):
            mutant = copy.deepcopy(whole)
            mutate(parent(mutant, path), path[-1])
            tried += 1
            if not crds.faults(mutant):
                missed.append((mutate.__name__, path))
    return missed, tried


def renamed(mapping: dict[str, Any], key: str) -> None:
    mapping[f"{key}Xx"] = mapping.pop(key)


def of_another_type(mapping: dict[str, Any], key: str) -> None:
    mapping[key] = 1.5 if isinstance(mapping[key], dict | list) else {"a": 1}


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(yaml.YAMLError, match="twice: \\['a'\\]"):
        yaml.load("a: 1\nb: 2\na: 3\n", Loader=StrictLoader)


def test_a_null_is_a_field_left_out(overlays: dict[str, list[dict[str, Any]]], crds: Crds) -> None:
    document = copy.deepcopy(next(d for d in overlays["overlays/aws"] if crds.knows(d)))
    document["spec"]["headGroupSpec"]["serviceType"] = None
    assert crds.faults(document) == []
    document["spec"]["headGroupSpec"] = None
    assert crds.faults(document) != []

"""What is wrong with a custom resource by the schema of its CRD, as the API server in strict mode would say it.

An API server prunes what it does not know, fills in defaults, and drops nulls; a JSON Schema does
none of this.  So the structural schema of a CRD is rewritten into a JSON Schema that refuses
unknown fields.  Not covered: CEL rules, and what the operator checks itself (operator_rules.py).
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

#: Keywords that hold subschemas without fields of their own: they only narrow values.
_VERBATIM = ("allOf", "anyOf", "oneOf", "not")
_DROPPED = ("description", "example", "nullable", "format")
_BITS = {"int32": 31, "int64": 63}
_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
#: Of metadata CRDs say nothing; this is what people write.
_METADATA: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 253},
        "namespace": {"type": "string", "pattern": _LABEL},
        "labels": _STRINGS,
        "annotations": _STRINGS,
    },
    "additionalProperties": False,
}


class StrictLoader(yaml.SafeLoader):
    """Refuses a mapping that names a key twice, where PyYAML would keep the later."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"twice: {sorted(twice)}", node.start_mark)
        return super().construct_mapping(node, deep)


def strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A structural schema as a JSON Schema that refuses fields it does not name."""
    out = {key: _rewritten(key, value) for key, value in schema.items() if key not in _DROPPED}
    fields = schema.get("properties", {})
    if "required" in out:  # Defaults are filled in first.
        out["required"] = [name for name in out["required"] if "default" not in fields.get(name, {})]
    if schema.get("x-kubernetes-int-or-string"):
        out.pop("anyOf", None)
        out["type"] = ["integer", "string"]
    if bits := _BITS.get(str(schema.get("format"))):
        out["minimum"] = max(out.get("minimum", -(2**bits)), -(2**bits))
        out["maximum"] = min(out.get("maximum", 2**bits - 1), 2**bits - 1)
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if schema.get("type") == "object" and not open_ended:
        out["additionalProperties"] = False
    return out


def _rewritten(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: strict(field) for name, field in value.items()}
    if key in ("items", "additionalProperties") and isinstance(value, dict):
        return strict(value)
    return value


def _keyed_list(
    _: Any, keys: list[str], entries: Any, schema: Mapping[str, Any]
) -> Iterator[jsonschema.ValidationError]:
    """No two entries of a list may agree in all of its keys."""
    fields = schema["items"].get("properties", {})
    seen = set()
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict):
            continue
        identity = tuple(str(entry.get(key, fields.get(key, {}).get("default"))) for key in keys)
        if identity in seen:
            yield jsonschema.ValidationError(f"twice in a list keyed by {keys}: {identity}")
        seen.add(identity)


_Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"x-kubernetes-list-map-keys": _keyed_list})


def served(folder: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(version, kind, schema) of what the CRDs of a folder have served."""
    for path in sorted(folder.glob("*.yaml")):
        spec = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["spec"]
        for version in spec["versions"]:
            if version["served"]:
                schema = version["schema"]["openAPIV3Schema"]
                yield f"{spec['group']}/{version['name']}", spec["names"]["kind"], schema


class Crds:
    """Kinds by their structural schemas."""

    def __init__(self, kinds: Iterable[tuple[str, str, Mapping[str, Any]]]) -> None:
        """`kinds`: (version, kind, schema) of each."""
        self._validators: dict[tuple[str, str], Any] = {}
        for version, kind, structural in kinds:
            schema = strict(structural)
            schema["properties"]["metadata"] = _METADATA
            schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
            self._validators[version, kind] = _Validator(schema)

    def knows(self, document: Mapping[str, Any]) -> bool:
        """Whether the document is of a group that is described here, in whatever version."""
        group = str(document.get("apiVersion")).split("/")[0]
        return any(version.startswith(f"{group}/") for version, _ in self._validators)

    def faults(self, document: Mapping[str, Any]) -> list[str]:
        """What the API server would refuse, by place."""
        key = str(document.get("apiVersion")), str(document.get("kind"))
        if key not in self._validators:
            return [f"no such kind: {key}"]
        errors = self._validators[key].iter_errors(_without_nulls(document))
        return sorted(f"{error.json_path}: {error.message[:200]}" for error in errors)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value

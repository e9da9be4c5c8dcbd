"""YAML as plain values with their lines: texts stay texts, so 1:30 is a time and no number of seconds; pure.

The core schema of YAML 1.2: true, false, null and plain numbers; no dates, no base 60, no tags.
"""

import re
from collections.abc import Callable

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SCALARS = (
    (re.compile(r"^(?:~|null|Null|NULL|)$"), lambda text: None),
    (re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), lambda text: text.lower() == "true"),
    (re.compile(r"^[-+]?[0-9]+$"), int),
    (re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"), float),
)
#: What a plain value may turn out to be before it is read here.
_PLAIN = {
    f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "timestamp", "merge", "value")
}
_PARTS = {"tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"}
#: An alias may repeat a part; that many values repeated is no manifest but an attack.
_MOST_REPEATED = 300_000


class YamlFault(Exception):
    """The text cannot be read."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(line, message)
        self.line = line
        self.message = message


LineOf = Callable[..., int]


def load_yaml(text: str) -> tuple[object, LineOf]:
    """The one document, and the line of the value at a path of keys and numbers.

    Raises:
        YamlFault: not YAML, several documents, a key twice or without a value, a tag.
    """
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlFault(mark.line + 1 if mark else 0, f"not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise YamlFault(0, f"not YAML: {' '.join(str(error).split())}") from error
    if root is None:
        return [], lambda *path: 1
    try:
        return _Reader().value(root), lambda *path: _line(root, path)
    except RecursionError as error:
        raise YamlFault(0, "nested too deeply, or an alias holds itself; write it out") from error


class _Reader:
    """Values of nodes; counts those that come again."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._repeated = 0

    def value(self, node: yaml.Node) -> object:
        line = node.start_mark.line + 1
        self._repeated += id(node) in self._seen
        self._seen.add(id(node))
        if self._repeated > _MOST_REPEATED:
            raise YamlFault(line, "its aliases unfold to hundreds of thousands of values; write them out")
        if node.tag not in (_PLAIN if isinstance(node, yaml.ScalarNode) else _PARTS):
            raise YamlFault(line, f"found the tag {node.tag}, expected a plain value")
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child) for child in node.value]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in found:
                raise YamlFault(line, f"found {key!r} twice; give it once")
            value = self.value(value_node)
            if value is None and value_node.value == "":
                raise YamlFault(line, f"{key}: found no value; leave it out, or quote it where it begins with #: '#2'")
            found[key] = value
        return found


def _scalar(node: yaml.Node) -> object:
    text = str(node.value)
    if getattr(node, "style", None) in ("'", '"', "|", ">"):
        return text
    for pattern, read in _SCALARS:
        if pattern.match(text):
            return read(text)
    return text


def _line(node: yaml.Node, path: tuple[str | int, ...]) -> int:
    """The line at which the value at `path` begins."""
    for step in path:
        if isinstance(step, int) and isinstance(node, yaml.SequenceNode) and step < len(node.value):
            node = node.value[step]
        elif isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == step), node)
    return int(node.start_mark.line) + 1

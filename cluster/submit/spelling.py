"""A parsed command spelled out again, in one canonical way: options in their declared order, defaults left out."""

from collections.abc import Mapping
from typing import Any


def spelled(command: Any, values: Mapping[str, object]) -> tuple[str, ...]:
    """Words that the command (of click's kind) parses to the same values, however these were typed at first."""
    options: list[str] = []
    arguments: list[str] = []
    for parameter in command.params:
        value = values.get(parameter.name)
        if parameter.param_type_name == "argument":
            arguments += [text for text in _texts(value) if text or not _is_default(value, parameter.default)]
        elif not _is_default(value, parameter.default):
            options += _option(parameter, value)
    if any(text.startswith("-") for text in arguments):
        return (*options, "--", *arguments)
    return (*arguments, *options)


def _option(parameter: Any, value: object) -> list[str]:
    name = max(parameter.opts, key=len)
    if parameter.is_flag:
        return [name] if value else [max(parameter.secondary_opts, key=len)]
    return [f"{name}={text}" for text in _texts(value)]


def _is_default(value: object, default: object) -> bool:
    return value == default or (value in (None, [], ()) and default in (None, [], ()))


def _texts(value: object) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]

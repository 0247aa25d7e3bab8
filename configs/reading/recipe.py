"""A config as a recipe file: what differs from the defaults, as Python that `--config=FILE` reads again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from configs.schema import Config

_WIDTH = 100


def recipe_text(config: Config) -> str:
    """The source of a recipe whose `get_config()` equals `config`."""
    default, used, lines = Config(), set(), []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value == getattr(default, field.name):
            continue
        if not dataclasses.is_dataclass(value):
            lines.append(f"        {field.name}={_written(value, 8)},")
            continue
        used.add(type(value).__name__)
        own = [
            f"            {inner.name}={_written(getattr(value, inner.name), 12)},"
            for inner in dataclasses.fields(value)
            if getattr(value, inner.name) != getattr(type(value)(), inner.name)
        ]
        lines.append(f"        {field.name}={type(value).__name__}(")
        lines += [*own, "        ),"]
    imported = ", ".join(sorted({"Config", *used}))
    body = "\n".join(lines)
    return (
        f"from configs.schema import {imported}\n\n\ndef get_config() -> Config:\n    return Config(\n{body}\n    )\n"
        if lines
        else "from configs.schema import Config\n\n\ndef get_config() -> Config:\n    return Config()\n"
    )


def _written(value: Any, indent: int) -> str:
    """A value as Python, over several lines where it is long."""
    if isinstance(value, Mapping):
        return repr({key: value[key] for key in value})
    text = repr(value)
    if len(text) + indent <= _WIDTH or not isinstance(value, tuple):
        return text
    rows, row = [], ""
    for item in map(repr, value):
        if row and len(row) + len(item) + indent > _WIDTH:
            rows.append(row.rstrip())
            row = ""
        row += f"{item}, "
    inside = "\n".join(" " * (indent + 4) + line for line in [*rows, row.rstrip()])
    return f"(\n{inside}\n{' ' * indent})"

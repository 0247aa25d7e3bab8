"""A plan as a recipe: a Python file that a person can read, edit and train."""

from __future__ import annotations

import pprint
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from configs.reading import fields, serialization
from configs.schema import Config
from trainer.plan.rules import Choice

_WIDTH = 110


def recipe_text(config: Config, choices: Sequence[Choice], head: str) -> str:
    """The file: each value that differs from the schema's default, or that a rule chose, under its reason.

    Args:
      config: the plan; `get_config()` of the text gives an equal one.
      choices: the reasons, in the order in which they are shown.
      head: the module's docstring, without quotes.
    """
    reasons = {choice.field: choice.reason for choice in choices}
    default = Config()
    changed = {d.field for d in serialization.differences(default, config)}
    sections: dict[str, list[str]] = {}
    for path in dict.fromkeys(["name", *reasons, *sorted(changed)]):
        section, _, name = path.rpartition(".")
        sections.setdefault(section, []).append(_entry(name, fields.get(config, path), reasons.get(path, "")))
    types = {name: type_.__name__ for name, type_ in fields.section_types().items()}
    imports = ", ".join(sorted({"Config", *(types[name] for name in sections if name)}))
    body = [_indented("\n".join(sections.pop("", [])), 8)]
    for name in types:
        if name in sections:
            body.append(f"        {name}={types[name]}(\n{_indented(chr(10).join(sections[name]), 12)}\n        ),")
    lines = "\n".join(part for part in body if part.strip())
    quoted = head.replace("\\", "\\\\").replace('"""', "'''")
    return (
        f'"""{quoted}\n"""\n\nfrom configs.schema import {imports}\n\n\n'
        f"def get_config() -> Config:\n    return Config(\n{lines}\n    )\n"
    )


def _entry(name: str, value: Any, reason: str) -> str:
    comment = textwrap.fill(reason, _WIDTH - 14, initial_indent="# ", subsequent_indent="# ") if reason else ""
    text = pprint.pformat(_plain(value), width=_WIDTH - 20, sort_dicts=False)
    written = f"{name}={textwrap.indent(text, ' ' * 4).lstrip()},"
    return f"{comment}\n{written}" if comment else written


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _indented(text: str, spaces: int) -> str:
    return textwrap.indent(text, " " * spaces)


def with_choices(config: Config, choices: Sequence[Choice]) -> Config:
    """The config with the choices' values; a later one of a field counts."""
    return fields.replace(config, {choice.field: choice.value for choice in choices})

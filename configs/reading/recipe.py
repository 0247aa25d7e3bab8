"""A config as a recipe file: what differs from the defaults, as Python that `--config=FILE` reads again."""

from __future__ import annotations

import pprint
import textwrap
from collections.abc import Mapping
from typing import Any

from configs.reading import fields
from configs.schema import Config

_WIDTH = 110


def recipe_text(config: Config, reasons: Mapping[str, str] | None = None, head: str = "") -> str:
    """The source of a recipe whose `get_config()` equals `config`.

    Args:
      config: what the recipe says, as far as it differs from the schema's defaults.
      reasons: field -> why it has its value, a comment above it; a field with a reason, or with an empty one, is
        written even where its value is the default.
      head: the text of the file's docstring.
    """
    reasons, default = reasons or {}, Config()
    sections: dict[str, list[str]] = {}
    for path in fields.all_fields():
        value = fields.get(config, path)
        if path in reasons or value != fields.get(default, path):
            section, _, name = path.rpartition(".")
            sections.setdefault(section, []).append(_entry(name, value, reasons.get(path, "")))
    types = {name: type_.__name__ for name, type_ in fields.section_types().items()}
    imports = ", ".join(sorted({"Config", *(types[name] for name in sections if name)}))
    body = [textwrap.indent("\n".join(sections.pop("", [])), " " * 8)]
    for name, entries in sections.items():
        inside = textwrap.indent("\n".join(entries), " " * 12)
        body.append(f"        {name}={types[name]}(\n{inside}\n        ),")
    lines = "\n".join(part for part in body if part)
    quoted = head.replace("\\", "\\\\").replace('"""', "'''")
    docstring = f'"""{quoted}\n"""\n\n' if head else ""
    call = f"Config(\n{lines}\n    )" if lines else "Config()"
    return f"{docstring}from configs.schema import {imports}\n\n\ndef get_config() -> Config:\n    return {call}\n"


def _entry(name: str, value: Any, reason: str) -> str:
    """A field with its comment, over several lines where it is long."""
    comment = textwrap.fill(reason, _WIDTH - 14, initial_indent="# ", subsequent_indent="# ") + "\n" if reason else ""
    plain = dict(value) if isinstance(value, Mapping) else value
    text = pprint.pformat(plain, width=_WIDTH - 20, sort_dicts=False, compact=True)
    return f"{comment}{name}={textwrap.indent(text, ' ' * 4).lstrip()},"

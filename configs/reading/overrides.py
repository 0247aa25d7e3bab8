"""Fields set from outside: `--config.<path>=<text>` on top of a recipe, and a recipe's own values checked by type.

Each function returns the config together with all problems found, in sentences that name the field.
"""

from __future__ import annotations

import dataclasses
import shlex
import types
import typing
from collections.abc import Iterable
from typing import Any

from configs import knobs
from configs.reading import fields, foreign_names, values
from configs.reading.nearest import nearest
from configs.schema import Config


@dataclasses.dataclass(frozen=True)
class Assignment:
    """One field as the command line says it: `said` is what the user wrote, for the message."""

    path: str
    text: str
    said: str
    # By a flag of its own, --seed, rather than by its path.
    short: bool = False


def apply(config: Config, assignments: Iterable[Assignment]) -> tuple[Config, dict[str, str]]:
    """Sets fields from text. Of two assignments of one field the last counts, as everywhere on command lines.

    Returns:
        The new config, and the problems by the path of the field. A field with a problem keeps its old value.
    """
    known, problems, new = fields.all_fields(), {}, {}
    for assignment in assignments:
        field = known.get(assignment.path)
        if field is None:
            problems[assignment.path] = f"{assignment.said}: {unknown_field(assignment.path, assignment.text)}"
            continue
        try:
            new[field.path] = values.from_text(assignment.text, field.type, field.path)
        except ValueError as error:
            problems[assignment.path] = f"{assignment.said}: {error}"
    return fields.replace(config, new), problems


def meant_field(path: str) -> str | None:
    """The field that an unknown `path` probably means."""
    known = fields.all_fields()
    head = path.partition(".")[0]
    named_elsewhere = foreign_names.field(path)
    in_its_section = head == path or named_elsewhere.startswith(head + ".")
    return (named_elsewhere if in_its_section else "") or nearest(path, known) or named_elsewhere or None


def written(path: str, text: str | None = None, said: str = "") -> str:
    """A field as it is written on the command line, with the value that was given where it can hold it.

    Args:
        path: The field's.
        text: The value; a bare number becomes a duration where one is needed: the 3 of --epochs=3 is "3 epochs".
        said: The name that it was given by.
    """
    field = fields.all_fields()[path]
    if text and field.knob.form == "duration" and text.replace("_", "").isdigit():
        text = f"{text} {'epochs' if 'epoch' in said else 'steps'}"
    if not text:
        return f"--config.{path}=…"
    try:
        value = values.from_text(text, field.type, path)
    except ValueError:
        listed = typing.get_origin(field.type) in (tuple, types.UnionType)
        text = values.like(text, field.type) if listed else "…"
    else:
        text = "…" if knobs.problem(value, field.knob, path) else text
    return f"--config.{path}={text if text == '…' or shlex.quote(text) == text else repr(text)}"


def chooser_of(section: str) -> str:
    """The field that names what a section is about: "loss.name" of "loss", "data.source" of "data"; or ""."""
    inside = (path for path in fields.all_fields() if path.startswith(section + "."))
    return next((path for path in inside if fields.all_fields()[path].knob.part == section), "")


def unknown_field(path: str, text: str | None = None) -> str:
    """Why `path` is not a field, with the nearest that is; `text` is the value that it was given."""
    known = fields.all_fields()
    if path in fields.sections():
        inside = [name.partition(".")[2] for name in known if name.startswith(path + ".")]
        chooser = chooser_of(path)
        hint = f" Did you mean {written(chooser, text)}?" if chooser and text else ""
        return (
            f"{path} is a section, not a field.{hint} Write --config.{path}.<field>=…, with one of: "
            f"{', '.join(inside)}."
        )
    head, _, rest = path.partition(".")
    if head in known and rest:
        return f"{head} is a single value and has no field {rest!r}. Write --config.{head}=…"
    near = meant_field(path)
    if near:
        return (
            f"there is no such field. Did you mean {written(near, text, path)}?"
            if text
            else (f"there is no such field. Did you mean --config.{near}?")
        )
    if head in fields.sections() and rest:
        inside = [name.partition(".")[2] for name in known if name.startswith(head + ".")]
        return f"there is no such field. {head} has: {', '.join(inside)}."
    return "there is no such field. python main.py --helpfull lists them all."


def check_types(config: Config, where: str) -> tuple[Config, list[str]]:
    """A recipe's config with every value brought to its field's exact type.

    A recipe is run unchecked: it may have put a text where a number belongs, or something else in place of a section.
    """
    problems: list[str] = []
    sections_ok: dict[str, Any] = {}
    for name, expected in fields.section_types().items():
        section = getattr(config, name)
        if not isinstance(section, expected):
            problems.append(f"{where}: {name} is {knobs.section_problem(section, name, expected)}")
            sections_ok[name] = expected()
    with knobs.unchecked():
        config = dataclasses.replace(config, **sections_ok)
    new = {}
    for path, field in fields.all_fields().items():
        try:
            new[path] = values.from_python(fields.get(config, path), field.type, path)
        except ValueError as error:
            problems.append(f"{where}: {path}: {error}{knobs.hint(fields.get(config, path), field.knob)}")
            new[path] = field.default
    return fields.replace(config, new), problems

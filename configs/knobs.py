"""How the schema declares a field: `knob`, with all that is known about it, in a `section`, which checks its values.

A knob's documentation, unit, range and consequences are declared with the field and nowhere else: the command line,
validation, config.json, the comparison of two runs and docs/config.md read them from there. Only the standard library
is needed.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
import os
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from configs.reading import actions, durations, foreign_names, values
from configs.reading.interval import Interval
from configs.reading.nearest import did_you_mean
from configs.reading.references import FORM


@dataclasses.dataclass(frozen=True, kw_only=True)
class Knob:
    """What is known about a field besides its type and default.

    Attributes:
        doc: Meaning, and why the default.
        unit: What a number counts: "pixels", "MiB".
        within: The range of the number, or of each item of a list.
        why: The reason for that range, for the message, where it needs one.
        form: How its text is read: "duration" ("5 epochs"), "pattern" (a regular expression), "action" ("100 steps:
            package.module:function"), "name" (one of `names`, or "package.module:name"), or "" for any.
        names: The built-in names of a field that names a part of the run.
        part: The argument of `Run` that takes the part itself, an object, in place of its name.
        read_by: Another field of its section and its values with which alone this one is read.
        changes_run: Whether another value makes a resumed run another run, whose weights would come from two recipes;
            the path of a field: only where that field is set.
    """

    doc: str
    unit: str = ""
    within: Interval | None = None
    why: str = ""
    form: str = ""
    names: tuple[str, ...] = ()
    part: str = ""
    read_by: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    changes_run: bool | str = True


class ConfigError(ValueError):
    """Values that are not allowed, or fields that do not exist.

    Attributes:
        problems: Every mistake found, a text each, which begins with the field.
    """

    def __init__(self, problems: Sequence[str]):
        self.problems = tuple(problems)
        lines = [f"  {number}. {problem}" for number, problem in enumerate(self.problems, start=1)]
        several = f"{len(lines)} mistakes in the config:\n" + "\n".join(lines)
        super().__init__(self.problems[0] if len(lines) == 1 else several)

    def __reduce__(self):
        return type(self), (self.problems,)


def knob(default: Any, doc: str, *, within: str = "", **about: Any) -> Any:
    """A field of a section: its default and documentation, its range as "[0, 1)", and the attributes of `Knob`."""
    about = Knob(doc=doc, within=Interval.parse(within) if within else None, **about)
    if isinstance(default, Mapping):
        return dataclasses.field(default_factory=lambda: dict(default), metadata={"knob": about})
    return dataclasses.field(default=default, metadata={"knob": about})


def section(class_: type) -> type:
    """Makes a frozen dataclass with keyword-only fields that checks its values.

    Lists become tuples and whole numbers floats where the field's type says so. All mistakes come in one `ConfigError`:
    fields that do not exist, with the nearest that does, values of another type, and values out of range.
    """
    class_ = dataclasses.dataclass(frozen=True, kw_only=True)(class_)
    set_fields = class_.__init__

    @functools.wraps(set_fields)
    def __init__(self, *positional, **given):
        known = types(class_)
        problems = [
            f"{class_.__name__}({name}=…): there is no such field.{meant(name, class_)}"
            for name in given
            if name not in known
        ]
        if positional:
            call = f"{class_.__name__}({next(iter(known))}=…)"
            problems.append(f"{class_.__name__}({values.shown(positional[0])}): fields are given by name, as {call}.")
        set_fields(self, **{name: value for name, value in given.items() if name in known})
        if _CHECKED.get():
            problems += check(self)
        if problems:
            raise ConfigError(problems)

    class_.__init__ = __init__
    _SECTIONS.append(class_)
    return class_


# In the order of definition.
_SECTIONS: list[type] = []


def meant(name: str, class_: type) -> str:
    """Which field may be meant by a wrong one: one of the same name in another section, or a similar one in this."""
    others = sorted(other.__name__ for other in _SECTIONS if other is not class_ and name in types(other))
    section, _, path = foreign_names.field(name).rpartition(".")
    if others:
        return f" {' and '.join(f'{other}({name}=…)' for other in others)} {'has' if len(others) == 1 else 'have'} it."
    if path and section == class_.__name__.lower():
        return f" Did you mean {path}?"
    owner = next(
        (other.__name__ for other in _SECTIONS if path and other.__name__.lower() == (section or "config")), ""
    )
    near = did_you_mean(name, types(class_))
    return f" {owner}({path}=…) has it." if owner and (not near or class_.__name__ == "Config") else near


def changed(made: Any, values: Mapping[str, Any]) -> Any:
    """A section with other values of some fields.

    Raises:
        ConfigError: A field does not exist, or a value is not allowed.
    """
    return type(made)(**{field.name: getattr(made, field.name) for field in dataclasses.fields(made)} | dict(values))


_CHECKED = contextvars.ContextVar("checked", default=True)


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
    """Inside, a section may hold any value: for readers that report all mistakes of a config in one message."""
    token = _CHECKED.set(False)
    try:
        yield
    finally:
        _CHECKED.reset(token)


@functools.cache
def types(class_: type) -> Mapping[str, Any]:
    """Resolved types of a section's fields (the schema writes annotations as text)."""
    return typing.get_type_hints(class_)


def problem(value: Any, about: Knob, path: str = "") -> str:
    """Why a value of the right type is not allowed by itself; empty when it is.

    `path` is the field's, for what its values are called elsewhere.
    """
    items = value if isinstance(value, tuple) else (value,)
    texts = [item for item in items if isinstance(item, str)]
    if not all(text.isprintable() for text in texts):
        return "it holds characters that cannot be printed. Write it anew, as UTF-8."
    if about.within is not None and not all(number in about.within for number in _numbers(value)):
        why = f" ({about.why})" if about.why else ""
        return f"it has to be {about.within}{why}."
    if about.form == "name":
        # A part that need not be there has the empty name.
        texts = [text for text in texts if text or value or about.names]
    for text in texts:
        found = _form_problem(text, about, path, subject="it" if isinstance(value, str) else values.shown(text))
        if found:
            return found
    return ""


def _form_problem(text: str, about: Knob, path: str, subject: str) -> str:
    try:
        if about.form == "duration":
            durations.parse(text)
        elif about.form == "pattern":
            re.compile(text)
        elif about.form == "action":
            return _name_problem(actions.parse(text)[1], about, path, subject)
        elif about.form == "name":
            return _name_problem(text, about, path, subject)
    except (re.error, OverflowError, RecursionError) as error:
        literally = f"To mean it literally: {values.shown(re.escape(text))}."
        return f"{values.shown(text)} is not a regular expression: {error}. {literally}"
    except ValueError as error:
        return str(error).rstrip("?.") + ("?" if str(error).endswith("?") else ".")
    return ""


def _name_problem(name: str, about: Knob, path: str, subject: str) -> str:
    if name in about.names or FORM.fullmatch(name):
        return ""
    if about.part == "model" and name.lower().endswith((".keras", ".h5", ".hdf5")):
        return ""
    own = '"package.module:name"'
    if ":" in name or not about.names:
        return f"{subject} is not of the form {own}."
    hint = foreign_names.value(path, name, "{!r}") or did_you_mean(name, about.names, "{!r}")
    if path == "data.source" and os.path.isdir(name):
        hint = f" It is a folder: --config.data.source=folder --config.data.path={name}."
    return f"{subject} is not one of {', '.join(about.names)}.{hint} One of your own: {own}."


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, tuple):
        for item in value:
            yield from _numbers(item)
    elif not isinstance(value, str):
        yield value


def check(made: Any) -> list[str]:
    """Brings every value of a section to its field's exact type, and returns the problems."""
    found = []
    known = types(type(made))
    is_root = any(dataclasses.is_dataclass(type_) for type_ in known.values())
    for field in dataclasses.fields(made):
        value, type_, about = getattr(made, field.name), known[field.name], field.metadata.get("knob")
        path = field.name if is_root else f"{type(made).__name__.lower()}.{field.name}"
        if about is None:
            if not isinstance(value, type_):
                found.append(f"{path} is {section_problem(value, path, type_)}")
            continue
        try:
            exact = values.from_python(value, type_, path)
        except ValueError as error:
            found.append(f"{path}: {error}{hint(value, about)}")
            continue
        object.__setattr__(made, field.name, exact)
        wrong = problem(exact, about, path)
        if wrong:
            found.append(f"{path}={values.shown(exact)}: {wrong}")
    return found


def section_problem(value: Any, name: str, class_: type) -> str:
    """The problem with something else in the place of a section."""
    return f"{values.shown(value)}, not a configs.schema.{class_.__name__}. Write {name}={class_.__name__}(…)."


def hint(value: Any, about: Knob) -> str:
    """What to write instead of a value of another type, where the type alone is not enough."""
    if about.form == "duration" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return f' Write "{value} steps", "{value} epochs" or, for a share of the run, "{value}%".'
    items = value if isinstance(value, (list, tuple)) else (value,)
    if about.part and not all(isinstance(item, (str, int, float, type(None))) for item in items):
        return f" A config holds names: pass the object itself to Run({about.part}=…)."
    return ""

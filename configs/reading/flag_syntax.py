"""argv, split into the fields of the config (`--config.a.b=value`) and the program's own flags.

absl would stop at the first unknown flag or wrong value; here every argument is checked, and all problems come back
together. The flags themselves, their types and values, remain absl's.
"""

from __future__ import annotations

import dataclasses

from absl import flags

from configs.reading import fields, foreign_names
from configs.reading.nearest import did_you_mean, nearest
from configs.reading.overrides import Assignment, chooser_of, meant_field, unknown_field, written
from configs.reading.values import FALSE, TRUE, shown

HELP_FLAGS = frozenset(("--help", "-help", "-h", "--helpshort", "--helpfull", "-helpfull"))


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A problem with an argument; `flag` is the program's flag that has no value because of it."""

    text: str
    flag: str = ""


def split(arguments: list[str], known: flags.FlagValues) -> tuple[list[Assignment], list[Mistake]]:
    """Sets the absl flags in `known`; returns the config's assignments and the problems of all arguments."""
    assignments: list[Assignment] = []
    problems: list[Mistake] = []
    known(["main.py"])
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-") or not argument.strip("-"):
            problems.append(Mistake(_stray(argument, known)))
            continue
        name, equals, text = argument.removeprefix("-").removeprefix("-").partition("=")
        given = text if equals else None
        try:
            if name.startswith(("config.", "noconfig.")):
                assignments.append(_assignment(name, given, rest))
            else:
                _set_flag(name, given, rest, known)
        except ValueError as error:
            problems.append(Mistake(str(error), name if name in known else ""))
    return assignments, problems


def contradictions(assignments: list[Assignment]) -> list[str]:
    """A field given two values, by its shorthand and by its path; neither of them counts as the last."""
    found = []
    for short in assignments:
        long = [a for a in assignments if a.path == short.path and not a.short]
        if long and short.short and long[-1].text != short.text:
            found.append(f"{long[-1].said} and {short.said} say different things: leave one out.")
    return found


def _assignment(name: str, text: str | None, rest: list[str]) -> Assignment:
    """One --config.<path>; takes its value from the next argument where there is no "="."""
    negated = name.startswith("no")
    path = name.removeprefix("no").removeprefix("config.")
    field = fields.all_fields().get(path)
    argument = f"--{name}" + (f"={text}" if text is not None else "")
    if field is None:
        if text is None and not negated:
            text = _take_value(rest)
        raise ValueError(f"{_cut(argument)}: {unknown_field(path, text)}")
    if negated:
        if field.type is not bool or text is not None:
            kind = "is set by --no… without a value" if field.type is bool else "is not true or false"
            raise ValueError(f"{_cut(argument)}: {path} {kind}: write --config.{path}={'false' if text else '…'}.")
        return Assignment(path, "false", argument)
    if text is None:
        if field.type is bool:
            text = rest.pop(0) if rest and rest[0].lower() in TRUE + FALSE else "true"
        else:
            text = _take_value(rest)
            if text is None:
                raise ValueError(f"{argument} has no value: write {argument}=…")
    return Assignment(path, text, _cut(f"--{name}={text}"))


def _set_flag(name: str, text: str | None, rest: list[str], known: flags.FlagValues) -> None:
    """One flag of the program, checked and set by absl."""
    flag = known[name] if name in known else None
    positive = name.removeprefix("no")
    if flag is None and name.startswith("no") and positive in known and known[positive].boolean and text is None:
        known(["main.py", f"--{name}"])
        return
    if flag is None:
        if text is None:
            text = _take_value(rest)
        raise ValueError(_unknown_flag(name, text, known))
    if flag.boolean:
        if text is None:
            text = rest.pop(0) if rest and rest[0].lower() in TRUE + FALSE else "true"
        if text.lower() not in TRUE + FALSE:
            raise ValueError(f"--{name}={text}: {shown(text)} is neither true nor false.")
        text = str(text.lower() in TRUE).lower()
    elif text is None:
        text = _take_value(rest)
        if text is None:
            raise ValueError(f"--{name} has no value: write --{name}=…")
    try:
        known(["main.py", f"--{name}={text}"])
    except flags.IllegalFlagValueError as error:
        choices = getattr(flag.parser, "enum_values", None)
        if choices is None:
            raise ValueError(_cut(f"--{name}={text}") + f": {error}") from None
        form = f"--{name}={{}}"
        hint = foreign_names.value(name, text, form) or did_you_mean(text, choices, form)
        raise ValueError(f"--{name}={_cut(text)}: it is one of {', '.join(choices)}.{hint}") from None


def _unknown_flag(name: str, text: str | None, known: flags.FlagValues) -> str:
    problem = f"--{_cut(name)}: there is no such flag."
    plain = name.removeprefix("no")
    instead = foreign_names.flag(plain)
    if instead:
        return f"--{_cut(name)}: there is no such flag; {instead}."
    if plain in fields.sections():
        chooser = chooser_of(plain)
        better = written(chooser, text) if chooser else f"--config.{plain}.<field>=…"
        return f"{problem} Did you mean {better}?{foreign_names.value(chooser, text or '')}"
    near_flag, near_field = nearest(plain, known), meant_field(plain)
    if name.partition(".")[0] in fields.sections():
        better = written(near_field, text) if near_field else f"--config.{name}=…"
        return f"{problem} A field of the config is written {better}"
    if near_flag is not None and not foreign_names.field(plain):
        return f"{problem} Did you mean --{near_flag}?"
    if near_field is not None:
        return f"{problem} Did you mean {written(near_field, text, plain)}?"
    return f"{problem} --help shows the flags."


def _take_value(rest: list[str]) -> str | None:
    """The next argument as a value; not when it is a flag itself. "-1" and "-" are values."""
    if rest and (not rest[0].startswith("-") or not rest[0].lstrip("-")[:1].isalpha()):
        return rest.pop(0)
    return None


def _modes(known: flags.FlagValues) -> tuple[str, ...]:
    return tuple(getattr(known["mode"].parser, "enum_values", ())) if "mode" in known else ()


def _stray(argument: str, known: flags.FlagValues) -> str:
    if "=" in argument:
        name, _, text = argument.partition("=")
        path = name.removeprefix("config.")
        meant = path if path in fields.all_fields() else None if name in known else meant_field(path)
        better = written(meant, text, path) if meant else f"--{_cut(argument)}"
        return f"{_cut(argument)}: a flag begins with two dashes. Write {better}"
    if argument in _modes(known):
        return f"{argument!r} stands alone: what to do is a flag, too. Write --mode={argument}"
    return (
        f"{shown(argument)} stands alone: every value belongs to a flag, as --flag=value. (An unquoted *.png becomes "
        "many arguments: write --input='*.png'.)"
    )


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:160]}… ({len(text)} characters)"

"""The config as text: config.json and back, and the difference of two configs in words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from configs.reading import durations, fields, migration, values
from configs.reading.nearest import did_you_mean
from configs.schema import Config


class Difference(NamedTuple):
    """A field that changed; `breaks` when a resumed run would no longer be the run that was begun."""

    field: str
    old: Any
    new: Any
    breaks: bool

    def __str__(self):
        return f"{self.field}: was {values.shown(self.old)}, now {values.shown(self.new)}"


# What config.json holds besides the config: parts that were passed as objects, the process's settings, and what
# train.accumulate=auto found.
_BESIDES = ("objects", "process", "micro_batches")


def to_json(config: Config, **besides: Mapping[str, Any]) -> str:
    """Readable JSON, a line a field, every field written out; `from_json` gives an equal config back.

    Args:
        config: The config.
        besides: "objects" (the names of parts that were passed as objects), "process" and "micro_batches" (step ->
            micro-batches from there on).
    """
    content = {migration.KEY: migration.FORMAT} | dataclasses.asdict(config)
    content |= {name: values for name, values in besides.items() if values}
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def besides_of(text: str, name: str) -> dict[str, Any]:
    """What a config.json holds beside the config under this name ("objects", "process", "micro_batches");
    empty where it has nothing."""
    try:
        found = json.loads(text).get(name)
    except (ValueError, RecursionError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}


def from_json(text: str) -> Config:
    """The config of `to_json`, also of an earlier version's: a field that it did not know yet has its default.

    Raises:
        ValueError: Not JSON, of a newer version, unknown fields, or wrong types; the message lists every one of them.
    """
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"It is not JSON: {error}.") from None
    if not isinstance(tree, dict):
        raise ValueError("It is JSON, but not an object with the fields of a config.")
    tree = {name: value for name, value in migration.migrate(tree).items() if name not in _BESIDES}
    found, problems = {}, []
    known = fields.all_fields()
    for path, value in _leaves(tree):
        if path in fields.sections():
            problems.append(f"{path}: {values.shown(value)} is not an object with the fields of that section.")
            continue
        if path not in known:
            problems.append(f"{path} is not a field.{did_you_mean(path, known)}")
            continue
        try:
            found[path] = values.from_python(value, known[path].type)
        except ValueError as error:
            problems.append(f"{path}: {error}")
            found[path] = None
    if problems:
        raise ValueError("\n".join(problems))
    return fields.replace(Config(), found)


def differences(old: Config, new: Config) -> list[Difference]:
    """Fields whose values differ, those that break the run first.

    Two texts of one duration ("2 epochs", "2  epoch") do not differ. Fields of a part that was not chosen (the momentum
    of Adam) count like any other.
    """

    def breaks(changes_run: bool | str) -> bool:
        if isinstance(changes_run, str):
            return any(fields.get(config, changes_run) for config in (old, new))
        return changes_run

    found = []
    for path, field in fields.all_fields().items():
        before, after = fields.get(old, path), fields.get(new, path)
        if before != after and not (field.knob.form == "duration" and _same_duration(before, after)):
            found.append(Difference(path, before, after, breaks=breaks(field.knob.changes_run)))
    return sorted(found, key=lambda difference: not difference.breaks)


def _leaves(tree: dict) -> list[tuple[str, Any]]:
    """(path, value) of everything below the sections; a mapping that is a field's value stays whole."""
    found: list[tuple[str, Any]] = []
    sections = fields.sections()
    for name, value in tree.items():
        if name in sections and isinstance(value, dict):
            found += [(f"{name}.{inner}", inner_value) for inner, inner_value in value.items()]
        else:
            found.append((name, value))
    return found


def _same_duration(before: Any, after: Any) -> bool:
    try:
        return durations.parse(before) == durations.parse(after)
    except ValueError:
        return False

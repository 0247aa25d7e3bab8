"""The schema read as a table: path, type, default and knob (documentation, range, …) of every field of `Config`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from configs import knobs, schema


@dataclasses.dataclass(frozen=True)
class Field:
    """A field: `path` such as "optimizer.learning_rate", its resolved type, default value and knob."""

    path: str
    type: Any
    default: Any
    knob: knobs.Knob

    @property
    def doc(self) -> str:
        """The field's documentation, after the values of another field with which alone it is read."""
        readers = ", ".join(name for names in self.knob.read_by.values() for name in names)
        return f"{readers}: {self.knob.doc}" if readers else self.knob.doc

    @property
    def flag(self) -> str:
        return f"--config.{self.path}"


@functools.cache
def all_fields() -> Mapping[str, Field]:
    """Every field that is not a section, by path, in the schema's order."""
    found = {}

    def visit(section: Any, prefix: str) -> None:
        types = knobs.types(type(section))
        for field in dataclasses.fields(section):
            value, path = getattr(section, field.name), prefix + field.name
            if dataclasses.is_dataclass(value):
                visit(value, path + ".")
            else:
                found[path] = Field(path, types[field.name], value, field.metadata["knob"])

    visit(schema.Config(), "")
    return found


def sections() -> list[str]:
    """Names of the sections of `Config`: "data", "augment", …"""
    return list(section_types())


def section_types() -> dict[str, type]:
    """The class of each section of `Config`, by the section's name."""
    return {name: type_ for name, type_ in knobs.types(schema.Config).items() if dataclasses.is_dataclass(type_)}


def get(config: schema.Config, path: str) -> Any:
    """The value at a dotted path."""
    return functools.reduce(getattr, path.split("."), config)


def replace(config: schema.Config, values: Mapping[str, Any]) -> schema.Config:
    """A copy of `config` with the values at the given dotted paths, unchecked: `validation` judges the whole."""
    with knobs.unchecked():
        for path, value in values.items():
            head, _, tail = path.partition(".")
            new = dataclasses.replace(getattr(config, head), **{tail: value}) if tail else value
            config = dataclasses.replace(config, **{head: new})
    return config

"""The schema read as a table: the path, type, default and documentation of every field of `Config`."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import typing
from collections.abc import Mapping
from typing import Any

from configs import schema


@dataclasses.dataclass(frozen=True)
class Field:
    """One knob: `path` such as "optimizer.learning_rate", its resolved type, default value and documentation."""

    path: str
    type: Any
    default: Any
    doc: str

    @property
    def flag(self) -> str:
        return f"--config.{self.path}"


@functools.cache
def all_fields() -> Mapping[str, Field]:
    """Every field that is not a section, by path, in the schema's order."""
    comments = _comments()
    found = {}

    def visit(section: Any, prefix: str) -> None:
        types = field_types(type(section))
        for field in dataclasses.fields(section):
            value, path = getattr(section, field.name), prefix + field.name
            if dataclasses.is_dataclass(value):
                visit(value, path + ".")
            else:
                doc = comments[type(section).__name__, field.name]
                found[path] = Field(path, types[field.name], value, doc)

    visit(schema.Config(), "")
    return found


def sections() -> list[str]:
    """Names of the sections of `Config`: "data", "augment", …"""
    return [field.name for field in dataclasses.fields(schema.Config) if _is_section(field.name)]


@functools.cache
def field_types(section: type) -> Mapping[str, Any]:
    """Resolved types of a section's fields (the schema writes annotations as text)."""
    return typing.get_type_hints(section)


def get(config: schema.Config, path: str) -> Any:
    """The value at a dotted path."""
    return functools.reduce(getattr, path.split("."), config)


def replace(config: schema.Config, values: Mapping[str, Any]) -> schema.Config:
    """A copy of `config` with the values at the given dotted paths."""
    for path, value in values.items():
        head, _, tail = path.partition(".")
        new = dataclasses.replace(getattr(config, head), **{tail: value}) if tail else value
        config = dataclasses.replace(config, **{head: new})
    return config


def _is_section(name: str) -> bool:
    return dataclasses.is_dataclass(field_types(schema.Config)[name])


def _comments() -> dict[tuple[str, str], str]:
    """(class, field) -> the comment right above the field, its lines joined."""
    source = inspect.getsource(schema)
    lines = source.splitlines()
    found = {}
    for class_ in ast.parse(source).body:
        if not isinstance(class_, ast.ClassDef):
            continue
        for node in class_.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                above = node.lineno - 2
                comment: list[str] = []
                while lines[above].strip().startswith("#"):
                    comment.insert(0, lines[above].strip().lstrip("# "))
                    above -= 1
                found[class_.name, node.target.id] = " ".join(comment)
    return found

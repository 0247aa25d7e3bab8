"""Values of fields: read from a flag's text, and checked against the schema's types wherever they come from.

ml_collections.config_flags does this too, but it stops at the first mistake, ends a misspelt field in a bare KeyError
and sets fields in place, which frozen dataclasses refuse; so the few types the schema uses are read here.

`from_text` and `from_python` raise ValueError with what is wrong and what to write; the caller adds the field's name.
"""

from __future__ import annotations

import json
import math
import numbers
import os
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

from configs.reading import foreign_names
from configs.reading.nearest import did_you_mean

TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0")

# The kinds of unions that the schema has: `int | Literal["auto"]`, a number or a word in its place, and
# `tuple[int, int] | tuple[int, int, int]`, lists of one kind of item and several lengths.
_WORD_INSTEAD, _LENGTHS = "a number or a word", "lists of several lengths"

# What TensorFlow has and this program refuses, with the reason.
_NO_SERVERS = (
    " Keras 3 does not support tf.distribute's parameter servers: its optimizers update variables that every replica "
    "holds. For several machines write multi_worker."
)
_REFUSED = {"parameter_server": _NO_SERVERS, "ps": _NO_SERVERS, "ParameterServerStrategy": _NO_SERVERS}


def from_text(text: str, type_: Any, path: str = "") -> Any:
    """A flag's text as a value of `type_`; `path` is the field's, for what its values are called elsewhere."""
    kind = _kind(type_)
    if kind is str:
        return text
    if kind is bool:
        if text.lower() not in TRUE + FALSE:
            raise ValueError(f"{shown(text)} is neither true nor false.")
        return text.lower() in TRUE
    if kind is int or kind is float:
        return _number(text, kind)
    if kind is Literal:
        by_text = {str(choice): choice for choice in typing.get_args(type_)}
        return from_python(by_text.get(text, text), type_, path)
    if kind == _WORD_INSTEAD:
        number, words = _number_or_words(type_)
        if text in words:
            return text
        try:
            return _number(text, number)
        except ValueError as error:
            hint = did_you_mean(text, words, "{!r}") or f" Or write {' or '.join(words)}."
            raise ValueError(f"{error}{hint}") from None
    if kind in (tuple, _LENGTHS):
        return _tuple(_items(text, type_), type_, like)
    if kind is Mapping:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            message = f"{shown(text)} is not JSON ({error}): write '{{\"key\": value}}', in single quotes."
            raise ValueError(message) from None
        return from_python(value, type_)
    raise TypeError(f"The schema's type {type_} has no reader here.")


def from_python(value: Any, type_: Any, path: str = "") -> Any:
    """A value of a recipe or of JSON, as exactly `type_`: lists become tuples, whole numbers become floats.

    `path` is as in `from_text`.
    """
    kind = _kind(type_)
    if kind is str and isinstance(value, os.PathLike):
        value = os.fspath(value)
    wrong = ValueError(f"{shown(value)} is {_type_name(value)}, not {describe(type_)}.")
    if kind is Literal:
        choices = typing.get_args(type_)
        for choice in choices:
            if type(value) is type(choice) and value == choice:
                return choice
        words = [choice for choice in choices if isinstance(choice, str)]
        hint = _REFUSED.get(value, "") if isinstance(value, str) else ""
        if not hint and isinstance(value, str) and words:
            hint = foreign_names.value(path, value, "{!r}") or did_you_mean(value, words, "{!r}")
        raise ValueError(f"{shown(value)} is not {describe(type_)}.{hint}")
    if kind == _WORD_INSTEAD:
        number, words = _number_or_words(type_)
        if isinstance(value, str):
            if value not in words:
                raise ValueError(f"{wrong}{did_you_mean(value, words, '{!r}')}")
            return value
        try:
            return from_python(value, number, path)
        except ValueError:
            raise wrong from None
    if kind is bool:
        if not isinstance(value, bool):
            raise wrong
        return value
    if kind is str:
        if not isinstance(value, str):
            raise wrong
        return str(value)
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise wrong
        return int(value)
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise wrong
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"{shown(value)} is not a finite number.")
        return number
    if kind in (tuple, _LENGTHS):
        return _tuple(value, type_, _like_in_python)
    if kind is Mapping:
        return _plain_mapping(value)
    raise TypeError(f"The schema's type {type_} has no reader here.")


def describe(type_: Any) -> str:
    """A type in words, with its article: "a whole number", "one of: a, b"."""
    kind = _kind(type_)
    if kind is Literal:
        return "one of: " + ", ".join(str(choice) for choice in typing.get_args(type_))
    if kind is tuple:
        items = typing.get_args(type_)
        if items[-1] is Ellipsis:
            return f"a list of {_plural(items[0])}"
        return f"{len(items)} {_plural(items[0])}"
    if kind == _LENGTHS:
        # Lists of one kind of item and several lengths.
        members = typing.get_args(type_)
        lengths = " or ".join(str(len(typing.get_args(member))) for member in members)
        return f"{lengths} {_plural(typing.get_args(members[0])[0])}"
    if kind is Mapping:
        return "a JSON object"
    if kind == _WORD_INSTEAD:
        number, words = _number_or_words(type_)
        return f"{describe(number)} or {' or '.join(words)}"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]


def example(type_: Any) -> str:
    """How a value of a list type is written on the command line."""
    items = typing.get_args(_shortest(type_))
    item = {int: "128", float: "0.5", str: "name"}.get(items[0])
    if item is None:
        inner = ", ".join(["1"] * len(typing.get_args(items[0])))
        return f"'[[{inner}], [{inner}]]'"
    if items[-1] is Ellipsis:
        return {int: "1,2", float: "1.0,0.5", str: "first,second"}[items[0]]
    return ",".join([{int: "128", float: "1.0"}[items[0]]] * len(items))


def like(value: Any, type_: Any) -> str:
    """As `example`, in the value's own numbers where one stands for all of a pair: 100 is 100,100."""
    items = typing.get_args(_shortest(type_))
    if items[-1] is Ellipsis or items[0] not in (int, float):
        return example(type_)
    try:
        parts = (
            re.split(r"[x×*/; ]+", value.strip())
            if isinstance(value, str)
            else list(value if isinstance(value, (list, tuple)) else [value])
        )
        numbers_ = [
            from_text(part, items[0]) if isinstance(part, str) else from_python(part, items[0]) for part in parts
        ]
    except ValueError:
        return example(type_)
    same = numbers_ * len(items) if len(numbers_) == 1 else numbers_
    return ",".join(str(number) for number in same) if len(same) == len(items) else example(type_)


def shown(value: Any) -> str:
    """`repr(value)`, cut where it would fill the terminal."""
    try:
        text = repr(value)
    except Exception as error:  # A class of the user's, or a whole number of more digits than Python prints.
        text = f"<{type(value).__name__}, whose repr() raises {type(error).__name__}>"
    return text if len(text) <= 200 else f"{text[:160]}… ({len(text)} characters)"


def _kind(type_: Any) -> Any:
    """What kind of type it is: its origin (tuple, Mapping, Literal), the type itself, or a kind of union."""
    origin = typing.get_origin(type_)
    if origin in (typing.Union, types.UnionType):
        return _LENGTHS if typing.get_origin(typing.get_args(type_)[0]) is tuple else _WORD_INSTEAD
    return origin or type_


def _number_or_words(type_: Any) -> tuple[type, tuple[str, ...]]:
    """Of `int | Literal["auto"]` the number's type, and the words that may stand in its place."""
    number, words = typing.get_args(type_)
    return number, typing.get_args(words)


def _number(text: str, kind: type) -> int | float:
    try:
        number = kind(text)
    except ValueError:
        raise ValueError(_no_number(text, kind)) from None
    return from_python(number, kind)


def _no_number(text: str, kind: type) -> str:
    """Why a text is no number of this kind, and what to write."""
    if kind is int:
        try:
            whole = float(text)
        except ValueError:
            return f"{shown(text)} is not a whole number."
        hint = f" Write {int(whole)}." if math.isfinite(whole) and whole == int(whole) else ""
        return f"{shown(text)} is not a whole number.{hint}"
    hint = f" Write {text.replace(',', '.')}." if text.count(",") == 1 and "." not in text else ""
    return f"{shown(text)} is not a number.{hint}"


def _items(text: str, type_: Any) -> list:
    """The items of a list written as JSON, as Python's tuple or simply as a,b."""
    items = typing.get_args(_shortest(type_))
    stripped = text.strip()
    if not stripped:
        return []
    if items[0] is str and not stripped.startswith("["):
        return [item.strip() for item in stripped.split(",")]
    if items[0] is not str:
        stripped = stripped.replace("(", "[").replace(")", "]").replace(",]", "]").replace(", ]", "]")
    for as_json in (stripped, f"[{stripped}]"):
        try:
            value = json.loads(as_json)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, list):
            return value
    escaped = f" or, as JSON, '{json.dumps([stripped])}'" if items[0] is str else ""
    raise ValueError(f"{shown(text)} is not {describe(type_)}: write it as {like(text, type_)}{escaped}.")


def _tuple(value: Any, type_: Any, written: Callable[[Any, Any], str]) -> tuple:
    try:
        return _tuple_items(value, type_)
    except ValueError as error:
        raise ValueError(f"{error} Write it as {written(value, type_)}.") from None


def _like_in_python(value: Any, type_: Any) -> str:
    """As `like`, in a script or a recipe: ("first", "second"), (100, 100)."""
    text = repr(from_text(like(value, type_).strip("'"), type_))
    return text.replace("'", '"')


def _shortest(type_: Any) -> Any:
    """Of lists of several lengths the first, which is the usual; any other type as it is."""
    return typing.get_args(type_)[0] if _kind(type_) == _LENGTHS else type_


def _tuple_items(value: Any, type_: Any) -> tuple:
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        raise ValueError(f"{shown(value)} is {_type_name(value)}, not {describe(type_)}.")
    if _kind(type_) == _LENGTHS:
        fitting = [choice for choice in typing.get_args(type_) if len(typing.get_args(choice)) == len(value)]
        if not fitting:
            raise ValueError(f"{shown(list(value))} is a list of {len(value)}, not {describe(type_)}.")
        type_ = fitting[0]
    items = typing.get_args(type_)
    if items[-1] is not Ellipsis and len(value) != len(items):
        raise ValueError(f"{shown(list(value))} is a list of {len(value)}, not {describe(type_)}.")
    item_is_tuple = typing.get_origin(items[0]) is tuple
    return tuple(_tuple_items(item, items[0]) if item_is_tuple else from_python(item, items[0]) for item in value)


def _plain_mapping(value: Any) -> dict:
    if not isinstance(value, Mapping):
        raise ValueError(f"{shown(value)} is {_type_name(value)}, not a JSON object: write '{{\"key\": value}}'.")
    try:
        plain = json.loads(json.dumps(_as_dicts(value), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{shown(dict(value))} cannot be JSON ({error}): use text, numbers, lists.") from None
    return plain


def _as_dicts(value: Any) -> Any:
    """json.dumps turns the keys 1, None and True into text in silence; a key has to be text already."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is not text")
        return {key: _as_dicts(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_dicts(item) for item in value]
    return value


def _type_name(value: Any) -> str:
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
        tuple: "a list",
        dict: "a mapping",
        type(None): "nothing",
    }
    return names.get(type(value), f"of type {type(value).__name__}")


def _plural(type_: Any) -> str:
    if typing.get_origin(type_) is tuple:
        inner = typing.get_args(type_)
        return (
            f"lists of {_plural(inner[0])}" if inner[-1] is Ellipsis else f"groups of {len(inner)} {_plural(inner[0])}"
        )
    return {int: "whole numbers", float: "numbers", str: "texts"}[type_]

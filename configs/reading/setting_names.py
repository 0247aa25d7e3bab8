"""How a message names a setting: as whoever started the run sets it, by a flag or from Python.

Messages are written with flags ("--config.train.batch_size=8"). Where a script started the run, and not main.py,
`named` turns each into what is written there: Train(batch_size=8).
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

from configs.reading import fields, values

_NAME = r"--(?:config\.)?[a-z_]+(?:\.[a-z_]+)?(?![\w-])"
_VALUE = r"""'[^']*'|"[^"]*"|[^\s'"]*[^\s'".,;:)\]]|…"""
_FLAG = re.compile(rf"({_NAME})(?:=({_VALUE}))?")
# Flags side by side, as on a command line.
_FLAGS = re.compile(rf"{_NAME}(?:=(?:{_VALUE}))?(?: {_NAME}(?:=(?:{_VALUE}))?)*")
_VERBS = {
    "train": "run.train()",
    "evaluate": "run.evaluate()",
    "predict": "run.predict(…)",
    "export": "run.export()",
    "check": "run.check()",
    "describe": "run.describe()",
    "crossvalidate": "run.crossvalidate()",
    "postprocess": "run.postprocess()",
    "average": "run.average()",
    "audit_labels": "run.audit_labels()",
}
_TRUE = {"--force_config": "force", "--extend": "extend"}
_ARGUMENTS = {
    "--workdir": "Run(…, workdir={})",
    "--checkpoint": "checkpoint={}",
    "--output": "output={}",
    "--ensemble": "ensemble=[{}]",
}

_by_flags = False


@contextlib.contextmanager
def named_by_flags() -> Iterator[None]:
    """Inside, messages name settings by main.py's flags."""
    global _by_flags
    before, _by_flags = _by_flags, True
    try:
        yield
    finally:
        _by_flags = before


def by_flags() -> bool:
    """Whether settings are named by flags: main.py started the run."""
    return _by_flags


def named(text: str) -> str:
    """A message for whoever started the run: as it is for main.py, with settings as in Python for a script."""
    return text if _by_flags else in_python(text)


def in_python(text: str) -> str:
    """A message that names settings by flags, with each as it is written in Python.

    >>> in_python("Write --config.train.batch_size=8, or --precision=float32.")
    'Write Train(batch_size=8), or Config(precision="float32").'
    """
    text = _FLAGS.sub(_settings, text)
    return re.sub(r"\b[Tt]he same command\b", "run.train() again", text)


def _settings(match: re.Match) -> str:
    """Flags side by side, in Python: fields of a section are arguments of one class."""
    found: dict[str, list[str]] = {}  # class -> its arguments; other settings stand for themselves
    for name, value in _FLAG.findall(match[0]):
        path = name.removeprefix("--config.").removeprefix("--")
        field = fields.all_fields().get(path)
        if field is not None and (value or name.startswith("--config.")):
            section, _, argument = path.rpartition(".")
            if not value:
                found[f"config.{path}"] = []
                continue
            owner = fields.section_types()[section].__name__ if section else "Config"
            found.setdefault(owner, []).append(f"{argument}={_value(value, field, path)}")
        else:
            found[_other(name, value)] = []
    return ", ".join(f"{name}({', '.join(arguments)})" if arguments else name for name, arguments in found.items())


def _other(name: str, value: str) -> str:
    """A flag that is no field of the config."""
    setting = f"{name}={value}" if value else name
    if name == "--mode":
        return _VERBS.get(value, setting)
    if name in _TRUE:
        return f"Run(…, {_TRUE[name]}=True)"
    if name in _ARGUMENTS:
        return _ARGUMENTS[name].format(_text(value) if value else "…")
    path = name.removeprefix("--config.")
    return f"config.{path}" if path != name and path in fields.sections() else setting


def _value(text: str, field: fields.Field, path: str) -> str:
    text = text.strip("'\"")
    try:
        return "…" if text == "…" else _shown(values.from_text(text, field.type, path))
    except ValueError:
        return _text(text)


def _text(value: str) -> str:
    return value if value == "…" else json.dumps(value.strip("'\""), ensure_ascii=False)


def _shown(value: Any) -> str:
    """A value as it is written in Python, texts in double quotes."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (tuple, list)):
        items = [_shown(item) for item in value]
        return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_shown(key)}: {_shown(item)}" for key, item in value.items()) + "}"
    return repr(value)

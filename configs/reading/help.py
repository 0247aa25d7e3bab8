"""The schema as documentation: the text of --help and --helpfull, and docs/config.md.

python -m configs.reading.help          # writes docs/config.md anew; a test holds it current
"""

from __future__ import annotations

import json
import os
import re
import typing
from typing import Any

from absl import flags

from configs.reading import fields, values
from configs.reading.line_wrapping import broken, columns
from losses import names as losses

_TASKS = {
    "What to do": ("mode", "config", "workdir"),
    "Train": ("strategy", "precision", "seed", "deterministic", "logical_devices", "force_config", "extend"),
    "Evaluate, predict, export": ("checkpoint", "ensemble", "input", "output", "formats"),
    "Sweep": ("sweep", "trials", "minutes"),
    "Compare": ("runs",),
    "Describe": ("layers",),
    "Help": ("help", "helpfull"),
}

# Fields shown beside the flags, since people look for them when they apply a model.
_WITH_PREDICT = "Evaluate, predict, export"
_PREDICT = ("predict.mirror", "predict.probabilities", "predict.overlays", "predict.skip_existing")

_OPENING = """\
Gradline trains, evaluates, applies and exports image segmentation models.

  python main.py                                   train on embedded images
  python main.py --config=configs/oxford_pets.py   another recipe
  python main.py --mode=predict --workdir=runs/nuclei --input=photos/"""


_FORMS = {
    "action": 'when and what: "100 steps: package.module:function"',
    "duration": "a duration",
    "name": '"package.module:name"',
    "pattern": "a regular expression",
}


def help_text(known: flags.FlagValues, *, full: bool) -> str:
    """The program's flags by task; with `full` also every field of the config."""
    lines = [_OPENING]
    for title, names in _TASKS.items():
        lines += ["", title]
        for name in names:
            lines += _entry(_signature(known[name]), _doc(known[name]))
        if title == _WITH_PREDICT and not full:
            for path, field in fields.all_fields().items():
                chosen = typing.get_origin(field.type) is typing.Literal
                head = f"{field.flag}={'|'.join(typing.get_args(field.type))}" if chosen else field.flag
                lines += _entry(head, f"predict: {field.doc}") if path in _PREDICT else []
    lines += ["", "Config"]
    if not full:
        example = "--config.optimizer.learning_rate=3e-4"
        lines += _entry("--config.<section>.<field>=value", f"Any field, e.g. {example}. --helpfull lists them.")
        lines += _entry("--config.loss.name=dice+cross_entropy", losses.listing())
        return "\n".join(lines)
    section = ""
    for path, field in fields.all_fields().items():
        if path.rpartition(".")[0] != section:
            section = path.rpartition(".")[0]
            lines += ["", f"Config: {section}"]
        default = f"({_kind(field)}; default here: {_default(field.default)})"
        lines += _entry(field.flag, f"{field.doc} {default}".strip())
    return "\n".join(lines)


def markdown() -> str:
    """docs/config.md."""
    lines = [
        "# Every field of the config",
        "",
        "<!-- Written by `python -m configs.reading.help` from configs/schema.py. Change it there. -->",
        "",
        "Set a field in a recipe (`configs/*.py`) or on the command line: `--config.<section>.<field>=value`. "
        "Lists are written `a,b`, lists of lists and options as JSON in single quotes. A recipe is a Python file, and "
        "`--config=FILE` runs it: use only files you would run yourself.",
    ]
    section = None
    for path, field in fields.all_fields().items():
        here, _, name = path.rpartition(".")
        if here != section:
            section = here
            lines += ["", f"## {section or 'The run'}", "", "| field | type | default | meaning |", "|---|---|---|---|"]
        cells = (f"`{name}`", _kind(field), f"`{_default(field.default)}`", field.doc)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _kind(field: fields.Field) -> str:
    """Type, range and unit in words: "a whole number from 1 to 4096, pixels"."""
    words = _FORMS.get(field.knob.form)
    if field.knob.names:
        words = f"one of: {', '.join(field.knob.names)}; or {words}" if words else None
    if words:
        return words if field.type is str else f"a list, each {words}"
    within = f" {field.knob.within}" if field.knob.within is not None else ""
    unit = f", {field.knob.unit}" if field.knob.unit else ""
    return values.describe(field.type) + within + unit


def _signature(flag: flags.Flag) -> str:
    choices = getattr(flag.parser, "enum_values", None)
    field = fields.all_fields().get(flag.name)
    if choices is None and field is not None and typing.get_origin(field.type) is typing.Literal:
        choices = typing.get_args(field.type)
    if choices and "\n" not in flag.help:
        return f"--{flag.name}={'|'.join(choices)}"
    return f"--{flag.name}" if flag.boolean else f"--{flag.name}=…"


def _doc(flag: flags.Flag) -> str:
    """The flag's help as written; absl adds the choices before it and a remark after it."""
    return flag.help.partition(">: ")[2] or flag.help.partition(";\n")[0]


def _entry(head: str, doc: str) -> list[str]:
    """A flag and its text; lines in columns stay in columns, and are broken under the second."""
    found = [f"  {head}"]
    for line in doc.split("\n"):
        lead = match[0] if (match := re.match(r"\S+ {2,}", line)) else ""
        found += broken(line[len(lead) :], columns(), first=" " * 6 + lead, then=" " * (6 + len(lead)))
    return found


def _default(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def main() -> None:
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.path.join(home, "docs", "config.md")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(markdown())


if __name__ == "__main__":
    main()

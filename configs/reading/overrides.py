"""Fields set from outside: `--config.<path>=<text>` on top of a recipe, and a recipe's own values checked by type.

Each function returns the config together with all problems found, in sentences that name the field.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from configs import knobs
from configs.reading import fields, values
from configs.reading.nearest import nearest
from configs.schema import Config

# What other frameworks call it -> what it is called here; "did you mean" would not find these by similarity.
_ELSEWHERE = {
    "epochs": "train.length", "num_epochs": "train.length", "max_epochs": "train.length", "steps": "train.length",
    "train_steps": "train.length", "max_steps": "train.length", "num_classes": "data.classes",
    "classes": "data.classes",
    "ignore_index": "data.void_id", "ignore_label": "data.void_id", "dataset": "data.name", "data_dir": "data.path",
    "image_size": "augment.crop", "crop_size": "augment.crop", "backbone": "model.encoder", "filters": "model.width",
    "grad_clip": "optimizer.clip_norm", "clipnorm": "optimizer.clip_norm", "global_clipnorm": "optimizer.clip_norm",
    "gradient_accumulation_steps": "train.accumulate", "early_stopping": "evaluate.patience", "fp16": "precision",
    "mixed_precision": "precision", "xla": "train.jit_compile", "num_workers": "data.workers", "gpus": "strategy",
    "loss.alpha": "loss.options", "loss.beta": "loss.options", "loss.gamma": "loss.options",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Assignment:
    """One field as the command line says it: `said` is what the user wrote, for the message."""

    path: str
    text: str
    said: str


def apply(config: Config, assignments: Iterable[Assignment]) -> tuple[Config, dict[str, str]]:
    """Sets fields from text. Of two assignments of one field the last counts, as everywhere on command lines.

    Returns:
        The new config, and the problems by the path of the field. A field with a problem keeps its old value.
    """
    known, problems, new = fields.all_fields(), {}, {}
    for assignment in assignments:
        field = known.get(assignment.path)
        if field is None:
            problems[assignment.path] = f"{assignment.said}: {unknown_field(assignment.path)}"
            continue
        try:
            new[field.path] = values.from_text(assignment.text, field.type)
        except ValueError as error:
            problems[assignment.path] = f"{assignment.said}: {error}"
    return fields.replace(config, new), problems


def unknown_field(path: str) -> str:
    """Why `path` is not a field, with the nearest that is."""
    known = fields.all_fields()
    if path in fields.sections():
        inside = [name.partition(".")[2] for name in known if name.startswith(path + ".")]
        return f"{path} is a section, not a field. Write --config.{path}.<field>=…, with one of: {', '.join(inside)}."
    head, _, rest = path.partition(".")
    if head in known and rest:
        return f"{head} is a single value and has no field {rest!r}. Write --config.{head}=…"
    elsewhere = _ELSEWHERE.get(path.lower()) or _ELSEWHERE.get(path.lower().rpartition(".")[2], "")
    in_its_section = head == path or elsewhere.startswith(head + ".")
    near = (elsewhere if in_its_section else "") or nearest(path, known) or elsewhere
    if near:
        return f"there is no such field. Did you mean --config.{near}?"
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
            new[path] = values.from_python(fields.get(config, path), field.type)
        except ValueError as error:
            problems.append(f"{where}: {path}: {error}{knobs.hint(fields.get(config, path), field.knob)}")
            new[path] = field.default
    return fields.replace(config, new), problems

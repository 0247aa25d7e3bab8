"""The curves of a run from metrics.jsonl, as diagrams and as the tables behind them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.reporting import tags
from trainer.reporting.page import figures
from trainer.reporting.page.figures import Line

# The most points of a curve and rows of a table; of more every n-th, and the last.
MOST_POINTS = 300


@dataclasses.dataclass(frozen=True)
class Diagram:
    title: str
    svg: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """Attributes: note: what is left out of it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""


def thinned(records: Sequence[Mapping]) -> list[Mapping]:
    """At most `MOST_POINTS` of the records, evenly spaced, including the last."""
    every = -(-len(records) // MOST_POINTS)
    return list(records) if every <= 1 else [r for n, r in enumerate(records) if (len(records) - 1 - n) % every == 0]


def _line(records: Sequence[Mapping], key: str, name: str = "", **look) -> Line:
    found = [(record["step"], record[key]) for record in records if key in record]
    return Line(name or key, [step for step, _ in found], [value for _, value in found], **look)


def _keys(records: Sequence[Mapping], prefix: str) -> list[str]:
    """Keys of any of the records, in their order, that begin with the prefix or equal it."""
    keys = dict.fromkeys(key for record in records for key in record)
    return [key for key in keys if key == prefix or key.startswith(f"{prefix}/")]


_OF_EVALUATION = ("mean_dice", "mean_iou", "pixel_accuracy")


def diagrams(train: Sequence[Mapping], evaluations: Sequence[Mapping], *, epochs_a_step: float = 0.0) -> list[Diagram]:
    """Diagrams of loss, scores, rate, gradient norm and speed, as far as they exist."""
    train, evaluations = thinned(train), thinned(evaluations)
    x = "step" + (f" (an epoch is {1 / epochs_a_step:,.1f} steps)" if epochs_a_step else "")
    found = []

    def add(title: str, lines: list[Line], note: str = "", **look) -> None:
        lines = [line for line in lines if line.x]
        if lines:
            shown, more = lines[: figures.MOST_LINES], len(lines) - figures.MOST_LINES
            if more > 0:
                note = f"{note} The first {len(shown)} of {len(lines)} are drawn; the table has all.".strip()
            found.append(Diagram(title, figures.curves(shown, x=x, label=title, **look), note))

    add(
        "Loss",
        [
            _line(train, "loss", "training, mean since the last report"),
            _line(evaluations, "loss", "validation", marks=True),
        ],
        log=True,
    )
    add(
        "Terms of the loss, training",
        [_line(train, key, key[5:]) for key in _keys(train, "loss") if key != "loss"],
        log=True,
    )
    terms = [key for key in _keys(evaluations, "loss") if key != "loss"]
    add("Terms of the loss, validation", [_line(evaluations, key, key[5:], marks=True) for key in terms], log=True)
    scores = [_line(train, "dice", "Dice of training crops")]
    scores += [_line(evaluations, key, key.replace("_", " "), marks=True) for key in _OF_EVALUATION]
    add("Scores", scores, unit_range=True)
    by_class = [_line(evaluations, key, key[5:], marks=True) for key in _keys(evaluations, "dice") if key != "dice"]
    by_class.sort(key=lambda line: (line.y[-1] is None, line.y[-1]))
    note = "The classes with the lowest Dice come first." if len(by_class) > figures.MOST_LINES else ""
    add("Dice by class", by_class, note, unit_range=True)
    known = {"step", "kind", "loss", *_OF_EVALUATION}
    own = dict.fromkeys(key for r in evaluations for key in r if key not in known and "/" not in key)
    for key in own:
        add(key, [_line(evaluations, key, marks=True)])
    add("Learning rate", [_line(train, key) for key in _keys(train, tags.LEARNING_RATE)])
    add("Gradient norm before clipping", [_line(train, key) for key in _keys(train, tags.GRADIENT_NORM)], log=True)
    if any(record.get(tags.SKIPPED) for record in train):
        add("Steps skipped so far", [_line(train, tags.SKIPPED)])
    if any(tags.LOSS_SCALE in record for record in train):
        add("Loss scale", [_line(train, tags.LOSS_SCALE)], log=True)
    add("Images a second", [_line(train, tags.IMAGES_PER_SECOND)])
    return found


def tables(train: Sequence[Mapping], evaluations: Sequence[Mapping]) -> list[Table]:
    """The same numbers as tables."""
    found = []
    for title, records in (("Training", train), ("Evaluations", evaluations)):
        if not records:
            continue
        kept = thinned(records)
        keys = [
            key for key in dict.fromkeys(key for record in records for key in record) if key not in ("step", "kind")
        ]
        left = len(records) - len(kept)
        note = f"{left} of {len(records)} reports are left out here; metrics.jsonl has all." if left else ""
        rows = tuple((record["step"], *(record.get(key) for key in keys)) for record in kept)
        found.append(Table(title, ("step", *keys), rows, note))
    return found

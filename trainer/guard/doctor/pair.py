"""An output with its loss and its labels, and the words that findings use for them."""

from __future__ import annotations

import dataclasses

import numpy as np

from .change import Change, Suspicion
from .finding import Finding
from .labels import Labels
from .objective import Objective
from .output import Output


@dataclasses.dataclass(frozen=True)
class Pair:
    """An output of the model with its loss, its labels and what the model predicts for a batch.

    Attributes:
      output, objective, labels: as they were read.
      name: the labels' name in messages: `y`, or `y['mask']`.
      predictions: of the untrained model for a batch, or None.
      corrected: whether Keras by itself uses the scores behind a final softmax or sigmoid.
      copies_input: whether the labels are the inputs, as in an autoencoder.
    """

    output: Output
    objective: Objective
    labels: Labels
    name: str = "y"
    predictions: np.ndarray | None = None
    corrected: bool = True
    copies_input: bool = False


def certain(kind, where, evidence, remedy, change: Change | None = None) -> Suspicion:
    return Suspicion(Finding(kind, where, evidence, remedy), change, certain=True)


def made(layer, activation: str | None) -> str:
    """The call that makes the user's layer, written with another activation."""
    kind = type(layer).__name__ if layer is not None else "Dense"
    size = getattr(layer, "units", None) or getattr(layer, "filters", None)
    size = "…" if size is None else size
    if kind in ("Activation", "Softmax", "ReLU"):
        return f"keras.layers.Activation({activation!r})"
    last = f", activation={activation!r}" if activation else ""
    return f"keras.layers.{kind}({size}, …{last})"


def called(objective: Objective) -> str:
    return objective.name


def class_name(objective: Objective) -> str:
    return {
        "binary": "keras.losses.BinaryCrossentropy",
        "categorical": "keras.losses.CategoricalCrossentropy",
        "sparse": "keras.losses.SparseCategoricalCrossentropy",
    }[objective.family]


def onto_zero_one(labels: Labels, name: str) -> str:
    if labels.distinct is not None and len(labels.distinct) == 2:
        low, high = labels.distinct
        return f"Bring them to 0 and 1:\n\n    {name} = ({name} - {low:g}) / {high - low:g}"
    if labels.distinct is not None and len(labels.distinct) <= 32:
        count = len(labels.distinct)
        return (
            f"For {count} classes, {count} units with a softmax, class numbers from 0 and\n\n"
            "    loss='sparse_categorical_crossentropy'"
        )
    return f"Bring them to 0…1:\n\n    {name} = {name} / {labels.high:g}"


def span(act) -> str:
    if act.bounded:
        return f"from {act.low:.3g} to {act.high:.3g}"
    if np.isfinite(act.low):
        return f"from {act.low:.3g} upwards"
    return f"up to {act.high:.3g}" if np.isfinite(act.high) else "any number"


def numbers_of(pair: Pair) -> str:
    if pair.predictions is None or not np.isfinite(pair.predictions).all():
        return ""
    return f" (for a batch now {pair.predictions.min():.3g} to {pair.predictions.max():.3g})"


def few(values: np.ndarray) -> str:
    found = np.unique(np.round(values, 3))
    return ", ".join(f"{v:g}" for v in found) if len(found) <= 4 else f"{found[0]:g} to {found[-1]:g}"


def shape_text(shape) -> str:
    return str(tuple(shape)).replace("None", "batch", 1)

"""Shapes of labels and predictions: whether they broadcast, and what a loss computes then."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np

from .change import Suspicion, fault
from .pair import Pair


def broadcasts(pair: Pair) -> Iterator[Suspicion]:
    """Labels `[n]` against predictions `[n, 1]` and the like: every row is compared with every other."""
    if pair.predictions is None or pair.objective.family == "sparse":
        return
    if pair.objective.family == "own" and pair.labels.classes and pair.labels.shape[1:] == pair.predictions.shape[1:-1]:
        if pair.predictions.shape[-1] > 1:
            return  # class numbers, which a user's loss may expect
    count = min(len(pair.labels.values), len(pair.predictions), 16)
    labels, predictions = pair.labels.values[:count], pair.predictions[:count]
    aligned = _aligned(labels.shape, predictions.shape) if pair.objective.adapts else labels.shape
    if aligned is None or aligned == predictions.shape or labels.shape == predictions.shape:
        return
    try:
        together = np.broadcast_shapes(aligned, predictions.shape)
    except ValueError:
        return
    if not pair.objective.adapts and not _minds(pair, labels, predictions):
        return
    if pair.objective.family == "own" and pair.objective.adapts and not _minds(pair, labels, predictions):
        return
    units = pair.output.layer or "the output"
    fix = (
        f"y_true = keras.ops.reshape(y_true, keras.ops.shape(y_pred))     # {labels.shape} -> {predictions.shape}"
        if labels.size == predictions.size
        else f"# labels {labels.shape[1:]} a row, predictions {predictions.shape[1:]} of {units!r}: give both the "
        f"same shape"
    )
    yield fault(
        "shape_broadcast",
        ("y", "loss"),
        f"{pair.name} of shape {_rows(labels.shape)} meets predictions of shape {_rows(predictions.shape)} in "
        f"{pair.objective.name}, and they broadcast to {_rows(together)}: "
        + (
            "every row is compared with every other."
            if labels.size == predictions.size
            else "a label is compared with predictions that are not its own."
        ),
        f"Give labels and predictions one shape:\n\n    {fix}",
        depth="batch",
    )


def _aligned(labels: tuple, predictions: tuple) -> tuple | None:
    """The labels' shape after Keras has aligned it with the predictions' where ranks differ by one."""
    if len(predictions) == len(labels) + 1 and predictions[-1] == 1:
        if labels == predictions[:-1]:
            return predictions
        return (*labels, 1) if len(labels) == 1 else _unless_equal(labels, predictions[:-1], (*labels, 1))
    if len(labels) == len(predictions) + 1 and labels[-1] == 1:
        return labels[:-1]
    return labels


def _unless_equal(labels: tuple, squeezed: tuple, expanded: tuple) -> tuple:
    return expanded if labels != squeezed else (*squeezed, 1)


def _minds(pair: Pair, labels: np.ndarray, predictions: np.ndarray) -> bool:
    """Whether a user's loss has another value when the labels come in the predictions' shape.

    Where the sizes differ there is no such shape. A loss that treats the columns differently (quantiles of one number,
    its mean and deviation, a weight beside a label) is made for them: its value changes when they are swapped.
    """
    if labels.size != predictions.size:
        return not _tells_columns_apart(pair, labels, predictions)
    tilted = predictions + np.linspace(0, 1, predictions.size).reshape(predictions.shape).astype("float32")

    def value(true):
        true = keras.ops.convert_to_tensor(true.astype("float32"))
        return float(np.mean(np.asarray(pair.objective.function(true, keras.ops.convert_to_tensor(tilted)))))

    try:
        as_is, reshaped = value(labels), value(labels.reshape(predictions.shape))
    except Exception:  # a loss that does not take one of the shapes does not broadcast them
        return False
    return bool(np.isfinite([as_is, reshaped]).all()) and abs(as_is - reshaped) > 1e-4 * max(1.0, abs(reshaped))


def _tells_columns_apart(pair: Pair, labels: np.ndarray, predictions: np.ndarray) -> bool:
    draw = np.random.default_rng(0)
    predictions = draw.uniform(0.1, 0.9, predictions.shape).astype("float32")
    labels = labels.astype("float32")

    def value(true, predicted):
        answer = pair.objective.function(keras.ops.convert_to_tensor(true), keras.ops.convert_to_tensor(predicted))
        return float(np.mean(np.asarray(answer)))

    try:
        as_is = value(labels, predictions)
        if labels.shape[-1] > predictions.shape[-1]:
            turned = value(np.roll(labels, 1, -1), predictions)
        else:
            turned = value(labels, np.roll(predictions, 1, -1))
    except Exception:  # it does not take these shapes, and so does not broadcast them
        return True
    return bool(np.isfinite([as_is, turned]).all()) and abs(as_is - turned) > 1e-4 * max(1.0, abs(as_is))


def _rows(shape: tuple) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"

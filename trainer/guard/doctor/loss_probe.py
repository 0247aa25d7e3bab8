"""What a loss on masks does with examples and pixels, measured by its values and slopes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from .change import Suspicion, fault
from .pair import Pair

_REMEDY = (
    "Sum over the pixels of each example, and take the mean over the examples:\n\n"
    "    both = tf.reduce_sum(y_true * y_pred, axis=(1, 2, 3))\n"
    "    sizes = tf.reduce_sum(y_true, axis=(1, 2, 3)) + tf.reduce_sum(y_pred, axis=(1, 2, 3))\n"
    "    return 1 - tf.reduce_mean((2 * both + 1) / (sizes + 1))"
)


def losses_of_masks(pair: Pair) -> Iterator[Suspicion]:
    """A user's loss, or an overlap of Keras's, that falls as predictions get worse or sums over the wrong axes.

    It is evaluated on some of the labels with predictions that are right, undecided and wrong, and differentiated: an
    overlap couples the pixels of an example; one that couples the examples alone, pixel by pixel, sums over the wrong
    axis, and one that couples nothing and is as low where everything is foreground does not see the background.
    """
    labels = _labels(pair)
    if labels is None:
        return
    middle = 0.5 if pair.labels.zero_one else float(labels.mean())
    right, half, wrong = (_value(pair, labels, p) for p in (labels, np.full_like(labels, middle), 2 * middle - labels))
    if not np.isfinite([right, half, wrong]).all():
        return
    name, room = pair.objective.name, abs(right - half)
    if right > half > wrong and room > 0.02 * max(abs(right), abs(half), 1e-6):
        yield _found(
            f"{name} is {right:.3g} for predictions that equal the labels, {half:.3g} for {middle:.3g} everywhere and "
            f"{wrong:.3g} for the contrary of the labels: training makes it small, and predictions as wrong as they "
            "can be.",
            "Return what gets smaller with better predictions:\n\n    loss=lambda y_true, y_pred: "
            f"{'1 ' if pair.labels.zero_one else ''}-{' ' if pair.labels.zero_one else ''}{name}(y_true, y_pred)",
        )
        return
    if labels.ndim != 4 or right >= half or not pair.labels.zero_one:
        return
    coupled = _coupled(pair, labels)
    if coupled is None:
        return
    within, across = coupled
    if across and not within:
        yield _found(
            f"{name} compares a pixel with the same pixel of the other examples of the batch "
            f"({labels.shape[1]}x{labels.shape[2]} sums over axis 0), and not with the other pixels of its own "
            "example: where no example of a batch has foreground, no gradient pulls the prediction down.",
            _REMEDY,
        )
        return
    everywhere = _value(pair, labels, np.full_like(labels, 1 - 1e-3))
    if not within and not across and labels.shape[-1] == 1 and abs(everywhere - right) < 0.02 * (half - right):
        yield _found(
            f"{name} is taken pixel by pixel, and is {everywhere:.3g} where everything is predicted as foreground, as "
            f"for predictions that equal the labels ({right:.3g}): a pixel of the background has no gradient, since an "
            "overlap of one pixel with nothing is 0 whatever is predicted.",
            _REMEDY,
        )


def _found(evidence: str, remedy: str) -> Suspicion:
    return fault(
        "wrong_loss",
        "loss",
        evidence,
        remedy,
        depth="batch",
    )


def _labels(pair: Pair) -> np.ndarray | None:
    """Up to six labels of 0 and 1 in the shape of the predictions, both values in each; None where there are none.

    Measurements, for a user's loss, are returned unchanged.
    """
    known, predictions = pair.labels, pair.predictions
    if pair.objective.family == "own" and predictions is not None and not known.classes and not known.constant:
        values = known.values[:64].astype("float32")
        alike = values.shape[1:] == predictions.shape[1:] and np.isfinite(values).all()
        return values if alike and len(values) >= 8 and np.ptp(values) > 0 else None
    if pair.objective.family not in ("own", "overlap") or not known.zero_one or known.constant or predictions is None:
        return None
    values = known.values
    if values.ndim + 1 == predictions.ndim and predictions.shape[-1] == 1:
        values = values[..., None]
    if values.shape[1:] != predictions.shape[1:]:
        return None
    rows = values.reshape(len(values), -1)
    mixed = np.flatnonzero(rows.any(1) & ~rows.all(1)) if rows.shape[1] > 1 else np.arange(len(rows))
    values = values[mixed[:6]].astype("float32")
    return values if len(values) >= 2 and 0 < values.mean() < 1 else None


def _value(pair: Pair, labels: np.ndarray, predictions: np.ndarray) -> float:
    try:
        answer = pair.objective.function(tf.constant(labels), tf.constant(predictions.astype("float32")))
        return float(np.mean(np.asarray(answer)))
    except Exception:  # the user's loss may refuse a shape or a value; then nothing is known about it
        return float("nan")


def _coupled(pair: Pair, labels: np.ndarray) -> tuple[bool, bool] | None:
    """Whether the slope at a pixel depends on other pixels of its example, and on the same pixel of other examples."""
    draw = np.random.default_rng(0)
    start = draw.uniform(0.3, 0.7, labels.shape).astype("float32")

    def slope(predictions: np.ndarray) -> np.ndarray | None:
        given = tf.constant(predictions)
        try:
            with tf.GradientTape() as tape:
                tape.watch(given)
                loss = tf.reduce_mean(pair.objective.function(tf.constant(labels), given))
            gradient = tape.gradient(loss, given)
        except Exception:  # a loss that cannot be differentiated is reported elsewhere
            return None
        return None if gradient is None else np.asarray(gradient)

    first = slope(start)
    moved = start.copy()
    half = labels.shape[1] // 2
    moved[0, half:] += 0.2  # the lower half of the first example
    second = slope(moved)
    if first is None or second is None or not np.isfinite([first, second]).all():
        return None
    change, size = np.abs(second - first), float(np.abs(first).max())
    within = float(change[0, :half].max()) > 1e-3 * size
    across = float(change[1:].max()) > 1e-3 * size
    return within, across

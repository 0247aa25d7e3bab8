"""How much a model has learned, as a share of the error of the best constant prediction."""

from __future__ import annotations

import numpy as np

from .objective import CROSS_ENTROPIES
from .pair import Pair


def skill(pair: Pair, labels: np.ndarray, predictions: np.ndarray) -> float:
    """1 - error / error of the best constant prediction: 1 is perfect, 0 is as good as guessing, NaN if unknown.

    The error is the share of wrong classes where the labels are classes, and the sum of squares where they are
    measurements (then this is R squared).
    """
    if not np.isfinite(predictions).all():
        return -1.0
    decided = decisions(pair, labels, predictions)
    if decided is None:
        return _explained(labels, predictions)
    true, guessed = decided
    if true.ndim > 1:  # several memberships in a row, each decided by itself
        chance = float(np.minimum(true.mean(0), 1 - true.mean(0)).mean())
    else:
        _, counts = np.unique(true, return_counts=True)
        chance = 1 - counts.max() / true.size
    if chance <= 0:
        return np.nan
    return 1 - float(np.mean(true != guessed)) / chance


def decisions(pair: Pair, labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(true class, predicted class) of each row or pixel; columns of 0 and 1 for labels that do not exclude each other.

    None where the labels are not classes.
    """
    known = pair.labels
    if not known.classes or labels.dtype.kind not in "fiub":
        return None
    channels = predictions.shape[-1] if predictions.ndim > 1 else 1
    if channels > 1 and labels.shape == predictions.shape and known.one_hot_axis == -1:
        return labels.argmax(-1).ravel(), predictions.argmax(-1).ravel()
    if channels > 1 and labels.size * channels == predictions.size and pair.objective.family in ("sparse", "own"):
        return labels.ravel().astype(int), predictions.reshape(-1, channels).argmax(-1)
    if labels.size != predictions.size or not known.zero_one:
        return None
    scores = pair.objective.from_logits and not pair.output.activation.bounded
    bounds = pair.output.activation
    threshold = 0.0 if scores else 0.5
    if pair.objective.family == "own" and not bounds.bounded and predictions.min() < -1:
        threshold = 0.0
    if pair.objective.family not in (*CROSS_ENTROPIES, "own") and bounds.low == -1 and bounds.high == 1:
        threshold = 0.0
    guessed = (predictions > threshold).astype(int)
    if channels > 1 and predictions.ndim == 2:
        return labels.astype(int), guessed
    return labels.ravel().astype(int), guessed.ravel()


def recall(true: np.ndarray, guessed: np.ndarray, rare: int) -> float:
    """The share of the rare class that is found."""
    of_it = true == rare
    return float(np.mean(guessed[of_it] == rare)) if of_it.any() else float("nan")


def _explained(labels: np.ndarray, predictions: np.ndarray) -> float:
    """R squared over all columns; labels that are -1 and 1 count like measurements."""
    if labels.size != predictions.size:
        return float("nan")
    true = labels.reshape(len(labels), -1).astype("float64")
    error = np.mean((true - predictions.reshape(true.shape)) ** 2)
    spread = np.mean((true - true.mean(0)) ** 2)
    return float("nan") if spread <= 0 else max(-1.0, 1 - float(error / spread))

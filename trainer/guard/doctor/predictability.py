"""Whether inputs predict labels at all: simple learners, scored on held-out rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from .data import floats
from .pair import Pair


def carries_signal(x: Any, y: np.ndarray, pair: Pair) -> float | None:
    """How much better than guessing simple learners predict the labels of held-out rows: 0 is no better, 1 is perfect.

    Least squares and nearest neighbours on the flattened inputs, and on means and deviations of images; two thirds of
    the rows are learned, the rest predicted. Returns the largest share explained beyond that of shuffled labels; 1
    where a single column correlates with the labels far beyond chance, however little it explains; None where there
    are too few rows.
    """
    arrays = [array for _, array in floats(x)]
    if len(arrays) != 1 or len(y) < 60 or not np.isfinite(arrays[0]).all() or len(arrays[0]) != len(y):
        return None
    features = _features(arrays[0])
    labels = np.asarray(y, "float64")
    if labels.ndim > 3 or (labels.ndim == 3 and labels.shape[-1] > 1):
        return None
    labels = labels.reshape(len(labels), -1)
    if pair.labels.classes and pair.labels.one_hot_axis is None and labels.shape[1] == 1:
        labels = (labels == np.unique(labels)[None]).astype("float64")
    if labels.shape[1] > 64:
        labels = labels[:, :64]
    draw = np.random.default_rng(0)
    if len(labels) > 450:
        some = np.sort(draw.permutation(len(labels))[:450])
        features, labels = features[some], labels[some]
    if _correlates(features, labels, draw):
        return 1.0
    order = draw.permutation(len(labels))
    cut = 2 * len(labels) // 3
    own = _best_guess(features, labels, order, cut)
    if own > 0.25:
        return own  # no shuffle gets near that
    chance = [_best_guess(features, labels[draw.permutation(len(labels))], order, cut) for _ in range(6)]
    return own - max(chance)


def _correlates(features: np.ndarray, labels: np.ndarray, draw: np.random.Generator) -> bool:
    """Whether a column correlates with a label clearly more than any with shuffled labels: weakly, not by chance."""
    deviation = labels.std(0)
    scores = (labels - labels.mean(0)) / np.where(deviation > 0, deviation, 1)

    def strongest(of: np.ndarray) -> float:
        return float(np.abs(features.T @ of).max()) / len(of)

    return strongest(scores) > 1.3 * max(strongest(scores[draw.permutation(len(scores))]) for _ in range(30))


def _features(array: np.ndarray) -> np.ndarray:
    flat = array.reshape(len(array), -1).astype("float64")
    if flat.shape[1] > 400:
        flat = flat[:, :: -(-flat.shape[1] // 400)]
    if array.ndim == 4:
        extra = [array.mean((1, 2)), array.std((1, 2)), (array > np.median(array)).mean((1, 2)), array.max((1, 2))]
        flat = np.concatenate([flat, *extra], 1)
    deviation = flat.std(0)
    return (flat - flat.mean(0)) / np.where(deviation > 0, deviation, 1)


def _best_guess(features: np.ndarray, labels: np.ndarray, order: np.ndarray, cut: int) -> float:
    train, test = order[:cut], order[cut:]
    middle = labels[train].mean(0)
    spread = float(((labels[test] - middle) ** 2).mean())
    if not spread:
        return 0.0
    gram = features[train] @ features[train].T
    across = features[test] @ features[train].T
    guesses = []
    for strength in (1.0, 30.0):
        kernel = gram + strength * features.shape[1] / 10 * np.eye(len(train))
        guesses.append(middle + across @ np.linalg.solve(kernel, labels[train] - middle))
    wide = 1.0 * features.shape[1]
    distance = ((features[test] ** 2).sum(1)[:, None] + (features[train] ** 2).sum(1)[None] - 2 * across) / wide
    inner = ((features[train] ** 2).sum(1)[:, None] + (features[train] ** 2).sum(1)[None] - 2 * gram) / wide
    kernel = np.exp(-inner) + 0.1 * np.eye(len(train))
    guesses.append(middle + np.exp(-distance) @ np.linalg.solve(kernel, labels[train] - middle))
    return max(1 - float(((guess - labels[test]) ** 2).mean()) / spread for guess in guesses)

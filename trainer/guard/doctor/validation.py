"""Validation data against training data: prepared otherwise, of other classes, or the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from .change import Suspicion
from .data import floats
from .finding import Finding
from .labels import labels_of
from .program import Program

_MOST_COMPARED = 20_000  # rows of each side


def validation_against_training(program: Program) -> Iterator[Suspicion]:
    """Validation data with another scale, offset, type of labels or shape than the training data."""
    if not program.validation:
        return
    xv, yv = program.validation
    for (path, train), (_, other) in zip(floats(program.x), floats(xv), strict=False):
        told = _differs(train, other)
        if told:
            yield Suspicion(
                Finding(
                    "train_validation_mismatch",
                    "validation",
                    f"x{path} of training and of validation: {told}.",
                    "Prepare both by one function, with the numbers (mean, deviation, 255) of the training data.",
                ),
                certain=True,
            )
            return
    for (path, train), (_, other) in zip(floats(program.y), floats(yv), strict=False):
        told = _labels_differ(train, other)
        if told:
            yield Suspicion(
                Finding(
                    "train_validation_mismatch",
                    "validation",
                    f"y{path} of training and of validation: {told}.",
                    "Prepare the labels of both by one function.",
                ),
                certain=True,
            )
            return


def shared_rows(program: Program) -> Iterator[Suspicion]:
    """Rows of measurements or images that are in the validation data and in the training data, too."""
    if not program.validation:
        return
    for (path, train), (_, other) in zip(
        _whole(program.x, program.held), _whole(program.validation[0], None), strict=False
    ):
        if train.shape[1:] != other.shape[1:] or train.shape == other.shape and np.array_equal(train, other):
            continue  # the training data as validation data, whole: that is meant
        known = {row.tobytes() for row in _rows(train)}
        twins = [index for index, row in enumerate(_rows(other)) if row.tobytes() in known]
        if len(twins) >= 4 and len(twins) > 0.05 * len(other):
            yield Suspicion(
                Finding(
                    "validation_leak",
                    "validation",
                    f"{len(twins)} of {len(other)} rows of the validation data ({len(twins) / len(other):.0%}; the "
                    f"first: {twins[0]}) are also in the training data, value for "
                    f"value{f' (x{path})' if path else ''}: what is measured there is memory, and says nothing of new "
                    "data.",
                    "Split first, and multiply, cut into tiles or augment afterwards, the training part alone:\n\n"
                    "    order = np.random.default_rng(0).permutation(len(x))\n"
                    "    train, held_out = order[: 4 * len(x) // 5], order[4 * len(x) // 5 :]",
                ),
                certain=True,
            )
            return


def _whole(structure: Any, most: int | None) -> list[tuple[str, np.ndarray]]:
    """(name, array) of the arrays whose rows do not repeat themselves by nature: measurements and images."""
    found = []
    for path, part in keras.tree.flatten_with_path(structure):
        array = np.asarray(part) if part is not None else np.zeros(0)
        if array.dtype.kind not in "fu" or array.ndim < 2 or not array.size:
            continue
        some = array[:256]
        if array.ndim < 4 and (not np.isfinite(some).all() or (some == np.round(some)).all()):
            continue
        found.append(("".join(f"[{key!r}]" for key in path), array[:_MOST_COMPARED]))
    return found


def _rows(array: np.ndarray) -> Iterator[np.ndarray]:
    """The rows that are not one value throughout: a blank image equals any other."""
    for row in np.ascontiguousarray(array, "float32"):
        yield row if row.min() != row.max() else np.random.default_rng().random(2)


def _differs(train: np.ndarray, other: np.ndarray) -> str | None:
    if train.shape[1:] != other.shape[1:]:
        return f"shapes {train.shape[1:]} and {other.shape[1:]} of an example" if train.ndim == 2 else None
    if len(other) < 4 or not np.isfinite(train).all() or not np.isfinite(other).all():
        return None
    a = train.reshape(-1, train.shape[-1]).astype("float64") if train.ndim > 1 else train.reshape(-1, 1)
    b = other.reshape(-1, other.shape[-1]).astype("float64") if other.ndim > 1 else other.reshape(-1, 1)
    (mean_a, mean_b), (std_a, std_b) = (a.mean(0), b.mean(0)), (a.std(0), b.std(0))
    live = (std_a > 1e-9) & (std_b > 1e-9)
    if not live.any():
        return None
    ratio = np.log10(std_b[live] / std_a[live])
    shift = np.abs(mean_b[live] - mean_a[live]) / np.maximum(std_a[live], std_b[live])
    # Chance moves a mean by 1 / sqrt(rows); a split by time or place by less than a deviation.
    typical_ratio, typical_shift = float(np.median(ratio)), float(np.median(shift))
    far = abs(typical_ratio) > 0.48 or typical_shift > 2.0 + 4 / np.sqrt(len(other))
    uneven = np.abs(ratio).max() > 1.0 and train.ndim == 2 and len(other) >= 16 and np.abs(ratio).max() < 12
    if not far and not uneven:
        return _image_differs(train, other)
    at = int(np.flatnonzero(live)[np.abs(ratio).argmax()])
    where = f" (column {at})" if a.shape[-1] > 1 and train.ndim == 2 else ""
    return (
        f"means {mean_a[at]:.4g} and {mean_b[at]:.4g}, deviations {std_a[at]:.4g} and {std_b[at]:.4g}{where}, values "
        f"{a[:, at].min():.4g} to {a[:, at].max():.4g} and {b[:, at].min():.4g} to {b[:, at].max():.4g}"
    )


def _image_differs(train: np.ndarray, other: np.ndarray) -> str | None:
    """Images as negatives of the others, or with their channels the other way round."""
    if train.ndim != 4 or len(train) < 8 or len(other) < 8:
        return None
    parts = np.linspace(0.02, 0.98, 25)
    a, b = (np.quantile(images, parts) for images in (train, other))
    middle = a.mean() + b.mean()  # of x and middle - x
    alike, turned = float(np.abs(a - a.mean() - b + b.mean()).mean()), float(np.abs(a - (middle - b)[::-1]).mean())
    edges = float(train.min() + train.max())
    natural = abs(middle - edges) < 0.2 * float(np.ptp(train))
    if abs(a.mean() - b.mean()) > 0.5 * train.std() and turned < 0.3 * alike and natural:
        return (
            f"the validation images are negatives: medians {np.median(train):.4g} and {np.median(other):.4g}, and as "
            f"{middle:.3g} - x they have the same values"
        )
    if train.shape[-1] != 3:
        return None
    means_a, means_b = train.mean((1, 2)), other.mean((1, 2))
    error = np.sqrt(means_a.var(0) / len(train) + means_b.var(0) / len(other)) + 1e-9
    as_is = np.abs(means_a.mean(0) - means_b.mean(0)) / error
    swapped = np.abs(means_a.mean(0) - means_b.mean(0)[::-1]) / np.maximum(error, error[::-1])
    if as_is.max() > 8 and swapped.max() < 3:
        return (
            f"the channels have changed places: their means are {_numbers(means_a.mean(0))} and "
            f"{_numbers(means_b.mean(0))}, each the other's from behind (RGB and BGR?)"
        )
    return None


def _numbers(values: np.ndarray) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _unseen_classes(train: np.ndarray, other: np.ndarray) -> str | None:
    """Classes that only the validation data has, or one class alone of several: a sorted file cut in two."""
    if train.ndim == 2 and train.shape[1] > 1 and train.shape == (len(train), *other.shape[1:]):
        train, other = train.argmax(-1), other.argmax(-1)
    if train.size != len(train) or other.size != len(other):
        return None
    classes, counts = np.unique(train, return_counts=True)
    new = ~np.isin(other.ravel(), classes)
    if new.mean() > 0.5:
        return f"{new.mean():.0%} of the validation rows are of classes that the training data does not have"
    if len(classes) > 1 and len(np.unique(other)) == 1:
        share = float(counts[classes == other.ravel()[0]].sum() / len(train))
        if share ** len(other) < 1e-6:
            return (
                f"all {len(other)} validation rows are of class {other.ravel()[0]:g}, which {share:.0%} of the "
                "training rows are"
            )
    return None


def _labels_differ(train: np.ndarray, other: np.ndarray) -> str | None:
    first, second = labels_of(train), labels_of(other)
    if first is None or second is None or len(other) < 4:
        return None
    if first.classes and second.whole and (told := _unseen_classes(train, other)):
        return f"{told}; a sorted file, cut in two"
    if train.ndim > 1 and train.shape[1:] != other.shape[1:] and train.ndim == other.ndim == 2:
        return f"shapes {train.shape[1:]} and {other.shape[1:]} of an example"
    if first.classes and second.classes and first.distinct and second.distinct:
        new = set(second.distinct) - set(first.distinct)
        if new and (
            second.high > first.high * 1.5 + 1 or second.low < first.low - 0.5 or second.high < 0.1 * first.high
        ):
            return f"{first.span()} and {second.span()}"
        if not second.whole and first.whole:
            return f"{first.span()} and {second.span()}"
        return None
    if first.classes != second.classes and first.whole and not second.whole:
        return f"{first.span()} and {second.span()}"
    if not first.classes and not second.classes:
        return _differs(train.reshape(len(train), -1), other.reshape(len(other), -1))
    return None

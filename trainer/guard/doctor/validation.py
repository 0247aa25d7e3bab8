"""Validation data against training data: prepared differently, of other classes, or the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from .change import Suspicion, fault
from .data import floats
from .labels import labels_of
from .masks import ways
from .program import Program

_MOST_COMPARED = 20_000  # rows of each side


def validation_against_training(program: Program) -> Iterator[Suspicion]:
    """Validation data whose scale, offset, shape or type of labels differs from the training data's."""
    if not program.validation:
        return
    xv, yv = program.validation
    reason = None
    for (path, train), (_, other) in zip(floats(program.x), floats(xv), strict=False):
        reason = _differs(train, other) or _columns_elsewhere(train, other) or _other_numbers(train, other)
        if reason:
            yield fault(
                "train_validation_mismatch",
                "validation",
                f"x{path} of training and of validation: {reason}.",
                "Prepare both by one function, with the numbers (mean, deviation, 255) of the training data.",
            )
            return
    for (path, train), (_, other) in zip(floats(program.y), floats(yv), strict=False):
        reason = _labels_differ(train, other)
        if reason:
            yield fault(
                "train_validation_mismatch",
                "validation",
                f"y{path} of training and of validation: {reason}.",
                "Prepare the labels of both by one function.",
            )
            return
    reason = _masks_fit_otherwise(program.x, program.y, xv, yv)
    if reason:
        yield fault(
            "train_validation_mismatch",
            "validation",
            reason,
            "Read, turn and number the masks of both by one function.",
        )


def shared_rows(program: Program) -> Iterator[Suspicion]:
    """Rows of measurements or images that are in both the validation data and the training data."""
    if not program.validation:
        return
    for (path, train), (_, other) in zip(
        _whole(program.x, program.held), _whole(program.validation[0], None), strict=False
    ):
        if train.shape[1:] != other.shape[1:] or train.shape == other.shape and np.array_equal(train, other):
            continue  # all training data as validation data is intended
        known = {row.tobytes() for row in _rows(train)}
        twins = [index for index, row in enumerate(_rows(other)) if row.tobytes() in known]
        if len(twins) >= 4 and len(twins) > 0.05 * len(other):
            yield fault(
                "validation_leak",
                "validation",
                f"{len(twins)} of {len(other)} rows of the validation data ({len(twins) / len(other):.0%}; the "
                f"first: {twins[0]}) are also in the training data, value for "
                f"value{f' (x{path})' if path else ''}: what is measured there is memory, and says nothing of new "
                "data.",
                "Split first, and multiply, cut into tiles or augment afterwards, the training part alone:\n\n"
                "    order = np.random.default_rng(0).permutation(len(x))\n"
                "    train, held_out = order[: 4 * len(x) // 5], order[4 * len(x) // 5 :]",
            )
            return


def _whole(structure: Any, most: int | None) -> list[tuple[str, np.ndarray]]:
    """(name, array) of the arrays whose rows hardly repeat by chance: measurements and images."""
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
    """The rows that are not constant: a blank image equals any other blank one."""
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


def _columns_elsewhere(train: np.ndarray, other: np.ndarray) -> str | None:
    """Columns of a table that were swapped: distributed unlike themselves and like another one."""
    if train.ndim != 2 or not 2 <= train.shape[1] <= 48 or min(len(train), len(other)) < 40:
        return None
    a, b = (array[np.linspace(0, len(array) - 1, min(len(array), 1000)).astype(int)] for array in (train, other))
    if not np.isfinite(a).all() or not np.isfinite(b).all():
        return None
    gap = np.array([[_gap(left, right) for right in b.T] for left in a.T])
    chance = 1.63 * np.sqrt(1 / len(a) + 1 / len(b))  # exceeded by 1% of sample pairs from one distribution
    moved = np.flatnonzero(gap.diagonal() > chance + 0.3)
    if len(moved) < 2:
        return None
    partners = _matched(gap <= chance + 0.05, gap)
    if partners is None:
        return None  # not only the order has changed
    shown = ", ".join(f"{at} is now {partners[at]}" for at in moved[:4])
    return f"columns have changed places, by how their values are distributed: {shown}"


def _matched(allowed: np.ndarray, cost: np.ndarray) -> dict[int, int] | None:
    """A different allowed column of the other side for each; None where that is impossible."""
    owner: dict[int, int] = {}

    def placed(at: int, seen: set[int]) -> bool:
        for to in np.argsort(cost[at]):
            if allowed[at, to] and to not in seen:
                seen.add(int(to))
                if int(to) not in owner or placed(owner[int(to)], seen):
                    owner[int(to)] = at
                    return True
        return False

    if not all(placed(at, set()) for at in range(len(allowed))):
        return None
    return {at: to for to, at in owner.items()}


def _gap(left: np.ndarray, right: np.ndarray) -> float:
    """The largest difference of two samples' cumulative distributions."""
    values = np.concatenate([left, right])
    shares = (np.searchsorted(np.sort(side), values, "right") / len(side) for side in (left, right))
    return float(np.abs(next(shares) - next(shares)).max())


def _other_numbers(train: np.ndarray, other: np.ndarray) -> str | None:
    """Sequences of indices (of words) with another vocabulary: as uneven, but with other indices the most frequent."""
    if train.ndim != 2 or train.dtype.kind not in "iu" or other.dtype.kind not in "iu" or train.shape[1] < 4:
        return None
    count = int(max(train.max(), other.max())) + 1
    if min(train.min(), other.min()) < 0 or count > 200_000 or min(train.size, other.size) < 400:
        return None
    halves = [np.bincount(part.ravel(), minlength=count) / part.size for part in (train[::2], train[1::2], other)]
    usual, now = (0.5 * float(np.abs(halves[0] - other).sum()) for other in halves[1:])
    sorted_gap = 0.5 * float(np.abs(np.sort(halves[0]) - np.sort(halves[2])).sum())
    if now < usual + 0.4 or sorted_gap > usual + 0.25:
        return None
    top = np.argsort(-halves[0])[:3]
    shown = ", ".join(f"{at} ({halves[0][at]:.1%} and {halves[2][at]:.1%})" for at in top)
    return (
        f"the most frequent numbers of the one are not those of the other: {shown}, though both are as uneven. They "
        "seem to be numbered by two vocabularies"
    )


def _masks_fit_otherwise(x: Any, y: Any, xv: Any, yv: Any) -> str | None:
    """Validation masks with swapped classes, or turned, where the training masks are not."""
    if any(part is None or keras.tree.is_nested(part) for part in (x, y, xv, yv)):
        return None
    x, y, xv, yv = map(np.asarray, (x, y, xv, yv))
    if x.ndim != 4 or xv.ndim != 4 or min(len(x), len(xv)) < 8 or y.shape[:3] != x.shape[:3]:
        return None
    if yv.shape[:3] != xv.shape[:3] or x.shape[3] != xv.shape[3]:
        return None
    found = [(_shades(images), _ids(masks)) for images, masks in ((x, y), (xv, yv))]
    classes = np.unique(found[0][1])
    if not 2 <= len(classes) <= 32 or not np.isin(found[1][1], classes).all():
        return None
    (shades, ids), (other, other_ids) = found
    if not np.isfinite(shades).all() or not np.isfinite(other).all():
        return None
    if len(classes) == 2:
        brighter = [
            float(s[i == classes[1]].mean() - s[i == classes[0]].mean()) if len(np.unique(i)) == 2 else 0.0
            for s, i in found
        ]
        fits = [_explained(s, i) for s, i in found]
        if min(fits) > 0.15 and brighter[0] * brighter[1] < 0:
            shares = [float(np.mean(i == classes[1])) for _, i in found]
            return (
                f"Where the masks say {classes[1]:g}, images are {'brighter' if brighter[0] > 0 else 'darker'} in "
                f"training and {'brighter' if brighter[1] > 0 else 'darker'} in validation (by {brighter[0]:.3g} and "
                f"{brighter[1]:.3g}), and {classes[1]:g} is {shares[0]:.0%} of the masks of training and "
                f"{shares[1]:.0%} of those of validation: the two classes have changed places."
            )
    plain, best = _explained(other, other_ids), (0.0, "")
    for how, way in ways(other.shape[1] == other.shape[2]).items():
        best = max(best, (_explained(other, way(other_ids)), how))
    if _explained(shades, ids) > 0.15 and best[0] > max(0.15, 3 * plain):
        return (
            f"The classes of the validation masks explain {plain:.0%} of how bright the pixels of their images are, "
            f"and {best[0]:.0%} when the masks are {best[1]}; those of training fit as they are."
        )
    return None


def _shades(images: np.ndarray) -> np.ndarray:
    """Images of up to 64 examples as the mean of their channels, minus the image's mean."""
    some = images[np.linspace(0, len(images) - 1, min(len(images), 64)).astype(int)].astype("float64").mean(-1)
    return some - some.mean((1, 2), keepdims=True)


def _ids(masks: np.ndarray) -> np.ndarray:
    some = masks[np.linspace(0, len(masks) - 1, min(len(masks), 64)).astype(int)]
    return some if some.ndim == 3 else some.argmax(-1) if some.shape[-1] > 1 else some[..., 0]


def _explained(shades: np.ndarray, ids: np.ndarray) -> float:
    """The share of the variance of the shades that the classes explain."""
    means = sum(float(shades[ids == k].mean()) ** 2 * float(np.mean(ids == k)) for k in np.unique(ids))
    return means / max(float((shades**2).mean()), 1e-12)


def _image_differs(train: np.ndarray, other: np.ndarray) -> str | None:
    """Images that are negatives of the training images, or have their channels in reverse order."""
    if train.ndim != 4 or len(train) < 8 or len(other) < 8:
        return None
    parts = np.linspace(0.02, 0.98, 25)
    a, b = (np.quantile(images, parts) for images in (train, other))
    middle = a.mean() + b.mean()  # the mean of x and its negative, middle - x, together
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
    """Classes that only the validation data have, or a single class of several: a sorted file cut in two."""
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
    if first.classes and second.whole and (reason := _unseen_classes(train, other)):
        return f"{reason}; a sorted file, cut in two"
    if train.ndim > 1 and train.shape[1:] != other.shape[1:] and train.ndim == other.ndim == 2:
        return f"shapes {train.shape[1:]} and {other.shape[1:]} of an example"
    if train.ndim >= 3 and first.classes and float(other.min()) == float(other.max()):
        blank = float(np.mean([part.min() == part.max() for part in train]))
        if blank ** min(len(other), 50) < 1e-4:
            return f"all {len(other)} masks of validation hold {other.flat[0]:g} alone, as {blank:.0%} of training do"
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

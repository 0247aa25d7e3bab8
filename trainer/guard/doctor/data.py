"""Inputs, targets and validation data by their numbers: scale, NaN, what was prepared otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from .change import Change, Suspicion
from .finding import Finding
from .labels import labels_of
from .objective import REGRESSION
from .output import layers_of
from .pairing import Pair
from .program import Program

_NORMALISING = (
    "Normalization",
    "BatchNormalization",
    "Rescaling",
    "LayerNormalization",
    "GroupNormalization",
    "UnitNormalization",
    "RMSNormalization",
    "Embedding",
    "Hashing",
    "IntegerLookup",
    "StringLookup",
    "TextVectorization",
    "Discretization",
    "CategoryEncoding",
)
_MOST_ROWS = 4096


def floats(structure: Any) -> list[tuple[str, np.ndarray]]:
    """(name, array) of the numeric arrays of a structure, at most 4096 rows of each from all over it."""
    found = []
    for path, part in keras.tree.flatten_with_path(structure):
        if part is None or np.asarray(part).dtype.kind not in "fiu" or not np.asarray(part).size:
            continue
        array = np.asarray(part)
        if len(array) > _MOST_ROWS:
            array = array[np.linspace(0, len(array) - 1, _MOST_ROWS).astype(int)]
        found.append(("".join(f"[{key!r}]" for key in path), array))
    return found


def not_finite(program: Program, tolerated) -> Iterator[Suspicion]:
    """NaN or infinity in x, y or the validation data.

    Args:
      program: the program.
      tolerated: whether model and loss give a finite loss and gradient for the rows of numbers given.
    """
    held = {"x": program.x, "y": program.y}
    if program.validation:
        held["validation"] = program.validation
    for name, structure in held.items():
        for path, array in floats(structure):
            if array.dtype.kind != "f":
                continue
            bad = ~np.isfinite(array)
            if not bad.any():
                continue
            rows = np.flatnonzero(bad.reshape(len(bad), -1).any(1))
            if name != "validation" and len(array) == program.held and tolerated(rows[:32]):
                continue
            columns = np.flatnonzero(bad.reshape(-1, bad.shape[-1]).any(0)) if bad.ndim == 2 else ()
            inside = f", in column {', '.join(map(str, columns[:6]))}" if 0 < len(columns) < bad.shape[-1] else ""
            yield Suspicion(
                Finding(
                    "nonfinite_data",
                    name,
                    f"{int(bad.sum())} of {bad.size} values of {name}{path} are NaN or infinite, in {len(rows)} of "
                    f"{len(bad)} rows "
                    f"(the first: {rows[0]}){inside}: one of them makes the loss NaN, and the weights with it.",
                    f"Leave those rows out, or fill them in before training:\n\n    keep = "
                    f"np.isfinite({name}).all(axis=…)"
                    f"\n    {name} = np.nan_to_num({name})",
                ),
                certain=True,
            )


def scale_of_inputs(program: Program) -> Iterator[Suspicion]:
    """Columns or images far from unit scale in a model that does not bring them there."""
    if _normalises(program.model):
        return
    for path, array in floats(program.x):
        if array.ndim < 2 or not np.isfinite(array).all():
            continue
        values = array.reshape(-1, array.shape[-1]).astype("float64")
        spread, middle = values.std(0), np.abs(values.mean(0))
        name = f"x{path}"
        if (spread == 0).all() and (values == values[:1]).all():
            yield Suspicion(
                Finding(
                    "constant_input",
                    "x",
                    f"All {len(array)} rows of {name} looked at are the same.",
                    "Look at how the inputs are read.",
                ),
                certain=True,
            )
            continue
        live = spread > 0
        size = np.sqrt((values**2).mean(0))[live]
        largest, smallest = float(size.max()), float(size.min())
        steady = float((middle[live] / spread[live]).max())
        told = []
        if largest > 8:
            told.append(f"its values go from {values.min():.4g} to {values.max():.4g}")
        if smallest < 0.02:
            told.append(f"a column has a root mean square of only {smallest:.2g}")
        if largest / smallest > 50 and live.sum() > 1:
            told.append(f"its columns differ by a factor of {largest / smallest:.3g} in size")
        if steady > 8:
            told.append(f"a column has a mean {steady:.3g} times its deviation")
        if told:
            image = array.ndim >= 4 and values.min() >= 0 and 2 < values.max() <= 255
            yield Suspicion(
                Finding(
                    "unscaled_input",
                    "x",
                    f"{name} of shape {array.shape}: {', '.join(told)}; the initial weights are made for inputs of "
                    f"mean 0 and "
                    "deviation 1, and the model has no normalisation.",
                    "Images of 0…255:\n\n    x = x / 255.0"
                    if image
                    else "Bring each column to mean 0 and deviation 1, with the numbers of the training data for all "
                    "data:\n\n"
                    "    x = (x - x.mean(axis=0)) / x.std(axis=0)\n\nor put keras.layers.Normalization first and "
                    "adapt it.",
                    depth="steps",
                ),
                Change(scale_x=True),
            )


def scale_of_targets(pair: Pair) -> Iterator[Suspicion]:
    """Regression targets far from what a new network gives."""
    labels = pair.labels
    if pair.objective.family not in (*REGRESSION, "own") or (labels.zero_one or labels.constant):
        return
    if not np.isfinite(labels.values).all() or pair.output.activation.bounded or pair.output.channels is None:
        return
    values = labels.values.reshape(len(labels.values), -1)
    spread, middle = float(values.std()), float(np.abs(values.mean()))
    columns = values.std(0)
    uneven = float(columns.max() / max(columns.min(), 1e-12)) if values.shape[1] > 1 else 1.0
    told = []
    if spread > 5 or middle > 5:
        told.append(f"mean {values.mean():.4g} and deviation {spread:.4g}")
    elif spread < 0.05:
        told.append(f"a deviation of only {spread:.2g}")
    if 50 < uneven < 1e9:
        told.append(f"columns that differ by a factor of {uneven:.3g}")
    if told:
        yield Suspicion(
            Finding(
                "unscaled_target",
                "y",
                f"{pair.name} has {' and '.join(told)}; a new network gives about 0 ± 1, and has to get there by its "
                f"steps.",
                f"Train on targets of mean 0 and deviation 1, and turn predictions back:\n\n"
                f"    mean, deviation = {pair.name}.mean(axis=0), {pair.name}.std(axis=0)\n"
                f"    {pair.name} = ({pair.name} - mean) / deviation",
                depth="steps",
            ),
            Change(scale_y=True),
        )


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
        return None
    at = int(np.flatnonzero(live)[np.abs(ratio).argmax()])
    where = f" (column {at})" if a.shape[-1] > 1 and train.ndim == 2 else ""
    return (
        f"means {mean_a[at]:.4g} and {mean_b[at]:.4g}, deviations {std_a[at]:.4g} and {std_b[at]:.4g}{where}, values "
        f"{a[:, at].min():.4g} to {a[:, at].max():.4g} and {b[:, at].min():.4g} to {b[:, at].max():.4g}"
    )


def _labels_differ(train: np.ndarray, other: np.ndarray) -> str | None:
    first, second = labels_of(train), labels_of(other)
    if first is None or second is None or len(other) < 4:
        return None
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


def _normalises(model: keras.Model) -> bool:
    """Whether one of the first layers normalises, or the inputs are numbers of things."""
    for position, layer in enumerate(layers_of(model)):
        kind = type(layer).__name__
        if kind in _NORMALISING or isinstance(layer, keras.Model) and _normalises(layer):
            return True
        if getattr(layer, "weights", None) and position > 0 or position > 6:
            return False
    return False


def turned_masks(program: Program, pair: Pair) -> Iterator[Suspicion]:
    """Masks that fit the images better when turned or mirrored, or other images better than their own."""
    images, masks = program.x, program.y
    if keras.tree.is_nested(images) or keras.tree.is_nested(masks):
        return
    images, masks = np.asarray(images), np.asarray(masks)
    if images.ndim != 4 or masks.shape[:3] != images.shape[:3] or not pair.labels.classes or len(images) < 12:
        return
    if pair.labels.constant or not np.isfinite(images).all() or pair.copies_input:
        return
    rows = np.linspace(0, len(images) - 1, min(len(images), 96)).astype(int)
    shades = images[rows].astype("float64")
    ids = masks[rows] if masks.ndim == 3 else masks[rows].argmax(-1) if masks.shape[-1] > 1 else masks[rows][..., 0]
    shades = shades - shades.mean((1, 2), keepdims=True)
    own = _fit(shades, ids)
    if shades.shape[1] == shades.shape[2]:
        ways = {
            "turned by 90°": lambda m: np.rot90(m, 1, (1, 2)),
            "turned by 180°": lambda m: np.rot90(m, 2, (1, 2)),
            "turned by 270°": lambda m: np.rot90(m, 3, (1, 2)),
            "transposed": lambda m: m.swapaxes(1, 2),
            "mirrored left to right": lambda m: m[:, :, ::-1],
            "mirrored top to bottom": lambda m: m[:, ::-1],
        }
    else:
        ways = {
            "turned by 180°": lambda m: np.rot90(m, 2, (1, 2)),
            "mirrored left to right": lambda m: m[:, :, ::-1],
            "mirrored top to bottom": lambda m: m[:, ::-1],
        }
    fits = {name: _fit(shades, way(ids)) for name, way in ways.items()}
    draw = np.random.default_rng(0)
    chance = [_fit(shades, ids[draw.permutation(len(ids))]) for _ in range(12)]
    best = max(fits, key=fits.get)
    if fits[best] > max(0.15, 3 * own) and fits[best] > max(chance) + 0.1:
        yield Suspicion(
            Finding(
                "labels_not_aligned",
                "y",
                f"The classes of {pair.name} explain {own:.0%} of how bright the pixels of their images are, and "
                f"{fits[best]:.0%} when the masks are {best}.",
                "Turn, mirror and crop image and mask by the same call, with the same random numbers.",
            ),
            certain=True,
        )
    elif own < 0.03 and own <= max(chance) + 1e-3 and (shift := _shift(shades, ids)) and shift[1] > max(chance) + 0.12:
        yield Suspicion(
            Finding(
                "labels_not_aligned",
                "y",
                f"The classes of {pair.name} explain {own:.1%} of how bright the pixels of their images are, no more "
                f"than those of "
                f"other images do ({max(chance):.1%}), and {shift[1]:.0%} of those of the image {shift[0]} rows on.",
                "Sort both lists of files by name before they are put together.",
            ),
            certain=True,
        )


def mask_fit(images: np.ndarray, masks: np.ndarray, pair: Pair) -> float | None:
    """How much of the pixels' brightness the masks explain, above what those of other images do; None if no images."""
    if images.ndim != 4 or masks.shape[:3] != images.shape[:3] or not pair.labels.classes or len(images) < 12:
        return None
    rows = np.linspace(0, len(images) - 1, min(len(images), 96)).astype(int)
    ids = masks[rows] if masks.ndim == 3 else masks[rows].argmax(-1) if masks.shape[-1] > 1 else masks[rows][..., 0]
    shades = images[rows].astype("float64")
    shades = shades - shades.mean((1, 2), keepdims=True)
    draw = np.random.default_rng(0)
    return _fit(shades, ids) - max(_fit(shades, ids[draw.permutation(len(ids))]) for _ in range(8))


def _shift(shades: np.ndarray, ids: np.ndarray) -> tuple[int, float]:
    fits = {by: _fit(shades, np.roll(ids, by, 0)) for by in (1, -1, 2, -2)}
    fits[0] = _fit(shades, ids[::-1])
    best = max(fits, key=fits.get)
    return best, fits[best]


def _fit(shades: np.ndarray, ids: np.ndarray) -> float:
    """The largest share of a channel's variance that the classes explain within the images."""
    best = 0.0
    for channel in range(min(shades.shape[-1], 4)):
        values = shades[..., channel]
        whole = float((values**2).sum())
        if not whole:
            continue
        explained = sum(float(values[ids == k].mean()) ** 2 * int((ids == k).sum()) for k in np.unique(ids))
        best = max(best, explained / whole)
    return best


def carries_signal(x: Any, y: np.ndarray, pair: Pair) -> float | None:
    """How much better than guessing simple learners predict labels of rows left out, from nothing (0) to all (1).

    Least squares and nearest neighbours on the flattened inputs, and on means and deviations of images; two thirds of
    the rows are learned, the rest predicted. The largest share of them is given, above what shuffled labels reach; None
    where there is too little to tell.
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
    order = draw.permutation(len(labels))
    cut = 2 * len(labels) // 3
    own = _best_guess(features, labels, order, cut)
    if own > 0.25:
        return own  # no shuffle gets near that
    chance = [_best_guess(features, labels[draw.permutation(len(labels))], order, cut) for _ in range(6)]
    return own - max(chance)


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

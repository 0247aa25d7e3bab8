"""Inputs, targets and validation data in numbers: scale, NaN, differences in preparation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from .change import Change, Suspicion, fault, suspect
from .finding import Finding
from .objective import REGRESSION
from .output import layers_of
from .pair import Pair
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
    """(name, array) of the numeric arrays of a structure, at most 4096 rows of each, evenly spread."""
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
      tolerated: whether model and loss give a finite loss and gradient for the rows with the given numbers.
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
            yield fault(
                "nonfinite_data",
                name,
                f"{int(bad.sum())} of {bad.size} values of {name}{path} are NaN or infinite, in {len(rows)} of "
                f"{len(bad)} rows (the first: {rows[0]}){inside}: one of them makes the loss NaN, and the weights "
                "with it.",
                f"Leave those rows out, or fill them in before training:\n\n    keep = "
                f"np.isfinite({name}).all(axis=…)"
                f"\n    {name} = np.nan_to_num({name})",
            )


def constant_inputs(program: Program) -> Iterator[Suspicion]:
    """Inputs whose rows are all the same."""
    for path, array in floats(program.x):
        if len(array) > 1 and np.isfinite(array).all() and (array == array[:1]).all():
            held = f"{array.min():.4g}" if array.min() == array.max() else f"{array.min():.4g} to {array.max():.4g}"
            yield fault(
                "constant_input",
                "x",
                f"All {len(array)} rows of x{path} looked at are the same ({held}).",
                "Look at how the inputs are read: whole numbers cut off what lies between 0 and 1, and an array "
                "that is filled in a loop may be one and the same.",
            )


def copied_inputs(program: Program) -> Iterator[Suspicion]:
    """Columns of a table, or rows of measurements, that are mostly copies of others: a fault if nothing is learned."""
    for path, array in floats(program.x):
        if len(array) < 16 or not np.isfinite(array).all() or array.dtype.kind != "f":
            continue
        rows = array.reshape(len(array), -1)
        if (rows == np.round(rows)).all():
            continue  # categories and counts repeat themselves
        different = len(np.unique(rows, axis=0))
        seen = None
        if different < 0.2 * len(rows):
            seen = f"Of {len(rows)} rows of x{path} looked at only {_different(different)}"
        elif array.ndim == 2 and array.shape[1] >= 4:
            columns, of = len(np.unique(rows.T, axis=0)), array.shape[1]
            seen = f"Of {of} columns of x{path} only {_different(columns)}" if columns <= of / 2 else None
        if seen:
            yield Suspicion(
                Finding(
                    "duplicate_input",
                    "x",
                    f"{seen}; a copy adds nothing.",
                    "Look at how the inputs are gathered: a list that gets the same array in each turn of a loop "
                    "holds it "
                    "many times; append a copy:\n\n    rows.append(row.copy())",
                    depth="steps",
                )
            )


def _different(count: int) -> str:
    return f"{count} {'is' if count == 1 else 'are'} different"


def scale_of_inputs(program: Program) -> Iterator[Suspicion]:
    """Columns or images far from unit scale in a model that does not normalise them."""
    scaled = _rescaling(program.model)
    if scaled is None and _normalises(program.model):
        return
    for path, array in floats(program.x):
        if array.ndim < 2 or not np.isfinite(array).all():
            continue
        values = array.reshape(-1, array.shape[-1]).astype("float64")
        values = values if scaled is None else values * np.asarray(scaled.scale) + np.asarray(scaled.offset)
        spread, middle = values.std(0), np.abs(values.mean(0))
        name = f"x{path}" if scaled is None else f"x{path} behind {scaled.name!r} (scale {_short(scaled.scale)})"
        live = spread > 0
        if not live.any():
            continue
        size = np.sqrt((values**2).mean(0))[live]
        largest, smallest = float(size.max()), float(size.min())
        steady = float((middle[live] / spread[live]).max())
        seen = []
        if largest > 8:
            seen.append(f"its values go from {values.min():.4g} to {values.max():.4g}")
        if smallest < 0.02:
            seen.append(f"a column has a root mean square of only {smallest:.2g}")
        if largest / smallest > 50 and live.sum() > 1:
            seen.append(f"its columns differ by a factor of {largest / smallest:.3g} in size")
        if steady > 8:
            seen.append(f"a column has a mean {steady:.3g} times its deviation")
        if seen and scaled is not None:
            yield suspect(
                "unscaled_input",
                ("x", scaled.name),
                f"{name} of shape {array.shape}: {', '.join(seen)}; x itself goes from {array.min():.4g} to "
                f"{array.max():.4g}. Scaled twice, or for other data?",
                f"Scale once: leave {scaled.name!r} out, or give it the data that it is made for.",
                Change({scaled.name: {"scale": 1.0, "offset": 0.0}}, scale_x=True),
            )
        elif seen:
            image = array.ndim >= 4 and values.min() >= 0 and 2 < values.max() <= 255
            yield suspect(
                "unscaled_input",
                "x",
                f"{name} of shape {array.shape}: {', '.join(seen)}; the initial weights are made for inputs of "
                "mean 0 and deviation 1, and the model has no normalisation.",
                "Images of 0…255:\n\n    x = x / 255.0"
                if image
                else "Bring each column to mean 0 and deviation 1, with the numbers of the training data for all "
                "data:\n\n"
                "    x = (x - x.mean(axis=0)) / x.std(axis=0)\n\nor put keras.layers.Normalization first and "
                "adapt it.",
                Change(scale_x=True),
            )


def scale_of_targets(pair: Pair) -> Iterator[Suspicion]:
    """Regression targets far from the outputs of a new network."""
    labels = pair.labels
    if pair.objective.family not in (*REGRESSION, "own") or (labels.zero_one or labels.constant):
        return
    if not np.isfinite(labels.values).all() or pair.output.activation.bounded or pair.output.channels is None:
        return
    values = labels.values.reshape(len(labels.values), -1)
    spread, middle = float(values.std()), float(np.abs(values.mean()))
    columns = values.std(0)
    uneven = float(columns.max() / max(columns.min(), 1e-12)) if values.shape[1] > 1 else 1.0
    seen = []
    if spread > 5 or middle > 5:
        seen.append(f"mean {values.mean():.4g} and deviation {spread:.4g}")
    elif spread < 0.05:
        seen.append(f"a deviation of only {spread:.2g}")
    if 50 < uneven < 1e9:
        seen.append(f"columns that differ by a factor of {uneven:.3g}")
    if seen:
        yield suspect(
            "unscaled_target",
            "y",
            f"{pair.name} has {' and '.join(seen)}; a new network gives about 0 ± 1, and has to get there by its "
            f"steps.",
            f"Train on targets of mean 0 and deviation 1, and turn predictions back:\n\n"
            f"    mean, deviation = {pair.name}.mean(axis=0), {pair.name}.std(axis=0)\n"
            f"    {pair.name} = ({pair.name} - mean) / deviation",
            Change(scale_y=True),
        )


def _rescaling(model: keras.Model) -> keras.layers.Layer | None:
    """The Rescaling in front of the model, unless a normalising layer follows it; otherwise None."""
    first = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"][:2]
    if not first or type(first[0]).__name__ != "Rescaling":
        return None
    return None if len(first) > 1 and type(first[1]).__name__ in _NORMALISING else first[0]


def _short(number) -> str:
    return f"{number:.3g}" if isinstance(number, (int, float)) else "of each channel"


def _normalises(model: keras.Model) -> bool:
    """Whether one of the first layers normalises, or the inputs are indices (an Embedding's)."""
    for position, layer in enumerate(layers_of(model)):
        kind = type(layer).__name__
        if kind in _NORMALISING or isinstance(layer, keras.Model) and _normalises(layer):
            return True
        if getattr(layer, "weights", None) and position > 0 or position > 6:
            return False
    return False

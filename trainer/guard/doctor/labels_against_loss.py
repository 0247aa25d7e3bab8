"""Whether the labels are what the loss expects and the output can reach."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .activation_against_loss import reading_of
from .change import Change, Suspicion
from .pair import Pair, called, certain, few, onto_zero_one, shape_text


def of_labels(pair: Pair) -> Iterator[Suspicion]:
    labels, objective, output, name = pair.labels, pair.objective, pair.output, pair.name
    if not np.isfinite(labels.low):
        return
    family, channels = objective.family, output.channels
    if labels.constant and family != "own" and len(labels.values) > 1:
        yield certain(
            "constant_labels",
            name,
            f"All {len(labels.values)} rows of {name} looked at are the same ({labels.span()}): a constant answer is "
            "right, and nothing else is learned.",
            "Look at how the labels are read: a wrong column, folder or threshold, or a slice of a sorted file.",
        )
        return
    if family == "own" and labels.constant and pair.copies_input is False and labels.classes and objective.adapts:
        return  # labels that stand in for none, for a loss of the model's own
    if family == "sparse":
        yield from _of_class_numbers(pair)
    elif family == "categorical" and channels and channels > 1 and labels.values.ndim >= 2:
        yield from _of_memberships(pair)
    elif family == "binary":
        share = labels.outside(0.0, 1.0)
        counted = labels.low >= 0 and (90 <= labels.high <= 100 or 200 <= labels.high <= 255)  # percent, grey values
        if share and labels.distinct is None and share > 0.01 and not counted:
            yield certain(
                "wrong_loss",
                "loss",
                f"{called(objective)} reads probabilities from 0 to 1, and {name} holds measurements from "
                f"{labels.low:.4g} to {labels.high:.4g}, {share:.0%} of them outside.",
                "Measurements take a loss for them, and an output without activation:\n\n    loss='mean_squared_error'",
                Change(loss="mean_squared_error"),
            )
        elif share > 0.001:
            yield certain(
                "label_range",
                name,
                f"{name} holds {labels.span()}, and {called(objective)} reads 0 and 1: {share:.0%} of the values lie "
                "outside, where the loss has no minimum.",
                onto_zero_one(labels, name),
            )
    elif family == "own" and _interpolated(pair):
        whole = float(np.mean(labels.values == np.round(labels.values)))
        yield certain(
            "label_encoding",
            name,
            f"{whole:.0%} of the values of {name} are whole numbers, as class numbers of {channels} channels are, and "
            f"the others lie between ({labels.span()}): the masks were interpolated, and between two classes lies no "
            "third.",
            "Resize and turn masks with the nearest neighbour: method='nearest', interpolation='nearest', order=0.",
        )
    elif (
        family == "own" and output.activation.name == "sigmoid" and labels.classes and labels.outside(0.0, 1.0) > 0.001
    ):
        if pair.predictions is not None and reading_of(pair) in ("probabilities", "logits"):
            yield certain(
                "label_range",
                name,
                f"{name} holds {labels.span()}, and {output.layer!r} ends in a sigmoid, from 0 to 1: "
                f"{labels.outside(0.0, 1.0):.0%} of the values lie outside.",
                onto_zero_one(labels, name),
            )
    elif family in ("logarithmic", "poisson") and labels.outside(0.0, np.inf) > 0.02:
        below = labels.outside(0.0, np.inf)
        yield certain(
            "wrong_loss",
            "loss",
            f"{below:.0%} of {name} is negative (it holds {labels.span()}), and {called(objective)} "
            + ("cuts labels and predictions off at 0." if family == "logarithmic" else "is for counts, 0 and above."),
            "Measurements of both signs take a loss for them:\n\n    loss='mean_squared_error'",
            Change(loss="mean_squared_error"),
        )
    elif family == "hinge" and labels.classes and not {*labels.distinct} <= {-1.0, 0.0, 1.0}:
        yield certain(
            "label_range",
            name,
            f"{name} holds {labels.span()}, and the hinge loss reads -1 and 1.",
            "Bring the labels to -1 and 1.",
        )
    elif family == "overlap" and labels.outside(0.0, 1.0) > 0.001 and labels.classes:
        yield certain(
            "label_range",
            name,
            f"{name} holds {labels.span()}, and {called(objective)} reads memberships from 0 to 1.",
            onto_zero_one(labels, name),
        )


def _interpolated(pair: Pair) -> bool:
    """Masks of class numbers with fractions between them, for an output with a channel for each class."""
    labels, channels = pair.labels, pair.output.channels or 1
    values = labels.values
    if channels < 2 or labels.whole or values.ndim < 3 or labels.low < 0 or labels.high >= channels:
        return False
    single = values.ndim == len(pair.output.shape) - 1 or values.shape[-1] == 1
    return single and float(np.mean(values == np.round(values))) > 0.5


def _of_class_numbers(pair: Pair) -> Iterator[Suspicion]:
    labels, objective, channels, name = pair.labels, pair.objective, pair.output.channels, pair.name
    shape = pair.output.shape
    if (
        labels.one_hot_axis is not None
        and channels
        and labels.values.ndim == len(shape)
        and labels.shape[-1] == channels > 1
    ):
        yield certain(
            "label_encoding",
            name,
            f"{name} is one-hot, of shape {shape_text(labels.shape)}, and {called(objective)} reads class numbers.",
            "Take the loss for one-hot labels:\n\n    loss='categorical_crossentropy'",
            Change(loss="categorical_crossentropy"),
        )
        return
    if not labels.whole:
        fractions = float(np.mean(labels.values != np.round(labels.values)))
        yield certain(
            "label_encoding",
            name,
            f"{called(objective)} reads class numbers, and {fractions:.0%} of the values of {name} are fractions "
            f"({labels.span()}), which are cut off to the whole number below.",
            "Do not divide class numbers by 255 nor interpolate them: resize masks with the nearest neighbour "
            "(method='nearest'), and map each value to its class.",
        )
        return
    if channels is None or channels == 1:
        return
    outside = [
        value
        for value in labels.distinct or (labels.low, labels.high)
        if (value < 0 or value >= channels) and value != objective.ignored
    ]
    if outside:
        shift = f"labels = labels - {labels.low:g}" if labels.low > 0 and labels.high - labels.low < channels else None
        yield certain(
            "label_range",
            name,
            f"{name} holds {labels.span()}, and {channels} units stand for the classes 0 to {channels - 1}: "
            f"{', '.join(f'{value:g}' for value in outside[:4])} has no unit.",
            f"Count the classes from 0:\n\n    {shift}"
            if shift
            else f"Map the labels to 0 … {channels - 1}, give the output a unit for each class, or leave values out by "
            "ignore_class=… of the loss.",
        )


def _of_memberships(pair: Pair) -> Iterator[Suspicion]:
    labels, objective, channels, name = pair.labels, pair.objective, pair.output.channels, pair.name
    values, shape = labels.values, pair.output.shape
    if values.ndim == len(shape) and values.shape[-1] == channels:
        sums = values.sum(-1)
        wrong = float(np.mean((np.abs(sums - 1) > 0.02) & (np.abs(sums) > 1e-6)))
        empty = float(np.mean(np.abs(sums) <= 1e-6))
        if wrong > 0.01 or (empty > 0.5) or labels.low < -0.01:
            axis = labels.one_hot_axis
            multi = labels.zero_one and axis is None
            yield certain(
                "label_encoding",
                name,
                f"{called(objective)} reads a row of memberships that sum to 1 along the last axis; in {name} the sums "
                f"are {few(sums)}, and the values {labels.span()}."
                + (f" They sum to 1 along axis {axis + values.ndim}." if axis not in (None, -1) else ""),
                "Several classes at once take a sigmoid and the binary loss:\n\n    loss='binary_crossentropy'"
                if multi
                else f"Make one-hot labels of class numbers, with the classes last:\n\n    y = "
                f"keras.utils.to_categorical(y, {channels})",
            )
    elif (
        labels.whole
        and values.ndim in (len(shape), len(shape) - 1)
        and (values.ndim < len(shape) or values.shape[-1] == 1)
    ):
        yield certain(
            "label_encoding",
            name,
            f"{name} holds class numbers ({labels.span()}), of shape {shape_text(labels.shape)}, and "
            f"{called(objective)} reads one-hot rows of {channels}.",
            "Take the loss for class numbers:\n\n    loss='sparse_categorical_crossentropy'",
            Change(loss="sparse_categorical_crossentropy"),
        )

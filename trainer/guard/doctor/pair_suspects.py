"""Suspicions about output, loss and labels that need nothing run but the loss."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np

from .activation import PROBABILITIES
from .activation_against_loss import of_activation
from .change import Change, Suspicion, suspect
from .finding import Finding
from .labels_against_loss import of_labels
from .objective import REGRESSION
from .output import layers_of, softmax_axis
from .pair import Pair, called, certain, made, shape_text


def softmaxes_over_one(model: keras.Model) -> Iterator[Suspicion]:
    """Every softmax of the model along an axis of size 1."""
    seen = set()
    for layer in layers_of(model):
        axis = softmax_axis(layer)
        shape = _output_shape(layer)
        if axis is None or shape is None or layer.name in seen or len(shape) < abs(axis):
            continue
        if shape[axis] == 1:
            seen.add(layer.name)
            yield certain(
                "softmax_over_one_unit",
                layer.name,
                f"The softmax of {layer.name!r} runs over an axis of size 1 (its output is {shape_text(shape)}), and "
                "one number divided by itself is 1, whatever comes in.",
                f"For two classes let one unit pass through a sigmoid:\n\n    {made(layer, 'sigmoid')}\n\n"
                "For more, give the layer as many units as there are classes.",
                Change({layer.name: {"activation": "sigmoid"}}) if hasattr(layer, "activation") else None,
            )


def suspicions(pair: Pair) -> list[Suspicion]:
    """The faults in how a pair's output, loss and labels fit together; certain ones first."""
    found = [*of_labels(pair)]
    spoilt = {suspicion.finding.kind for suspicion in found if suspicion.certain}
    found += _of_one_unit(pair)
    if not spoilt & {"wrong_loss"}:
        found += of_activation(pair, spoilt)
    if not spoilt:
        found += _of_task(pair)
    found += _of_dropout(pair)
    return found


def _of_one_unit(pair: Pair) -> Iterator[Suspicion]:
    family, output = pair.objective.family, pair.output
    if family == "cosine" and output.channels == 1 and len(output.shape) >= 2 and pair.objective.axis in (-1, None):
        yield certain(
            "wrong_loss",
            "loss",
            f"{called(pair.objective)} compares directions along the last axis, and the output has one unit: the "
            "cosine between two single numbers is 1 or -1, with a gradient of 0.",
            "Single numbers take a loss of their distance:\n\n    loss='mean_squared_error'",
            Change(loss="mean_squared_error"),
        )
        return
    if family not in ("categorical", "sparse", "divergence") or output.channels != 1 or len(output.shape) < 2:
        return
    if family == "divergence" and not pair.labels.classes:
        return
    yield certain(
        "categorical_loss_on_one_unit",
        "loss",
        f"{called(pair.objective)} compares classes with each other, and the output has one unit: the loss is the same "
        "whatever it predicts.",
        "For two classes with one sigmoid unit:\n\n    loss='binary_crossentropy'",
        Change(loss="binary_crossentropy"),
    )


def _of_task(pair: Pair) -> Iterator[Suspicion]:
    """A regression loss on classes."""
    objective, output, labels = pair.objective, pair.output, pair.labels
    family, act = objective.family, output.activation
    if family == "percentage" and not labels.classes and np.isfinite(labels.values).all():
        size = np.abs(labels.values)
        usual = float(np.sqrt((size**2).mean()))
        small = float(np.mean(size < 0.05 * usual))
        if small > 0.02 and (labels.low < 0 or size.min() < 0.01 * usual):
            yield suspect(
                "wrong_loss",
                "loss",
                f"{called(objective)} divides by the label, and {small:.0%} of {pair.name} lie within a twentieth "
                f"of their size from 0 ({labels.span()}): those alone make up the loss.",
                "Measurements around 0 take a loss without a division:\n\n    loss='mean_squared_error'",
                Change(loss="mean_squared_error"),
            )
    if pair.copies_input or not labels.classes:
        return
    several = labels.one_hot_axis == -1 and (output.channels or 0) > 1
    member = labels.zero_one and len(labels.distinct) == 2
    if not member:
        return
    fit = "categorical_crossentropy" if several and act.name != "sigmoid" else "binary_crossentropy"
    probable = act.name in PROBABILITIES
    if family in ("percentage", "poisson") or (family == "absolute" and probable):
        why = {
            "percentage": f"divides by the label, and {np.mean(labels.values == 0):.0%} of the labels are 0",
            "poisson": "is for counts",
            "absolute": "is least for the most frequent class, and pulls no harder where a prediction is quite wrong",
        }[family]
        change = Change(loss=fit)
        if not probable and output.layer:
            change = change | Change({output.layer: {"activation": "softmax" if several else "sigmoid"}})
        yield certain(
            "wrong_loss",
            "loss",
            f"{pair.name} holds classes ({labels.span()}), and {called(objective)} {why}.",
            f"Classes take a cross-entropy:\n\n    loss='{fit}'",
            change,
        )
    elif family in (*REGRESSION, "hinge", "categorical_hinge", "cosine") and probable:
        yield Suspicion(
            Finding(
                "wrong_loss",
                "loss",
                f"{pair.name} holds classes ({labels.span()}), {output.layer!r} ends in {act.name}, and "
                f"{called(objective)} is a loss for measurements.",
                f"Classes take a cross-entropy:\n\n    loss='{fit}'",
            ),
            Change(loss=fit),
            strong=False,
        )


def _of_dropout(pair: Pair) -> Iterator[Suspicion]:
    for name, rate in pair.output.dropout:
        if rate > 0:
            yield certain(
                "dropout_on_output",
                name,
                f"{name!r} comes after the last weights and sets {rate:.0%} of the output itself to zero at each step: "
                "of what the loss compares with the labels only the rest is the model's.",
                "Dropout belongs between the layers before the output: leave this one out.",
                Change({name: {"rate": 0.0}}),
            )


def _output_shape(layer) -> tuple | None:
    try:
        return tuple(layer.output.shape)
    except (AttributeError, ValueError):  # never called, or called several times
        try:
            return tuple(layer.compute_output_shape(layer.input.shape))
        except Exception:  # a wrapped layer, or a user's own, without a symbolic input
            return (None, getattr(layer, "units", None)) if hasattr(layer, "units") else None

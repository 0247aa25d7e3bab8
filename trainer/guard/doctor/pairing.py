"""Output against loss against labels: what can be read without running anything but the loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import keras
import numpy as np

from .activation import PROBABILITIES
from .change import Change, Suspicion
from .finding import Finding
from .labels import Labels
from .objective import CROSS_ENTROPIES, REGRESSION, Objective, reads
from .output import Output, layers_of, softmax_axis

_PLAIN = {
    "binary": "binary_crossentropy",
    "categorical": "categorical_crossentropy",
    "sparse": "sparse_categorical_crossentropy",
}
_FIT = {"binary": "sigmoid", "categorical": "softmax", "sparse": "softmax"}


@dataclasses.dataclass(frozen=True)
class Pair:
    """An output of the model with its loss, its labels and what the model predicts for a batch.

    Attributes:
      output, objective, labels: as they were read.
      name: what the labels are called: `y`, or `y['mask']`.
      predictions: of the untrained model for a batch, or None.
      corrected: whether Keras takes the scores from behind a final softmax or sigmoid by itself.
      copies_input: whether the labels are the inputs, as in an autoencoder.
    """

    output: Output
    objective: Objective
    labels: Labels
    name: str = "y"
    predictions: np.ndarray | None = None
    corrected: bool = True
    copies_input: bool = False


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
            yield _certain(
                "softmax_over_one_unit",
                layer.name,
                f"The softmax of {layer.name!r} runs over an axis of size 1 (its output is {_shape(shape)}), and one "
                f"number "
                "divided by itself is 1, whatever comes in.",
                f"For two classes let one unit pass through a sigmoid:\n\n    {_made(layer, 'sigmoid')}\n\n"
                "For more, give the layer as many units as there are classes.",
                Change({layer.name: {"activation": "sigmoid"}}) if hasattr(layer, "activation") else None,
            )


def suspicions(pair: Pair) -> list[Suspicion]:
    """The faults in how output, loss and labels of a pair go together; certain ones first."""
    found = [*_of_labels(pair)]
    spoilt = {suspicion.finding.kind for suspicion in found if suspicion.certain}
    found += _of_one_unit(pair)
    if not spoilt & {"wrong_loss"}:
        found += _of_activation(pair, spoilt)
    if not spoilt:
        found += _of_task(pair)
    found += _of_dropout(pair)
    return found


def _of_labels(pair: Pair) -> Iterator[Suspicion]:
    labels, objective, output, name = pair.labels, pair.objective, pair.output, pair.name
    if not np.isfinite(labels.low):
        return
    family, channels = objective.family, output.channels
    if labels.constant and family != "own" and len(labels.values) > 1:
        yield _certain(
            "constant_labels",
            name,
            f"All {len(labels.values)} rows of {name} looked at are the same ({labels.span()}): a constant answer is "
            f"right, "
            "and nothing else is learned.",
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
        if share and labels.distinct is None and share > 0.01:
            yield _certain(
                "wrong_loss",
                "loss",
                f"{_called(objective)} reads probabilities from 0 to 1, and {name} holds measurements from "
                f"{labels.low:.4g} to {labels.high:.4g}, {share:.0%} of them outside.",
                "Measurements take a loss for them, and an output without activation:\n\n    loss='mean_squared_error'",
                Change(loss="mean_squared_error"),
            )
        elif share > 0.001:
            yield _certain(
                "label_range",
                name,
                f"{name} holds {labels.span()}, and {_called(objective)} reads 0 and 1: {share:.0%} of the values "
                f"lie outside, "
                "where the loss has no minimum.",
                _onto_zero_one(labels, name),
            )
    elif (
        family == "own" and output.activation.name == "sigmoid" and labels.classes and labels.outside(0.0, 1.0) > 0.001
    ):
        if pair.predictions is not None and _reading(pair) in ("probabilities", "logits"):
            yield _certain(
                "label_range",
                name,
                f"{name} holds {labels.span()}, and {output.layer!r} ends in a sigmoid, from 0 to 1: "
                f"{labels.outside(0.0, 1.0):.0%} of the values lie outside.",
                _onto_zero_one(labels, name),
            )
    elif family in ("logarithmic", "poisson") and labels.outside(0.0, np.inf) > 0.02:
        below = labels.outside(0.0, np.inf)
        yield _certain(
            "wrong_loss",
            "loss",
            f"{below:.0%} of {name} is negative (it holds {labels.span()}), and {_called(objective)} "
            + ("cuts labels and predictions off at 0." if family == "logarithmic" else "is for counts, 0 and above."),
            "Measurements of both signs take a loss for them:\n\n    loss='mean_squared_error'",
            Change(loss="mean_squared_error"),
        )
    elif family == "hinge" and labels.classes and not {*labels.distinct} <= {-1.0, 0.0, 1.0}:
        yield _certain(
            "label_range",
            name,
            f"{name} holds {labels.span()}, and the hinge loss reads -1 and 1.",
            "Bring the labels to -1 and 1.",
        )
    elif family == "overlap" and labels.outside(0.0, 1.0) > 0.001 and labels.classes:
        yield _certain(
            "label_range",
            name,
            f"{name} holds {labels.span()}, and {_called(objective)} reads memberships from 0 to 1.",
            _onto_zero_one(labels, name),
        )


def _of_class_numbers(pair: Pair) -> Iterator[Suspicion]:
    labels, objective, channels, name = pair.labels, pair.objective, pair.output.channels, pair.name
    shape = pair.output.shape
    if (
        labels.one_hot_axis is not None
        and channels
        and labels.values.ndim == len(shape)
        and labels.shape[-1] == channels > 1
    ):
        yield _certain(
            "label_encoding",
            name,
            f"{name} is one-hot, of shape {_shape(labels.shape)}, and {_called(objective)} reads class numbers.",
            "Take the loss for one-hot labels:\n\n    loss='categorical_crossentropy'",
            Change(loss="categorical_crossentropy"),
        )
        return
    if not labels.whole:
        fractions = float(np.mean(labels.values != np.round(labels.values)))
        yield _certain(
            "label_encoding",
            name,
            f"{_called(objective)} reads class numbers, and {fractions:.0%} of the values of {name} are fractions "
            f"({labels.span()}), "
            "which are cut off to the whole number below.",
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
        yield _certain(
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
            yield _certain(
                "label_encoding",
                name,
                f"{_called(objective)} reads a row of memberships that sum to 1 along the last axis; in {name} the "
                f"sums "
                f"are {_few(sums)}, and the values {labels.span()}."
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
        yield _certain(
            "label_encoding",
            name,
            f"{name} holds class numbers ({labels.span()}), of shape {_shape(labels.shape)}, and "
            f"{_called(objective)} reads "
            f"one-hot rows of {channels}.",
            "Take the loss for class numbers:\n\n    loss='sparse_categorical_crossentropy'",
            Change(loss="sparse_categorical_crossentropy"),
        )


def _of_one_unit(pair: Pair) -> Iterator[Suspicion]:
    family, output = pair.objective.family, pair.output
    if family == "cosine" and output.channels == 1 and len(output.shape) >= 2 and pair.objective.axis in (-1, None):
        yield _certain(
            "wrong_loss",
            "loss",
            f"{_called(pair.objective)} compares directions along the last axis, and the output has one unit: the "
            f"cosine "
            "between two single numbers is 1 or -1, with a gradient of 0.",
            "Single numbers take a loss of their distance:\n\n    loss='mean_squared_error'",
            Change(loss="mean_squared_error"),
        )
        return
    if family not in ("categorical", "sparse", "divergence") or output.channels != 1 or len(output.shape) < 2:
        return
    if family == "divergence" and not pair.labels.classes:
        return
    yield _certain(
        "categorical_loss_on_one_unit",
        "loss",
        f"{_called(pair.objective)} compares classes with each other, and the output has one unit: the loss is the "
        f"same "
        "whatever it predicts.",
        "For two classes with one sigmoid unit:\n\n    loss='binary_crossentropy'",
        Change(loss="binary_crossentropy"),
    )


def _of_activation(pair: Pair, spoilt: set[str]) -> Iterator[Suspicion]:
    objective, output, labels = pair.objective, pair.output, pair.labels
    family, act, layer = objective.family, output.activation, output.layer
    if not output.known or layer is None or (output.channels == 1 and act.name == "softmax"):
        return
    if family == "own":
        yield from _of_own_loss(pair)
        return
    if family in CROSS_ENTROPIES and not (family in ("categorical", "sparse") and output.channels == 1):
        if objective.from_logits:
            yield from _of_logits(pair)
        elif act.name not in PROBABILITIES and not (act.name == "other" and act.low >= -0.01 and act.high <= 1.01):
            yield from _of_scores(pair)
        elif act.name == "softmax" and output.axis != -1 and family != "binary":
            yield _certain(
                "softmax_axis",
                layer,
                f"The softmax of {layer!r} runs over axis {output.axis} of {_shape(output.shape)}, and the loss reads "
                "classes along the last axis.",
                "Let the softmax run over the last axis, and keep the classes there.",
            )
        elif act.name == "sigmoid" and family in ("categorical", "sparse") and output.channels > 1:
            yield Suspicion(
                Finding(
                    "wrong_output_activation",
                    layer,
                    f"{layer!r} gives {output.channels} independent probabilities (sigmoid), and {_called(objective)} "
                    "reads one distribution over them.",
                    f"Of several classes one is right: softmax.\n\n    {_made(output.units_layer, 'softmax')}",
                ),
                Change({layer: {"activation": "softmax"}}),
                strong=False,
            )
        elif act.name == "softmax" and family == "binary" and labels.zero_one and labels.one_hot_axis is None:
            sums = labels.values.sum(-1)
            if labels.values.ndim == len(output.shape) and float(np.mean(sums > 1)) > 0.01:
                yield _certain(
                    "output_range",
                    layer,
                    f"The softmax of {layer!r} sums to 1, and rows of {pair.name} sum to {_few(sums)}: two classes "
                    f"at once "
                    "are out of its reach.",
                    f"Labels that do not exclude each other take a sigmoid:\n\n    "
                    f"{_made(output.units_layer, 'sigmoid')}",
                    Change({layer: {"activation": "sigmoid"}}),
                )
    elif family in (*REGRESSION, "cosine", "overlap", "hinge", "categorical_hinge") and not spoilt:
        yield from _of_range(pair)


def _of_scores(pair: Pair) -> Iterator[Suspicion]:
    """A cross-entropy that reads probabilities, and an output that is none."""
    objective, output, act = pair.objective, pair.output, pair.output.activation
    layer, fit = output.layer, _FIT[objective.family]
    if objective.family == "binary" and output.channels and output.channels > 1 and pair.labels.one_hot_axis == -1:
        fit = "softmax"
    change = Change({layer: {"activation": fit}}) if hasattr(output.units_layer, "activation") else None
    if layer != output.weights and change:
        change = Change({layer: {"activation": fit}}) if _is_activation_layer(pair, layer) else None
    remedy = (
        f"Let {fit} make probabilities of them:\n\n    {_made(output.units_layer, fit)}\n\n"
        f"or say to the loss that it gets scores: {_class_name(objective)}(from_logits=True), with no activation."
    )
    numbers = _numbers(pair)
    if act.name == "linear":
        yield _certain(
            "missing_output_activation",
            layer,
            f"{layer!r} has no activation: its {output.channels} output(s) may be any number{numbers}, and "
            f"{_called(objective)} reads probabilities; it clips them to 0…1, where no gradient passes.",
            remedy,
            change,
        )
    elif act.name in ("relu", "relu6"):
        yield _certain(
            "relu_output",
            layer,
            f"{layer!r} ends in {act.name}: 0 for half of all inputs, where no gradient passes, and beyond 1 for others"
            f"{numbers}; {_called(objective)} reads probabilities.",
            remedy,
            change,
        )
    else:
        yield _certain(
            "output_range",
            layer,
            f"{layer!r} ends in {act.name}, {_span(act)}{numbers}, and {_called(objective)} reads probabilities from "
            f"0 to 1.",
            remedy,
            change,
        )


def _of_logits(pair: Pair) -> Iterator[Suspicion]:
    """A loss that takes scores, and an output that is not any number."""
    objective, output, act = pair.objective, pair.output, pair.output.activation
    layer = output.layer
    if act.name in PROBABILITIES or (act.name == "other" and act.low >= -0.01 and act.high <= 1.01):
        if pair.corrected:
            return
        squash = "sigmoid" if objective.family == "binary" else "softmax"
        behind = f", behind which {', '.join(map(repr, output.after))} hides it from Keras" if output.after else ""
        yield _certain(
            "activation_with_from_logits",
            "loss",
            f"{layer!r} ends in {act.name}{behind}, and the loss has from_logits=True: it applies {squash} once "
            f"more, to values "
            "between 0 and 1, and no prediction gets beyond "
            + (
                "sigmoid(1) = 0.73 or below sigmoid(0) = 0.5."
                if squash == "sigmoid"
                else f"e / (e + {max(1, (output.channels or 2) - 1)}) = "
                f"{np.e / (np.e + max(1, (output.channels or 2) - 1)):.2f}."
            ),
            f"Leave one of the two out:\n\n    loss={_class_name(objective)}(from_logits=False)",
            Change(loss=_PLAIN[objective.family]),
        )
    elif act.name in ("relu", "relu6", "tanh", "hard_tanh", "softsign", "softplus", "exponential"):
        kind = "relu_output" if act.name in ("relu", "relu6") else "output_range"
        yield Suspicion(
            Finding(
                kind,
                layer,
                f"{layer!r} ends in {act.name}, {_span(act)}, and the loss has from_logits=True: a score has to be "
                f"able "
                "to take any value.",
                f"Leave the activation of {layer!r} out.",
            ),
            Change({layer: {"activation": "linear"}}),
        )


def _of_own_loss(pair: Pair) -> Iterator[Suspicion]:
    output, act = pair.output, pair.output.activation
    if pair.labels.outside(0.0, 1.0) > 0.001 and not pair.labels.classes:
        return
    reading = _reading(pair)
    name = pair.objective.name
    squashed = act.name in PROBABILITIES or (act.name == "other" and act.low >= -0.01 and act.high <= 1.01)
    if reading == "probabilities" and not squashed:
        kind = {"linear": "missing_output_activation", "relu": "relu_output", "relu6": "relu_output"}.get(
            act.name, "output_range"
        )
        fit = "softmax" if pair.labels.one_hot_axis == -1 or not pair.labels.zero_one else "sigmoid"
        yield _certain(
            kind,
            output.layer,
            f"{name} is best where predictions equal labels of 0 and 1 and does not object to values beyond: it reads "
            f"probabilities. {output.layer!r} ends in {'no activation' if act.name == 'linear' else act.name}, "
            f"{_span(act)}{_numbers(pair)}.",
            f"Let {fit} make probabilities of them:\n\n    {_made(output.units_layer, fit)}",
            Change({output.layer: {"activation": fit}}) if output.layer == output.weights else None,
        )
    elif reading == "logits" and squashed and not (pair.corrected and not output.after and _uses_keras(pair)):
        yield _certain(
            "activation_with_from_logits",
            "loss",
            f"{name} gets better the further predictions go beyond 0…1: it takes them for scores. {output.layer!r} "
            f"ends in {act.name} already, so that they are squashed twice.",
            f"Leave the activation of {output.layer!r} out, or the one in {name}.",
            Change({output.layer: {"activation": "linear"}}) if output.layer == output.weights else None,
        )


def _of_range(pair: Pair) -> Iterator[Suspicion]:
    """A regression (or hinge, or overlap) loss whose targets the output's activation cannot reach."""
    output, labels, act = pair.output, pair.labels, pair.output.activation
    low, high = act.low, act.high
    if act.name == "linear" or not np.isfinite([low, high]).any():
        return
    if pair.objective.family == "hinge" and labels.zero_one:
        labels = dataclasses.replace(labels, values=2 * labels.values - 1, low=-1.0, distinct=(-1.0, 1.0))
    share = labels.outside(low, high)
    if share < 0.02:
        return
    if (
        labels.classes
        and labels.distinct is not None
        and len(labels.distinct) <= 12
        and act.name == "sigmoid"
        and (pair.objective.family in ("squared", "absolute", "overlap", "robust", "percentage"))
    ):
        kind, where = "label_range", pair.name
    else:
        kind, where = "output_range", output.layer
    yield _certain(
        kind,
        where,
        f"{output.layer!r} ends in {act.name}, {_span(act)}, and {pair.name} holds {labels.span()}: {share:.0%} of "
        f"the targets are out "
        "of its reach.",
        _onto_zero_one(labels, pair.name)
        if kind == "label_range"
        else f"An output for targets of any size has no activation:\n\n    {_made(output.units_layer, None)}\n\n"
        "or bring the targets into its range.",
        Change({output.layer: {"activation": "linear"}}) if output.layer == output.weights else None,
    )


def _of_task(pair: Pair) -> Iterator[Suspicion]:
    """A regression loss on classes."""
    objective, output, labels = pair.objective, pair.output, pair.labels
    family, act = objective.family, output.activation
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
        yield _certain(
            "wrong_loss",
            "loss",
            f"{pair.name} holds classes ({labels.span()}), and {_called(objective)} {why}.",
            f"Classes take a cross-entropy:\n\n    loss='{fit}'",
            change,
        )
    elif family in (*REGRESSION, "hinge", "categorical_hinge", "cosine") and probable:
        yield Suspicion(
            Finding(
                "wrong_loss",
                "loss",
                f"{pair.name} holds classes ({labels.span()}), {output.layer!r} ends in {act.name}, and "
                f"{_called(objective)} is a loss for measurements.",
                f"Classes take a cross-entropy:\n\n    loss='{fit}'",
            ),
            Change(loss=fit),
            strong=False,
        )


def _of_dropout(pair: Pair) -> Iterator[Suspicion]:
    for name, rate in pair.output.dropout:
        if rate > 0:
            yield _certain(
                "dropout_on_output",
                name,
                f"{name!r} comes after the last weights and sets {rate:.0%} of the output itself to zero at each "
                f"step: of what "
                "the loss compares with the labels only the rest is the model's.",
                "Dropout belongs between the layers before the output: leave this one out.",
                Change({name: {"rate": 0.0}}),
            )


def _reading(pair: Pair) -> str | None:
    """What a home-made loss takes predictions for; asked with the labels in the shape of the predictions."""
    values, predicted = pair.labels.values, pair.predictions
    if predicted is None or not np.isfinite(values).all():
        return None
    values = values[: min(len(values), 64)].astype("float32")
    known = pair.labels.distinct
    own = predicted.shape[-1] == 1 or values.shape[1:] == predicted.shape[1:]
    two = own and known is not None and len(known) == 2 and not pair.labels.zero_one
    if two:  # what it reads is asked with 0 and 1
        values = (values - known[0]) / (known[1] - known[0])
    shape = (len(values), *predicted.shape[1:])
    if values.shape == shape and values.min() >= 0 and values.max() <= 1:
        template = values
    elif values.shape == shape[:-1] and shape[-1] == 1 and values.max() <= 1 and values.min() >= 0:
        template = values[..., None]
    elif pair.labels.classes and shape[-1] > 1 and pair.labels.low >= 0 and pair.labels.high < shape[-1]:
        ids = values[..., 0] if values.ndim == len(shape) and values.shape[-1] == 1 else values
        if ids.shape != shape[:-1]:
            return None
        template = np.eye(shape[-1], dtype="float32")[ids.astype(int)]
    else:
        return None
    if template.min() == template.max():
        return None
    labels = values if two else pair.labels.values[: len(values)]
    labels = labels.astype("float32") if labels.dtype.kind == "f" else labels
    return reads(pair.objective, labels, template)


def _uses_keras(pair: Pair) -> bool:
    """Whether a home-made loss hands its predictions to Keras's own, which looks behind the last activation."""
    code = getattr(pair.objective.function, "__code__", None) or getattr(
        getattr(type(pair.objective.function), "call", None), "__code__", None
    )
    return code is not None and any("crossentropy" in name.lower() for name in code.co_names)


def _is_activation_layer(pair: Pair, name: str) -> bool:
    return pair.output.layer == name and name not in pair.output.after


def _certain(kind, where, evidence, remedy, change: Change | None = None) -> Suspicion:
    return Suspicion(Finding(kind, where, evidence, remedy), change, certain=True)


def _output_shape(layer) -> tuple | None:
    try:
        return tuple(layer.output.shape)
    except (AttributeError, ValueError):  # never called, or called several times
        try:
            return tuple(layer.compute_output_shape(layer.input.shape))
        except Exception:  # a wrapped layer, or one of the user's own, without a symbolic input
            return (None, getattr(layer, "units", None)) if hasattr(layer, "units") else None


def _made(layer, activation: str | None) -> str:
    """A layer of a user's, written with another activation."""
    kind = type(layer).__name__ if layer is not None else "Dense"
    size = getattr(layer, "units", None) or getattr(layer, "filters", None)
    size = "…" if size is None else size
    if kind in ("Activation", "Softmax", "ReLU"):
        return f"keras.layers.Activation({activation!r})"
    last = f", activation={activation!r}" if activation else ""
    return f"keras.layers.{kind}({size}, …{last})"


def _called(objective: Objective) -> str:
    return objective.name


def _class_name(objective: Objective) -> str:
    return {
        "binary": "keras.losses.BinaryCrossentropy",
        "categorical": "keras.losses.CategoricalCrossentropy",
        "sparse": "keras.losses.SparseCategoricalCrossentropy",
    }[objective.family]


def _onto_zero_one(labels: Labels, name: str) -> str:
    if labels.distinct is not None and len(labels.distinct) == 2:
        low, high = labels.distinct
        return f"Bring them to 0 and 1:\n\n    {name} = ({name} - {low:g}) / {high - low:g}"
    if labels.distinct is not None and len(labels.distinct) <= 32:
        count = len(labels.distinct)
        return (
            f"For {count} classes, {count} units with a softmax, class numbers from 0 and\n\n"
            "    loss='sparse_categorical_crossentropy'"
        )
    return f"Bring them to 0…1:\n\n    {name} = {name} / {labels.high:g}"


def _span(act) -> str:
    if act.bounded:
        return f"from {act.low:.3g} to {act.high:.3g}"
    if np.isfinite(act.low):
        return f"from {act.low:.3g} upwards"
    return f"up to {act.high:.3g}" if np.isfinite(act.high) else "any number"


def _numbers(pair: Pair) -> str:
    if pair.predictions is None or not np.isfinite(pair.predictions).all():
        return ""
    return f" (for a batch now {pair.predictions.min():.3g} to {pair.predictions.max():.3g})"


def _few(values: np.ndarray) -> str:
    found = np.unique(np.round(values, 3))
    return ", ".join(f"{v:g}" for v in found) if len(found) <= 4 else f"{found[0]:g} to {found[-1]:g}"


def _shape(shape) -> str:
    return str(tuple(shape)).replace("None", "batch", 1)

"""Whether the output's activation fits what the loss expects."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from .activation import PROBABILITIES, reach
from .change import Change, Suspicion
from .finding import Finding
from .objective import CROSS_ENTROPIES, REGRESSION, reads
from .pair import Pair, called, certain, class_name, few, made, numbers_of, onto_zero_one, shape_text, span

_PLAIN = {
    "binary": "binary_crossentropy",
    "categorical": "categorical_crossentropy",
    "sparse": "sparse_categorical_crossentropy",
}
_FIT = {"binary": "sigmoid", "categorical": "softmax", "sparse": "softmax", "divergence": "softmax"}


def of_activation(pair: Pair, spoilt: set[str]) -> Iterator[Suspicion]:
    objective, output, labels = pair.objective, pair.output, pair.labels
    family, act, layer = objective.family, output.activation, output.layer
    if not output.known or layer is None or (output.channels == 1 and act.name == "softmax"):
        return
    if not spoilt and (twice := list(_of_two_activations(pair))):
        yield from twice
        return
    if family == "own":
        yield from _of_own_loss(pair)
        return
    reads_shares = family in CROSS_ENTROPIES or family in ("overlap", "divergence") and _shares(pair)
    if reads_shares and not (family in ("categorical", "sparse", "divergence") and output.channels == 1):
        if objective.from_logits:
            yield from _of_logits(pair)
        elif act.name not in PROBABILITIES and not (act.name == "other" and act.low >= -0.01 and act.high <= 1.01):
            yield from _of_scores(pair)
        elif act.name == "softmax" and output.axis != -1 and family not in ("binary", "overlap"):
            yield certain(
                "softmax_axis",
                layer,
                f"The softmax of {layer!r} runs over axis {output.axis} of {shape_text(output.shape)}, and the loss "
                "reads classes along the last axis.",
                "Let the softmax run over the last axis, and keep the classes there.",
            )
        elif act.name == "sigmoid" and family in ("categorical", "sparse") and output.channels > 1:
            yield Suspicion(
                Finding(
                    "wrong_output_activation",
                    layer,
                    f"{layer!r} gives {output.channels} independent probabilities (sigmoid), and {called(objective)} "
                    "reads one distribution over them.",
                    f"Of several classes one is right: softmax.\n\n    {made(output.units_layer, 'softmax')}",
                ),
                Change({layer: {"activation": "softmax"}}),
                strong=False,
            )
        elif act.name == "softmax" and family == "binary" and labels.zero_one and labels.one_hot_axis is None:
            sums = labels.values.sum(-1)
            if labels.values.ndim == len(output.shape) and float(np.mean(sums > 1)) > 0.01:
                yield certain(
                    "output_range",
                    layer,
                    f"The softmax of {layer!r} sums to 1, and rows of {pair.name} sum to {few(sums)}: two classes at "
                    "once are out of its reach.",
                    f"Labels that do not exclude each other take a sigmoid:\n\n    "
                    f"{made(output.units_layer, 'sigmoid')}",
                    Change({layer: {"activation": "sigmoid"}}),
                )
    elif family in (*REGRESSION, "cosine", "overlap", "hinge", "categorical_hinge") and not spoilt:
        yield from _of_range(pair)


def _shares(pair: Pair) -> bool:
    """Whether the labels of an overlap or a divergence are memberships or distributions, as predictions must be."""
    values = pair.labels.values
    if not np.isfinite(values).all() or pair.labels.outside(0.0, 1.0) > 0:
        return False
    return pair.objective.family == "overlap" or values.ndim > 1 and bool(np.allclose(values.sum(-1), 1, atol=0.02))


def _of_two_activations(pair: Pair) -> Iterator[Suspicion]:
    """An activation applied to values already squashed by another: most of its own range is out of reach."""
    output, act, labels = pair.output, pair.output.activation, pair.labels
    inner = output.inner
    if act.name not in PROBABILITIES or inner.name == "linear" or not (np.isfinite(inner.low) or inner.bounded):
        return
    low, high = reach(act, inner, output.channels)
    if labels.outside(0.0, 1.0) > 0.001 and pair.objective.family != "sparse":
        return
    least, most = (0.0, 1.0) if pair.objective.family == "sparse" or labels.classes else (labels.low, labels.high)
    if low <= least + 0.1 and high >= most - 0.1 or pair.objective.from_logits:
        return
    where = tuple(dict.fromkeys((output.inner_layer, output.layer)))
    change = Change({output.inner_layer: {"activation": "linear"}}) if output.inner_layer == output.weights else None
    yield certain(
        "relu_output" if inner.name in ("relu", "relu6") else "output_range",
        where if len(where) > 1 else where[0],
        f"{output.inner_layer!r} ends in {inner.name}, {span(inner)}, and {act.name} comes after it: no prediction "
        f"gets below {low:.2g} or beyond {high:.2g}, and {pair.name} holds {labels.span()}.",
        f"One activation is enough: leave the {inner.name} of {output.inner_layer!r} out.",
        change,
    )


def _of_scores(pair: Pair) -> Iterator[Suspicion]:
    """A loss that expects probabilities, and an output that is something else."""
    objective, output, act = pair.objective, pair.output, pair.output.activation
    layer, fit = output.layer, _FIT.get(objective.family)
    if fit is None:  # an overlap
        fit = "softmax" if pair.labels.one_hot_axis == -1 and (output.channels or 1) > 1 else "sigmoid"
    if objective.family == "binary" and output.channels and output.channels > 1 and pair.labels.one_hot_axis == -1:
        fit = "softmax"
    change = Change({layer: {"activation": fit}}) if hasattr(output.units_layer, "activation") else None
    if layer != output.weights and change:
        change = Change({layer: {"activation": fit}}) if _is_activation_layer(pair, layer) else None
    remedy = f"Let {fit} make probabilities of them:\n\n    {made(output.units_layer, fit)}" + (
        f"\n\nor tell the loss that it gets scores: {class_name(objective)}(from_logits=True), with no activation."
        if objective.family in CROSS_ENTROPIES
        else ""
    )
    numbers = numbers_of(pair)
    if act.name == "linear":
        yield certain(
            "missing_output_activation",
            layer,
            f"{layer!r} has no activation: its {output.channels} output(s) may be any number{numbers}, and "
            f"{called(objective)} reads probabilities; "
            + (
                "negative ones and those beyond 1 have no meaning to it."
                if objective.family == "overlap"
                else "it clips them to 0…1, where no gradient passes."
            ),
            remedy,
            change,
        )
    elif act.name in ("relu", "relu6"):
        yield certain(
            "relu_output",
            layer,
            f"{layer!r} ends in {act.name}: 0 for half of all inputs, where no gradient passes, and beyond 1 for others"
            f"{numbers}; {called(objective)} reads probabilities.",
            remedy,
            change,
        )
    else:
        yield certain(
            "output_range",
            layer,
            f"{layer!r} ends in {act.name}, {span(act)}{numbers}, and {called(objective)} reads probabilities from "
            f"0 to 1.",
            remedy,
            change,
        )


def _of_logits(pair: Pair) -> Iterator[Suspicion]:
    """A loss that expects scores (any number), and an output with a limited range."""
    objective, output, act = pair.objective, pair.output, pair.output.activation
    layer = output.layer
    if act.name in PROBABILITIES or (act.name == "other" and act.low >= -0.01 and act.high <= 1.01):
        if pair.corrected:
            return
        squash = "sigmoid" if objective.family == "binary" else "softmax"
        behind = f", behind which {', '.join(map(repr, output.after))} hides it from Keras" if output.after else ""
        yield certain(
            "activation_with_from_logits",
            "loss",
            f"{layer!r} ends in {act.name}{behind}, and the loss has from_logits=True: it applies {squash} once more, "
            "to values between 0 and 1, and no prediction gets beyond "
            + (
                "sigmoid(1) = 0.73 or below sigmoid(0) = 0.5."
                if squash == "sigmoid"
                else f"e / (e + {max(1, (output.channels or 2) - 1)}) = "
                f"{np.e / (np.e + max(1, (output.channels or 2) - 1)):.2f}."
            ),
            f"Leave one of the two out:\n\n    loss={class_name(objective)}(from_logits=False)",
            Change(loss=_PLAIN[objective.family]),
        )
    elif act.name in ("relu", "relu6", "tanh", "hard_tanh", "softsign", "softplus", "exponential"):
        kind = "relu_output" if act.name in ("relu", "relu6") else "output_range"
        yield Suspicion(
            Finding(
                kind,
                layer,
                f"{layer!r} ends in {act.name}, {span(act)}, and the loss has from_logits=True: a score has to be able "
                "to take any value.",
                f"Leave the activation of {layer!r} out.",
            ),
            Change({layer: {"activation": "linear"}}),
        )


def _of_own_loss(pair: Pair) -> Iterator[Suspicion]:
    output, act = pair.output, pair.output.activation
    if pair.labels.outside(0.0, 1.0) > 0.001 and not pair.labels.classes:
        return
    reading = reading_of(pair)
    name = pair.objective.name
    squashed = act.name in PROBABILITIES or (act.name == "other" and act.low >= -0.01 and act.high <= 1.01)
    if reading == "probabilities" and not squashed:
        kind = {"linear": "missing_output_activation", "relu": "relu_output", "relu6": "relu_output"}.get(
            act.name, "output_range"
        )
        fit = "softmax" if pair.labels.one_hot_axis == -1 or not pair.labels.zero_one else "sigmoid"
        yield certain(
            kind,
            output.layer,
            f"{name} is best where predictions equal labels of 0 and 1 and does not object to values beyond: it reads "
            f"probabilities. {output.layer!r} ends in {'no activation' if act.name == 'linear' else act.name}, "
            f"{span(act)}{numbers_of(pair)}.",
            f"Let {fit} make probabilities of them:\n\n    {made(output.units_layer, fit)}",
            Change({output.layer: {"activation": fit}}) if output.layer == output.weights else None,
        )
    elif reading == "logits" and squashed and not (pair.corrected and not output.after and _uses_keras(pair)):
        yield certain(
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
    if act.name == "softmax" and (output.channels or 1) > 1 and _numbers_of_classes(pair):
        yield certain(
            "wrong_loss",
            "loss",
            f"{pair.name} holds class numbers ({labels.span()}), {output.layer!r} gives the probabilities of "
            f"{output.channels} classes, and {called(pair.objective)} takes the difference of the two.",
            "Take the loss for class numbers:\n\n    loss='sparse_categorical_crossentropy'",
            Change(loss="sparse_categorical_crossentropy"),
        )
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
    yield certain(
        kind,
        where,
        f"{output.layer!r} ends in {act.name}, {span(act)}, and {pair.name} holds {labels.span()}: {share:.0%} of the "
        "targets are out of its reach.",
        onto_zero_one(labels, pair.name)
        if kind == "label_range"
        else f"An output for targets of any size has no activation:\n\n    {made(output.units_layer, None)}\n\n"
        "or bring the targets into its range.",
        Change({output.layer: {"activation": "linear"}}) if output.layer == output.weights else None,
    )


def _numbers_of_classes(pair: Pair) -> bool:
    """Whether the labels are class numbers, one for each position of the output, which has a unit for every class."""
    values, shape = pair.labels.values, pair.output.shape
    single = values.ndim == len(shape) - 1 or values.ndim == len(shape) and values.shape[-1] == 1
    return pair.labels.classes and single and pair.labels.low >= 0 and pair.labels.high < pair.output.channels


def reading_of(pair: Pair) -> str | None:
    """What a user's loss takes predictions for, tested with the labels in the shape of the predictions."""
    values, predicted = pair.labels.values, pair.predictions
    if predicted is None or not np.isfinite(values).all():
        return None
    values = values[: min(len(values), 64)].astype("float32")
    known = pair.labels.distinct
    own = predicted.shape[-1] == 1 or values.shape[1:] == predicted.shape[1:]
    two = own and known is not None and len(known) == 2 and not pair.labels.zero_one
    if two:  # the test uses labels of 0 and 1
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
    """Whether a user's loss passes its predictions to one of Keras's, which looks behind the last activation."""
    code = getattr(pair.objective.function, "__code__", None) or getattr(
        getattr(type(pair.objective.function), "call", None), "__code__", None
    )
    return code is not None and any("crossentropy" in name.lower() for name in code.co_names)


def _is_activation_layer(pair: Pair, name: str) -> bool:
    return pair.output.layer == name and name not in pair.output.after

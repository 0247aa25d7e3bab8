"""Layers that may keep a program from learning: penalties, dropout, weights, widths, normalisation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from .batch import Look, activation_name, kernel_of, saturating_chain
from .change import Change, Suspicion, suspect
from .finding import Finding
from .output import DROPOUTS, RECURRENT, layers_of
from .pair import Pair
from .program import Program

_PENALTIES = (
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "recurrent_regularizer",
    "depthwise_regularizer",
    "pointwise_regularizer",
    "embeddings_regularizer",
)
_CONSTRAINTS = ("kernel_constraint", "bias_constraint", "recurrent_constraint")


def penalties(program: Program, seen: Look) -> Iterator[Suspicion]:
    held: dict[str, dict[str, Any]] = {}
    for layer in layers_of(program.model):
        found = {name: None for name in _PENALTIES if getattr(layer, name, None) is not None}
        if found:
            held[layer.name] = found
    if held and seen.penalty > 0.05 * abs(seen.loss):
        ratios = {
            w.name: float(np.linalg.norm(w.penalty) / max(np.linalg.norm(w.gradient), 1e-12))
            for w in seen.weights
            if w.penalty is not None and w.gradient is not None
        }
        worst = sorted(held, key=lambda name: -ratios.get(name, 0.0))
        hard = ratios.get(worst[0])
        pull = f" At {worst[0]!r} it pulls {hard:.3g} times as hard as the data." if hard is not None else ""
        yield suspect(
            "regularization_too_strong",
            tuple(worst) if len(worst) > 1 else worst[0],
            f"The penalty of the regularisers is {seen.penalty:.4g} at the start, the loss on the data "
            f"{seen.loss:.4g}.{pull}",
            "Take a factor of 1e-4 or 1e-5, or none:\n\n    kernel_regularizer=keras.regularizers.L2(1e-4)",
            Change(held),
        )
    constraints = {
        layer.name: {name: None for name in _CONSTRAINTS if getattr(layer, name, None) is not None}
        for layer in layers_of(program.model)
    }
    constraints = {name: found for name, found in constraints.items() if found}
    if constraints:
        names = tuple(constraints)
        yield suspect(
            "regularization_too_strong",
            names if len(names) > 1 else names[0],
            f"The weights of {', '.join(map(repr, names))} are held down by a constraint.",
            "Leave the constraint out, or give it room.",
            Change(constraints),
        )
    decay = getattr(program.optimizer, "weight_decay", None)
    if decay and decay > 0.05:
        yield suspect(
            "regularization_too_strong",
            "optimizer.weight_decay",
            f"A weight decay of {decay:g} takes {decay:.0%} of the learning rate's share off every weight at each "
            f"step.",
            "Take 1e-4 or less.",
            Change(optimizer={"weight_decay": 1e-4}),
        )


def dropouts(program: Program) -> Iterator[Suspicion]:
    rates: dict[str, dict[str, float]] = {}
    for layer in layers_of(program.model):
        names = ("rate",) if type(layer).__name__ in DROPOUTS else ("dropout", "recurrent_dropout")
        found = {
            name: float(getattr(layer, name, 0.0) or 0.0)
            for name in names
            if isinstance(getattr(layer, name, None), (int, float))
        }
        if any(rate > 0 for rate in found.values()):
            rates[layer.name] = found
    if not rates:
        return
    kept = float(np.prod([1 - rate for found in rates.values() for rate in found.values()]))
    worst = sorted(rates, key=lambda name: -max(rates[name].values()))
    highest = max(rates[worst[0]].values())
    if highest >= 0.65 or kept <= 0.2:
        high = tuple(name for name in worst if max(rates[name].values()) >= min(0.5, highest))
        yield suspect(
            "dropout_too_high",
            high if len(high) > 1 else high[0],
            f"{high[0]!r} sets {highest:.0%} of its inputs to zero at every step"
            + (f"; all dropout layers together leave {kept:.1%}." if len(rates) > 1 else "."),
            "Take a rate of 0.2 to 0.5, and a lower one in narrow layers.",
            Change({name: {option: 0.1 for option in rates[name]} for name in high}),
        )


def noises(program: Program) -> Iterator[Suspicion]:
    """Noise on a layer's output that is as large as the output."""
    loud = {
        layer.name: float(layer.stddev)
        for layer in layers_of(program.model)
        if type(layer).__name__ == "GaussianNoise" and float(layer.stddev) >= 0.4
    }
    if loud:
        names = tuple(sorted(loud, key=lambda name: -loud[name]))
        yield suspect(
            "dropout_too_high",
            names if len(names) > 1 else names[0],
            f"{names[0]!r} adds noise of deviation {loud[names[0]]:g} to its inputs at every step.",
            "Take a deviation of a tenth of that of the values that it is added to.",
            Change({name: {"stddev": 0.0} for name in names}),
        )


def frozen_layers(program: Program) -> Iterator[Suspicion]:
    frozen = [layer for layer in layers_of(program.model) if not layer.trainable and kernel_of(layer) is not None]
    if not frozen:
        return
    names = tuple(layer.name for layer in frozen)
    outer = {layer.name: {"trainable": True} for layer in layers_of(program.model) if not layer.trainable}
    everything = not program.model.trainable_variables
    shown = ", ".join(map(repr, names[:4])) + (", …" if len(names) > 4 else "")
    yield Suspicion(
        Finding(
            "frozen_layer",
            names if len(names) > 1 else names[0],
            f"{shown} {'are' if len(names) > 1 else 'is'} not trainable"
            + (
                ": nothing of the model is."
                if everything
                else ", and its weights are not features that serve this task: with them free, the copy learns."
            ),
            "Freeze only what was trained before:\n\n    layer.trainable = True     # before compile",
            depth="static" if everything else "steps",
        ),
        Change(outer),
        certain=everything,
    )


def initial_weights(seen: Look) -> Iterator[Suspicion]:
    odd = []
    for known in seen.weights:
        bias = getattr(getattr(known.layer, "cell", known.layer), "bias", None)
        offset = 0.0 if bias is None or not hasattr(bias, "numpy") else float(np.abs(np.asarray(bias)).max())
        constant = known.kernel.size > 1 and np.ptp(known.kernel) == 0
        if not 0.2 <= known.off <= 4.0 or offset > 2.5 or constant:
            odd.append((known, offset))
    if not odd:
        return
    known, offset = max(odd, key=lambda pair: abs(math.log(max(pair[0].scale, 1e-9))) + pair[1])
    ordered = [known.name, *(other.name for other, _ in odd if other is not known)]
    parts = [f"{w.name!r} {w.scale:.3g}" + (f" (bias up to {b:.3g})" if b > 2.5 else "") for w, b in odd]
    yield suspect(
        "weight_initialization",
        tuple(ordered) if len(ordered) > 1 else ordered[0],
        "Root mean square of the weights times the root of their number of inputs, which the usual initialisers keep "
        f"at about 1: {', '.join(parts[:5])}.",
        "Leave the initialiser out, or take kernel_initializer='glorot_uniform' ('he_normal' before a ReLU) and a bias "
        "of zeros.",
        Change(fresh=tuple(ordered)),
    )


def linear_layers(program: Program) -> Iterator[Suspicion]:
    """Consecutive layers with weights and nothing nonlinear between them."""
    weighted, bent, linear = [], True, []
    for layer in layers_of(program.model):
        kind = type(layer).__name__
        if kernel_of(layer) is not None and kind not in RECURRENT:
            if not bent and weighted:
                linear.append(weighted[-1])
            weighted.append(layer)
            bent = activation_name(layer) != "linear"
        elif kind in ("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "Lambda", "Multiply") or (
            kind in RECURRENT or "Attention" in kind or "MaxPooling" in kind or isinstance(layer, keras.Model)
        ):
            bent = True
    if not linear or len(linear) < len(weighted) - 1:
        return  # something is nonlinear
    names = tuple(layer.name for layer in linear)
    yield suspect(
        "missing_nonlinearity",
        names if len(names) > 1 else names[0],
        f"{', '.join(map(repr, names))} {'have' if len(names) > 1 else 'has'} no activation, and so no layer before "
        "the output has: together they compute what a single linear layer can.",
        f"Give the hidden layers an activation:\n\n    keras.layers.{type(linear[0]).__name__}(…, activation='relu')",
        Change({name: {"activation": "relu"} for name in names}),
    )


def saturating_layers(seen: Look) -> Iterator[Suspicion]:
    chain = saturating_chain(seen)
    if chain is None:
        return
    hidden, ratio = chain
    names = tuple(known.name for known in hidden)
    wide = {}
    for known in hidden:
        answer = seen.answers.get(known.name)
        if answer is not None and np.isfinite(answer).all():
            low = 0.0 if answer.min() >= 0 else -1.0
            wide[known.name] = float(np.mean((answer < low + 0.02) | (answer > 0.98)))
    full = max(wide, key=wide.get, default=None)
    if len(hidden) >= 2 and ratio < 0.2:
        yield suspect(
            "vanishing_gradient",
            names,
            f"The gradient of {names[0]!r} is {ratio:.2g} times that of the last layer (root mean square): each of the "
            f"{len(hidden)} layers with {activation_name(hidden[0].layer)} takes a factor off.",
            "Take an activation that does not saturate between the layers, and its initialiser:\n\n"
            "    activation='relu', kernel_initializer='he_normal'",
            Change({name: {"activation": "relu"} for name in names}, fresh=names),
        )
    elif full is not None and wide[full] > 0.5:
        yield suspect(
            "saturated_units",
            full,
            f"{wide[full]:.0%} of the answers of {full!r} lie at the ends of its {activation_name(hidden[0].layer)}, "
            "where it is flat.",
            "Scale the inputs, start from smaller weights, or take relu.",
            Change({name: {"activation": "relu"} for name in names}, fresh=names),
        )


def batch_statistics(program: Program) -> Iterator[Suspicion]:
    norms = [layer for layer in layers_of(program.model) if type(layer).__name__ == "BatchNormalization"]
    if not norms:
        return
    names = tuple(layer.name for layer in norms)
    where = names if len(names) > 1 else names[0]
    if program.batch_size == 1:
        yield suspect(
            "batchnorm_statistics",
            (*names, "batch_size"),
            f"{names[0]!r} normalises over batches of one example: in training each is compared with itself alone, at "
            "inference with averages over all.",
            "Take batches of 16 or more, or keras.layers.LayerNormalization.",
            Change(batch_size=min(32, program.held)),
        )
    momentum = max(float(layer.momentum) for layer in norms)
    updates = program.updates
    if updates is None or momentum**updates < 0.02:
        return
    yield suspect(
        "batchnorm_statistics",
        where,
        f"After the {updates} steps of this training the moving averages (momentum {momentum:g}) are still to "
        f"{momentum**updates:.0%} the zeros and ones that they began with, and inference uses them.",
        f"Let them follow within the steps that there are:\n\n    "
        f"keras.layers.BatchNormalization(momentum={_follows(updates)})",
        Change({name: {"momentum": _follows(updates)} for name in names}),
    )


def _follows(updates: int) -> float:
    return 0.9 if updates >= 60 else 0.7 if updates >= 15 else 0.3


def narrow_layers(program: Program, pair: Pair | None, seen: Look, strong: bool) -> Iterator[Suspicion]:
    hidden = [(layer, _width(layer)) for layer in layers_of(program.model) if _width(layer)]
    last = pair.output.weights if pair is not None else hidden[-1][0].name if hidden else None
    channels = (pair.output.channels if pair is not None else None) or 1
    hidden = [(layer, width) for layer, width in hidden if layer.name != last]
    if not hidden:
        return
    least = min(width for _, width in hidden)
    evident = least == 1 or least < max(2, math.log2(channels + 1))
    if evident != strong or least > 8:
        return
    narrow = sorted((layer for layer, width in hidden if width <= max(least, 4)), key=_width)
    names = tuple(layer.name for layer in narrow)
    size = "filters" if hasattr(narrow[0], "filters") else "units"
    yield suspect(
        "too_few_units",
        names if len(names) > 1 else names[0],
        f"All that the output gets to know passes through the {least} {size if least > 1 else size[:-1]} of "
        f"{names[0]!r}" + (f", and there are {channels} outputs." if channels > 1 else "."),
        f"Make it wider:\n\n    keras.layers.{type(narrow[0]).__name__}(32, …)",
        Change({layer.name: {("filters" if hasattr(layer, "filters") else "units"): 32} for layer in narrow}),
        strong,
    )


def _width(layer: Any) -> int:
    if kernel_of(layer) is None or type(layer).__name__ == "Bidirectional":
        return 0
    return int(getattr(layer, "units", 0) or getattr(layer, "filters", 0) or 0)

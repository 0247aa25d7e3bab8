"""What may keep a program from learning, by its configuration and a batch; steps on a copy settle it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from .batch import Look, activation_name, kernel_of, saturating_chain
from .change import Change, Suspicion
from .data import scale_of_inputs, scale_of_targets
from .finding import Finding
from .output import DROPOUTS, RECURRENT, layers_of
from .pairing import Pair
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
# (from, to, a good one) of the rates with which small networks are trained, by what an update is made of.
_RATES = {"adaptive": (1e-4, 0.05, 0.005), "plain": (2e-3, 2.0, 0.1), "summing": (1e-2, 2.0, 0.1)}


def strong_suspects(program: Program, pair: Pair | None, seen: Look) -> Iterator[Suspicion]:
    """Suspicions that have evidence of their own."""
    yield from _penalties(program, seen)
    yield from _dropouts(program)
    yield from _frozen(program)
    yield from scale_of_inputs(program)
    if pair is not None:
        yield from scale_of_targets(pair)
    yield from _initial_weights(seen)
    yield from _linear_layers(program)
    yield from _saturating(seen)
    yield from _norms(program)
    yield from _clipping(program)
    yield from _in_order_of_labels(program, pair)
    yield from _narrow(program, pair, seen, strong=True)
    yield from _rate(program, strong=True)
    yield from _few_updates(program)


def weak_suspects(program: Program, pair: Pair | None, seen: Look, losses: np.ndarray) -> Iterator[Suspicion]:
    """Suspicions that have none but that the program does not learn."""
    yield from _narrow(program, pair, seen, strong=False)
    yield from _rate(program, strong=False, losses=losses)
    yield from _epochs(program)


def _suspect(kind, where, evidence, remedy, change, strong=True) -> Suspicion:
    return Suspicion(Finding(kind, where, evidence, remedy, depth="steps"), change, strong=strong)


def _penalties(program: Program, seen: Look) -> Iterator[Suspicion]:
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
        yield _suspect(
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
        yield _suspect(
            "regularization_too_strong",
            names if len(names) > 1 else names[0],
            f"The weights of {', '.join(map(repr, names))} are held down by a constraint.",
            "Leave the constraint out, or give it room.",
            Change(constraints),
        )
    decay = getattr(program.optimizer, "weight_decay", None)
    if decay and decay > 0.05:
        yield _suspect(
            "regularization_too_strong",
            "optimizer.weight_decay",
            f"A weight decay of {decay:g} takes {decay:.0%} of the learning rate's share off every weight at each "
            f"step.",
            "Take 1e-4 or less.",
            Change(optimizer={"weight_decay": 1e-4}),
        )


def _dropouts(program: Program) -> Iterator[Suspicion]:
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
        yield _suspect(
            "dropout_too_high",
            high if len(high) > 1 else high[0],
            f"{high[0]!r} sets {highest:.0%} of its inputs to zero at every step"
            + (f"; all dropout layers together leave {kept:.1%}." if len(rates) > 1 else "."),
            "Take a rate of 0.2 to 0.5, and a lower one in narrow layers.",
            Change({name: {option: 0.1 for option in rates[name]} for name in high}),
        )


def _frozen(program: Program) -> Iterator[Suspicion]:
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


def of_other_variables(program: Program) -> Iterator[Suspicion]:
    """An optimizer that was built, and does not know some of the model's trainable variables."""
    optimizer = program.optimizer
    # Keras has no public list of the variables that an optimizer was built for.
    known = {id(variable) for variable in getattr(optimizer, "_trainable_variables", ())}
    if not getattr(optimizer, "built", False) or not known or not program.model.built:
        return
    strange = [variable.path for variable in program.model.trainable_variables if id(variable) not in known]
    if strange:
        name = type(optimizer).__name__
        yield Suspicion(
            Finding(
                "optimizer_for_other_variables",
                "optimizer",
                f"{name} was built for {len(known)} variables, and {len(strange)} of the model's "
                f"{len(program.model.trainable_variables)} trainable ones are not among them ({', '.join(strange[:3])}"
                f"{', …' if len(strange) > 3 else ''}): it has updated another model, or this one before layers were "
                "added, thawed or replaced, and refuses these or leaves them as they are.",
                f"Make an optimizer for each model, after its last layer:\n\n    optimizer = keras.optimizers.{name}"
                f"({rate_of(optimizer):g})",
            ),
            certain=True,
        )


def _in_order_of_labels(program: Program, pair: Pair | None) -> Iterator[Suspicion]:
    """Rows that are not shuffled and come class by class, so that a batch knows little of the others."""
    if program.shuffled or pair is None or not pair.labels.classes or keras.tree.is_nested(program.y):
        return
    labels, size = np.asarray(program.y), program.batch_size
    if pair.labels.one_hot_axis == -1 and labels.ndim == 2:
        labels = labels.argmax(-1)
    labels = labels.reshape(len(labels), -1)
    if labels.shape[1] != 1 or len(labels) < 4 * size or size < 4:
        return
    labels = labels[:, 0]
    classes, counts = np.unique(labels, return_counts=True)
    batches = [labels[first : first + size] for first in range(0, len(labels) - size + 1, size)]
    alone = float(np.mean([np.unique(batch, return_counts=True)[1].max() / size for batch in batches]))
    usual = counts.max() / len(labels)
    if len(classes) < 2 or alone < 0.85 or alone < usual + 0.5 * (1 - usual):
        return
    yield _suspect(
        "unshuffled_data",
        "x",
        f"The rows come sorted by their labels, and are not shuffled: the most frequent class of a batch of {size} "
        f"makes up "
        f"{alone:.0%} of it, and {usual:.0%} of all rows. Each batch teaches its class and unlearns the others.",
        "Shuffle before batching, over all rows:\n\n    dataset = dataset.shuffle(len(x)).batch(…)",
        Change(shuffled=True),
    )


def _initial_weights(seen: Look) -> Iterator[Suspicion]:
    odd = []
    for known in seen.weights:
        bias = getattr(getattr(known.layer, "cell", known.layer), "bias", None)
        offset = 0.0 if bias is None or not hasattr(bias, "numpy") else float(np.abs(np.asarray(bias)).max())
        constant = known.kernel.size > 1 and np.ptp(known.kernel) == 0
        if not 0.2 <= known.scale <= 4.0 or offset > 2.5 or constant:
            odd.append((known, offset))
    if not odd:
        return
    known, offset = max(odd, key=lambda pair: abs(math.log(max(pair[0].scale, 1e-9))) + pair[1])
    ordered = [known.name, *(other.name for other, _ in odd if other is not known)]
    parts = [f"{w.name!r} {w.scale:.3g}" + (f" (bias up to {b:.3g})" if b > 2.5 else "") for w, b in odd]
    yield _suspect(
        "weight_initialization",
        tuple(ordered) if len(ordered) > 1 else ordered[0],
        f"Root mean square of the weights times the root of their number of inputs, which the usual initialisers "
        f"keep at "
        f"about 1: {', '.join(parts[:5])}.",
        "Leave the initialiser out, or take kernel_initializer='glorot_uniform' ('he_normal' before a ReLU) and a bias "
        "of zeros.",
        Change(fresh=tuple(ordered)),
    )


def _linear_layers(program: Program) -> Iterator[Suspicion]:
    """Layers with weights directly behind one another, without anything that bends between them."""
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
        return  # something bends somewhere
    names = tuple(layer.name for layer in linear)
    yield _suspect(
        "missing_nonlinearity",
        names if len(names) > 1 else names[0],
        f"{', '.join(map(repr, names))} {'have' if len(names) > 1 else 'has'} no activation, and so no layer before "
        f"the "
        "output has: together they compute what a single linear layer can.",
        f"Give the hidden layers an activation:\n\n    keras.layers.{type(linear[0]).__name__}(…, activation='relu')",
        Change({name: {"activation": "relu"} for name in names}),
    )


def _saturating(seen: Look) -> Iterator[Suspicion]:
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
        yield _suspect(
            "vanishing_gradient",
            names,
            f"The gradient of {names[0]!r} is {ratio:.2g} times that of the last layer (root mean square): each of the "
            f"{len(hidden)} layers with {activation_name(hidden[0].layer)} takes a factor off.",
            "Take an activation that does not saturate between the layers, and its initialiser:\n\n"
            "    activation='relu', kernel_initializer='he_normal'",
            Change({name: {"activation": "relu"} for name in names}, fresh=names),
        )
    elif full is not None and wide[full] > 0.5:
        yield _suspect(
            "saturated_units",
            full,
            f"{wide[full]:.0%} of the answers of {full!r} lie at the ends of its {activation_name(hidden[0].layer)}, "
            f"where "
            "it is flat.",
            "Scale the inputs, start from smaller weights, or take relu.",
            Change({name: {"activation": "relu"} for name in names}, fresh=names),
        )


def _norms(program: Program) -> Iterator[Suspicion]:
    norms = [layer for layer in layers_of(program.model) if type(layer).__name__ == "BatchNormalization"]
    if not norms:
        return
    names = tuple(layer.name for layer in norms)
    where = names if len(names) > 1 else names[0]
    if program.batch_size == 1:
        yield _suspect(
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
    yield _suspect(
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


def _clipping(program: Program) -> Iterator[Suspicion]:
    for name in ("clipnorm", "global_clipnorm", "clipvalue"):
        limit = getattr(program.optimizer, name, None)
        if limit and limit < 0.05:
            yield _suspect(
                "clipping_too_tight",
                f"optimizer.{name}",
                f"{name}={limit:g} leaves of every gradient at most {limit:g}.",
                f"Take {name}=1.0, or none.",
                Change(optimizer={name: None}),
            )
    momentum = getattr(program.optimizer, "momentum", 0.0)
    if isinstance(momentum, float) and momentum > 0.985:
        yield _suspect(
            "momentum_too_high",
            "optimizer.momentum",
            f"With a momentum of {momentum:g} a step is made of the last {1 / max(1e-9, 1 - momentum):.0f} gradients.",
            "Take 0.9.",
            Change(optimizer={"momentum": 0.9}),
        )


def _narrow(program: Program, pair: Pair | None, seen: Look, strong: bool) -> Iterator[Suspicion]:
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
    yield _suspect(
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


def schedule_of(optimizer: Any) -> Any:
    """The schedule that an optimizer's learning rate follows, from its configuration; None where it is a number."""
    held = optimizer.get_config().get("learning_rate")
    return keras.optimizers.schedules.deserialize(held) if isinstance(held, dict) else None


def rate_of(optimizer: Any) -> float:
    """The learning rate that training begins with."""
    schedule = schedule_of(optimizer)
    rate = optimizer.learning_rate if schedule is None else schedule(0)
    return float(np.asarray(keras.ops.convert_to_numpy(rate)))


def usual_rates(optimizer: Any) -> tuple[float, float, float]:
    """(lowest, highest, a good one) of the usual learning rates of an optimizer, its momentum allowed for."""
    name = type(optimizer).__name__
    if name in ("Adagrad", "Adadelta", "Ftrl"):
        return _RATES["summing"] if name != "Adadelta" else (0.05, 10.0, 1.0)
    if name != "SGD":
        return _RATES["adaptive"]
    low, high, good = _RATES["plain"]
    room = max(1e-3, 1 - float(getattr(optimizer, "momentum", 0.0) or 0.0))
    return low * room, high * room, good * room


def _rate(program: Program, strong: bool, losses: np.ndarray | None = None) -> Iterator[Suspicion]:
    rate = rate_of(program.optimizer)
    low, high, good = usual_rates(program.optimizer)
    name = type(program.optimizer).__name__
    if not math.isfinite(rate):
        return
    schedule = schedule_of(program.optimizer)
    if strong and schedule is not None:
        steps = (program.updates or 100) // 2
        later = float(schedule(steps))
        if later < 0.05 * rate:
            yield _suspect(
                "learning_rate_too_low",
                "optimizer.learning_rate",
                f"The schedule takes the learning rate from {rate:g} to {later:.2g} by step {steps}, half of the "
                f"training.",
                "Let it fall over all steps that there are.",
                Change(optimizer={"learning_rate": rate}),
            )
    if strong:
        if rate > high:
            yield _too_high(
                rate, good, f"{name} with a learning rate of {rate:g}; usual are {low:g} to {high:g}.", True
            )
        elif rate < low:
            yield _too_low(rate, good, f"{name} with a learning rate of {rate:g}; usual are {low:g} to {high:g}.", True)
        return
    if rate > good:
        yield _too_high(rate, max(good / 3, rate / 30), _course(name, rate, losses), False)
    if rate < high / 3:
        yield _too_low(rate, min(high / 2, rate * 10) if rate >= good else good, _course(name, rate, losses), False)
    if rate <= good and losses is not None and len(losses) > 8 and _wild(losses):
        yield _too_high(rate, rate / 10, _course(name, rate, losses), False)


def _course(name: str, rate: float, losses: np.ndarray | None) -> str:
    text = f"{name} with a learning rate of {rate:g}"
    if losses is None or len(losses) < 4:
        return f"{text}."
    part = max(1, len(losses) // 10)
    first, last = losses[:part].mean(), losses[-part:].mean()
    return f"{text}: the loss goes from {first:.4g} to {last:.4g} in {len(losses)} steps."


def _wild(losses: np.ndarray) -> bool:
    part = max(1, len(losses) // 5)
    return not np.isfinite(losses).all() or losses[-part:].mean() > losses[:part].mean() or losses.max() > 5 * losses[0]


def _too_high(rate: float, better: float, evidence: str, strong: bool) -> Suspicion:
    better = float(f"{better:.1g}")
    return _suspect(
        "learning_rate_too_high",
        "optimizer.learning_rate",
        evidence,
        f"Take a lower one:\n\n    learning_rate={better:g}",
        Change(optimizer={"learning_rate": better}),
        strong,
    )


def _too_low(rate: float, better: float, evidence: str, strong: bool) -> Suspicion:
    better = float(f"{better:.1g}")
    return _suspect(
        "learning_rate_too_low",
        "optimizer.learning_rate",
        evidence,
        f"Take a higher one:\n\n    learning_rate={better:g}",
        Change(optimizer={"learning_rate": better}),
        strong,
    )


def _few_updates(program: Program) -> Iterator[Suspicion]:
    """So few steps that no rate of the usual ones gets anywhere."""
    updates = program.updates
    if updates is None or updates > 40:
        return
    rows, size = program.rows or program.held, program.batch_size
    told = (
        f"{rows} rows in batches of {size} are {program.steps_per_epoch} "
        f"{'step' if program.steps_per_epoch == 1 else 'steps'} an epoch; "
        f"{program.epochs} {'epoch' if program.epochs == 1 else 'epochs'} make {updates} in all."
    )
    if program.steps_per_epoch <= 4 and size > 32:
        smaller = max(8, min(32, rows // 12))
        yield _suspect(
            "batch_size_too_large",
            "batch_size",
            told,
            f"Take smaller batches:\n\n    batch_size={smaller}",
            Change(batch_size=smaller, epochs=max(program.epochs, math.ceil(100 * smaller / rows))),
        )
    else:
        more = math.ceil(400 / program.steps_per_epoch)
        yield _suspect(
            "too_few_epochs",
            "epochs",
            told,
            f"Train longer:\n\n    epochs={more}",
            Change(epochs=more),
        )


def _epochs(program: Program) -> Iterator[Suspicion]:
    updates = program.updates
    if updates is None or updates <= 40 or updates > 1500:
        return
    rows, size = program.rows or program.held, program.batch_size
    told = f"{rows} rows in batches of {size} for {program.epochs} epochs make {updates} steps in all."
    if program.steps_per_epoch <= 4 and size > 64:
        yield _suspect(
            "batch_size_too_large",
            "batch_size",
            told,
            "Take smaller batches:\n\n    batch_size=32",
            Change(batch_size=max(8, min(32, rows // 12))),
            strong=False,
        )
    more = min(program.epochs * 10, math.ceil(4000 / program.steps_per_epoch))
    if more > program.epochs:
        yield _suspect(
            "too_few_epochs",
            "epochs",
            told,
            f"Train longer:\n\n    epochs={more}",
            Change(epochs=more),
            strong=False,
        )

"""Suspicions about how a program is trained: rate, clipping, momentum, order of the rows, steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from .change import Change, Suspicion, fault, suspect
from .pair import Pair
from .program import Program

# (lowest, highest, a good one) of the learning rates for small networks, by the kind of update.
_RATES = {"adaptive": (1e-4, 0.05, 0.005), "plain": (2e-3, 2.0, 0.1), "summing": (1e-2, 2.0, 0.1)}


def of_other_variables(program: Program) -> Iterator[Suspicion]:
    """An optimizer that was built without some of the model's trainable variables."""
    optimizer = program.optimizer
    # Keras has no public list of the variables that an optimizer was built for.
    known = {id(variable) for variable in getattr(optimizer, "_trainable_variables", ())}
    if not getattr(optimizer, "built", False) or not known or not program.model.built:
        return
    strange = [variable.path for variable in program.model.trainable_variables if id(variable) not in known]
    if strange:
        name = type(optimizer).__name__
        yield fault(
            "optimizer_for_other_variables",
            "optimizer",
            f"{name} was built for {len(known)} variables, and {len(strange)} of the model's "
            f"{len(program.model.trainable_variables)} trainable ones are not among them ({', '.join(strange[:3])}"
            f"{', …' if len(strange) > 3 else ''}): it has updated another model, or this one before layers were "
            "added, thawed or replaced, and refuses these or leaves them as they are.",
            f"Make an optimizer for each model, after its last layer:\n\n    optimizer = keras.optimizers.{name}"
            f"({rate_of(optimizer):g})",
        )


def order_of_rows(program: Program, pair: Pair | None) -> Iterator[Suspicion]:
    """Rows that are sorted by class and not shuffled, so that a batch lacks most classes."""
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
    yield suspect(
        "unshuffled_data",
        "x",
        f"The rows come sorted by their labels, and are not shuffled: the most frequent class of a batch of {size} "
        f"makes up {alone:.0%} of it, and {usual:.0%} of all rows. Each batch teaches its class and unlearns the "
        "others.",
        "Shuffle before batching, over all rows:\n\n    dataset = dataset.shuffle(len(x)).batch(…)",
        Change(shuffled=True),
    )


def clipping_and_momentum(program: Program) -> Iterator[Suspicion]:
    for name in ("clipnorm", "global_clipnorm", "clipvalue"):
        limit = getattr(program.optimizer, name, None)
        if limit and limit < 0.05:
            yield suspect(
                "clipping_too_tight",
                f"optimizer.{name}",
                f"{name}={limit:g} leaves of every gradient at most {limit:g}.",
                f"Take {name}=1.0, or none.",
                Change(optimizer={name: None}),
            )
    for name in ("momentum", "beta_1"):
        momentum = getattr(program.optimizer, name, 0.0)
        if isinstance(momentum, float) and momentum > 0.985:
            yield suspect(
                "momentum_too_high",
                f"optimizer.{name}",
                f"With {'a momentum' if name == 'momentum' else name} of {momentum:g} a step is made of the last "
                f"{1 / max(1e-9, 1 - momentum):.0f} gradients.",
                "Take 0.9.",
                Change(optimizer={name: 0.9}),
            )


def held_back(program: Program) -> Iterator[Suspicion]:
    """What makes steps small besides the learning rate: a large epsilon or accumulator, long gradient accumulation."""
    optimizer, rate = program.optimizer, rate_of(program.optimizer)
    for name, usual, what in (
        ("epsilon", 1e-7, "is added to the root of the squared gradients that each step is divided by"),
        ("initial_accumulator_value", 0.1, "counts as squared gradients from before the first step"),
    ):
        value = getattr(optimizer, name, None)
        if isinstance(value, (int, float)) and value > max(1e-3, 3 * usual):
            yield suspect(
                "learning_rate_too_low",
                (f"optimizer.{name}", "optimizer.learning_rate"),
                f"{name}={value:g} {what}: with gradients far below it a step is not {rate:g}, the learning rate, but "
                "as much smaller as they are.",
                f"Take {name}={usual:g}, Keras's own.",
                Change(optimizer={name: usual}),
            )
    gathered = getattr(optimizer, "gradient_accumulation_steps", None)
    if gathered and program.updates is not None and program.updates / gathered <= 40:
        yield suspect(
            "batch_size_too_large",
            ("optimizer.gradient_accumulation_steps", "batch_size"),
            f"gradient_accumulation_steps={gathered} makes one update of {gathered} batches of {program.batch_size}: "
            f"{program.updates // gathered} updates in the whole training.",
            "Gather fewer batches.",
            Change(optimizer={"gradient_accumulation_steps": None}),
        )


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


def learning_rate(program: Program, strong: bool, losses: np.ndarray | None = None) -> Iterator[Suspicion]:
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
            yield suspect(
                "learning_rate_too_low",
                "optimizer.learning_rate",
                f"The schedule takes the learning rate from {rate:g} to {later:.2g} by step {steps}, half of the "
                f"training.",
                "Let it fall over all steps that there are.",
                Change(optimizer={"learning_rate": rate}),
            )
    if strong:
        if not low <= rate <= high:
            evidence = f"{name} with a learning rate of {rate:g}; usual are {low:g} to {high:g}."
            yield _wrong_rate(rate, good, evidence, True)
        return
    if rate > good:
        yield _wrong_rate(rate, max(good / 3, rate / 30), _course(name, rate, losses), False)
    if rate < high / 3:
        yield _wrong_rate(rate, min(high / 2, rate * 10) if rate >= good else good, _course(name, rate, losses), False)
    if rate <= good and losses is not None and len(losses) > 8 and _wild(losses):
        yield _wrong_rate(rate, rate / 10, _course(name, rate, losses), False)


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


def _wrong_rate(rate: float, better: float, evidence: str, strong: bool) -> Suspicion:
    """A learning rate that is too high or too low, and a better one."""
    high, better = better < rate, float(f"{better:.1g}")
    return suspect(
        "learning_rate_too_high" if high else "learning_rate_too_low",
        "optimizer.learning_rate",
        evidence,
        f"Take a {'lower' if high else 'higher'} one:\n\n    learning_rate={better:g}",
        Change(optimizer={"learning_rate": better}),
        strong,
    )


def few_updates(program: Program) -> Iterator[Suspicion]:
    """So few steps that none of the usual rates gets anywhere."""
    updates = program.updates
    if updates is None or updates > 40:
        return
    rows, size = program.rows or program.held, program.batch_size
    measured = (
        f"{rows} rows in batches of {size} are {program.steps_per_epoch} "
        f"{'step' if program.steps_per_epoch == 1 else 'steps'} an epoch; {program.epochs} "
        f"{'epoch' if program.epochs == 1 else 'epochs'} make {updates} in all."
    )
    if program.steps_per_epoch <= 4 and size > 32:
        smaller = max(8, min(32, rows // 12))
        yield suspect(
            "batch_size_too_large",
            "batch_size",
            measured,
            f"Take smaller batches:\n\n    batch_size={smaller}",
            Change(batch_size=smaller, epochs=max(program.epochs, math.ceil(100 * smaller / rows))),
        )
    else:
        more = math.ceil(400 / program.steps_per_epoch)
        yield suspect(
            "too_few_epochs",
            "epochs",
            measured,
            f"Train longer:\n\n    epochs={more}",
            Change(epochs=more),
        )


def more_epochs(program: Program) -> Iterator[Suspicion]:
    updates = program.updates
    if updates is None or updates <= 40 or updates > 1500:
        return
    rows, size = program.rows or program.held, program.batch_size
    measured = f"{rows} rows in batches of {size} for {program.epochs} epochs make {updates} steps in all."
    if program.steps_per_epoch <= 4 and size > 64:
        yield suspect(
            "batch_size_too_large",
            "batch_size",
            measured,
            "Take smaller batches:\n\n    batch_size=32",
            Change(batch_size=max(8, min(32, rows // 12))),
            strong=False,
        )
    more = min(program.epochs * 10, math.ceil(4000 / program.steps_per_epoch))
    if more > program.epochs:
        yield suspect(
            "too_few_epochs",
            "epochs",
            measured,
            f"Train longer:\n\n    epochs={more}",
            Change(epochs=more),
            strong=False,
        )

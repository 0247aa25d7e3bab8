"""Whether a loss or a task of the user's mixes the examples of a batch: it means something else on parts of it then."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from trainer.data import training_batches
from trainer.stepping.global_sums import offered
from trainer.stepping.state import task_variables
from trainer.stepping.task import terms_of

# Adding in another order changes less than this.
_SAME = 1e-4
_EXAMPLES = 4


def batchwise_remark(run) -> str:
    """A warning for terms that differ between a batch and its halves; or "" if they do not.

    The loss of a batch is computed whole and in two halves, of which one is predicted worse; with void pixels in some
    examples, too: a mean over the others is no mean over examples.
    """
    objective = getattr(run.task, "objective", None)
    if objective is None:
        return _of_a_task(run)
    if objective.own is None or objective.batchwide or not _one_output(run.task.model):
        return ""
    called: list[tf.Tensor] = []

    def summed(values: tf.Tensor) -> tf.Tensor:
        called.append(values)
        return values

    for void in (False, True):
        try:
            labels, logits, extras = _drawn(run, void)

            def loss(start: int, stop: int, labels=labels, logits=logits, extras=extras) -> float:
                part = {key: value[start:stop] for key, value in extras.items()}
                return sum(float(term) for term in objective(labels[start:stop], logits[start:stop], part).values())

            with offered(summed):
                whole = loss(0, 4)
            halves = (loss(0, 2) + loss(2, 4)) / 2
        except Exception:  # it is wrong, or of what cannot be drawn: then the first step says how
            return ""
        if called:
            return ""  # it passes its sums through global_sum
        if np.isfinite([whole, halves]).all() and abs(whole - halves) > _SAME * max(abs(whole), abs(halves)):
            where = " where one has void pixels" if void else ""
            return (
                f"the loss mixes the examples of a batch{where}: {whole:.4f} whole, {halves:.4f} in two halves.\n"
                "  On several replicas or micro-batches it is the mean of their losses. To make it the whole batch's "
                "there,\n  pass its sums through trainer.global_sum(…) before they are divided, or take all_reduce= "
                "as an argument"
            )
    return ""


def _drawn(run, void: bool) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
    """Labels, logits and whatever else the examples have, of a batch of four that are as unlike as can be.

    A loss over the batch is nearly the mean of its halves' where these are alike.
    """
    random = np.random.default_rng(0)
    outputs, classes = run.task.model.output_shape[-1], len(run.data.classes)
    size = (4, *(16,) * (len(run.task.model.output_shape) - 2))
    shares = random.dirichlet(np.ones(classes), size=4)
    labels = np.stack([random.choice(classes, size=size[1:], p=share) for share in shares]).astype("int32")
    if run.config.data.multi_label:
        labels = (labels[..., None] <= np.arange(classes)).astype("int32")
    wanted = labels if run.config.data.multi_label else labels[..., None] == np.arange(outputs) + (outputs == 1)
    right = np.reshape([3.0, 1.5, 0.0, -1.0], (4, *(1,) * (len(size))))
    logits = right * (2.0 * wanted - 1.0) + 2.0 * random.normal(size=(*size, outputs))
    if void:
        labels[0, : size[1] // 2] = run.data.void_id
    extras = {}
    for key, feature in run.data.train.features.items():
        if key not in ("image", "label"):
            shape = (4, *feature.batch_shape(*size[1:]))
            extras[key] = tf.constant((4.0 * random.random(shape)).astype(feature.dtype))
    return tf.constant(labels), tf.constant(logits.astype("float32")), extras


def _one_output(model) -> bool:
    return hasattr(model, "output_shape") and isinstance(model.output_shape, tuple)


def _of_a_task(run) -> str:
    """The same of the terms of a task, for the first examples of the training data."""
    whole, halves, summed = _compared(_of_examples, run) or (0.0, 0.0, False)
    if abs(whole - halves) <= _SAME * max(abs(whole), abs(halves)) or not np.isfinite([whole, halves]).all():
        return ""
    how = "of all sums, not of some alone" if summed else "of its sums before they are divided"
    return (
        f"{type(run.task).__name__}.losses mixes the examples of a batch: {whole:.4f} whole, {halves:.4f} in two "
        "halves.\n"
        "  On several replicas or micro-batches it is the mean of theirs. To make it the whole batch's there,\n"
        f"  take trainer.global_sum(…) {how}"
    )


def _compared(terms: Callable, run) -> tuple[float, float, bool] | None:
    """The loss of all examples, that of two halves, and whether it calls `global_sum`; None where it cannot be had."""
    try:
        loss, parts = terms(run)
        whole = float(loss(slice(0, parts[-1].stop)))
        sums: list[list[tf.Tensor]] = []
        for part in parts:
            found: list[tf.Tensor] = []
            with offered(lambda values, found=found: found.append(values) or values):
                loss(part)
            sums.append(found)
        totals = [sum(of_parts) for of_parts in zip(*sums, strict=True)]
        values = []
        for part in parts:
            rest = iter(totals)
            with offered((lambda values, rest=rest: next(rest)) if totals else None):
                values.append(float(loss(part)))
    except Exception:  # it needs something else, or is wrong: then the first step says how
        return None
    return whole, sum(values) / len(values), bool(totals)


def _of_examples(run) -> tuple[Callable, Sequence[slice]]:
    """The terms of the first examples of the training data, in evaluation, where no layer draws or mixes by itself.

    Raises:
      ValueError: the data are a stream, which is not read twice, or the terms draw random numbers.
    """
    if run.data.train.stream is not None:
        raise ValueError
    batch = next(iter(training_batches(run.data.train, run.config, start_step=0, steps=1)))
    task = run.task
    seeds = [v for v in task_variables(task).values() if v.name == "seed_generator_state"]

    def loss(part: slice):
        terms = []
        with keras.StatelessScope() as scope:  # what is assigned inside is left as it was
            for phase in task.phases or (None,):
                outcome = task.outcome({k: v[part] for k, v in batch.items()}, False, phase.name if phase else "")
                terms += [tf.cast(term, tf.float32) for term in terms_of(outcome, phase, task).values()]
        if any(scope.get_current_value(seed) is not None for seed in seeds):
            raise ValueError
        return tf.add_n(terms)

    return loss, _halves(min(_EXAMPLES, int(batch["image"].shape[0]) // 2 * 2))


def _halves(examples: int) -> tuple[slice, slice]:
    return slice(0, examples // 2), slice(examples // 2, examples)

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
    """What to know of terms that differ between a batch and its halves; empty where they do not, or are summed right.

    They are computed of a few examples whole and in two halves: a loss of labels and logits drawn at random, what needs
    more, and a task, of the first examples of the training data.
    """
    objective = getattr(run.task, "objective", None)
    if objective is not None and (objective.own is None or objective.batchwide):
        return ""
    found = _compared(_of_a_loss, run) if objective is not None else None
    whole, halves, summed = found or _compared(_of_examples, run) or (0.0, 0.0, False)
    if abs(whole - halves) <= _SAME * max(abs(whole), abs(halves)) or not np.isfinite([whole, halves]).all():
        return ""
    what = "the loss" if objective is not None else f"{type(run.task).__name__}.losses"
    how = "of all sums, not of some alone" if summed else "of its sums before they are divided"
    return (
        f"{what} mixes the examples of a batch: {whole:.4f} whole, {halves:.4f} in two halves.\n"
        "  On several replicas or micro-batches it is the mean of their losses. To make it the whole batch's there,\n"
        f"  take trainer.global_sum(…) {how}"
        + (", or all_reduce= as an argument" if objective is not None and not summed else "")
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


def _of_a_loss(run) -> tuple[Callable, Sequence[slice]]:
    classes, outputs = len(run.data.classes), run.task.model.output_shape[-1]
    random = np.random.default_rng(0)
    # Examples with a different share of each class, as in real batches.
    shares = random.dirichlet(np.ones(classes), size=_EXAMPLES)
    labels = np.stack([random.choice(classes, size=(16, 16), p=share) for share in shares]).astype("int32")
    if run.config.data.multi_label:
        labels = (labels[..., None] <= np.arange(classes)).astype("int32")
    logits = (random.normal(size=(_EXAMPLES, 16, 16, outputs)) * 2).astype("float32")

    def loss(part: slice):
        return tf.add_n(list(run.task.objective(tf.constant(labels[part]), tf.constant(logits[part])).values()))

    return loss, _halves(_EXAMPLES)


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

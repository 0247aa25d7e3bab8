"""Whether a loss of the user's mixes the examples of a batch, so that its value changes when the batch is divided."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.stepping.global_sums import offered

# Adding in another order changes less than this.
_SAME = 1e-4


def batchwise_remark(run) -> str:
    """A warning for a loss that differs between a batch and its halves; empty where it does not, or uses `global_sum`.

    The loss of a batch is computed whole and in two halves, on labels and logits drawn at random.
    """
    objective = getattr(run.task, "objective", None)
    if objective is None or objective.own is None or objective.batchwide:
        return ""
    classes, outputs = len(run.data.classes), run.task.model.output_shape[-1] if _one_output(run.task.model) else None
    if outputs is None:
        return ""
    random = np.random.default_rng(0)
    # Examples with a different share of each class, as in real batches.
    shares = random.dirichlet(np.ones(classes), size=4)
    labels = np.stack([random.choice(classes, size=(16, 16), p=share) for share in shares]).astype("int32")
    if run.config.data.multi_label:
        labels = (labels[..., None] <= np.arange(classes)).astype("int32")
    logits = (random.normal(size=(4, 16, 16, outputs)) * 2).astype("float32")
    called: list[tf.Tensor] = []

    def summed(values: tf.Tensor) -> tf.Tensor:
        called.append(values)
        return values

    try:
        with offered(summed):
            objective(tf.constant(labels), tf.constant(logits))
        if called:
            return ""  # it passes its sums through global_sum
        whole, first, second = (
            sum(float(term) for term in objective(tf.constant(labels[part]), tf.constant(logits[part])).values())
            for part in (slice(0, 4), slice(0, 2), slice(2, 4))
        )
    except Exception:  # it needs more than labels and logits, or fails: then the first step reports how
        return ""
    halves = (first + second) / 2
    if abs(whole - halves) <= _SAME * max(abs(whole), abs(halves)) or not np.isfinite([whole, halves]).all():
        return ""
    return (
        f"the loss mixes the examples of a batch: {whole:.4f} whole, {halves:.4f} in two halves.\n"
        "  On several replicas or micro-batches it is the mean of their losses. To make it the whole batch's there,\n"
        "  pass its sums through trainer.global_sum(…) before they are divided, or take all_reduce= as an argument"
    )


def _one_output(model) -> bool:
    return hasattr(model, "output_shape") and isinstance(model.output_shape, tuple)

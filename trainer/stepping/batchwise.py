"""Whether a loss of the user's mixes the examples of a batch, so that its value changes when the batch is divided."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.stepping.global_sums import offered

# Adding in another order changes less than this.
_SAME = 1e-4
_EXAMPLES = 4


def batchwise_remark(run) -> str:
    """A warning for a loss that differs between a batch and its halves; empty where it does not, or uses `global_sum`.

    The loss of a batch is computed whole and in two halves, of which one is predicted worse; with void pixels in some
    examples, too: a mean over the others is no mean over examples.
    """
    objective = getattr(run.task, "objective", None)
    if objective is None or objective.own is None or objective.batchwide or not _one_output(run.task.model):
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

"""Why a model scores well in training and badly in evaluation: the averages of batch normalisation lag behind."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from configs.reading.line_wrapping import wrapped
from configs.reading.setting_names import named
from trainer.checkpoints.restore import unchanged
from trainer.data import training_batches
from trainer.models.inputs import call_model
from trainer.models.keras_files import is_model_file
from trainer.models.layers.batch_normalization import BatchNormalization
from trainer.reporting import tags
from trainer.stepping.segmentation import Segmentation, predicted

# From this difference in mean Dice on there is something to explain.
_GAP = 0.15
# The share of the first values, zeros and ones, that averages may still hold.
_LEFT = 0.05
_KINDS = (keras.layers.BatchNormalization, BatchNormalization)


def norm_layers(model: keras.Model) -> list:
    """The trained batch normalisation layers, including those of nested models."""
    # keras.Model has no public way to all nested layers.
    layers = model._flatten_layers(include_self=False, recursive=True)
    return [layer for layer in layers if isinstance(layer, _KINDS) and layer.trainable]


def lag_note(model: keras.Model, steps: int, name: str) -> str:
    """A warning for a run so short that the averages will still lag at its end; "" for none."""
    layers = norm_layers(model)
    momentum = max((float(layer.momentum) for layer in layers), default=0.0)
    if momentum <= 0.9 or momentum**steps <= _LEFT:  # runs of some ten steps are only trials
        return ""
    return (
        f"batch normalisation with momentum {momentum:g} still holds {momentum**steps:.0%} of the zeros and ones that "
        f"its averages begin with after {steps} steps, and evaluation uses them: {_remedy(name, momentum, steps)}"
    )


def explain_norm_gap(run, step: int) -> None:
    """Warns once where training scores far above evaluation because of batch normalisation."""
    task, dice = run.task, run.host.last_report.get(tags.DICE)
    if run.memory.get("norm_gap") or dice is None or not isinstance(task, Segmentation) or run.devices.replicas > 1:
        return
    layers = norm_layers(task.model)
    score = getattr(run.scores, "mean_dice", None)
    if not layers or score is None or not dice - score > _GAP:
        return
    own, averages = _both_ways(run)
    if own - averages < 0.5 * (dice - score):
        return
    run.memory["norm_gap"] = step
    momentum = max(float(layer.momentum) for layer in layers)
    left = momentum**step
    why = (
        f"after {step} steps they still hold {left:.0%} of the zeros and ones that they began with"
        if left > 0.01
        else f"they are of some {1 / (1 - momentum):.0f} steps, in which the weights have changed, or of crops that "
        "differ from whole images"
    )
    text = (
        f"Dice is {dice:.2f} in training and {score:.2f} in evaluation. On one and the same training batch it is "
        f"{own:.2f} with the batch's own statistics and {averages:.2f} with the moving averages that evaluation uses: "
        f"the {len(layers)} layers of batch normalisation lag behind. Their momentum is {momentum:g}, and {why}. "
        f"{_remedy(run.named_config.model.name, momentum, step)}"
    )
    run.log(wrapped(f"warning: {text}"))
    if run.journal is not None:
        run.journal.note(named(text), step)


def _remedy(name: str, momentum: float, steps: int) -> str:
    lower = 0.9 if momentum > 0.9 else 0.8
    while lower**steps > _LEFT and lower > 0.5:
        lower = round(lower - 0.1, 1)
    if is_model_file(name):
        return f"Lower it: --config.model.options='{{\"norm_momentum\": {lower}}}', or train longer."
    if ":" in name:
        return f"Lower it, keras.layers.BatchNormalization(momentum={lower}), or train longer."
    return f"Lower it: --config.model.norm_momentum={lower}, or train longer."


def _both_ways(run) -> tuple[float, float]:
    """The mean Dice of a training batch with its own statistics, and with the averages; changes nothing."""
    batch = next(iter(training_batches(run.data.train, run.config, start_step=0, steps=1)))
    found = []
    with unchanged(run.state):
        for training in (False, True):
            outputs = call_model(run.task.model, batch, training=training)
            logits = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
            found.append(_dice(run, batch["label"], predicted(logits, run.config.data.multi_label)))
    return found[1], found[0]


def _dice(run, labels, ids) -> float:
    config, void = run.config, run.config.data.void_id
    classes = range(labels.shape[-1]) if config.data.multi_label else range(1, len(config.data.classes))
    scores = []
    for c in classes:
        label = labels[..., c] == 1 if config.data.multi_label else labels == c
        prediction = ids[..., c] == 1 if config.data.multi_label else (ids == c) & (labels != void)
        sizes = float(tf.reduce_sum(tf.cast(label, tf.float32)) + tf.reduce_sum(tf.cast(prediction, tf.float32)))
        if sizes:
            scores.append(2 * float(tf.reduce_sum(tf.cast(label & prediction, tf.float32))) / sizes)
    return float(np.mean(scores)) if scores else 0.0

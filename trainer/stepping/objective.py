"""Config -> the objective: from labels and logits to the named terms of the loss.

A loss of `losses/` takes class ids and logits, and leaves out void pixels by itself; one of the user's is wrapped in
`own_loss.py`.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

import losses
from configs.schema import Config
from trainer.distribution.keras_losses import undivided
from trainer.errors import UserError
from trainer.parts import name_of, resolve
from trainer.stepping.global_sums import current
from trainer.stepping.own_loss import own_loss

_NO_EXTRAS: Mapping[str, tf.Tensor] = {}


@dataclasses.dataclass(frozen=True)
class Objective:
    """`objective(labels, outputs, batch={})`: name -> scalar float32, whose sum is the loss.

    Labels are int32 ids `[batch, height, width]` with the void id; outputs are the model's: logits
    `[batch, height, width, outputs]`, or a list of them, the full size first (deep supervision): then a term is the
    weighted sum of the sizes' (weights 1, 1/2, … divided by their sum), labels taken at the nearest pixel.

    Attributes:
      name: as in the config.
      function: (labels, logits, batch, all_reduce) -> terms.
      batchwide: whether it sums over the whole batch, so that replicas and micro-batches have to add up their sums;
        found by trying it, not by its name.
      own: the user's function, or None for a loss of `losses/`.
    """

    name: str
    function: Callable[..., dict[str, tf.Tensor]]
    batchwide: bool
    own: Callable | None = None

    @property
    def variables(self) -> list[keras.Variable]:
        """Of a loss of the user's: what it holds, or a function reads, and nobody trains, such as a part's weight."""
        held = list(getattr(self.own, "__dict__", {}).values())
        if inspect.isfunction(self.own):
            read = inspect.getclosurevars(self.own)
            held += [*read.nonlocals.values(), *read.globals.values()]
        return [value for value in held if isinstance(value, keras.Variable) and not value.trainable]

    def __call__(self, labels, outputs, batch: Mapping[str, tf.Tensor] = _NO_EXTRAS) -> dict[str, tf.Tensor]:
        levels = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        all_reduce = current()

        def loss(y_true, y_pred):
            terms = self.function(y_true, y_pred, _at_size(batch, labels, y_true), all_reduce)
            return losses.LossValue(tf.add_n(list(terms.values())), terms)

        with undivided():
            if len(levels) == 1:
                return self.function(labels, levels[0], batch, all_reduce)
            return losses.deep_supervision(labels, levels, loss=loss).parts


def _at_size(batch: Mapping[str, tf.Tensor], labels, smaller) -> Mapping[str, tf.Tensor]:
    """Values of the batch that have the labels' size, brought to the size of smaller labels by nearest pixels as these
    are."""
    if smaller is labels:
        return batch

    def resized(value):
        if value.shape.rank not in (3, 4) or value.shape[1:3] != labels.shape[1:3] or value.dtype == tf.string:
            return value
        four = value if value.shape.rank == 4 else value[..., tf.newaxis]
        four = tf.image.resize(four, tf.shape(smaller)[1:3], method="nearest")
        return four if value.shape.rank == 4 else four[..., 0]

    return {key: resized(value) for key, value in batch.items()}


def build_objective(config: Config, outputs: int, loss: Any = None, *, activation: str = "") -> Objective:
    """Builds the objective of a config; `outputs` is the number of logits a pixel.

    Args:
      loss: the user's loss as an object: a function, a Keras Loss or its class; None takes `config.loss.name`.
      activation: "softmax" or "sigmoid" where the user's model ends in it: then the user's loss gets the probabilities
        that it was written for, unless it is a Keras loss with from_logits=True.

    Raises:
      UserError: a loss cannot be imported, or one of ours does not fit the model's outputs or options.
    """
    if loss is not None and not isinstance(loss, str):
        name = name_of(loss)
        return Objective(name, *own_loss(loss, name, "loss", config, outputs, activation))
    name = loss or config.loss.name
    if ":" in name:
        field = "config.loss.name"
        return Objective(name, *own_loss(resolve(name, field), name, field, config, outputs, activation))
    called: list[tf.Tensor] = []

    def record(sums):
        called.append(sums)
        return sums

    try:
        function = _of_the_library(name, config, outputs)
        planes = (outputs,) if config.data.multi_label else ()
        function(tf.zeros((1, 8, 8, *planes), tf.int32), tf.zeros((1, 8, 8, outputs)), {}, record)
    except (TypeError, ValueError) as error:
        raise UserError(f"config.loss.name={name!r} with {outputs} logit(s) a pixel: {error}") from error
    return Objective(name, function, bool(called))


def _of_the_library(name: str, config: Config, outputs: int):
    multi_label = config.data.multi_label
    sigmoid = multi_label or outputs == 1
    common = {"ignore_id": config.data.void_id, "activation": "sigmoid" if sigmoid else "softmax"}
    options = {term: dict(values) for term, values in config.loss.options.items()}
    options["*"] = {**common, **options.get("*", {})}
    loss = losses.build(name, weights=config.loss.weights or None, options=options)

    def function(labels, logits, batch, all_reduce):
        # With one logit a pixel, labels need its shape: losses/ never adds or drops an axis by itself.
        ids = labels[..., tf.newaxis] if outputs == 1 and not multi_label else labels
        parts = loss(ids, logits, all_reduce=all_reduce).parts
        weights = config.loss.weights or (1.0,) * len(parts)
        return {term: weight * part for (term, part), weight in zip(parts.items(), weights, strict=True)}

    return function


# A loss for a softmax -> its counterpart for sigmoids.
_OF_EACH = {
    "cross_entropy": "binary_cross_entropy",
    "focal_softmax": "focal_sigmoid",
    "lovasz_softmax": "lovasz_hinge",
}


def loss_of_sigmoids(config: Config) -> tuple[Config, list[str]]:
    """The config with the losses' counterparts for sigmoids, and a note on what was exchanged."""
    if ":" in config.loss.name:
        return config, []
    terms = losses.names.terms_of(config.loss.name)
    exchanged = {term: _OF_EACH[term] for term in terms if term in _OF_EACH and _OF_EACH[term] not in terms}
    if not exchanged:
        return config, []
    name = "+".join(exchanged.get(term, term) for term in terms)
    known = {key: losses.names.term_of(key) for key in config.loss.options}
    options = {exchanged.get(known[key], key): dict(values) for key, values in config.loss.options.items()}
    loss = dataclasses.replace(config.loss, name=name, options=options)
    said = ", ".join(f"{new} in place of {old}" for old, new in exchanged.items())
    why = "the classes overlap" if config.data.multi_label else "one value a pixel has a sigmoid"
    return dataclasses.replace(config, loss=loss), [f"{why}: the loss is {said}, which is for a softmax"]

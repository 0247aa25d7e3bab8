"""Which parts of a batch a model is called with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from trainer.errors import UserError


def input_names(model: keras.Model) -> tuple[str, ...]:
    """The keys of a batch that the model takes: the names of its inputs where it has several, else "image"."""
    inputs = getattr(model, "inputs", None) or ()
    return ("image",) if len(inputs) <= 1 else tuple(tensor.name for tensor in inputs)


def call_model(model: keras.Model, batch: Mapping[str, tf.Tensor], *, training: bool) -> Any:
    """Calls the model with "image", or, where it has several inputs, with what they are called.

    Raises:
      UserError: the batch has no such key.
    """
    names = input_names(model)
    missing = [name for name in names if name not in batch]
    if missing:
        raise UserError(
            f"The model {model.name!r} has the inputs {', '.join(names)}, and the examples have "
            f"{', '.join(key for key in batch if key != 'index')}: {', '.join(missing)} is missing.\n  Name the inputs "
            f"as the examples' keys: keras.Input(shape, name={next(iter(batch))!r})."
        )
    inputs = batch[names[0]] if len(names) == 1 else {name: batch[name] for name in names}
    return model(inputs, training=training)


def fixed_size(model: keras.Model) -> tuple[int, int] | None:
    """Height and width where the model takes images of one size only, else None."""
    inputs = getattr(model, "inputs", None) or ()
    shape = tuple(inputs[0].shape) if inputs else ()
    if len(shape) == 4 and shape[1] and shape[2]:
        return shape[1], shape[2]
    return None

"""Brings users' models to one form: those that end in softmax or sigmoid, have several outputs, or return a dict.

The loop computes with logits. If a model's last layer has an activation, its logits are those before it, exactly if
Keras shows the layer, otherwise by the inverse; of several outputs the one whose shape fits the labels is used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from trainer.errors import UserError

# float32 has no number nearer to 1: the largest logit that can be computed from a probability.
_EPSILON = 6e-8
# Names of an output for the masks beside others of the same shape ("aux", "edge").
_MASKS = ("mask", "logit", "segmentation", "seg", "out", "output", "main", "semantic", "prediction")
_PASSED = ("Reshape", "Identity", "Cast", "Activation", "Dropout")


@dataclasses.dataclass(frozen=True)
class Form:
    """A model as the loop takes it.

    Attributes:
      model: from images to logits `[batch, height, width, outputs]`, or a list of them at several sizes.
      outputs: the logits' channels.
      activation: "softmax" or "sigmoid" if the user's model ends in it, otherwise "".
      notes: what was recognised.
    """

    model: keras.Model
    outputs: int
    activation: str = ""
    notes: tuple[str, ...] = ()


def logits_form(model: keras.Model, outputs: int, *, size: tuple[int, ...], channels: int, wanted: str = "") -> Form:
    """The form of a user's built model.

    Args:
      model: with one input; its weights are shared, not copied.
      outputs: channels of logits that fit the labels.
      size: sides of images that it takes: height and width, and for volumes depth before them.
      channels: those of these images.
      wanted: config.model.output: the name or number of an output, "all", or "".

    Raises:
      UserError: several outputs fit, or none does; lists them with what to write.
    """
    spec = model.compute_output_spec(keras.KerasTensor((1, *size, channels), "float32"))
    parts = _by_name(spec, model)
    key, notes = _chosen(parts, outputs, size, wanted, model.name, isinstance(spec, Mapping))
    if key is None:
        return Form(model, outputs, notes=notes)
    count = parts[key].shape[-1]
    if getattr(model, "outputs", None):
        return _functional(model, list(parts).index(key), len(parts), count, notes)
    several = isinstance(spec, (Mapping, list, tuple))
    return _subclassed(model, key if several else None, size, channels, count, notes)


def _by_name(spec: Any, model: keras.Model) -> dict[Any, Any]:
    """The outputs by key or position, in the order of the model's own list."""
    if isinstance(spec, Mapping):
        names = list(spec) if not getattr(model, "outputs", None) else list(_structure_order(spec))
        return {name: spec[name] for name in names}
    return dict(enumerate(spec)) if isinstance(spec, (list, tuple)) else {0: spec}


def _structure_order(spec: Mapping) -> list:
    """Keras flattens a dict by its keys in order."""
    return sorted(spec) if all(isinstance(key, str) for key in spec) else list(spec)


def _chosen(parts: Mapping, outputs: int, size, wanted: str, name: str, by_key: bool) -> tuple[Any, tuple[str, ...]]:
    """Which output gives the masks, or None for all of them, with the first as the prediction; and notes."""
    shapes = {key: tuple(getattr(part, "shape", ())) for key, part in parts.items()}
    if len(parts) == 1:
        return next(iter(parts)), ()
    listed = "\n".join(f"    --config.model.output={key:<12} # {shape}" for key, shape in shapes.items())
    if wanted == "all" and not by_key:
        return None, (f"the {len(parts)} outputs are all trained on the labels; the first is the prediction",)
    if wanted:
        key = next((key for key in parts if str(key) == wanted), None)
        if key is None:
            raise UserError(f"config.model.output={wanted!r}: {name} has no such output. It has\n{listed}")
        return key, ()
    fitting = [key for key, shape in shapes.items() if shape == (1, *size, outputs)]
    rank = len(size) + 2
    coarser = [shape for shape in shapes.values() if len(shape) == rank and shape[-1] == outputs and shape[2] < size[1]]
    if not by_key and len(fitting) == 1 and fitting[0] == 0 and len(coarser) == len(parts) - 1:
        sizes = ", ".join(" x ".join(map(str, shape[1:-1])) for shape in coarser)
        return None, (f"the model also predicts at {sizes}: each output is trained on the labels at its size",)
    called = [key for key in fitting if str(key).lower().rstrip("s") in _MASKS]
    if by_key and len(called) == 1:
        fitting = called
    if len(fitting) == 1:
        others = ", ".join(f"{key} {list(shape[1:])}" for key, shape in shapes.items() if key != fitting[0])
        return fitting[0], (f"of the model's outputs {fitting[0]!r} is trained; not used: {others}",)
    if not fitting:
        return next(iter(parts)), ()  # The check of its shape reports what is wrong.
    every = (
        "" if by_key else f"\n    --config.model.output={'all':<12} # each is trained on the labels; the first predicts"
    )
    raise UserError(
        f"{name} has {len(parts)} outputs, and {len(fitting)} of them have the form of the labels. Say which one gives "
        f"the masks:\n{listed}{every}"
    )


def _functional(model: keras.Model, position: int, count: int, outputs: int, notes: tuple[str, ...]) -> Form:
    tensor = model.outputs[position]
    before, activation = _before_activation(tensor)
    if before is not None:
        notes += (_said(activation, outputs),)
        tensor = before
    elif activation:
        notes += (
            f"the model ends in {activation}, which is no softmax, sigmoid or nothing: what it gives is taken for "
            "logits",
        )
    if before is None and count == 1:
        return Form(model, outputs, "", notes)
    name = model.name if before is None else f"{model.name}_logits"
    return Form(keras.Model(_input(model), tensor, name=name), outputs, activation if before is not None else "", notes)


def _said(activation: str, outputs: int) -> str:
    several = outputs > 1 and activation == "sigmoid"
    more = " (a softmax over them is applied where classes exclude each other)" if several else ""
    return (
        f"the model ends in a {activation}: its logits are taken from before it{more}, and the {activation} after them"
    )


def _before_activation(tensor) -> tuple[Any, str]:
    """(the logits, "softmax" or "sigmoid"); (None, the name of another activation, or "")."""
    # Keras has no public access from a tensor to the operation that made it.
    history = getattr(tensor, "_keras_history", None)
    if history is None:
        return None, ""
    operation, node_index, tensor_index = history
    node = operation._inbound_nodes[node_index]
    inputs, kind = node.input_tensors, type(operation).__name__
    named = _named(getattr(operation, "activation", None))
    if kind in ("Softmax", "Sigmoid") and getattr(operation, "axis", -1) in (-1, len(tensor.shape) - 1):
        return inputs[0], kind.lower()
    if named in ("softmax", "sigmoid"):
        return (inputs[0] if kind == "Activation" else _Unactivated(operation)(inputs[0])), named
    if isinstance(operation, keras.Model):
        inner, found = _before_activation(operation.outputs[tensor_index])
        if inner is None:
            return None, found
        return keras.Model(_input(operation), inner, name=f"{operation.name}_logits")(_one(inputs)), found
    if kind in _PASSED and named in ("", "linear") and inputs:
        if kind == "Reshape" and inputs[0].shape[-1] != tensor.shape[-1]:
            return None, ""
        inner, found = _before_activation(inputs[0])
        return (None, found) if inner is None else (operation(inner), found)
    return None, "" if named in ("", "linear") or kind == "InputLayer" else named


def _input(model: keras.Model):
    """The input as in a call: a tensor if there is only one."""
    return _one(model.inputs)


def _one(tensors):
    return tensors[0] if len(tensors) == 1 else tensors


def _named(activation: Any) -> str:
    if activation is None:
        return ""
    return getattr(activation, "__name__", type(activation).__name__).lower()


class _Unactivated(keras.layers.Layer):
    """A layer without its activation; the layer, and its weights, are the user's own."""

    def __init__(self, layer: keras.layers.Layer):
        super().__init__(dtype="float32", name=f"{layer.name}_logits")
        self.layer = layer
        self.built = True

    def call(self, inputs):
        activation, self.layer.activation = self.layer.activation, keras.activations.linear
        try:
            return self.layer(inputs)
        finally:
            self.layer.activation = activation

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)


def _subclassed(model: keras.Model, key: Any, size, channels: int, outputs: int, notes: tuple[str, ...]) -> Form:
    """A model that Keras cannot look into: its last activation is recognised by its values."""
    activation = _by_values(model, key, size, channels)
    if not activation and key is None:
        return Form(model, outputs, "", notes)
    made = _AsLogits(model, key, activation)
    made(keras.ops.zeros((1, *size, channels)))
    if activation:
        notes += (_said(activation, outputs) + "; it was recognised by what the model gives",)
    return Form(made, outputs, activation, notes)


def _by_values(model: keras.Model, key: Any, size, channels: int) -> str:
    random = np.random.default_rng(0)
    images = np.stack([random.uniform(0, 255, (*size, channels)), np.full((*size, channels), 255.0)]).astype("float32")
    given = model(images, training=False)
    values = np.asarray(keras.ops.convert_to_numpy(given if key is None else given[key]), np.float64)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1 or np.ptp(values) == 0:
        return ""
    if values.shape[-1] > 1 and np.allclose(values.sum(axis=-1), 1, atol=1e-3):
        return "softmax"
    # A rectifier's output is 0 in places.
    return "sigmoid" if values.min() > 0 else ""


class _AsLogits(keras.Model):
    """A model reduced to one output, which is turned back into logits."""

    def __init__(self, inner: keras.Model, key: Any, activation: str):
        super().__init__(name=f"{inner.name}_logits")
        self.inner, self._key, self._activation = inner, key, activation

    def call(self, inputs, training=None):
        given = self.inner(inputs, training=training)
        given = given if self._key is None else given[self._key]
        if not self._activation:
            return given
        # Keras keeps the logits with the output of its own softmax and sigmoid, without a public name for them.
        kept = getattr(given, "_keras_logits", None)
        if kept is not None:
            return keras.ops.cast(kept, "float32")
        p = keras.ops.cast(given, "float32")
        if self._activation == "softmax":
            return keras.ops.log(keras.ops.maximum(p, 1e-30))
        return keras.ops.log(keras.ops.maximum(p, 1e-30)) - keras.ops.log(keras.ops.maximum(1.0 - p, _EPSILON))

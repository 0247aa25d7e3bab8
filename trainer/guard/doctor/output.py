"""What a model ends in, read from its configuration: activation, units, and what stands between them and the loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras

from .activation import LINEAR, Activation, activation_of

# These pass on values unchanged, or a part, a mean or a rearrangement of them: the range stays.
_PASSING = (
    "Reshape",
    "Flatten",
    "Permute",
    "RepeatVector",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "Identity",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "Masking",
    "Squeeze",
    "ExpandDims",
    "GetItem",
    "Transpose",
    "Cast",
    "ActivityRegularization",
    "CenterCrop",
    "Resizing",
    "Clip",
)
DROPOUTS = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout", "AlphaDropout")
RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Bidirectional")


@dataclasses.dataclass(frozen=True)
class Output:
    """One output of a model.

    Attributes:
      activation: the last activation applied.
      layer: the name of the layer (or operation) that applies it, or of the one with the weights where there is none.
      inner, inner_layer: the activation directly before it, and the layer that applies that.
      axis: the axis of a softmax, negative.
      channels: the size of that axis, or of the last one; None if unknown.
      weights: the name of the last layer with weights.
      units_layer: the Keras layer of that name, or None.
      after: names of the layers after the activation, which pass its values on.
      dropout: names of the dropout layers after the last weights, with their rates.
      shape: the output's shape, the batch included.
      known: whether all of this could be read.
    """

    activation: Activation = LINEAR
    layer: str | None = None
    inner: Activation = LINEAR
    inner_layer: str | None = None
    axis: int = -1
    channels: int | None = None
    weights: str | None = None
    units_layer: Any = None
    after: tuple[str, ...] = ()
    dropout: tuple[tuple[str, float], ...] = ()
    shape: tuple[int | None, ...] = ()
    known: bool = True


def outputs_of(model: keras.Model) -> list[Output]:
    """The model's outputs as read from its graph of layers; empty for a model without such a graph."""
    if not isinstance(model, (keras.Sequential, *_functional())) or not model.built:
        return []
    return [_output(tensor) for tensor in keras.tree.flatten(model.outputs)]


def layers_of(model: keras.Model) -> Iterator[Any]:
    """All layers, those of nested models and wrappers included, outer ones first."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        for name in ("layer", "forward_layer"):  # the layer wrapped by TimeDistributed, Bidirectional and the like
            inner = getattr(layer, name, None)
            if isinstance(inner, keras.layers.Layer):
                yield inner


def softmax_axis(layer: Any) -> int | None:
    """The axis of a layer's softmax; None if it has none."""
    name = type(layer).__name__
    if name in ("Softmax", "LogSoftmax"):
        axis = getattr(layer, "axis", -1)
        return axis if isinstance(axis, int) else axis[0] if len(axis) == 1 else None
    function = getattr(layer, "activation", None)
    if callable(function) and activation_of(function).name in ("softmax", "log_softmax"):
        return -1
    return None


def _functional() -> tuple[type, ...]:
    inputs = keras.Input((1,))
    return (type(keras.Model(inputs, inputs)),)  # Functional itself has no public name


def _output(tensor: Any) -> Output:
    shape = tuple(tensor.shape)
    found: dict[str, Any] = {"shape": shape, "channels": shape[-1] if shape else None}
    after, dropout, turns = [], [], []
    activation, holder, axis = None, None, -1
    clipped, direct = False, True  # whether `Clip` was met, and whether nothing changed the values since `activation`
    for operation, output in _backwards(tensor):
        kind = type(operation).__name__
        if kind in DROPOUTS:
            dropout.append((operation.name, float(getattr(operation, "rate", 0.0))))
            continue
        read = _activation(operation)
        if read is None and kind in _PASSING:
            clipped = clipped or kind == "Clip"
            if activation is None:
                after.append(operation.name)
                turns += _turn(operation)
            continue
        if read is not None and read.name != "linear" and activation is None:
            activation, holder = read, operation.name
            axis = softmax_axis(operation)
            axis = -1 if axis is None else axis
            size = tuple(output.shape)
            axis = axis - len(size) if axis >= 0 else axis
            found["channels"] = size[axis] if -axis <= len(size) else None
            for turn in reversed(turns):
                axis = turn.index(axis % len(turn)) - len(turn)
        elif read is not None and read.name != "linear" and direct and "inner" not in found:
            found.update(inner=read, inner_layer=operation.name)
        direct = direct and not kind.endswith("Normalization")
        if activation is None and kind.endswith("Normalization"):
            activation, holder = LINEAR, operation.name  # whatever came before, its values may now be any
        if _has_weights(operation):
            found.update(weights=operation.name, units_layer=operation)
            holder = holder or operation.name
            break
        if read is None and not kind.endswith(
            "Normalization"
        ):  # any other operation: what it does to the values is unknown
            return Output(
                **found,
                activation=activation or Activation("other"),
                layer=holder or operation.name,
                axis=axis,
                after=tuple(after),
                dropout=tuple(dropout),
                known=activation is not None,
            )
    return Output(
        **found,
        activation=activation or LINEAR,
        layer=holder,
        axis=axis,
        after=tuple(after),
        dropout=tuple(dropout),
        known=activation is not None or not clipped,
    )


def _turn(operation: Any) -> list[list[int]]:
    """The order in which a layer or operation puts its axes, the batch's included; empty if it keeps their order."""
    if type(operation).__name__ == "Permute":
        return [[0, *operation.dims]]
    axes = getattr(operation, "axes", None) if type(operation).__name__ == "Transpose" else None
    return [list(axes)] if axes is not None else []


def _backwards(tensor: Any) -> Iterator[tuple[Any, Any]]:
    """(operation, its output) from an output towards the input, while there is a single path; enters nested models."""
    while True:
        # Keras has no public way from a symbolic tensor to the layer that made it.
        history = getattr(tensor, "_keras_history", None)
        if history is None:
            return
        operation, node, position = history
        if isinstance(operation, keras.Model) and hasattr(operation, "outputs"):
            yield from _backwards(keras.tree.flatten(operation.outputs)[position])
        else:
            yield operation, tensor
        inputs = operation._inbound_nodes[node].input_tensors
        if len(inputs) != 1:
            return
        tensor = inputs[0]


def _activation(operation: Any) -> Activation | None:
    """The activation that a layer or operation applies to its values; None if it applies none."""
    kind = type(operation).__name__
    if kind in ("TimeDistributed", "Bidirectional"):
        return _activation(getattr(operation, "layer", None) or operation.forward_layer)
    function = getattr(operation, "activation", None)
    if callable(function) and (_has_weights(operation) or kind == "Activation"):
        return activation_of(function)
    if kind == "Lambda":
        return activation_of(operation.function)
    if kind in ("Softmax", "LogSoftmax"):
        return activation_of(keras.activations.softmax if kind == "Softmax" else keras.activations.log_softmax)
    if kind in (
        "ReLU",
        "LeakyReLU",
        "ELU",
        "Sigmoid",
        "Relu",
        "Relu6",
        "Tanh",
        "Softplus",
        "Exp",
        "Gelu",
        "Silu",
        "Elu",
        "Selu",
        "HardSigmoid",
        "Softsign",
        "HardTanh",
    ):
        return activation_of(operation)
    return LINEAR if _has_weights(operation) else None


def _has_weights(operation: Any) -> bool:
    return bool(getattr(operation, "weights", None)) and "Normalization" not in type(operation).__name__

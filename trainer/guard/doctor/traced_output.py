"""What a subclassed model ends in, read from the ops that it runs."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from .activation import LINEAR, Activation, activation_of
from .output import Output, layers_of

_HANDED_ON = frozenset({"Identity", "Reshape", "Cast", "Squeeze", "ExpandDims", "StopGradient", "EnsureShape"})
_ACTIVATIONS = {
    "Softmax": "softmax",
    "Sigmoid": "sigmoid",
    "Relu": "relu",
    "Relu6": "relu6",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Elu": "elu",
    "Selu": "selu",
    "Exp": "exponential",
    "LogSoftmax": "log_softmax",
    "LeakyRelu": "leaky_relu",
}
_PRODUCTS = frozenset({"MatMul", "BatchMatMulV2", "Conv2D", "Conv3D", "DepthwiseConv2dNative", "Einsum"})
_SUMS = frozenset({"Add", "AddV2", "BiasAdd"})
_CLIPS = frozenset({"Minimum", "Maximum", "ClipByValue"})  # by a number: the values stay in their range
_READS = frozenset({"ReadVariableOp", "Identity", "Reshape", "Squeeze", "Cast"})


def traced_outputs(model: keras.Model, x: Any) -> list[Output]:
    """The outputs of a model, read from the ops of its forward pass, in flattened order.

    Where a model is not a graph of layers, its configuration does not say what it ends in. The forward pass is traced,
    and each output followed back over ops that pass its values on, to an activation and to the variable by which it was
    multiplied; the layer is the one that holds this variable. An output computed otherwise is not `known`.
    """
    try:
        traced = tf.function(lambda part: model(part, training=False), autograph=False).get_concrete_function(x)
    except Exception:  # nothing is known about a model that cannot be traced
        return []
    handles = {id(variable.value.handle): variable for variable in model.variables if hasattr(variable.value, "handle")}
    read = {inside.op.name: handles[id(outside)] for outside, inside in traced.graph.captures if id(outside) in handles}
    return [_output(tensor, model, read) for tensor in traced.outputs]


def _output(tensor: Any, model: keras.Model, variables: dict[str, Any]) -> Output:
    shape = tuple(tensor.shape)
    channels = shape[-1] if shape else None
    activation: Activation | None = None
    inner, clipped = LINEAR, False
    while True:
        op = tensor.op
        if op.type in _HANDED_ON:
            tensor = op.inputs[0]
        elif op.type in _ACTIVATIONS and activation is None:
            activation = activation_of(getattr(keras.activations, _ACTIVATIONS[op.type]))
            channels = tensor.shape[-1]
            tensor = op.inputs[0]
        elif op.type in _ACTIVATIONS and inner is LINEAR:
            inner = activation_of(getattr(keras.activations, _ACTIVATIONS[op.type]))
            tensor = op.inputs[0]
        elif op.type in _CLIPS and all(part.op.type == "Const" for part in op.inputs[1:]):
            clipped = clipped or activation is None
            tensor = op.inputs[0]
        elif clipped and activation is None and op.type in _SUMS | _PRODUCTS:  # clipped by hand: any range is possible
            return Output(shape=shape, channels=channels, known=False)
        elif op.type in _SUMS and _variable(op.inputs[1], variables) is not None:
            return _of_layer(_variable(op.inputs[1], variables), activation, inner, model, shape, channels)
        elif op.type in _PRODUCTS and _variable(op.inputs[1], variables) is not None:
            return _of_layer(_variable(op.inputs[1], variables), activation, inner, model, shape, channels)
        else:  # a sum of branches, a normalisation by hand, a separately traced function
            return Output(shape=shape, channels=channels, activation=activation or LINEAR, known=False)


def _variable(tensor: Any, variables: dict[str, Any]) -> Any:
    """The variable that a tensor is read from; None if it is computed."""
    while tensor.op.type in _READS and len(tensor.op.inputs):
        tensor = tensor.op.inputs[0]
    return variables.get(tensor.op.name)


def _of_layer(
    variable: Any, activation: Activation | None, inner: Activation, model: keras.Model, shape: tuple, channels: Any
) -> Output:
    layer = next(
        (candidate for candidate in layers_of(model) if any(variable is held for held in candidate.weights)), None
    )
    if layer is None or isinstance(layer, keras.Model) or not hasattr(layer, "activation"):
        name, layer = (variable.path.split("/")[-2:-1] or [model.name])[0], None
    else:
        name = layer.name
    return Output(
        activation=activation or LINEAR,
        layer=name,
        inner=inner,
        inner_layer=name,
        channels=channels if channels is None else int(channels),
        weights=name,
        units_layer=layer,
        shape=shape,
    )

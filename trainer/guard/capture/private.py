"""All private names of TensorFlow and Keras that the guard uses, and why no public one will do.

Pinned to TensorFlow 2.21 and Keras 3.15; a newer version is tried here first.
"""

from __future__ import annotations

import random
from typing import Any

import tensorflow as tf

# Imported as modules where the recorder temporarily replaces one of their functions by its own: no public
# hook reports ops as they run, the calls of a custom gradient, of a function or of a Python function.
from tensorflow.python import pywrap_tfe
from tensorflow.python.data.ops.iterator_ops import OwnedIterator  # iter(dataset); tf.data.Iterator is its base
from tensorflow.python.eager import backprop, context, record
from tensorflow.python.eager.polymorphic_function import atomic_function, concrete_function
from tensorflow.python.framework import func_graph, op_callbacks, ops
from tensorflow.python.ops import array_ops, resource_variable_ops, script_ops

__all__ = [
    "AtomicFunction",
    "BaseVariable",
    "ConcreteFunction",
    "EagerFunc",
    "EagerTensor",
    "FuncGraph",
    "OwnedIterator",
    "array_ops",
    "clear_kernel_cache",
    "dataset_functions",
    "function_graph",
    "generator",
    "has_own_gradient",
    "inner_variable",
    "op_callbacks",
    "pywrap_tfe",
    "record",
    "registered_gradient",
    "scratch_graph",
    "script_ops",
    "stand_in",
    "tape_is_stopped",
    "tensor_id",
]

FuncGraph = func_graph.FuncGraph  # a graph that can be filled without a tf.function around it
AtomicFunction = atomic_function.AtomicFunction  # run in every call of a traced function
ConcreteFunction = concrete_function.ConcreteFunction  # makes the backward function when a tape watches a call
EagerFunc = script_ops.EagerFunc  # runs the Python of a tf.py_function
EagerTensor = ops._EagerTensorBase  # the public tf.Tensor is the base of symbolic tensors as well
BaseVariable = resource_variable_ops.BaseResourceVariable  # of all kinds of variables; tf.Variable's own check is slow


def tensor_id(tensor: Any) -> int:
    """What identifies a tensor, eager or symbolic. `Tensor.ref()` keeps the tensor alive and has no order."""
    return tensor._id


def tape_is_stopped() -> bool:
    """Whether this thread is inside `tape.stop_recording()`. No public function reports it."""
    return pywrap_tfe.TFE_Py_TapeSetIsStopped()


def registered_gradient(op_type: str, operation: tf.Operation | None):
    """The registered gradient function of an op; None for one registered as not differentiable.

    `tf.RegisterGradient` writes into the registry; nothing public reads it.

    Raises:
      LookupError: the registry has no entry for this type of op.
    """
    return ops.get_gradient_function(operation) if operation is not None else ops.gradient_registry.lookup(op_type)


def has_own_gradient(operation: tf.Operation) -> bool:
    """Whether a graph operation carries a gradient function of its own, apart from its type's."""
    return operation._gradient_function is not None


def stand_in(op_type: str, attrs: tuple, inputs: list, outputs: list):
    """The operation that a gradient function gets for an eager op. The tape itself uses this class."""
    return backprop._MockOp(attrs, inputs, outputs, op_type, None)


def scratch_graph(name: str, around: tf.Graph | None = None):
    """An empty graph; with `around`, one that may capture tensors of that graph."""
    if around is None:
        return FuncGraph(name)
    with around.as_default():  # a FuncGraph may capture from the graph that is the default now
        return FuncGraph(name)


def function_graph(graph: tf.Graph, name: str) -> tf.Graph | None:
    """The graph of a function called in `graph`; nothing public leads from a call to its function."""
    function = graph._functions.get(name)
    return getattr(function, "graph", None)


def dataset_functions(dataset: tf.data.Dataset) -> list:
    """The traced functions that a data set calls for its elements."""
    return [wrapper.function for wrapper in dataset._functions()]


def inner_variable(variable: Any) -> Any:
    """The `tf.Variable` inside a Keras variable, None before it is built; any other variable itself.

    The public equivalent, Keras's `value`, reads a tensor under autocast.
    """
    if not hasattr(variable, "path"):
        return variable
    return getattr(variable, "_value", variable)


def generator() -> random.Random | None:
    """The generator of seeds for eager random ops without one; TensorFlow's public functions only set it."""
    return getattr(context.context(), "_rng", None)


def clear_kernel_cache() -> None:
    """Lets random ops begin anew: a kernel counts its own draws, and nothing public resets it."""
    context.context().clear_kernel_cache()

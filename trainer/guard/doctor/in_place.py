"""Temporary changes to a model that cannot be copied: attributes of its layers, and new initial weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from .change import Change
from .output import layers_of

# Options that a layer reads in every call; those that it reads when it is built (units, filters) cannot be changed.
_READ_IN_CALL = frozenset(
    {"activation", "rate", "momentum", "stddev", "trainable", "scale", "offset", "activity_regularizer"}
)


@contextlib.contextmanager
def altered(model: keras.Model, change: Change) -> Iterator[None]:
    """Inside, a model's layers are changed.

    Raises:
      ValueError: a change needs a new layer instead of another option of the same one.
    """
    kept: list[tuple[Any, str, Any]] = []
    try:
        for layer in layers_of(model):
            for name, value in change.layers.get(layer.name, {}).items():
                holder, attribute, value = _place(layer, name, value)
                kept.append((holder, attribute, getattr(holder, attribute)))
                setattr(holder, attribute, value)
        yield
    finally:
        for holder, attribute, value in reversed(kept):
            setattr(holder, attribute, value)


def _place(layer: Any, name: str, value: Any) -> tuple[Any, str, Any]:
    """(object, attribute, value) of an option of a layer."""
    if name in _READ_IN_CALL and hasattr(layer, name):
        return layer, name, keras.activations.get(value) if name == "activation" else value
    for ending in ("_regularizer", "_constraint"):
        variable = getattr(layer, name.removesuffix(ending), None) if name.endswith(ending) else None
        if variable is not None and value is None:
            return variable, ending[1:], None
    raise ValueError(f"{name} of {layer.name!r} cannot be changed in place")


def fresh_weights(model: keras.Model, names: tuple[str, ...]) -> dict[int, np.ndarray]:
    """Keras's own initial values for the kernels and biases of layers, by the identity of the variable."""
    values = {}
    for layer in layers_of(model):
        if layer.name not in names or isinstance(layer, keras.Model):
            continue
        for variable in layer.weights:
            kind = variable.path.rsplit("/", 1)[-1]
            if kind == "bias":
                usual = "zeros"
            elif kind.endswith("kernel"):
                usual = "orthogonal" if kind.startswith("recurrent") else "glorot_uniform"
            else:
                continue
            values[id(variable)] = np.asarray(keras.initializers.get(usual)(variable.shape, variable.dtype))
    return values

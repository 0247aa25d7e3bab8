"""Which activation a function is, recognised by what it computes: `tf.nn.softmax`, a lambda or Keras's own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import keras
import numpy as np

# Asymmetric and with both signs; no two of the functions below agree on it.
_SCORES = np.array([[-4.0, -2.5, -1.0, -0.25, 0.0, 0.5, 1.5, 3.0, 7.0]], "float32")
_FAR = np.concatenate([-np.geomspace(1e4, 1e-3, 60), [0.0], np.geomspace(1e-3, 1e4, 60)]).astype("float32")[None]
_NAMES = (
    "linear",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
    "softplus",
    "elu",
    "selu",
    "exponential",
    "softsign",
    "leaky_relu",
    "gelu",
    "silu",
    "hard_sigmoid",
    "relu6",
    "log_softmax",
    "hard_tanh",
    "hard_silu",
    "mish",
    "log_sigmoid",
    "celu",
)
SATURATING = frozenset({"sigmoid", "tanh", "hard_sigmoid", "hard_tanh", "softsign"})
PROBABILITIES = frozenset({"sigmoid", "softmax", "hard_sigmoid"})


@dataclasses.dataclass(frozen=True)
class Activation:
    """An activation by name ("other" if Keras has none like it), with the range it can reach."""

    name: str
    low: float = -math.inf
    high: float = math.inf

    @property
    def bounded(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)


LINEAR = Activation("linear")


def reach(outer: Activation, inner: Activation, channels: int | None) -> tuple[float, float]:
    """The smallest and largest value of an activation applied to the output of another."""
    low, high = max(inner.low, -1e4), min(inner.high, 1e4)
    if outer.name == "softmax":
        others = (channels or 2) - 1
        return tuple(1 / (1 + others * math.exp(min(700.0, gap))) for gap in (high - low, low - high))
    function = getattr(keras.activations, outer.name, None)
    if function is None:
        return outer.low, outer.high
    values = np.asarray(function(np.concatenate([np.linspace(low, high, 101), [low, high]]).astype("float32")[None]))
    return float(values.min()), float(values.max())


def activation_of(function: Callable | None) -> Activation:
    """The activation that a function or a stateless layer computes; "other", with its measured range, if unknown."""
    if function is None:
        return LINEAR
    values = _values(function, _SCORES)
    if values is None:
        return Activation("other")
    for name in _NAMES:
        known = getattr(keras.activations, name, None)
        if known is not None and np.allclose(values, np.asarray(known(_SCORES)), atol=1e-5):
            return Activation(name, *_range(name, function))
    return Activation("other", *_range("other", function))


def _range(name: str, function: Callable) -> tuple[float, float]:
    """The smallest and largest values over twelve orders of magnitude; infinite where they still grow at the end."""
    if name in ("softmax", "sigmoid"):
        return 0.0, 1.0
    values = _values(function, _FAR)
    if values is None or not np.isfinite(values).all():
        return -math.inf if name in ("log_softmax", "linear", "other") else 0.0, math.inf
    low, high = float(values.min()), float(values.max())
    return (low if low > -100 else -math.inf), (high if high < 100 else math.inf)


def _values(function: Callable, scores: np.ndarray) -> np.ndarray | None:
    try:
        values = np.asarray(function(keras.ops.convert_to_tensor(scores)))
    except Exception:  # a user's function may need another shape, and then its range stays unknown
        return None
    return values if values.shape == scores.shape and values.dtype.kind == "f" else None

"""What a loss expects: family and `from_logits` for one of Keras's; for a user's own, its values on probes."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import keras
import numpy as np

_FAMILIES = {
    "binary": ("binary_crossentropy", "binary_focal_crossentropy", "bce"),
    "categorical": (
        "categorical_crossentropy",
        "categorical_focal_crossentropy",
        "categorical_generalized_cross_entropy",
    ),
    "sparse": ("sparse_categorical_crossentropy",),
    "squared": ("mean_squared_error", "mse"),
    "absolute": ("mean_absolute_error", "mae"),
    "percentage": ("mean_absolute_percentage_error", "mape"),
    "logarithmic": ("mean_squared_logarithmic_error", "msle"),
    "poisson": ("poisson",),
    "robust": ("huber", "log_cosh", "logcosh"),
    "divergence": ("kl_divergence", "kld", "kullback_leibler_divergence"),
    "hinge": ("hinge", "squared_hinge"),
    "categorical_hinge": ("categorical_hinge",),
    "cosine": ("cosine_similarity",),
    "overlap": ("dice", "tversky"),
}
_FAMILY_OF = {name: family for family, names in _FAMILIES.items() for name in names}
_FAMILY_OF |= {
    "BinaryCrossentropy": "binary",
    "BinaryFocalCrossentropy": "binary",
    "CategoricalCrossentropy": "categorical",
    "CategoricalFocalCrossentropy": "categorical",
    "SparseCategoricalCrossentropy": "sparse",
    "MeanSquaredError": "squared",
    "MeanAbsoluteError": "absolute",
    "MeanAbsolutePercentageError": "percentage",
    "MeanSquaredLogarithmicError": "logarithmic",
    "Poisson": "poisson",
    "Huber": "robust",
    "LogCosh": "robust",
    "KLDivergence": "divergence",
    "Hinge": "hinge",
    "SquaredHinge": "hinge",
    "CategoricalHinge": "categorical_hinge",
    "CosineSimilarity": "cosine",
    "Dice": "overlap",
    "Tversky": "overlap",
}
CROSS_ENTROPIES = ("binary", "categorical", "sparse")
REGRESSION = ("squared", "absolute", "percentage", "logarithmic", "poisson", "robust")


@dataclasses.dataclass(frozen=True)
class Objective:
    """A loss as it was read.

    Attributes:
      family: "binary", "categorical", "sparse" for the cross-entropies, another word of `_FAMILIES`, or "own".
      from_logits: whether it expects scores.
      name: what the user would call it.
      function: the loss as `loss(y_true, y_pred)`.
      axis: the axis or axes that it works over, where it names them.
      adapts: whether Keras aligns labels and predictions whose ranks differ by one before the call.
      ignored: the class number that it leaves out, or None.
      smoothed: whether it smooths the labels.
    """

    family: str
    from_logits: bool
    name: str
    function: Any
    axis: Any = -1
    adapts: bool = True
    ignored: int | None = None
    smoothed: bool = False


def objective_of(loss: Any) -> Objective | None:
    """Reads a loss given as a name, a class, an instance or a function; None where there is none."""
    if loss is None:
        return None
    if isinstance(loss, str):
        function = keras.losses.get(loss)
        return Objective(_FAMILY_OF.get(getattr(function, "__name__", loss), "own"), False, loss, function)
    if isinstance(loss, type) and issubclass(loss, keras.losses.Loss):
        loss = loss()
    if isinstance(loss, keras.losses.Loss):
        return _of_instance(loss)
    if callable(loss):
        return _of_function(loss)
    return None


def _of_instance(loss: keras.losses.Loss) -> Objective:
    known = type(loss).__module__.startswith("keras.")
    name = type(loss).__name__
    wrapped = getattr(loss, "fn", None)
    if known and name in _FAMILY_OF:
        config = loss.get_config()
        return Objective(
            _FAMILY_OF[name],
            bool(config.get("from_logits", False)),
            name,
            loss,
            config.get("axis", -1),
            ignored=config.get("ignore_class"),
            smoothed=bool(config.get("label_smoothing")),
        )
    if known and wrapped is not None:
        inner = _of_function(wrapped)
        return dataclasses.replace(inner, function=loss)
    return Objective("own", False, name, loss, adapts=wrapped is not None)


def _of_function(loss: Any) -> Objective:
    options: dict[str, Any] = {}
    inner = loss
    while isinstance(inner, functools.partial):
        options = {**inner.keywords, **options}
        inner = inner.func
    name = getattr(inner, "__name__", type(inner).__name__)
    family = _FAMILY_OF.get(name) if str(getattr(inner, "__module__", "")).startswith("keras") else None
    return Objective(family or "own", bool(options.get("from_logits", False)), name, loss, options.get("axis", -1))


def reads(objective: Objective, labels: np.ndarray, template: np.ndarray) -> str | None:
    """What a user's loss takes its predictions for: "probabilities", "logits" or "values"; None if unclear.

    It is evaluated on predictions that are right, undecided, confident and beyond 0..1. A loss on probabilities is low
    where they equal the labels, and does not rise beyond 1 (or is NaN there); one on logits falls the further they go,
    up to a limit; one that compares values rises with any distance from the labels.

    Args:
      objective: the loss.
      labels: the labels that it gets, from 0 to 1 or class numbers.
      template: the labels in the shape of the predictions, 0 or 1.
    """

    def value(predictions: np.ndarray) -> float:
        try:
            answer = objective.function(
                keras.ops.convert_to_tensor(labels), keras.ops.convert_to_tensor(predictions.astype("float32"))
            )
            return float(np.mean(np.asarray(answer)))
        except Exception:  # the user's loss may refuse any of this; then nothing is known about it
            return math.nan

    right = value(np.clip(template, 1e-4, 1 - 1e-4))
    undecided = value(np.full_like(template, 0.5))
    confident, more = value(16 * template - 8), value(40 * template - 20)
    beyond = [value(2 * template - 0.5), value(1.5 * template), value(template - 0.5 * (template < 0.5))]
    room = undecided - right
    if not math.isfinite(right) or not math.isfinite(undecided):
        return None
    saturated = math.isfinite(confident) and math.isfinite(more) and abs(more - confident) < 0.05 * abs(right - more)
    if saturated and confident < right - 0.5 * abs(room) - 1e-3 and value(-(16 * template - 8)) > undecided:
        return "logits"
    if room <= 1e-6:
        return None
    if any(not math.isfinite(loss) or loss <= right + 0.02 * room for loss in beyond):
        return "probabilities"
    return "values"

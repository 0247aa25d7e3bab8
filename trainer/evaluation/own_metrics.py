"""The user's metrics: a number from the confusion counts, or one for each image from label and prediction.

    def specificity(confusion):                  # int64 [classes, classes] of all images, row = label
        return confusion[0, 0] / confusion[0].sum()

    def boundary_f1(label, prediction):          # int32 [height, width] each; NaN where the image says nothing
        ...

A function with one parameter gets the confusion counts. One with more gets by name each parameter that is named like a
key of the example ("weights"), "image", "probabilities", "classes" or "void_id", and label and prediction as the rest.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import numbers
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from trainer.data.augment.own import raised_at
from trainer.errors import EXIT_FAILED, UserError
from trainer.parts import name_of, resolve

_BOTH = ("label", "prediction")
# What a metric gets by name beside the keys of the example.
_GIVEN = ("image", "probabilities", "classes", "void_id", "spacing")


class MetricError(UserError):
    """A metric of the user's raised, or returned no number."""


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_described(item)}" for key, item in value.items()) + "}"
    return repr(value) if value is None or isinstance(value, (str, int, float)) else type(value).__name__


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric and the arguments that it takes.

    Attributes:
      parameters: names of those besides label and prediction; empty for a metric on confusion counts.
      roles: the parameters for "label" and "prediction".
      positional: all parameters that are passed by position, in order.
    """

    name: str
    function: Callable[..., float]
    of_confusion: bool
    parameters: tuple[str, ...] = ()
    roles: Mapping[str, str] = dataclasses.field(default_factory=lambda: {role: role for role in _BOTH})
    positional: tuple[str, ...] = _BOTH

    def of_image(self, values: Mapping[str, Any]) -> float:
        """The metric of one image; `values` has "prediction", other values, and "label" unless there is none."""
        missing = [key for key in self.parameters if key not in values]
        if missing:
            raise UserError(
                f"The metric {self.name} takes {', '.join(missing)}, and there is {', '.join(sorted(values))}."
            )
        given = {key: values[key] for key in self.parameters}
        given |= {key: values.get(role) for key, role in self.roles.items()}
        # In the order of the signature, except keyword-only parameters.
        positional = [given.pop(key) for key in self.positional]
        return self._number(*positional, **given)

    def of_counts(self, confusion: np.ndarray) -> float:
        return self._number(confusion)

    def _number(self, *positional, **given) -> float:
        try:
            value = self.function(*positional, **given)
        except Exception as error:
            got = ", ".join(map(_described, [*positional, *given.values()]))
            raise MetricError(
                f"The metric {self.name} {raised_at(error)}\n  It was called with {got}.", exit_code=EXIT_FAILED
            ) from error
        if hasattr(value, "numpy"):
            value = value.numpy()
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.item()
        if not isinstance(value, numbers.Number):
            kind = f"{type(value).__name__}{getattr(value, 'shape', '')}"
            raise MetricError(
                f"The metric {self.name} returned {kind}; a metric is a number, such as float(numpy.mean(…))."
            )
        return float(value)


def build_metrics(
    metrics: Mapping[str, Any] | None, named: Sequence[str] = (), keys: Collection[str] = ()
) -> tuple[Metric, ...]:
    """Metrics from name -> function, and from a config's "package.module:name"; `keys` are those of the examples.

    Raises:
      UserError: something is not a function, or takes no arguments.
    """
    given = {name.partition(":")[2]: resolve(name, "config.evaluate.metrics") for name in named}
    given |= {name: resolve(part, f"metrics[{name!r}]") for name, part in (metrics or {}).items()}
    return tuple(_metric(name, function, {*keys, *_GIVEN} - set(_ROLES)) for name, function in given.items())


def _metric(name: str, function: Any, by_name: Collection[str]) -> Metric:
    if type(function).__module__.startswith("keras") or inspect.isclass(function) and "keras" in function.__module__:
        raise UserError(
            f"The metric {name} is a Keras metric, whose state adds up batches. Pass a function of (label, "
            "prediction) of one image, NumPy arrays of class ids, or of the confusion counts."
        )
    if inspect.isclass(function):
        function = function()
    if not callable(function):
        raise UserError(f"The metric {name} is {name_of(function)}, which cannot be called.")
    found = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and (p.default is p.empty)
    ]
    parameters = [p.name for p in found]
    if not parameters:
        raise UserError(f"The metric {name} takes no argument: write def {name}(label, prediction), or (confusion).")
    if len(parameters) == 1 and parameters[0] not in _ROLES:
        return Metric(name, function, of_confusion=True)
    roles = _roles([key for key in parameters if key not in by_name])
    further = tuple(key for key in parameters if key not in roles)
    return Metric(name, function, False, further, roles, tuple(p.name for p in found if p.kind != p.KEYWORD_ONLY))


# Names for label and prediction, here and in Keras.
_ROLES = {"label": "label", "y_true": "label", "prediction": "prediction", "y_pred": "prediction"}


def _roles(parameters: Sequence[str]) -> dict[str, str]:
    """Which parameters are the label and the prediction: by their names, otherwise the first two in this order."""
    roles = {key: _ROLES[key] for key in parameters if key in _ROLES}
    for key, role in zip(parameters, _BOTH, strict=False):
        # If one of the two is named elsewhere, the parameter in its position is a key of the example.
        if key not in roles and role not in roles.values() and len(roles) < 2:
            first_named = next((p for p in parameters[:2] if p in _ROLES), None)
            if first_named is None or _ROLES[first_named] == _BOTH[parameters.index(first_named)]:
                roles[key] = role
    return roles


def mean_of(values: np.ndarray) -> float:
    """The mean over images of the values that are not NaN; NaN without any."""
    counted = [float(value) for value in values if not math.isnan(value)]
    return math.fsum(counted) / len(counted) if counted else math.nan

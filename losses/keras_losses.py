"""`keras.losses.Loss` classes made from the functions, for `model.compile(loss=…)`: `dice` is `Dice`, and so on.

    model.compile(optimizer="adam", loss=losses.keras_losses.Dice(activation="sigmoid"))
    model.fit(images, masks, sample_weight=weights)     # [batch] for images, [batch, *space] for pixels

Every option of the function is a keyword of its class, kept in `get_config`. Unlike Keras's own, `sample_weight` of
`[batch]` weighs images and of `[batch, *space]` weighs pixels inside the loss's sums. Under a distribution strategy the
value is divided by the number of replicas, as Keras expects, and sums over the batch (over="batch") are those of all
replicas. Sums of losses are `Compound`, which `losses.build` makes.
"""

import inspect

import keras
import tensorflow as tf

from .compound import Compound, Part
from .engine.checks import check_floating
from .engine.keras_calls import REGISTERED, plain, share_of_replica, sums_over_replicas, weights_of
from .engine.spelling import nearest
from .names import LOSSES, function_of

REDUCTIONS = {"sum_over_batch_size": "mean", "mean": "mean", "sum": "sum", "none": "none", None: "none"}


class SegmentationLoss(keras.losses.Loss):
    """A function of `losses` as a Keras loss.

    Args:
        name: Keras's name of the loss; the function's by default.
        reduction: "sum_over_batch_size" or "mean" (default), "sum", "none".
        dtype: what predictions are cast to first. None: computed in float32, or float64 if the predictions are.
        **options: options of the function.

    Raises:
        TypeError: an option the function does not have; predictions that are not floating point.
        ValueError: another reduction; a `sample_weight` that is neither one of images nor one of pixels.
    """

    function = None

    def __init__(self, name=None, reduction="sum_over_batch_size", dtype=None, **options):
        if self.function is None:
            raise TypeError("SegmentationLoss is the base of the classes of losses.keras_losses: use one of those.")
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"{type(self).__name__}: reduction must be one of {tuple(REDUCTIONS)}; weights act inside the loss's "
                f"sums, so no other mean has a meaning.\nReceived: {reduction=}"
            )
        super().__init__(name=name or type(self).function.__name__, reduction=reduction, dtype=dtype)
        accepted = [n for n in inspect.signature(type(self).function).parameters if n not in ("y_true", "y_pred")]
        accepted = [n for n in accepted if n not in ("all_reduce", "image_weights", "pixel_weights", "mask")]
        unknown = [f"{o!r}{nearest(o, accepted)}" for o in options if o not in accepted]
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no option {', '.join(unknown)}. It takes: {', '.join(accepted)}."
            )
        self.options = options
        self._config = {} if dtype is None else {"dtype": dtype}

    def __call__(self, y_true, y_pred, sample_weight=None):
        y_pred = tf.convert_to_tensor(y_pred)
        check_floating(self.name, y_pred.dtype)
        y_pred = tf.cast(y_pred, self.dtype) if self._config else y_pred
        reduction = REDUCTIONS[self.reduction]
        with keras.name_scope(self.name):
            weights = weights_of(sample_weight, y_pred)
            given = weights | self.options | {"reduction": reduction, "all_reduce": sums_over_replicas()}
            value = type(self).function(y_true, y_pred, **given)
        return share_of_replica(value) if reduction == "mean" else value

    def get_config(self):
        return {**super().get_config(), **self._config, **plain(self.options)}


def _class_of(name):
    """The class of a function: its name in capitals, its docstring, registered for saving."""
    function = function_of(name)
    camel = "".join(word.capitalize() for word in name.split("_"))
    members = {"function": staticmethod(function), "__doc__": function.__doc__, "__module__": __name__}
    return camel, keras.saving.register_keras_serializable(REGISTERED)(type(camel, (SegmentationLoss,), members))


CLASSES = dict(_class_of(name) for name in LOSSES)
globals().update(CLASSES)

__all__ = ["Compound", "Part", "SegmentationLoss", *sorted(CLASSES)]

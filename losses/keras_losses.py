"""`keras.losses.Loss` classes made from the functions, for `model.compile(loss=…)`: `dice` is `Dice`, and so on.

    model.compile(optimizer="adam", loss=losses.keras_losses.Dice(activation="sigmoid"))
    model.fit(images, masks, sample_weight=weights)     # [batch] for images, [batch, *space] for pixels

Every option of the function is a keyword of its class, kept in `get_config`. Unlike Keras's own, `sample_weight` of
`[batch]` weighs images and of `[batch, *space]` weighs pixels inside the loss's sums. Under a distribution strategy the
value is divided by the number of replicas, as Keras expects; sums over the batch (over="batch") stay a replica's own.
"""

import inspect

import keras
import tensorflow as tf

from .engine.checks import check_floating
from .engine.spelling import nearest
from .names import LOSSES, function_of

REDUCTIONS = {"sum_over_batch_size": "mean", "mean": "mean", "sum": "sum", "none": "none", None: "none"}


class SegmentationLoss(keras.losses.Loss):
    """A function of `losses` as a Keras loss.

    Args:
        name: Keras's name of the loss; the function's by default.
        reduction: "sum_over_batch_size" or "mean" (default), "sum", "none".
        dtype: what inputs are cast to first; "float64" for float64 results.
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
        # Keras would cast whatever comes to floats.
        check_floating(self.name, tf.convert_to_tensor(y_pred).dtype)
        # The weights travel beside the labels: Keras would multiply the finished loss by them.
        return super().__call__((y_true, *(() if sample_weight is None else (sample_weight,))), y_pred)

    def call(self, y_true, y_pred):
        weights = {}
        if isinstance(y_true, tuple):
            y_true, *given = y_true
            weights = _weights(given[0], y_pred) if given else {}
        reduction = REDUCTIONS[self.reduction]
        value = type(self).function(y_true, y_pred, reduction=reduction, **weights, **self.options)
        # Keras takes the mean of this one element and divides by the replicas, which it leaves out for a scalar.
        return value[tf.newaxis] if reduction == "mean" else value

    def get_config(self):
        return {**super().get_config(), **self._config, **{name: _plain(v) for name, v in self.options.items()}}


def _plain(value):
    """Arrays and tensors as lists, which is what Keras gives back from a file."""
    value = value.numpy() if hasattr(value, "numpy") else value
    return value.tolist() if hasattr(value, "tolist") else value


def _weights(sample_weight, y_pred):
    rank, pred_rank = sample_weight.shape.rank, y_pred.shape.rank
    if rank == 1 or (rank == 2 and sample_weight.shape[1] == 1 and pred_rank > 3):
        return {"image_weights": tf.reshape(sample_weight, [-1])}
    if rank in (pred_rank - 1, pred_rank):
        return {"pixel_weights": sample_weight}
    raise ValueError(
        "sample_weight must be [batch], one factor for each image, or [batch, *space], one for each pixel.\n"
        f"Received: sample_weight of shape {sample_weight.shape}, y_pred of shape {y_pred.shape}"
    )


def _class_of(name):
    """The class of a function: its name in capitals, its docstring, registered for saving."""
    function = function_of(name)
    camel = "".join(word.capitalize() for word in name.split("_"))
    members = {"function": staticmethod(function), "__doc__": function.__doc__, "__module__": __name__}
    return camel, keras.saving.register_keras_serializable("losses")(type(camel, (SegmentationLoss,), members))


CLASSES = dict(_class_of(name) for name in LOSSES)
globals().update(CLASSES)

__all__ = ["SegmentationLoss", *sorted(CLASSES)]

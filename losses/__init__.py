"""Segmentation losses for TensorFlow: plain functions by the field's names, sums of them, and Keras classes.

    import losses

    value = losses.dice(labels, logits)                              # a function of labels and logits
    loss = losses.build("dice+cross_entropy")                        # a sum: loss(labels, logits).total and .parts
    model.compile("adam", loss, metrics=loss.metrics())              # the same in Keras
    model.compile("adam", losses.keras_losses.Dice(squared=True))

Names are loaded when first used, so that `losses.names`, which a configuration is checked against, costs no TensorFlow.
The folder can be copied under any name: its imports are relative.
"""

import importlib

from .names import LOSSES, SHORT_NAMES, nearest_losses

__version__ = "0.1.0"

_MODULES = {name: row.module for name, row in LOSSES.items()}
_MODULES |= {
    "Compound": "compound",
    "LossValue": "compound",
    "build": "compound",
    "deep_supervision": "supervision",
    "distance_maps": "contour",
    "distance_transform": "engine.distance",
    "soft_skeleton": "skeleton",
    "region_statistics": "engine.statistics",
}
_SUBMODULES = ("keras_losses", "names")

__all__ = sorted([*_MODULES, *_SUBMODULES])


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _MODULES:
        return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    if name in SHORT_NAMES:
        hint = f"; it is short for {SHORT_NAMES[name]!r}, and {__name__}.build takes short names"
    else:
        close = () if name.startswith("_") else nearest_losses(name)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__():
    return sorted({*globals(), *__all__})

"""Segmentation losses for TensorFlow: plain functions by the field's names, and Keras classes made from them.

Names are loaded when first used, so that `losses.names`, which a configuration is checked against, costs no TensorFlow.
"""

import importlib

from .names import LOSSES

_MODULES = {name: row[0] for name, row in LOSSES.items()}
_MODULES |= {
    "LossValue": "compound",
    "build": "compound",
    "deep_supervision": "compound",
    "distance_maps": "contour",
    "distance_transform": "engine.distance",
    "soft_skeleton": "skeleton",
    "region_statistics": "engine.statistics",
}

__all__ = sorted(_MODULES)


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)


def __dir__():
    return __all__

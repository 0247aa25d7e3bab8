"""Gradline's trainer: `Run` and what a user's own parts are made with.

Names are loaded when first used, so that importing a file of this package costs no TensorFlow.
"""

_NAMES = {
    "Run": "trainer.run",
    "Result": "trainer.result",
    "Task": "trainer.stepping.task",
    "Phase": "trainer.stepping.task",
    "global_sum": "trainer.stepping.global_sums",
    "UserError": "trainer.errors",
}

__all__ = sorted(_NAMES)


def __getattr__(name):
    if name not in _NAMES:
        raise AttributeError(f"module 'trainer' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_NAMES[name]), name)


def __dir__():
    return __all__

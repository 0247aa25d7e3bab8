"""Why is a gradient missing, zero or not finite? Usable from any TensorFlow code.

    from gradline_guard import explain      # inside Gradline: from trainer.guard; else by whatever name the folder has
    print(explain(lambda: loss_fn(y, model(x, training=True)), model.trainable_variables))

Names are looked up when first used, so that importing the package costs nothing. No module may be called like one of
these names: importing it would put the module in the name's place.
"""

from __future__ import annotations

import importlib

__version__ = "0.2.0"

_HOMES = {
    "explain": "explanation",
    "check": "explanation",
    "check_traced": "traced_step",
    "reads": "capture.recorder",
    "explain_exception": "causes.error",
    "Finding": "words.finding",
    "Link": "words.finding",
    "Report": "words.finding",
    "MissingGradientError": "words.finding",
    "explain_model": "keras_model",
    "GradientGuard": "keras_callback",
    "gradient_table": "terms",
    "GradientTable": "terms",
    "check_derivatives": "difference",
    "FlightRecorder": "flight_recorder",
    "replay": "flight",
    "install": "whole_program",
    "uninstall": "whole_program",
    "diagnose": "doctor",
    "Doctor": "doctor",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return __all__

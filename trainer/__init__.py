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

    _load_siblings()
    return getattr(importlib.import_module(_NAMES[name]), name)


def _load_siblings() -> None:
    """Imports `losses` and `configs` from beside this package, whatever lies under these names beside a script.

    Raises:
      ImportError: the script has imported files of its own under such a name.
    """
    import importlib
    import os
    import sys

    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, root)
    try:
        for name in ("configs", "losses"):
            found = getattr(importlib.import_module(name), "__file__", None) or "a folder without __init__.py"
            if os.path.realpath(os.path.dirname(found)) != os.path.realpath(os.path.join(root, name)):
                raise ImportError(
                    f"{found} has been imported as {name!r}, and Gradline has a package of that name, {root}/{name}. "
                    f"Call yours otherwise, my_{name} say; or do not import it, and name its parts as text: "
                    f"'{name}:NAME'."
                )
    finally:
        sys.path.remove(root)


def __dir__():
    return __all__

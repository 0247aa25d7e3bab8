"""`package.module:function` -> the function, with the reason in words when it cannot be had."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback

from trainer.errors import UserError


def load_attribute(path: str, field: str):
    """Imports a user's function or class.

    Args:
      path: "package.module:name". The current directory is searched too, as `python main.py` does.
      field: the config field that said so, for the message.

    Raises:
      UserError: no such module, no such name in it (the nearest is offered), or an error while it was imported, with
        the user's file and line.
    """
    module_name, _, name = path.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise UserError(
                f"{field}={path!r}: there is no module {error.name!r}. Searched: "
                f"{', '.join(p or '.' for p in sys.path[:3])}, …\n"
                "  Run from the folder that holds it, or add that folder: PYTHONPATH=… python main.py …"
            ) from error
        raise _import_failed(field, path, error) from error
    except Exception as error:
        raise _import_failed(field, path, error) from error
    value = getattr(module, name, None)
    if not callable(value):
        near = difflib.get_close_matches(name, [n for n in dir(module) if callable(getattr(module, n))], 1)
        what = "is not callable" if hasattr(module, name) else "does not exist"
        raise UserError(
            f"{field}={path!r}: {name!r} {what} in {getattr(module, '__file__', module_name)}."
            + (f" Did you mean {module_name}:{near[0]}?" if near else "")
        )
    return value


def _import_failed(field: str, path: str, error: Exception) -> UserError:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return UserError(
        f"{field}={path!r}: importing it failed in {frame.filename}:{frame.lineno}\n    "
        f"{frame.line}\n  {type(error).__name__}: {error}"
    )

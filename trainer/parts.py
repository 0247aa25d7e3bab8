"""A part of a run (model, loss, optimizer, metric, augmentation, action, source, task) by name or as an object.

A name is a built-in one of its kind, or "package.module:name" for the user's own. Built-in parts go through the same
function, so everything can be replaced without editing this project.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import inspect
import os
import sys
import traceback
import types
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from trainer.errors import EXIT_FAILED, UserError

# Packages of this project. A part's name refers to a file of the same name in the user's folder, where there is one.
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_OURS = ("losses", "trainer", "configs", "main", "tests", "benchmarks")


def resolve(part: Any, field: str, built_in: Mapping[str, Any] | None = None) -> Any:
    """The object that `part` names; an object is returned as it is.

    Args:
      part: a built-in name, "package.module:name", or the object itself.
      field: the field or argument that holds the part, for messages: "config.model.name", "model".
      built_in: name -> object of this kind.

    Raises:
      UserError: there is no such name; the message lists the built-in ones, the nearest first.
    """
    if not isinstance(part, str):
        return part
    built_in = built_in or {}
    if part in built_in:
        return built_in[part]
    if ":" in part:
        return load_attribute(part, field)
    raise UserError(f"{field}={part!r}: there is no such name. {known_names(part, built_in)}")


def known_names(wrong: str, built_in: Iterable[str]) -> str:
    """Help for a wrong name: the nearest one, all there are, and how to name a part of your own."""
    names = sorted(built_in)
    near = difflib.get_close_matches(wrong, names, 1)
    did_you_mean = f"Did you mean {near[0]!r}? " if near else ""
    listed = f"Built in: {', '.join(names)}. " if names else ""
    return f'{did_you_mean}{listed}One of your own: "package.module:name".'


def name_of(part: Any) -> str:
    """The name of an object in config.json: where a function or class is defined, else its class."""
    if isinstance(part, str):
        return part
    target = part if hasattr(part, "__qualname__") else type(part)
    return f"{target.__module__}:{target.__qualname__}"


def load_attribute(path: str, field: str) -> Any:
    """Imports a function or class of the user's.

    Args:
      path: "package.module:name". The current directory is searched too, as `python main.py` does.
      field: the config field or argument that holds it, for messages.

    Raises:
      UserError: no such module, no such name in it (the nearest is offered), or an error while it was imported, with
        the user's file and line.
    """
    module_name, _, name = path.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = _import(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise UserError(
                f"{field}={path!r}: there is no module {error.name!r}. Searched: the current directory "
                f"({os.getcwd()}) and Python's path.\n  Run from the folder that holds it, or add that folder: "
                "PYTHONPATH=FOLDER python …"
            ) from error
        raise _import_failed(field, path, error) from error
    except Exception as error:
        raise _import_failed(field, path, error) from error
    try:
        value = functools.reduce(getattr, name.split("."), module)
        exists = True
    except AttributeError:
        value, exists = None, False
    if not callable(value):
        near = difflib.get_close_matches(name, [n for n in dir(module) if callable(getattr(module, n))], 1)
        what = "is not callable" if exists else "does not exist"
        raise UserError(
            f"{field}={path!r}: {name!r} {what} in {getattr(module, '__file__', module_name)}."
            + (f" Did you mean {module_name}:{near[0]}?" if near else "")
        )
    return value


def _import(module_name: str):
    """Imports a module; the user's own, where the current directory has one with the name of a package of ours."""
    here = os.getcwd()
    own = os.path.join(here, *module_name.split("."))
    files = (f"{own}.py", os.path.join(own, "__init__.py"))
    if module_name.partition(".")[0] not in _OURS or here == _ROOT or not any(map(os.path.isfile, files)):
        return importlib.import_module(module_name)
    # Under a package for the current directory, so that its relative imports find the user's modules, too.
    parent = f"current_directory_{hashlib.sha256(here.encode()).hexdigest()[:8]}"
    if parent not in sys.modules:
        sys.modules[parent] = types.ModuleType(parent)
        sys.modules[parent].__path__ = [here]
    return importlib.import_module(f"{parent}.{module_name}")


def _import_failed(field: str, path: str, error: Exception) -> UserError:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    meant = getattr(error, "name", None) if isinstance(error, ImportError) else None
    meant = getattr(getattr(error, "obj", None), "__name__", meant)
    shadowed = (
        f"\n  {meant!r} is a package of Gradline's: write `from . import {meant}` for yours, or call it otherwise."
        if meant in _OURS and any(os.path.exists(os.path.join(os.getcwd(), meant + end)) for end in ("", ".py"))
        else ""
    )
    return UserError(
        f"{field}={path!r}: importing it failed in {frame.filename}:{frame.lineno}\n    "
        f"{frame.line}\n  {type(error).__name__}: {error}{shadowed}"
    )


def made_by(function: Any, given: Mapping[str, Any], what: str) -> Any:
    """What a function or class of the user's makes of `given`.

    Args:
      function: called with `given` as keyword arguments.
      given: the arguments.
      what: the field or argument and its value, for messages: "task=MyTask".

    Raises:
      UserError: it raised something; the message names its line.
    """
    try:
        return function(**given)
    except (UserError, MemoryError, tf.errors.ResourceExhaustedError):
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        try:
            source = inspect.getsourcefile(inspect.unwrap(function))
        except TypeError:  # no function, class or module
            source = None
        frame = ([f for f in frames if f.filename == source] or frames)[-1]
        raise UserError(
            f"{what}: {frame.filename}:{frame.lineno} raised {type(error).__name__}: {error}\n    {frame.line}",
            exit_code=EXIT_FAILED,
        ) from error


def takes(function: Any, count: int) -> bool:
    """Whether a function can be called with so many arguments; True where its signature is unknown."""
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:
        return True
    return True

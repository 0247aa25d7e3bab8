"""A recipe file -> its `Config`, with whatever is wrong with the file in words.

A recipe is a Python file and is run: use only files you would run yourself.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import sys
import traceback

from configs import knobs, schema
from configs.reading.fields import sections
from configs.reading.nearest import did_you_mean
from configs.reading.overrides import check_types
from configs.reading.values import shown

# Relative names of recipes are looked up here too, so that the program can be started from any directory.
_HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_EXAMPLE = "def get_config() -> Config: return Config(…), with: from configs.schema import Config"


def load(path: str) -> tuple[schema.Config, list[str]]:
    """Runs the file's `get_config()`.

    Returns:
        The config with exact types, and the problems found. With a problem in the file itself the config is the
        schema's default, so that the rest of the command line can still be checked against it.
    """
    try:
        config = _run(path)
    except RecipeError as error:
        return schema.Config(), [str(error)]
    return check_types(config, path)


class RecipeError(ValueError):
    """The file cannot be found, run, or does not return a Config."""


def find(path: str) -> str:
    """The recipe's full path: relative to the current directory, or else to the program's.

    Raises:
        RecipeError: There is no such file; the message names the nearest one.
    """
    for folder in ("", _HOME):
        candidate = os.path.join(folder, path)
        if os.path.isfile(candidate):
            return os.path.abspath(candidate)
    if os.path.isdir(path):
        raise RecipeError(f"--config={path}: this is a folder. Write a recipe file in it: {_known(path)}.")
    folder = os.path.dirname(path)
    if folder and not any(os.path.isdir(os.path.join(home, folder)) for home in ("", _HOME)):
        raise RecipeError(f"--config={path}: there is no folder {folder!r}. The program's own: {_known('configs')}.")
    name = os.path.basename(path).removesuffix(".py") + ".py"
    names = _recipes_in(folder or ".") + _recipes_in(os.path.join(_HOME, folder))
    hint = did_you_mean(name, names, "--config=" + os.path.join(folder, "{}")) if names else ""
    if not hint:
        hint = f" The program's recipes: {_known('configs')}."
    raise RecipeError(f"--config={path}: there is no such file.{hint}")


def _run(path: str) -> schema.Config:
    full = find(path)
    where = f"--config={path}"
    module_name = "gradline_recipe_" + re.sub(r"\W", "_", os.path.basename(full).removesuffix(".py"))
    spec = importlib.util.spec_from_file_location(module_name, full)
    if not full.endswith(".py") or spec is None or spec.loader is None:
        raise RecipeError(f"{where}: a recipe is a Python file whose name ends in .py, with {_EXAMPLE}.")
    module = importlib.util.module_from_spec(spec)
    # A dataclass defined in the recipe looks its module up here.
    sys.modules[module_name] = module
    try:
        # Unchecked, so that the mistakes of all sections come together.
        with knobs.unchecked():
            spec.loader.exec_module(module)
        get_config = getattr(module, "get_config", None)
        if not callable(get_config):
            own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module_name]
            hint = did_you_mean("get_config", own, "to rename {}")
            raise RecipeError(f"{where}: the file has no function get_config.{hint} Write {_EXAMPLE}.")
        with knobs.unchecked():
            config = get_config()
    except RecipeError:
        raise
    # SystemExit and the like are mistakes of the recipe as well; only Ctrl-C goes on.
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise RecipeError(f"{where}: {_failure(error, full)}") from error
    if not isinstance(config, schema.Config):
        raise RecipeError(f"{where}: get_config() returned {shown(config)}, not a Config. Write {_EXAMPLE}.")
    return config


def _failure(error: BaseException, full: str) -> str:
    """The exception in one line or two: the recipe's line that raised, the error, and the name that was meant."""
    if isinstance(error, SyntaxError) and error.filename == full:
        line = (error.text or "").strip()
        return f"line {error.lineno} is not Python: {error.msg}" + (f"\n    {line}" if line else "")
    if isinstance(error, (UnicodeDecodeError, OSError)):
        return f"the file cannot be read: {error}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == full]
    place = f"line {frames[-1].lineno} failed: " if frames else "running it failed: "
    code = f"\n    {frames[-1].line}" if frames and frames[-1].line else ""
    try:
        text = str(error)
    except Exception as second:  # An exception class of the recipe's own.
        text = f"(str() of it raises {type(second).__name__})"
    said = f": {text}" if text else ""
    return f"{place}{type(error).__name__}{said}{_hint(error, text)}{code}"


def _hint(error: BaseException, text: str) -> str:
    """How to set a field of a frozen section, and the nearest name for a section that does not exist."""
    if isinstance(error, dataclasses.FrozenInstanceError):
        return ". A config is not changed but made: Config(…), or dataclasses.replace(config, …)."
    match = re.fullmatch(r"module 'configs\.schema' has no attribute '(\w+)'", text) or re.match(
        r"cannot import name '(\w+)' from 'configs\.schema'", text
    )
    if match:
        return did_you_mean(match[1], ["Config", *(name.capitalize() for name in sections())])
    return ""


def _recipes_in(folder: str) -> list[str]:
    """Files of a folder that define get_config."""
    found = []
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        path = os.path.join(folder, name)
        if name.endswith(".py") and os.path.isfile(path) and os.access(path, os.R_OK):
            with open(path, encoding="utf-8", errors="replace") as file:
                if re.search(r"^def get_config\(", file.read(), re.MULTILINE):
                    found.append(name)
    return found


def _known(folder: str) -> str:
    home = folder if os.path.isdir(folder) else os.path.join(_HOME, folder)
    return ", ".join(os.path.join(folder, name) for name in _recipes_in(home)) or "none here"

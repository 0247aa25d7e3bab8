"""A recipe file -> its `Config`, a sweep file -> its `Sweep`, with a message for whatever is wrong with the file.

Both are Python files and are run: use only files you would run yourself.
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
from configs.sweep import Sweep

# Relative names of recipes are looked up here too, so that the program can be started from any directory.
_HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file: its flag, its name in messages, its function and what that returns, and our folder of such
    files."""

    flag: str
    title: str
    function: str
    returns: type
    folder: str

    @property
    def example(self) -> str:
        name, module = self.returns.__name__, self.returns.__module__
        return f"def {self.function}() -> {name}: return {name}(…), with: from {module} import {name}"


RECIPE = Kind("config", "recipe", "get_config", schema.Config, "configs")
SWEEP = Kind("sweep", "sweep file", "get_sweep", Sweep, os.path.join("configs", "sweeps"))


def load(path: str) -> tuple[schema.Config, list[str]]:
    """Runs the file's `get_config()`.

    Returns:
        The config with exact types, and the problems found. With a problem in the file itself the config is the
        schema's default, so that the rest of the command line can still be checked against it.
    """
    try:
        config = run(path, RECIPE)
    except RecipeError as error:
        return schema.Config(), [str(error)]
    return check_types(config, path)


class RecipeError(ValueError):
    """The file cannot be found or run, or returns the wrong thing."""


def find(path: str, kind: Kind = RECIPE) -> str:
    """The file's full path: relative to the current directory, or else to the program's.

    Raises:
        RecipeError: There is no such file; the message names the nearest one.
    """
    flag = f"--{kind.flag}="
    for folder in ("", _HOME):
        candidate = os.path.join(folder, path)
        if os.path.isfile(candidate):
            return os.path.abspath(candidate)
    if os.path.isdir(path):
        raise RecipeError(f"{flag}{path}: this is a folder. Write a {kind.title} in it: {_known(path, kind)}.")
    folder, ours = os.path.dirname(path), _known(kind.folder, kind)
    if folder and not any(os.path.isdir(os.path.join(home, folder)) for home in ("", _HOME)):
        raise RecipeError(f"{flag}{path}: there is no folder {folder!r}. The program's own: {ours}.")
    name = os.path.basename(path).removesuffix(".py") + ".py"
    names = _files_in(folder or ".", kind) + _files_in(os.path.join(_HOME, folder), kind)
    hint = did_you_mean(name, names, flag + os.path.join(folder, "{}")) if names else ""
    if not hint:
        hint = f" The program's own: {ours}."
    raise RecipeError(f"{flag}{path}: there is no such file.{hint}")


def run(path: str, kind: Kind) -> schema.Config | Sweep:
    """What the file's function returns, its values unchecked.

    Raises:
        RecipeError: See there.
    """
    full = find(path, kind)
    where = f"--{kind.flag}={path}"
    module_name = f"gradline_{kind.flag}_" + re.sub(r"\W", "_", os.path.basename(full).removesuffix(".py"))
    spec = importlib.util.spec_from_file_location(module_name, full)
    if not full.endswith(".py") or spec is None or spec.loader is None:
        raise RecipeError(f"{where}: a {kind.title} is a Python file whose name ends in .py, with {kind.example}.")
    module = importlib.util.module_from_spec(spec)
    # A dataclass defined in the file looks its module up here.
    sys.modules[module_name] = module
    try:
        # Unchecked, so that the mistakes of all sections come together.
        with knobs.unchecked():
            spec.loader.exec_module(module)
        function = getattr(module, kind.function, None)
        if not callable(function):
            own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module_name]
            hint = did_you_mean(kind.function, own, "to rename {}")
            raise RecipeError(f"{where}: the file has no function {kind.function}.{hint} Write {kind.example}.")
        with knobs.unchecked():
            found = function()
    except RecipeError:
        raise
    # SystemExit and the like are mistakes of the file, too; only Ctrl-C is passed on.
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise RecipeError(f"{where}: {_failure(error, full)}") from error
    if not isinstance(found, kind.returns):
        name = kind.returns.__name__
        raise RecipeError(f"{where}: {kind.function}() returned {shown(found)}, not a {name}. Write {kind.example}.")
    return found


def _failure(error: BaseException, full: str) -> str:
    """The exception in one line or two: the recipe's line that raised it, the error, and the name that was probably
    meant."""
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
    reason = f": {text}" if text else ""
    return f"{place}{type(error).__name__}{reason}{_hint(error, text)}{code}"


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


def _files_in(folder: str, kind: Kind) -> list[str]:
    """Files of a folder that define the kind's function."""
    found = []
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        path = os.path.join(folder, name)
        if name.endswith(".py") and os.path.isfile(path) and os.access(path, os.R_OK):
            with open(path, encoding="utf-8", errors="replace") as file:
                if re.search(rf"^def {kind.function}\(", file.read(), re.MULTILINE):
                    found.append(name)
    return found


def _known(folder: str, kind: Kind) -> str:
    home = folder if os.path.isdir(folder) else os.path.join(_HOME, folder)
    return ", ".join(os.path.join(folder, name) for name in _files_in(home, kind)) or "none here"

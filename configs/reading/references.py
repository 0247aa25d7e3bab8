""" "package.module:function" checked without importing it: the file is found, parsed, and the function looked at.

Importing would run the user's code, and TensorFlow with it, before the rest of the command line has been checked.
"""

from __future__ import annotations

import ast
import importlib.machinery
import os
import re
import sys
from collections.abc import Sequence

from configs.reading.nearest import did_you_mean

FORM = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def check_call(reference: str, *, positional: Sequence[str] = (), keywords: Sequence[str] = ()) -> str:
    """Why `reference` cannot be called with these arguments; empty when it can, or when only running it would tell.

    Args:
        reference: "package.module:function"; modules are searched as Python does, and in the current directory.
        positional: Names of the arguments given by position.
        keywords: Names of the arguments given by name.
    """
    if not FORM.fullmatch(reference):
        return 'it is not of the form "package.module:function".'
    module, _, name = reference.partition(":")
    try:
        file = _find(module)
    except ModuleNotFoundError as error:
        return (
            f"there is no module {error.name!r}. Run from the folder that holds it, or name that folder: "
            "PYTHONPATH=FOLDER python main.py …"
        )
    if file is None:
        return ""
    try:
        with open(file, "rb") as source:
            tree = ast.parse(source.read())
    except SyntaxError as error:
        line = (error.text or "").strip()
        return f"{file}, line {error.lineno} is not Python: {error.msg}." + (f"\n    {line}" if line else "")
    except (OSError, ValueError) as error:
        return f"{file} cannot be read: {error}."
    defined, complete = _names(tree)
    if name not in defined:
        hint = did_you_mean(name, defined, module + ":{}")
        return f"{file} defines no {name!r}.{hint}" if complete else ""
    function = defined[name]
    if not isinstance(function, ast.FunctionDef) or function.decorator_list:
        return ""
    problem = _mismatch(function.args, positional, keywords)
    if not problem:
        return ""
    call = ", ".join([*positional, *(f"{keyword}=…" for keyword in keywords)])
    return f"it is called as {name}({call}), but {problem}: {file}, line {function.lineno}."


def _find(module: str) -> str | None:
    """The module's Python file, or None for one without (built in, compiled, a namespace)."""
    path = None
    spec = None
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        full = ".".join(parts[:end])
        if end == 1 and full in sys.builtin_module_names:
            return None
        search = [*sys.path, os.getcwd()] if path is None else path
        spec = importlib.machinery.PathFinder.find_spec(full, search)
        if spec is None:
            raise ModuleNotFoundError(name=full)
        path = spec.submodule_search_locations or []
    origin = spec.origin if spec is not None else None
    return origin if origin and origin.endswith(".py") else None


def _names(tree: ast.Module) -> tuple[dict[str, ast.AST], bool]:
    """What the module defines or imports at its top level, and whether that is all of it."""
    found: dict[str, ast.AST] = {}
    complete = True
    waiting: list[ast.AST] = list(reversed(tree.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found[node.name] = node
            complete &= node.name != "__getattr__"
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                complete &= alias.name != "*"
                found[alias.asname or alias.name.partition(".")[0]] = node
        else:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found[node.id] = node
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("globals", "setattr", "exec"):
                complete = False
            waiting.extend(ast.iter_child_nodes(node))
    return found, complete


def _mismatch(accepted: ast.arguments, positional: Sequence[str], keywords: Sequence[str]) -> str:
    """In which way a call with these arguments would fail."""
    places = [argument.arg for argument in accepted.posonlyargs + accepted.args]
    if len(positional) > len(places) and accepted.vararg is None:
        return f"takes {len(places)} argument{'' if len(places) == 1 else 's'}"
    by_name = {argument.arg for argument in accepted.args + accepted.kwonlyargs}
    unknown = [keyword for keyword in keywords if keyword not in by_name]
    if unknown and accepted.kwarg is None:
        return f"has no argument {', '.join(unknown)}"
    required = places[len(positional) : len(places) - len(accepted.defaults)]
    required += [a.arg for a, default in zip(accepted.kwonlyargs, accepted.kw_defaults, strict=True) if default is None]
    missing = [argument for argument in required if argument not in keywords]
    return f"also needs {', '.join(missing)}" if missing else ""

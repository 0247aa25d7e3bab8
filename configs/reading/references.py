"""The module of a "package.module:name" looked for without importing it.

Importing would run the user's code, and TensorFlow with it, before the rest of the command line has been checked. What
the module holds is seen when the run imports it.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import pkgutil
import re
import sys

from configs.reading.nearest import did_you_mean

FORM = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def module_problem(reference: str) -> str:
    """Why there is no module for `reference`, with the nearest that there is; empty when one can be found.

    Searched as the run does it: Python's path, and the current directory.
    """
    if not FORM.fullmatch(reference):
        return 'it is not of the form "package.module:name".'
    module, _, name = reference.partition(":")
    if module in sys.modules:
        return ""
    search = [os.getcwd(), *sys.path]
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        full = ".".join(parts[:end])
        inside = _find(full, search) if end == 1 else _find_inside(parts[end - 1], search)
        if inside is None:
            hint = _nearest(full, search, name) if end == len(parts) else ""
            if parts[-1] == "py" and end == len(parts) > 1:
                hint = f" Write {module.removesuffix('.py')}:{name}, without .py."
            return (
                f"there is no module {full!r}.{hint} Run from the folder that holds it, or name that folder: "
                "PYTHONPATH=FOLDER python …"
            )
        search = inside
    return ""


def _find(top: str, search: list[str]) -> list[str] | None:
    """The folders of a package's modules, none for a module; None where there is no such module."""
    importlib.invalidate_caches()
    spec = importlib.machinery.PathFinder.find_spec(top, search)
    # Editable installations have finders of their own.
    for finder in sys.meta_path if spec is None else ():
        spec = spec or finder.find_spec(top, None)
    return None if spec is None else list(spec.submodule_search_locations or ())


def _find_inside(name: str, folders: list[str]) -> list[str] | None:
    """As `_find`, in a package that is not imported, which Python's own finders would need it to be."""
    packages = [folder for folder in (os.path.join(parent, name) for parent in folders) if os.path.isdir(folder)]
    files = (os.path.join(parent, name + suffix) for parent in folders for suffix in importlib.machinery.all_suffixes())
    return packages if packages or any(map(os.path.isfile, files)) else None


def _nearest(full: str, search: list[str], name: str) -> str:
    """The module that was meant: first among those of the current directory or the package, then on Python's path."""
    package, _, last = full.rpartition(".")
    form = f"{package}.{{}}:{name}" if package else f"{{}}:{name}"
    for folders in ([search[0]] if search else [], search):
        hint = did_you_mean(last, sorted({found.name for found in pkgutil.iter_modules(folders)}), form)
        if hint:
            return hint
    return ""

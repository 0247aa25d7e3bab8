"""The message about a missing package of requirements.txt, mostly because the wrong Python was started.

It needs only the standard library, since it is imported where nothing else can be.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Import names of what requirements.txt lists and the program cannot start without.
_NEEDED = ("absl", "tensorflow", "keras", "numpy", "PIL", "scipy", "tensorboard")


def _from_here(path: str) -> str:
    """Relative where it lies below the current directory."""
    return os.path.relpath(path) if path.startswith(os.getcwd() + os.sep) else path


def missing_package(error: ModuleNotFoundError, command: Sequence[str]) -> str:
    """The answer to a package that is not there; empty where the module is not one of the program's packages.

    Args:
      error: as the import raised it.
      command: the program's own arguments, to be written again: ["main.py", "--seed=1"].
    """
    name = (error.name or "").partition(".")[0]
    if name not in _NEEDED:
        return ""
    problem = f"The package {name!r} is missing in this Python: {sys.executable} ({sys.version.split()[0]})."
    venv = os.path.join(_HOME, ".venv", "Scripts" if os.name == "nt" else "bin", "python")
    if os.path.exists(venv) and os.path.realpath(sys.prefix) != os.path.realpath(os.path.join(_HOME, ".venv")):
        here = _from_here(venv)
        activate = shlex.quote(os.path.join(os.path.dirname(here), "activate"))
        return (
            f"{problem}\nThe program's own environment is there, in .venv. Write:\n"
            f"    {shlex.join([here, *command])}\nor activate it once in this terminal:\n    source {activate}"
        )
    requirements = shlex.quote(_from_here(os.path.join(_HOME, "requirements.txt")))
    return (
        f"{problem}\nInstall what the program needs, in an environment of its own (or: make train):\n"
        f"    python3 -m venv .venv\n    .venv/bin/python -m pip install -r {requirements}\n"
        f"    {shlex.join(['.venv/bin/python', *command])}"
    )

"""`keras.backend` lost most of its functions in Keras 3: turns an AttributeError into a finding with the new names.

`import keras.backend as K` still works, and so does `K.epsilon`; `K.flatten`, `K.sum` and the like are gone, although
`tensorflow.keras.backend` still has them.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

import keras

from ..capture.frames import site_of_error
from ..words.finding import Finding, Report
from ..words.new_names import keras_replacement
from ..words.source import parsed, source_text

_MODULES = ("keras.backend", "keras.api.backend")


def moved_names(error: BaseException, paths: Sequence[str]) -> Report | None:
    """A report for `K.flatten` and the like; None for other errors.

    Args:
      error: what the forward pass raised.
      paths: the variables that should have learned from the loss.

    Returns:
      One finding, at the line that failed, whose advice replaces every lost name in that file, one by one.
    """
    module = getattr(error, "obj", None)
    if not isinstance(error, AttributeError) or getattr(module, "__name__", "") not in _MODULES:
        return None
    site = site_of_error(error)
    used = _lost_names(site.file, module) if site else {}
    used.setdefault(error.name, f"K.{error.name}(x)")
    lines = [f"{written}  ->  {_new(name, written)}" for name, written in used.items()]
    words = (
        "Use keras.ops, which has them under these names (and works on every backend), or, with nothing else changed, "
        "import tensorflow.keras.backend as K, where they still exist. K.epsilon() stays."
    )
    finding = Finding(
        "missing",
        "removed_function",
        tuple(paths),
        file=site.file if site else None,
        line=site.line if site else None,
        columns=site.columns if site else None,
        detail=f"Keras {keras.__version__}: {error}",
        advice="\n\n".join([words, "\n".join(f"    {line}" for line in lines)]),
    )
    return Report((finding,), len(paths))


def _lost_names(file: str, module) -> dict[str, str]:
    """name -> how it is written, for every call of a function that the module no longer has, in the file's order."""
    tree, source = parsed(file), source_text(file)
    if tree is None:
        return {}
    aliases = _aliases(tree)
    found: dict[str, str] = {}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    for node in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        owner = ast.unparse(node.func.value)
        if owner in aliases and not hasattr(module, node.func.attr):
            found.setdefault(node.func.attr, " ".join((ast.get_source_segment(source, node) or "").split()))
    return found


def _aliases(tree: ast.AST) -> set[str]:
    """A file's names for keras.backend."""
    aliases = {"keras.backend"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {name.asname for name in node.names if name.name == "keras.backend" and name.asname}
        if isinstance(node, ast.ImportFrom) and node.module == "keras":
            aliases |= {name.asname or name.name for name in node.names if name.name == "backend"}
    return aliases


def _new(name: str, written: str) -> str:
    try:
        call = ast.parse(written, mode="eval").body
    except SyntaxError:  # cut out of a longer line: use the plain form
        call = None
    arguments = [ast.unparse(argument) for argument in call.args] if isinstance(call, ast.Call) else []
    new = keras_replacement(name, arguments[0] if arguments else "x")
    if new is None:
        return f"no counterpart in keras.ops; tensorflow.keras.backend.{name} still exists"
    if new.endswith(f"({arguments[0]})" if arguments else "()"):
        rest = arguments[1:] + ([f"{k.arg}={ast.unparse(k.value)}" for k in call.keywords] if call else [])
        new = new[:-1] + "".join(f", {part}" for part in rest) + ")"
    return new

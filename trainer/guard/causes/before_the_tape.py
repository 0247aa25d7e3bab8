"""Tensors in the loss from before the tape: their names, the lines that made them, whether from data or by a model."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import linecache
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf

from ..capture.answer import Entry
from ..capture.frames import Site, is_user_file
from ..capture.owners import handles_of, variables_of
from ..capture.trace import differentiable, key
from ..search.lineage import Lineage
from ..words.source import parsed

_MAKERS = frozenset(
    {"Variable", "add_weight", "Sequential", "Model", "Layer", "trainable_variables", "trainable_weights"}
)


@dataclasses.dataclass(frozen=True)
class Outside:
    """A tensor computed before the tape was opened."""

    name: str | None
    site: Site | None

    @property
    def words(self) -> str:
        what = f"`{self.name}`" if self.name else "A tensor that the loss is made from"
        return f"{what} was computed before the tape was opened; to the tape it is a constant."


def computed_before(recording, lineage: Lineage, forward_loss, certain: bool = False) -> Outside | None:
    """The newest tensor among the loss's ancestors that a model computed before this forward pass.

    Args:
      certain: only where the source shows that it was computed from variables; otherwise any floating-point tensor
        from before the run that is not known to be plain data.
    """
    trace = recording.trace
    old = [
        trace.tensors[k]
        for k in lineage.distance
        if 0 <= k < trace.began
        and k not in trace.producers
        and k in trace.tensors
        and differentiable(trace.tensors[k])
        and trace.tensors[k].dtype not in (tf.resource, tf.variant)
    ]
    whole = next((part for part in old if part is trace.loss), None)
    if whole is not None:
        name = next((name for name, value in _names(forward_loss) if value is whole), None)
        return Outside(name, _made(forward_loss, name)[0] if name else None)
    unknown = None
    for tensor in sorted(old, key=key, reverse=True):
        name = next((name for name, value in _names(forward_loss) if value is tensor), None)
        site, is_data = _made(forward_loss, name) if name else (None, None)
        if is_data is False:
            return Outside(name, site)
        if is_data is None and tensor.shape.rank != 0 and unknown is None:
            unknown = Outside(name, site)
    return None if certain else unknown


def computed_by_their_model(
    recording, lineage: Lineage, forward_loss, unread: Iterable[Entry]
) -> tuple[Outside, list[Entry]] | None:
    """A tensor among the loss's ancestors, computed before the forward pass by a model with some of these; those."""
    wanted = {k for entry in unread for k in entry.keys}
    seen = dict(_names(forward_loss))
    for name, tensor in seen.items():
        if not tf.is_tensor(tensor) or not hasattr(tensor, "_id") or key(tensor) not in lineage.distance:
            continue
        for value, file in _assigned_values(forward_loss, name):
            for call in [node for node in ast.walk(value) if isinstance(node, ast.Call)]:
                owner = _resolved(call.func, seen)
                keys = {k for variable in variables_of(owner) for k in handles_of(variable)} if owner else set()
                if wanted & keys:
                    mine = [entry for entry in unread if keys & set(entry.keys)]
                    return Outside(name, Site(file, value.lineno)), mine
    return None


def _assigned_values(forward_loss, name: str) -> Iterator[tuple[ast.expr, str]]:
    """The right-hand sides assigned to a name, or to an attribute of it, in the file of the loss."""
    code = getattr(inspect.unwrap(getattr(forward_loss, "__func__", forward_loss)), "__code__", None)
    tree = parsed(code.co_filename) if code is not None and is_user_file(code.co_filename) else None
    last = name.rpartition(".")[2]
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Assign):
            targets = [ast.unparse(target) for target in node.targets]
            if any(target == name or "." in name and target.rpartition(".")[2] == last for target in targets):
                yield node.value, code.co_filename


def _resolved(function: ast.expr, seen: dict[str, Any]) -> Any:
    """The object that a called name stands for: `self.generator`, `model.predict` (the model)."""
    path = ast.unparse(function).split(".")
    for depth in range(len(path), 0, -1):
        name = ".".join(path[:depth])
        found = seen.get(name, next((v for k, v in seen.items() if "." in k and k.endswith(f".{path[-1]}")), None))
        if found is not None and hasattr(found, "variables"):
            return found
    return None


def _names(function) -> Iterator[tuple[str, Any]]:
    """Names that a function can see, and their objects; attributes, too, for an object of a user's class."""
    owner = getattr(function, "__self__", None)
    if owner is not None:
        yield from ((f"self.{name}", value) for name, value in _attributes(owner))
    function = inspect.unwrap(getattr(function, "python_function", function))
    code = getattr(function, "__code__", None)
    if code is None:
        return
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
        yield name, value
        yield from ((f"{name}.{inner}", part) for inner, part in _attributes(value))
        if isinstance(value, dict):
            yield from ((f"{name}[{known!r}]", part) for known, part in value.items() if isinstance(known, str))
        elif isinstance(value, (list, tuple)):
            yield from ((name, part) for part in value)
    for name in code.co_names:
        if name in function.__globals__:
            yield name, function.__globals__[name]
    yield from zip(inspect.signature(function).parameters, function.__defaults__ or (), strict=False)


def _attributes(owner: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of an object whose class the user wrote."""
    module = sys.modules.get(type(owner).__module__)
    if is_user_file(getattr(module, "__file__", None) or "<unknown>"):
        yield from ((name, value) for name, value in getattr(owner, "__dict__", {}).items() if not name.startswith("_"))


def _made(forward_loss, name: str) -> tuple[Site | None, bool | None]:
    """The line that last assigned a name around `forward_loss`, and whether its right-hand side is plain data."""
    code = getattr(inspect.unwrap(forward_loss), "__code__", None)
    if code is None or not is_user_file(code.co_filename):
        return None, None
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except SyntaxError:
        return None, None
    found = _assignment(tree, name, code.co_firstlineno)
    if found is None:
        return None, None
    plain = isinstance(found.value, (ast.Constant, ast.Name, ast.Attribute, ast.Subscript))
    computed = _reaches_variables(tree, found.value, code.co_firstlineno, set())
    known = plain or all(_is_known(tree, call.func) for call in ast.walk(found.value) if isinstance(call, ast.Call))
    return Site(code.co_filename, found.lineno), False if computed else None if plain or not known else True


def _is_known(tree: ast.AST, function: ast.expr) -> bool:
    """Whether the file itself shows what a called name is: TensorFlow, NumPy, or something defined here."""
    while isinstance(function, (ast.Attribute, ast.Call, ast.Subscript)):
        function = function.func if isinstance(function, ast.Call) else function.value
    if not isinstance(function, ast.Name):
        return True
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = [alias for node in imports for alias in node.names]
    libraries = {a.asname or a.name for a in names if a.name.partition(".")[0] in ("numpy", "tensorflow", "keras")}
    defined = bool(_definitions(tree, function.id)) or _assignment(tree, function.id, 1) is not None
    return function.id in libraries or defined


def _assignment(tree: ast.AST, name: str, near: int) -> ast.Assign | None:
    """The assignment of a name nearest to a line."""
    assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    exact = [node for node in assigned if any(ast.unparse(target) == name for target in node.targets)]
    name = name.partition("[")[0]
    found = exact or [node for node in assigned if name in _assigned(node.targets)]
    return min(found, key=lambda node: abs(node.lineno - near), default=None)


def _reaches_variables(tree: ast.AST, part: ast.AST, near: int, seen: set[str]) -> bool:
    """Whether code leads, by names of the same file, to something that makes or holds variables."""
    for node in ast.walk(part):
        if isinstance(node, ast.Attribute) and _makes_variables(node):
            return True
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in seen:
            seen.add(node.id)
            if node.id in _MAKERS:
                return True
            source = _assignment(tree, node.id, near)
            bodies = [source.value] if source is not None else _definitions(tree, node.id)
            if any(_reaches_variables(tree, body, near, seen) for body in bodies):
                return True
    return False


def _makes_variables(node: ast.Attribute) -> bool:
    path, root = [node.attr], node.value
    while isinstance(root, ast.Attribute):
        path.append(root.attr)
        root = root.value
    if node.attr in _MAKERS:
        return True
    return (
        isinstance(root, ast.Name)
        and (root.id == "keras" or "keras" in path)
        and (path[-1] in ("layers", "models", "applications") or "layers" in path)
    )


def _definitions(tree: ast.AST, name: str) -> list[ast.AST]:
    kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds) and node.name == name]


def _assigned(targets) -> set[str]:
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}

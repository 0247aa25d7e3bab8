"""Where in the user's program a fault is: the call that made a layer, the line that made the labels.

Keras objects do not remember where they were made, so the source is searched: of all functions (or modules) that make
layers, the one whose calls agree best with the model's layers, loss and sizes. In a tie no line is named.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import linecache
import os
import sys
import sysconfig
import types
from typing import Any

import keras
import numpy as np

from .output import layers_of
from .program import Program

_LIBRARIES = tuple(
    os.path.realpath(path) + os.sep
    for path in {*sysconfig.get_paths().values(), *(p for p in sys.path if "site-packages" in p)}
    if path
)
_OWN = os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + os.sep
_MOST_FILES = 300


@dataclasses.dataclass(frozen=True)
class Call:
    """A call in the user's source: what is called, its literal arguments by name or position, and its lines."""

    name: str
    node: ast.Call
    literals: dict[Any, Any]


@dataclasses.dataclass(frozen=True)
class Scope:
    """A function, or the module itself: its calls, and its assignments to names, in the order of the lines."""

    file: str
    node: ast.AST
    calls: tuple[Call, ...]
    assigned: tuple[tuple[str, ast.stmt], ...]


@dataclasses.dataclass(frozen=True)
class Source:
    """The scope that made the program, the call that made each of its layers, and the scopes that call it."""

    scope: Scope
    layers: dict[str, Call]
    callers: tuple[Scope, ...] = ()

    @property
    def file(self) -> str:
        return self.scope.file


def source_of(program: Program) -> Source | None:
    """The user's function that made this program; None where that is unclear."""
    best: list[tuple[float, Source]] = []
    scopes: dict[str, list[Scope]] = {}
    kinds = [type(layer).__name__ for layer in layers_of(program.model) if type(layer).__name__ != "InputLayer"]
    for file in _files(program):
        text = "".join(linecache.getlines(file))
        if sum(f"{kind}(" in text for kind in set(kinds)) * 2 < len(set(kinds)):
            continue
        scopes[file] = _scopes(file, text)
        for scope in scopes[file]:
            score, found = _agreement(scope, program)
            if found:
                best.append((score, Source(scope, found)))
    best.sort(key=lambda entry: -entry[0])
    if not best or best[0][0] < 1.5 or (len(best) > 1 and best[1][0] >= best[0][0] - 1e-9):
        return None
    found = best[0][1]
    made = getattr(found.scope.node, "name", None)
    callers = [scope for scope in scopes[found.file] if any(call.name == made for call in scope.calls)]
    return dataclasses.replace(found, callers=tuple(callers) if len(callers) == 1 else ())


def line_of(source: Source, program: Program, places: tuple[str, ...]) -> int | None:
    """The line of the first of a finding's places that can be found."""
    for place in places:
        node = node_of(source, program, place)
        if node is not None:
            return node.lineno
    return None


def node_of(source: Source, program: Program, place: str) -> ast.AST | None:
    """The part of the source that a place names: a layer's call, or the statement or expression of an argument."""
    if place in source.layers:
        return source.layers[place].node
    for scope in (source.scope, *source.callers):
        node = _of_argument(scope, program, place)
        if node is not None and _holds(node, program, place):
            return node
    return None


def _holds(node: ast.AST, program: Program, place: str) -> bool:
    """Whether the plain numbers and words written there agree with the program."""
    value = getattr(node, "value", node) if isinstance(node, (ast.Assign, ast.AnnAssign)) else node
    if place.startswith("optimizer"):
        if not isinstance(value, ast.Call):
            return isinstance(value, ast.Constant) and str(value.value).lower() == program.optimizer.name
        call, held = _call(value), program.optimizer.get_config()
        written = {**call.literals, **({"learning_rate": call.literals[0]} if 0 in call.literals else {})}
        numbers = {key: n for key, n in written.items() if isinstance(n, (int, float)) and key in held}
        return call.name == type(program.optimizer).__name__ and all(
            isinstance(held[key], (int, float)) and np.isclose(held[key], n, rtol=1e-4) for key, n in numbers.items()
        )
    if isinstance(value, ast.Constant):
        known = {"loss": program.loss, "batch_size": program.batch_size, "epochs": program.epochs}
        return place not in known or known[place] == value.value
    return True


def _of_argument(scope: Scope, program: Program, place: str) -> ast.AST | None:
    if place.startswith("optimizer"):
        made = _call_of(scope, lambda call: call.name == type(program.optimizer).__name__)
        return made or _argument(scope, "optimizer", 2)
    if place in ("loss", "batch_size", "epochs", "x", "y", "validation"):
        position = {"loss": 1, "optimizer": 2, "x": 3, "y": 4}.get(place)
        value = _argument(scope, place, position)
        if place == "validation" and value is None:
            value = _argument(scope, "validation_data", None)
        return _last_assigned(scope, value) if value is not None else None
    return None


def _last_assigned(scope: Scope, value: ast.expr) -> ast.AST:
    """Where a passed name was last assigned; the expression itself if it is not a name."""
    names = (
        [value]
        if isinstance(value, ast.Name)
        else [node for node in getattr(value, "elts", ()) if isinstance(node, ast.Name)]
    )
    for name in names:
        made = [node for known, node in scope.assigned if known == name.id and node.lineno <= value.lineno]
        if made:
            return made[-1]
    return value


def _argument(scope: Scope, name: str, position: int | None) -> ast.expr | None:
    """The argument of a call in the scope by its name, or by its position in `diagnose`, `fit` and `compile`."""
    for call in reversed(scope.calls):
        for keyword in call.node.keywords:
            if keyword.arg == name:
                return keyword.value
    for call in reversed(scope.calls):
        arguments = call.node.args
        if call.name == "fit" and name in ("x", "y") and len(arguments) > (name == "y"):
            return arguments[name == "y"]
        if call.name == "compile" and name in ("optimizer", "loss") and len(arguments) > (name == "loss"):
            return arguments[name == "loss"]
        # model, loss, optimizer, x, y: as `diagnose` takes them, or a user's function that passes them on
        if position is not None and len(arguments) >= 5 and not any(isinstance(a, ast.Starred) for a in arguments):
            return arguments[position]
    return None


def _call_of(scope: Scope, wanted) -> ast.Call | None:
    found = [call.node for call in scope.calls if wanted(call)]
    return found[0] if len(found) == 1 else None


def _agreement(scope: Scope, program: Program) -> tuple[float, dict[str, Call]]:
    """How many of the program's parts the calls of a scope account for, minus other parts that they would make."""
    score, found, used = 0.0, {}, set()
    layers = [layer for layer in layers_of(program.model) if type(layer).__name__ != "InputLayer"]
    for layer in layers:
        fits = [
            (fit, index)
            for index, call in enumerate(scope.calls)
            if index not in used and (fit := _fit(call, layer)) > 0
        ]
        if fits:
            top = max(fit for fit, _ in fits)
            index = next(index for fit, index in fits if fit == top)
            used.add(index)
            found[layer.name] = scope.calls[index]
            score += top
    made = sum(_makes_a_layer(call, layers) for call in scope.calls)
    score -= 1.5 * max(0, made - len(found)) + 0.5 * (len(layers) - len(found))
    if not found or any(layer.weights and layer.name not in found and _single(layer) for layer in layers):
        return 0.0, {}
    loss = program.loss if isinstance(program.loss, str) else type(program.loss).__name__
    strings = {
        node.value for node in ast.walk(scope.node) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    score += 0.5 * (loss in strings or any(call.name == loss for call in scope.calls))
    if isinstance(program.loss, keras.losses.Loss):
        held = program.loss.get_config()
        for call in scope.calls:
            if call.name == loss and any(held.get(key, value) != value for key, value in call.literals.items()):
                score -= 0.5
    for call in scope.calls:
        if call.name == type(program.optimizer).__name__:
            rate = next((call.literals[key] for key in ("learning_rate", 0) if key in call.literals), None)
            own = program.optimizer.get_config().get("learning_rate")
            if isinstance(rate, (int, float)) and isinstance(own, (int, float)):
                score += 0.5 if np.isclose(rate, own, rtol=1e-4) else -0.5
    numbers = {
        node.value for node in ast.walk(scope.node) if isinstance(node, ast.Constant) and type(node.value) is int
    }
    return score + 0.2 * (program.batch_size in numbers) + 0.2 * (program.epochs in numbers), found


def _makes_a_layer(call: Call, layers: list) -> bool:
    known = getattr(keras.layers, call.name, None)
    of_keras = isinstance(known, type) and issubclass(known, keras.layers.Layer) and call.name != "InputLayer"
    return of_keras or any(call.name == type(layer).__name__ for layer in layers)


def _single(layer: Any) -> bool:
    """Whether people write such a layer as its own call, rather than wrap it or get it ready-made."""
    return type(layer).__name__ in ("Dense", "Conv1D", "Conv2D", "Conv3D", "LSTM", "GRU", "SimpleRNN", "Embedding")


def _fit(call: Call, layer: Any) -> float:
    """How well a call agrees with a layer: 0 if it cannot have made it."""
    if call.name != type(layer).__name__:
        return 0.0
    name = call.literals.get("name")
    if name is not None and name != layer.name:
        return 0.0
    score = 1.0 + (1.0 if name is not None else 0.0)
    config = layer.get_config() if hasattr(layer, "get_config") else {}
    try:
        order = list(inspect.signature(type(layer).__init__).parameters)[1:]
    except (TypeError, ValueError):
        order = []
    for key, value in call.literals.items():
        key = order[key] if isinstance(key, int) and key < len(order) else key
        if key in ("name", None) or key not in config:
            continue
        known = config[key]
        known = list(known) if isinstance(known, tuple) else known
        value = list(value) if isinstance(value, tuple) else value
        if isinstance(known, list) and isinstance(value, int):
            value = [value] * len(known)
        if isinstance(known, dict):
            continue
        if value != known and not (value is None and known == "linear"):
            return 0.0
        score += 0.25
    for key in config:
        if key.endswith(("initializer", "regularizer")) and not _same_part(call, key, config[key], type(layer)):
            return 0.0
    activation = config.get("activation")
    written = {keyword.arg for keyword in call.node.keywords}
    if (
        activation not in (None, "linear")
        and "activation" not in written
        and type(layer).__name__ in ("Dense", "Conv2D")
    ):
        return 0.0 if len(call.node.args) < 2 else score
    return score


def _same_part(call: Call, key: str, known: Any, kind: type) -> bool:
    """Whether a call gives its layer this initialiser or regulariser; True where that is unclear."""
    written = next((keyword.value for keyword in call.node.keywords if keyword.arg == key), None)
    if written is None:
        parameter = inspect.signature(kind.__init__).parameters.get(key)
        if parameter is None or parameter.default is inspect.Parameter.empty:
            return True
        usual = parameter.default
    else:
        if isinstance(written, ast.Call):
            return isinstance(known, dict) and _made_alike(_call(written), known)
        try:
            usual = ast.literal_eval(written)
        except ValueError:  # a variable: it may hold anything, but hardly None
            return known is not None
    if usual is None or known is None:
        return usual is known
    try:
        getter = keras.initializers.get if key.endswith("initializer") else keras.regularizers.get
        return type(getter(usual)).__name__ == (known["class_name"] if isinstance(known, dict) else None)
    except (ValueError, TypeError):
        return True


def _made_alike(call: Call, known: dict) -> bool:
    """Whether a call could have made an object of this class and configuration."""
    if call.name != known.get("class_name"):
        return call.name.islower()  # a user's function, which may return anything
    values = known.get("config", {})
    for key, value in call.literals.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            held = [values.get(key)] if isinstance(key, str) and key in values else list(values.values())
            if not any(isinstance(v, (int, float)) and np.isclose(v, value, rtol=1e-4) for v in held):
                return False
    return True


@functools.lru_cache(_MOST_FILES)
def _scopes(file: str, text: str) -> list[Scope]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # a notebook cell with magics
        return []
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    inner = {id(part) for node in functions for part in ast.walk(node) if part is not node}
    whole = _scope(file, tree, (part for part in ast.walk(tree) if id(part) not in inner))
    return [*(_scope(file, node, ast.walk(node)) for node in functions), whole]


def _scope(file: str, node: ast.AST, parts) -> Scope:
    parts = sorted((p for p in parts if hasattr(p, "lineno")), key=lambda p: (p.lineno, p.col_offset))
    calls = tuple(_call(part) for part in parts if isinstance(part, ast.Call))
    assigned = []
    for part in parts:
        if isinstance(part, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = part.targets if isinstance(part, ast.Assign) else [part.target]
            for target in targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):  # of x[…] = …, too
                        assigned.append((name.id, part))
    return Scope(file, node, calls, tuple(assigned))


def _call(node: ast.Call) -> Call:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    literals = {}
    for key, value in [*enumerate(node.args), *((keyword.arg, keyword.value) for keyword in node.keywords)]:
        try:
            literals[key] = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError):
            continue
    return Call(name, node, literals)


def _files(program: Program) -> list[str]:
    """Files that may hold the user's program: those of the running functions, and of the objects that they hold."""
    seen: dict[str, bool] = {}

    def add(file: Any) -> None:
        if isinstance(file, str) and file not in seen:
            seen[file] = _is_users(file)

    for part in (program.loss, *keras.tree.flatten(program.metrics), *layers_of(program.model)):
        function = getattr(part, "function", None) or part
        add(getattr(getattr(function, "__code__", None), "co_filename", None))
        if getattr(type(part), "__module__", "keras").partition(".")[0] not in ("keras", "builtins"):
            add(getattr(sys.modules.get(type(part).__module__), "__file__", None))
    frame = inspect.currentframe()
    while frame is not None:
        add(frame.f_code.co_filename)
        for value in list(frame.f_locals.values()):
            if isinstance(value, types.ModuleType):
                add(getattr(value, "__file__", None))
            elif isinstance(value, types.FunctionType):
                add(value.__code__.co_filename)
        frame = frame.f_back
    main = sys.modules.get("__main__")
    add(getattr(main, "__file__", None))
    for module in list(sys.modules.values()):
        add(getattr(module, "__file__", None))
    return [file for file, is_users in seen.items() if is_users][:_MOST_FILES]


def _is_users(file: str) -> bool:
    if file.startswith("<") and "ipython" not in file:
        return False
    return not _is_of_a_library(file) and bool(linecache.getlines(file))


@functools.lru_cache(None)
def _is_of_a_library(file: str) -> bool:
    return os.path.realpath(file).startswith((_OWN, *_LIBRARIES))

"""A graph as a trace: functions, branches and loops are opened, so that paths lead straight through them."""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf

from .private import FuncGraph, function_graph
from .trace import Op, Trace, key

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
BRANCHES = frozenset({"If", "StatelessIf", "Case", "StatelessCase"})
_LOOPS = frozenset({"While", "StatelessWhile"})
OPENED = _CALLS | BRANCHES | _LOOPS  # ops with a body, whose gradient as a whole is never needed


def trace_of(graph: tf.Graph) -> Trace:
    """The trace of a function graph, with the tensors that it captures from the graphs around it."""
    trace = Trace()
    around = [graph]
    while isinstance(around[-1], FuncGraph) and around[-1].outer_graph is not None:
        around.append(around[-1].outer_graph)
    for inner in around[:-1]:
        for outside, inside in inner.captures:
            trace.tensors[key(outside)] = outside
            trace.link(key(outside), key(inside))
    for inner in reversed(around[:-1] or around):
        _read(trace, inner, 0, {})
    return trace


def inline(trace: Trace, body: tf.Graph, call: Op, bodies: Bodies) -> None:
    """Opens a function called eagerly: its inputs are the call's inputs, its outputs the call's outputs."""
    trace.tensors.update(zip((*call.sources, *call.results), (*call.inputs, *call.outputs), strict=True))
    _open(trace, body, call, call.sources, call.results, bodies)


Bodies = dict[str, tf.Graph]  # graphs of functions by their names in TensorFlow's runtime


def _read(trace: Trace, graph: tf.Graph, shift: int, bodies: Bodies, caller: Op | None = None) -> None:
    trace.kept.append(graph)
    for operation in graph.get_operations():
        inputs, outputs = tuple(operation.inputs), tuple(operation.outputs)
        op = Op(operation.type, inputs, outputs, operation=operation, shift=shift, caller=caller)
        if op.type in _CALLS:
            opened = _open_call(trace, op, bodies)
        elif op.type in BRANCHES:
            opened = _open_branches(trace, op, bodies)
        elif op.type in _LOOPS:
            opened = _open_loop(trace, op, bodies)
        else:
            opened = False
        if not opened:
            trace.add(op)


def _open_call(trace: Trace, op: Op, bodies: Bodies) -> bool:
    body = _body(op, "f", bodies)
    if body is not None:
        _open(trace, body, op, op.sources, op.results, bodies)
    return body is not None


def _open_branches(trace: Trace, op: Op, bodies: Bodies) -> bool:
    if op.type.endswith("If"):
        branches = [_body(op, "then_branch", bodies), _body(op, "else_branch", bodies)]
    else:
        branches = [_found(function.name, op, bodies) for function in op.operation.get_attr("branches")]
    if any(branch is None for branch in branches):
        return False
    for branch in branches:
        _open(trace, branch, op, op.sources[1:], op.results, bodies)
    for result in op.results:
        trace.link(op.sources[0], result, op)
    return True


def _open_loop(trace: Trace, op: Op, bodies: Bodies) -> bool:
    body, condition = _body(op, "body", bodies), _body(op, "cond", bodies)
    if body is None or condition is None:
        return False
    first, last = _open(trace, body, op, op.sources, op.results, bodies)
    for before, after in zip(first, last, strict=False):
        trace.link(after, before)  # each turn starts from the results of the one before; at least one turn is assumed
    tested, verdict = _open(trace, condition, op, op.sources, (), bodies)
    for after, value in zip(last, tested, strict=False):
        trace.link(after, value)
    for result in op.results:
        trace.link(verdict[0], result, op)
    return True


def _open(trace: Trace, body: tf.Graph, caller: Op, sources: Iterable[int], results: Iterable[int], bodies: Bodies):
    """Joins a copy of a function's body to the tensors around it, and returns the keys of its inputs and outputs."""
    shift = trace.fresh_shift()
    first = [key(tensor) + shift for tensor in body.inputs]
    last = [key(tensor) + shift for tensor in body.outputs]
    for outer, inner in zip(sources, first, strict=False):
        trace.link(outer, inner)
    for inner, outer in zip(last, results, strict=False):
        trace.link(inner, outer)
    _read(trace, body, shift, bodies, caller)
    return first, last


def _body(op: Op, attribute: str, bodies: Bodies) -> tf.Graph | None:
    return _found(op.operation.get_attr(attribute).name, op, bodies)


def _found(name: str, op: Op, bodies: Bodies) -> tf.Graph | None:
    if name in bodies:
        return bodies[name]
    graph = op.operation.graph
    while graph is not None:
        body = function_graph(graph, name)
        if body is not None:
            bodies[name] = body
            return body
        graph = getattr(graph, "outer_graph", None)
    return None

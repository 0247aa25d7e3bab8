"""From cut edges to findings: the cause of each, in the terms of the report."""

from __future__ import annotations

import collections
from collections.abc import Iterable

import tensorflow as tf

from ..capture.answer import Entry
from ..capture.frames import Site
from ..capture.layers import described, made_at, variable_made_at
from ..capture.trace import Op, differentiable
from ..search.lineage import Edge, Lineage, Way
from ..words.finding import Finding, Link

_LEAVING = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc", "MapDataset", "ParallelMapDatasetV2"})


def cut_findings(lineage: Lineage, affected: Iterable[Entry], kind: str = "missing") -> list[Finding]:
    """A finding for each place that cuts some of these variables off, with all of those."""
    by_place: dict[tuple, list[str]] = collections.defaultdict(list)
    edges: dict[tuple, Edge] = {}
    for entry in affected:
        for edge in lineage.cuts(entry.keys):
            edge = _at_the_stop(lineage, edge)
            place = (*blame(lineage, edge), edge.site and edge.site.file, edge.site and edge.site.line)
            edges.setdefault(place, edge)
            if entry.path not in by_place[place]:
                by_place[place].append(entry.path)
    return [finding_of(lineage, edges[place], paths, kind) for place, paths in by_place.items()]


def _at_the_stop(lineage: Lineage, edge: Edge) -> Edge:
    """`tf.stop_gradient(variable)` reads the variable with the tape already stopped: blame the stop, not a block."""
    if edge.way is Way.UNRECORDED and any(tensor.dtype == tf.resource for tensor in edge.op.inputs):
        return next((e for e in lineage.leaving.get(edge.target, ()) if e.op and e.op.type == "StopGradient"), edge)
    return edge


def finding_of(lineage: Lineage, edge: Edge, paths: Iterable[str], kind: str = "missing") -> Finding:
    """The finding for one cut edge."""
    cause, op_type = blame(lineage, edge)
    site, layer = place_in_layer(edge.op) if edge.way is Way.FLAT else (edge.site, "")
    return Finding(
        kind=kind,
        cause=cause,
        variables=tuple(paths),
        op_type=op_type,
        op_name=edge.op.name if edge.op is not None and op_type else None,
        chain=chain_from(lineage, edge),
        detail=" ".join(part for part in (layer, _detail(edge)) if part),
        **place_fields(site),
    )


def blame(lineage: Lineage, edge: Edge) -> tuple[str, str | None]:
    """The cause that a cut edge stands for, and the type of the op at fault, where one is."""
    op = edge.op
    if edge.way is Way.PYTHON:
        return "left_tensorflow", None
    if edge.way is Way.FLAT:
        return "zero_gradient", op.type
    if edge.way is Way.ASSIGN:
        return "stateful_assign", None if _into_variable(op) else op.type
    if edge.way is Way.UNRECORDED and op.type != "StopGradient":
        return "stop_gradient" if op.taped else "outside_tape", None
    if op.type == "StopGradient":
        return "stop_gradient", op.type
    if op.type in _LEAVING:
        return "left_tensorflow", op.type
    if is_custom(op):
        return "custom_gradient_none", op.type
    if op.type == "Cast" and not differentiable(lineage.trace.tensors[edge.target]):
        return "integer_cast", op.type
    return "non_differentiable_op", op.type


def _into_variable(op: Op) -> bool:
    """Whether a writing op writes to a variable, and not to a table or a queue."""
    return "Assign" in op.type or op.type.startswith("ResourceScatter")


def is_custom(op: Op) -> bool:
    """Whether the op's gradient was given by `tf.custom_gradient`."""
    if op.backward is not None:
        return True
    if op.operation is None:
        return False
    try:
        return op.operation.get_attr("_gradient_op_type").startswith(b"CustomGradient")
    except ValueError:
        return False


def chain_from(lineage: Lineage, edge: Edge) -> tuple[Link, ...]:
    """The ops between a cut and the loss, in the order of the forward pass."""
    links, last = [], edge.op
    for step in lineage.route(edge.target):
        if step.op is not None and step.op is not last:
            links.append(link_of(step.op))
            last = step.op
    return tuple(links)


def link_of(op: Op) -> Link:
    """One op of a chain, with the user's line."""
    site = op.site
    return Link(op.type, op.name, site and site.file, site and site.line, site and site.code)


def place_fields(site: Site | None) -> dict:
    """`file`, `line`, `code` and `columns` of a finding."""
    if site is None:
        return {}
    return {"file": site.file, "line": site.line, "code": site.code or None, "columns": site.columns}


def place_in_layer(op: Op) -> tuple[Site | None, str]:
    """Where an op's layer was made, if it is one of Keras's own, otherwise the op's line; a sentence on the layer."""
    if op.layer is None:
        return op.site, ""
    made = made_at(op.layer, [code.co_filename for code, _ in op.steps])
    return made or op.site, f"It is a part of {described(op.layer)}."


def integer_finding(lineage: Lineage, entry: Entry) -> Finding:
    """For a variable that holds integers: the op that makes floating-point numbers of it."""
    start = min((k for k in entry.keys if k in lineage.distance), key=lineage.distance.get)
    route = lineage.route(start)
    back = next((e for e in route if e.op and e.op.type != "ReadVariableOp" and _is_float(lineage, e.target)), None)
    read = next((edge for edge in route if edge.op is not None), None)
    edge = back or read
    files = [code.co_filename for code, _ in edge.op.steps] if edge and edge.op else []
    made = variable_made_at(entry.path, files)
    return Finding(
        kind="missing",
        cause="integer_cast",
        variables=(entry.path,),
        op_type=edge.op.type if edge else None,
        op_name=edge.op.name if edge else None,
        detail=f"The variable itself holds {entry.dtype.name}; only floating-point variables have gradients.",
        chain=chain_from(lineage, edge) if edge else (),
        **place_fields(made or (edge.site if edge else None)),
    )


def _is_float(lineage: Lineage, known: int) -> bool:
    tensor = lineage.trace.tensors.get(known)
    return tensor is not None and differentiable(tensor) and tensor.dtype != tf.resource


def _detail(edge: Edge) -> str:
    if edge.way is Way.FLAT:
        return (
            f"It runs over a single entry (shape {tuple(edge.op.inputs[0].shape)}), so its result is the same whatever "
            "comes in; what comes back is zero, or what rounding leaves of it."
        )
    if edge.way is Way.PYTHON:
        return f"The value leaves TensorFlow by {edge.escape.way}; what comes back is a constant."
    if edge.way is Way.UNRECORDED and not edge.op.taped:
        return "This ran in another thread, and a tape sees only the thread that it was opened in."
    if edge.way is Way.UNRECORDED:
        return "This ran while the tape had stopped recording (`tape.stop_recording()`)."
    if edge.way is Way.RAISES and edge.op.refusal:
        return f"Asking for its gradient raises {edge.op.refusal}"
    if edge.way is Way.RAISES:
        return f"TensorFlow has no gradient registered for {edge.op.type}: `tape.gradient` raises where it meets it."
    if edge.op is not None and edge.op.backward is not None and edge.op.label:
        return f"The custom gradient of `{edge.op.label}` returns None for this input."
    return ""

"""Gradients that exist and are exactly zero: which op makes them zero?

Walking backward from the loss, an op is at fault where the gradient of its output is not zero and that of its input
is. Behind it everything is zero, so the search goes on from there with an artificial gradient, until the variable gets
one: two saturated ops in a row are two findings, and mending only one of them would not help.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf

from ..capture.answer import Entry, dense, is_zero
from ..capture.graphs import BRANCHES
from ..capture.recorder import Recording
from ..capture.trace import Op
from ..search.lineage import Edge, Lineage, merged
from ..search.slopes import frontier, nonzero_keys, slopes, tensors_of, varied
from ..words.finding import Finding
from .cut import chain_from, cut_findings, place_fields, place_in_layer

_MOST_ROUNDS = 6
_MOST_EDGES = 64
_MOST_SINGLE = 8
_MOST_STEPS = 12  # from an op that passes zeros on to the one that makes them; usually they are neighbours
_PRODUCTS = (
    "Mul",
    "MulNoNan",
    "MatMul",
    "BatchMatMulV2",
    "BatchMatMulV3",
    "Einsum",
    "Conv2D",
    "DepthwiseConv2dNative",
    "RealDiv",
    "DivNoNan",
)  # Only for the wording of the report


# Smooth, and level at one point: a value that happens to be there moves on with its inputs.
_LEVEL_AT_A_POINT = frozenset({"Square", "Pow", "SquaredDifference", "Cos", "Cosh", "L2Loss", "Mul"})


def zero_findings(
    recording: Recording,
    lineage: Lineage,
    zeros: Sequence[Entry],
    learning: Sequence[Entry],
    after_a_step: Callable[[], set[str]] = set,
) -> list[Finding]:
    """Findings for variables whose gradient is all zero.

    Args:
      recording: the recorded run, with its tape.
      lineage: its search.
      zeros: the variables in question.
      learning: variables with a non-zero gradient.
      after_a_step: returns which variables have a gradient after a step of those.

    A variable of a branch that was not taken is left alone, and so is one whose gradient is zero only because another
    variable, which is learning, starts at zero, or because a square happens to be at its minimum (a network with zero
    biases that should be 0 at 0): the next step mends that.
    """
    cut = [entry for entry in zeros if (lineage.distance_of(entry.keys) or 0) > 0]
    findings = cut_findings(lineage, cut, kind="zero")
    flat = [entry for entry in zeros if lineage.distance_of(entry.keys) == 0]
    if flat:
        findings += _peeled(recording, lineage, flat, learning, after_a_step)
    return findings


def idle_findings(lineage: Lineage, idle: Sequence[Entry]) -> list[Finding]:
    """Findings for variables of branches not taken, for which a graph returns zeros and eager mode None.

    Args:
      lineage: of a run in which functions stayed functions, so that all branches are in it.
      idle: variables without a path in an eager run.
    """
    by_branch: dict[int, tuple[Op, list[str]]] = {}
    for entry in idle:
        start = min((k for k in entry.keys if k in lineage.distance), key=lineage.distance.get, default=None)
        if start is None:
            continue
        ops = [edge.op for edge in lineage.route(start) if edge.op is not None]
        branch = next((up for op in ops for up in op.callers if up.type in BRANCHES), None)
        if branch is not None:
            by_branch.setdefault(id(branch), (branch, []))[1].append(entry.path)
    detail = "Only a branch that was not taken uses them; inside a graph that is a gradient of zeros."
    return [
        Finding(
            "zero",
            "zero_gradient",
            paths,
            op_type=branch.type,
            op_name=branch.name,
            detail=detail,
            **place_fields(branch.site),
        )
        for branch, paths in by_branch.values()
    ]


def _peeled(
    recording, lineage: Lineage, zeros: Sequence[Entry], learning: Sequence[Entry], after_a_step: Callable
) -> list[Finding]:
    tensors = tensors_of(lineage)
    loss = [part for part in tf.nest.flatten(recording.loss) if tf.is_tensor(part)]
    found: list[Blocked] = []
    seen: set[int] = set()
    layer = [(loss, None, list(zeros))]  # the tensors to differentiate, their weights, and the variables to reach
    for _ in range(_MOST_ROUNDS):
        blocked = [block for part in layer for block in _blocked(recording, lineage, tensors, *part)]
        blocked = [block for block in blocked if id(block.edge) not in seen]
        seen.update(id(block.edge) for block in blocked)
        found = blocked + found
        layer = _behind(tensors, blocked)
        if not layer:
            break
    held = _held_back(lineage, found, learning)
    if learning and any(_at_the_bottom(block.fault) for block in found):
        held -= {path for block in found if _at_the_bottom(block.fault) for path in block.paths} & after_a_step()
    passing = {entry.path for entry in zeros} - held
    return _findings(recording, lineage, found, zeros, passing)


@dataclasses.dataclass(frozen=True)
class Blocked:
    """An op that turns a gradient into zeros.

    Attributes:
      edge: from its input, whose gradient is zero, to its output, whose gradient is not.
      behind: the variables whose gradient goes through it.
      arriving: the gradient that arrives at its output.
      fault: the edge of the op to blame; another edge where this op only passes zeros on (a slice, a concatenation).
    """

    edge: Edge
    behind: tuple[Entry, ...]
    arriving: tf.Tensor | None
    fault: Edge

    @property
    def paths(self) -> list[str]:
        return [entry.path for entry in self.behind]


def _blocked(recording, lineage: Lineage, tensors, targets, seeds, left: Sequence[Entry]) -> list[Blocked]:
    gradients = slopes(recording, tensors, targets, seeds)
    alive = nonzero_keys(gradients)
    left = [entry for entry in left if not _reached(recording, entry, alive)]
    if not left:
        return []
    edges = frontier(lineage, alive, set(tensors) - alive)[:_MOST_EDGES]
    blocked = []
    for edge in edges:
        behind, arriving = tuple(_upstream(lineage, edge, left, alive)), gradients.get(edge.target)
        if behind:
            blocked.append(Blocked(edge, behind, arriving, _at_fault(recording, lineage, tensors, edge, arriving)))
    return blocked


def _at_fault(recording: Recording, lineage: Lineage, tensors, edge: Edge, arriving) -> Edge:
    """The op whose own slope is zero, at this edge or nearer to the loss.

    The arriving gradient may be zero just where this input comes in: then an op nearer to the loss made these zeros,
    the first whose input gets none although its whole output has a gradient.
    """
    if _is_empty(tensors[edge.source]):
        return _emptied(lineage, tensors, edge)
    if arriving is None or bool(tf.reduce_all(tf.not_equal(dense(arriving), 0))):
        return edge
    source = tensors[edge.source]
    for step in (edge, *lineage.route(edge.target)[:_MOST_STEPS]):
        result = tensors.get(step.target)
        if step.op is not None and result is not None:
            answer = recording.tape.gradient(result, source, output_gradients=varied(result))
            if answer is None or is_zero(answer):
                return step
    return edge


def _is_empty(tensor) -> bool:
    return tensor.shape.num_elements() == 0


def _emptied(lineage: Lineage, tensors: dict[int, tf.Tensor], edge: Edge) -> Edge:
    """The op whose output is empty although its input is not, before an edge with an empty input."""
    seen = set()
    while edge.source not in seen:
        seen.add(edge.source)
        before = [e for e in lineage.edges() if e.target == edge.source and e.op is not None and e.source in tensors]
        edge = next(iter(before), edge)
        if not _is_empty(tensors[edge.source]):
            break
    return edge


def _behind(tensors: dict[int, tf.Tensor], blocked: Sequence[Blocked]) -> list[tuple]:
    """Where the search goes on: at each blocked input by itself, or at all at once where there are many."""
    if len(blocked) > _MOST_SINGLE:
        targets = list({block.edge.source: tensors[block.edge.source] for block in blocked}.values())
        left = list({id(entries): entries for block in blocked for entries in block.behind}.values())
        return [(targets, [varied(target) for target in targets], left)]
    return [([tensors[block.edge.source]], [varied(tensors[block.edge.source])], block.behind) for block in blocked]


def _reached(recording: Recording, entry: Entry, alive: set[int]) -> bool:
    if entry.is_tensor:
        return bool(set(entry.keys) & alive)
    reads = [op for k in entry.keys for op in recording.trace.readers.get(k, ())]
    return any(result in alive for op in reads for result in op.results)


def _upstream(lineage: Lineage, edge: Edge, left: Sequence[Entry], alive: set[int]) -> list[Entry]:
    """The variables that this edge holds back; not those that reach it only through tensors with a gradient, where
    something nearer to the variable is to blame."""
    behind = lineage.ancestors(edge.source, stop=alive)
    return [entry for entry in left if behind & set(entry.keys)]


def _held_back(lineage: Lineage, found: Sequence[Blocked], learning: Sequence[Entry]) -> set[str]:
    """Variables whose gradient is zero for another reason than the first value of a learning variable."""
    return {path for block in found if not _starts_at_zero(lineage, block.fault, learning) for path in block.paths}


def _at_the_bottom(edge: Edge) -> bool:
    """Whether all values of a square or the like are at the point where it is level."""
    if edge.op is None or edge.op.type not in _LEVEL_AT_A_POINT:
        return False
    values = [t for t in edge.op.inputs if hasattr(t, "numpy") and t.dtype.is_floating]
    if edge.op.type == "Mul" and len(set(edge.op.sources)) > 1:
        return False
    if edge.op.type == "SquaredDifference":
        return len(values) == 2 and is_zero(values[0] - values[1])
    return bool(values) and is_zero(values[0])


def _starts_at_zero(lineage: Lineage, edge: Edge, learning: Sequence[Entry]) -> bool:
    """Whether the op multiplies by a variable that is zero now and has a gradient of its own."""
    factors = {
        s
        for s, t in zip(edge.op.sources, edge.op.inputs, strict=True)
        if s != edge.source and hasattr(t, "numpy") and t.dtype.is_floating and is_zero(t)
    }
    return any(
        factors & lineage.descends_from(entry.keys) and is_zero(tf.convert_to_tensor(entry.variable))
        for entry in learning
    )


def _findings(recording, lineage, found: Sequence[Blocked], zeros: Sequence[Entry], passing: set[str]) -> list[Finding]:
    findings, known = [], {path for block in found for path in block.paths}
    by_fault: dict[int, list[Blocked]] = collections.defaultdict(list)
    for block in found:
        by_fault[id(block.fault)].append(block)
    faults = {id(blocked.fault): blocked.fault for blocked in found}.values()
    for group in _by_layer(merged(faults)):
        blocked = [block for edge in group for block in by_fault[id(edge)]]
        paths = list(dict.fromkeys(path for block in blocked for path in block.paths if path not in passing))
        if paths:
            edge = group[0]
            site, layer = place_in_layer(edge.op)
            detail = " ".join(part for part in (layer, _detail(blocked[0], found)) if part)
            findings.append(
                Finding(
                    "zero",
                    "zero_gradient",
                    paths,
                    op_type=edge.op.type,
                    op_name=edge.op.name,
                    detail=detail,
                    chain=chain_from(lineage, edge),
                    **place_fields(site),
                )
            )
    silent = [entry.path for entry in zeros if entry.path not in known]
    if silent:
        op = next((recording.trace.producers.get(k) for k in lineage.distance), None)
        detail = "No single op is to blame: what the ops hand back cancels exactly."
        place = place_fields(op and op.site)
        findings.append(Finding("zero", "zero_gradient", silent, op_type=op and op.type, detail=detail, **place))
    return findings


def _by_layer(groups: Sequence[list[Edge]]) -> list[list[Edge]]:
    """The groups, with all ops of one of Keras's own normalisations in a single group."""
    found: dict[int, list[Edge]] = {}
    for group in groups:
        layer = group[0].op.layer
        whole = layer is not None and "Normalization" in type(layer).__name__
        found.setdefault(id(layer) if whole else id(group), []).extend(group)
    return list(found.values())


def _detail(block: Blocked, found: Sequence[Blocked]) -> str:
    empty = next((t for t in block.fault.op.outputs if _is_empty(t)), None)
    if empty is not None:
        return f"Its result is empty (shape {tuple(empty.shape)}): nothing of its input is left, so nothing comes back."
    if block.fault is not block.edge:
        return "Nothing comes back from it for the entries of its input that these variables fill."
    op, source = block.edge.op, block.edge.source
    if op.sources.count(source) > 1:
        return "Both of its operands are the same tensor: what comes back for one takes away what the other gets."
    uses = [other for other in found if other.edge.source == source and other.edge.op is not op]
    others = [t for s, t in zip(op.sources, op.inputs, strict=True) if s != source and hasattr(t, "numpy")]
    factors = [t for t in others if t.dtype.is_floating and t.shape.num_elements()] if op.type in _PRODUCTS else []
    if any(is_zero(t) for t in factors):
        return "The other operand is zero everywhere, so nothing comes back."
    if uses:
        return f"The value is used {len(uses) + 1} times, and what comes back from its uses cancels exactly."
    if factors and block.arriving is not None and _underflows(block.arriving, factors):
        return (
            f"The gradient that arrives here is so small that {block.arriving.dtype.name} rounds the product to zero."
        )
    value = op.inputs[op.sources.index(source)]
    if hasattr(value, "numpy") and value.dtype.is_floating and value.shape.num_elements():
        low, high = float(tf.reduce_min(value)), float(tf.reduce_max(value))
        span = f"is {low:.4g}" if low == high else f"lies between {low:.4g} and {high:.4g}"
        return f"Its input {span}, where its slope is exactly zero."
    return ""


def _underflows(arriving, factors: Sequence[tf.Tensor]) -> bool:
    """Whether the largest possible product is below the smallest number that the type can hold."""
    product = 1.0
    for part in (dense(arriving), *factors):
        product *= float(tf.reduce_max(tf.abs(tf.cast(part, tf.float64))))
    return 0.0 < product < {tf.float16: 6e-8, tf.float64: 5e-324}.get(arriving.dtype, 1.4e-45)

"""The way from variables to the loss with the fewest places that carry no gradient: a 0-1 search for all at once.

The search walks backward from the loss. An edge that passes its gradient on costs 0, one that does not costs 1; a value
that has no gradient already (an integer, a tensor computed while the tape was stopped) loses nothing more. A variable
at distance 0 is connected; at distance n at least n places cut it off; one never reached has no influence on the loss.
Side paths, such as the stopped gradient inside batch normalisation, cost more than the path through the layer, and
drop out.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
from collections.abc import Iterable, Iterator

import tensorflow as tf

from ..capture.frames import Site
from ..capture.trace import Escape, Op, Trace, differentiable, key
from .probe import Kind, probe
from .structure import is_flat


class Way(enum.Enum):
    """How a value gets from one tensor to the next."""

    PASS = "pass"  # its gradient comes back
    ZERO = "zero"  # the gradient that comes back is zero by construction
    CUT = "cut"  # no gradient comes back
    RAISES = "raises"  # asking for the gradient raises
    ASSIGN = "assign"  # written into a variable, and read back
    UNRECORDED = "unrecorded"  # computed while tapes were stopped
    PYTHON = "python"  # read by Python or NumPy, and brought back as a constant
    SHAPE = "shape"  # only its shape or its size is read
    FLAT = "flat"  # by the shape of its input, its result is the same for any values
    STEERS = "steers"  # decides which branch runs, or how often a loop does


_BY_KIND = {Kind.PASS: Way.PASS, Kind.ZERO: Way.ZERO, Kind.CUT: Way.CUT, Kind.RAISES: Way.RAISES}
_FREE = (Way.PASS, Way.ZERO)

PYTHON_WORLD = -(1 << 62)  # the key of every value in Python; no tensor and no state has it
FLOAT_LOSS = PYTHON_WORLD - 1  # the key of a loss that is not a tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Edge:
    """One step of a value towards the loss."""

    source: int
    target: int
    way: Way
    op: Op | None = None
    escape: Escape | None = None
    cost: int = 0

    @property
    def site(self) -> Site | None:
        return self.op.site if self.op is not None else self.escape.site if self.escape is not None else None


class Lineage:
    """All ancestors of the loss, and how many cuts lie between each of them and it."""

    def __init__(
        self,
        trace: Trace,
        *,
        zeros_cost: bool = False,
        reentries: Iterable[int] = (),
        shapes: bool = False,
        flat: bool = False,
    ):
        """Searches a trace.

        Args:
          trace: the forward pass; `trace.loss` is a tensor, a structure of tensors, or a number made by Python.
          zeros_cost: count edges whose gradient is zero by construction as cuts.
          reentries: keys of constants that Python may have computed from tensors that it read.
          shapes: also follow ops that read only the shape of a tensor, as cuts: the last resort of an explanation.
          flat: count as cuts the ops whose result cannot change, by the shapes of their inputs.
        """
        self.trace = trace
        self._handles = {known for known in trace.readers if known not in trace.links}
        self._charged = {Way.ZERO} if zeros_cost else set()
        self._reentries, self._shapes, self._flat = frozenset(reentries), shapes, flat
        self.distance: dict[int, int] = {}
        self.leaving: dict[int, list[Edge]] = collections.defaultdict(list)
        self._order: list[int] = []
        self._search(loss_keys(trace.loss))
        self._cuts: list[Edge] = []
        self._masks = self._gather()

    def cuts(self, keys: Iterable[int]) -> list[Edge]:
        """The edges that cut these off, on all paths with the fewest cuts, those nearest to the variable first."""
        known = [k for k in keys if k in self.distance]
        if not known:
            return []
        fewest = min(self.distance[k] for k in known)
        mask = 0
        for k in known:
            if self.distance[k] == fewest:
                mask |= self._masks.get(k, 0)
        found = [edge for bit, edge in enumerate(self._cuts) if mask >> bit & 1]
        return sorted(found, key=lambda edge: -self.distance[edge.source])

    def distance_of(self, keys: Iterable[int]) -> int | None:
        """The fewest cuts between any of these and the loss; None if no path leads there."""
        return min((self.distance[k] for k in keys if k in self.distance), default=None)

    def route(self, start: int) -> list[Edge]:
        """A shortest path with the fewest cuts from a tensor to the loss."""
        came: dict[int, Edge | None] = {start: None}
        queue, last = collections.deque([start]), start
        while queue:
            last = queue.popleft()
            edges = [edge for edge in self.leaving.get(last, ()) if self._tight(edge)]
            if not edges and self.distance.get(last) == 0:
                break
            for edge in edges:
                if edge.target not in came:
                    came[edge.target] = edge
                    queue.append(edge.target)
        edges = []
        while came.get(last) is not None:
            edges.append(came[last])
            last = came[last].source
        return edges[::-1]

    def descends_from(self, keys: Iterable[int]) -> set[int]:
        """All ancestors of the loss that one of these keys flows into, by any path."""
        seen, queue = set(), collections.deque(k for k in keys if k in self.distance)
        while queue:
            known = queue.popleft()
            if known not in seen:
                seen.add(known)
                queue.extend(edge.target for edge in self.leaving.get(known, ()))
        return seen

    def ancestors(self, known: int, stop: Iterable[int] = ()) -> set[int]:
        """All keys from which a path leads to this one, itself included; not through any of `stop`."""
        seen, queue = set(), [known]
        while queue:
            current = queue.pop()
            if current not in seen:
                seen.add(current)
                queue.extend(k for k in self._arriving.get(current, ()) if k not in stop)
        return seen

    @functools.cached_property
    def _arriving(self) -> dict[int, list[int]]:
        arriving = collections.defaultdict(list)
        for edge in self.edges():
            arriving[edge.target].append(edge.source)
        return arriving

    def edges(self) -> Iterator[Edge]:
        """All edges between ancestors of the loss."""
        for edges in self.leaving.values():
            yield from edges

    def _search(self, starts: list[int]) -> None:
        queue = collections.deque(starts)
        self.distance.update(dict.fromkeys(starts, 0))
        done = set()
        while queue:
            target = queue.popleft()
            if target in done:
                continue
            done.add(target)
            self._order.append(target)
            here = self.distance[target]
            for edge in self._edges_into(target):
                self.leaving[edge.source].append(edge)
                there = here + edge.cost
                if there < self.distance.get(edge.source, there + 1):
                    self.distance[edge.source] = there
                    (queue.append if edge.cost else queue.appendleft)(edge.source)

    def _edges_into(self, target: int) -> Iterator[Edge]:
        trace = self.trace
        for link in trace.links.get(target, ()):
            yield self._edge(link.source, target, Way.PASS if link.op is None else Way.STEERS, link.op)
        if target in trace.writes:
            op = trace.writes[target]
            for source, tensor in zip(op.sources, op.inputs, strict=True):
                if tensor.dtype != tf.resource:
                    yield self._edge(source, target, Way.ASSIGN, op)
            yield from (self._edge(state, target, Way.PASS, op) for state in op.state)
        op = trace.producers.get(target)
        if op is not None:
            yield from (self._edge(known, target, Way.CUT, blamed) for known, blamed in op.hidden)
        if op is not None and not op.reads_values and self._shapes and not op.differentiating:
            yield from (self._edge(source, target, Way.SHAPE, op) for source in op.sources)
        if op is not None and op.reads_values and not op.opened:
            kinds, output = probe(op), op.results.index(target)
            flat = self._flat and is_flat(trace, op)
            for source, row in zip(op.sources, kinds, strict=True):
                way = Way.FLAT if flat else _BY_KIND[row[output]]
                if source in self._handles and op.caller is not None and op.caller.type == "EagerPyFunc":
                    yield self._edge(source, target, Way.CUT, op.caller)
                    continue
                yield self._edge(source, target, Way.UNRECORDED if way in _FREE and not op.recorded else way, op)
            yield from (self._edge(state, target, Way.PASS, op) for state in op.state)
        if target in self._reentries or target == FLOAT_LOSS:
            yield self._edge(PYTHON_WORLD, target, Way.PASS)
        if target == PYTHON_WORLD:
            for escape in trace.escapes:
                yield self._edge(key(escape.tensor), target, Way.PYTHON, None, escape)

    def _edge(self, source: int, target: int, way: Way, op: Op | None = None, escape: Escape | None = None) -> Edge:
        free = way is Way.PASS or (way is Way.ZERO and Way.ZERO not in self._charged) or self._lost(source)
        return Edge(source, target, way, op, escape, 0 if free else 1)

    def _lost(self, source: int) -> bool:
        """Whether the value has no gradient left to lose."""
        tensor, producer = self.trace.tensors.get(source), self.trace.producers.get(source)
        if tensor is None or not differentiable(tensor):
            return True
        if producer is None:
            return False
        if tensor.dtype == tf.variant and not any(Kind.PASS in row for row in probe(producer)):
            return True  # a data set or a queue: elements lost their gradient on the way in
        return not producer.recorded

    def _tight(self, edge: Edge) -> bool:
        return self.distance[edge.source] == self.distance[edge.target] + edge.cost

    def _gather(self) -> dict[int, int]:
        """For each key, as the bits of a number, all cuts on all of its paths with the fewest cuts."""
        bits: dict[int, int] = {}
        masks: dict[int, int] = {}
        changed = True
        while changed:  # a second round only where the graph has a loop
            changed = False
            for source in self._order:
                mask = masks.get(source, 0)
                for edge in self.leaving.get(source, ()):
                    if not self._tight(edge):
                        continue
                    mask |= masks.get(edge.target, 0)
                    if edge.cost:
                        if id(edge) not in bits:
                            bits[id(edge)] = len(self._cuts)
                            self._cuts.append(edge)
                        mask |= 1 << bits[id(edge)]
                if mask != masks.get(source, 0):
                    masks[source], changed = mask, True
        return masks


def loss_keys(loss) -> list[int]:
    """The keys of the tensors of a loss; a number made by Python has a key of its own."""
    parts = [part for part in tf.nest.flatten(loss, expand_composites=True) if part is not None]
    return [key(part) if tf.is_tensor(part) and hasattr(part, "_id") else FLOAT_LOSS for part in parts]


def merged(edges: Iterable[Edge]) -> list[list[Edge]]:
    """Edges grouped by op type and line, in the order in which they come."""
    groups: dict[tuple, list[Edge]] = {}
    for edge in edges:
        site = edge.site
        groups.setdefault((edge.op.type, site and site.file, site and site.line), []).append(edge)
    return list(groups.values())

"""A forward pass as data: the ops that ran (or were traced), in order, and which tensor came out of which.

Two modules write it, `recorder.py` from an eager run and `graphs.py` from a graph; the reader, `lineage.py`, does not
care which.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from . import frames
from .private import tensor_id

# Ops whose result is known from the shape of their input alone: it does not depend on the input's *value*. The
# gradient registry does not show that (ArgMax and Shape alike are "not differentiable").
_SHAPE_READERS = frozenset({"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike", "BroadcastGradientArgs"})


@dataclasses.dataclass(eq=False)
class Op:
    """One op of the forward pass.

    Attributes:
      type: TensorFlow's name of the op; "IdentityN" for a custom gradient, as in a graph.
      inputs, outputs: its tensors.
      steps: the user's Python frames, innermost first (eager); a graph operation has its own traceback.
      operation: the graph operation, or None.
      attrs: names and values alternating, as in an eager op.
      recorded: False if no tape could record it.
      taped: whether there was a tape at all, stopped or not; other threads have none.
      backward: the backward function of a custom gradient in eager mode.
      opaque: its inside is unknown, since it leaves TensorFlow, and carries no gradient.
      opened: its inside is part of the trace, linked to its inputs and outputs, and it has no edges of its own.
      hidden: what a Python function or a data set reads besides its inputs and cuts off: (key, op to blame).
      layer: the Keras layer that it ran in, where no user's line is nearer.
      differentiating: whether it ran inside of `tape.gradient`, for a derivative that is part of the loss.
      state: keys of what it reads besides its inputs: values written by an earlier assign.
      shift: distinguishes the calls of a function; part of the keys of its tensors.
      caller: the call, loop or branch around it.
      refusal: what its gradient function raised.
    """

    type: str
    inputs: tuple
    outputs: tuple
    steps: tuple[frames.Step, ...] = ()
    operation: tf.Operation | None = None
    attrs: tuple = ()
    recorded: bool = True
    taped: bool = True
    backward: Callable | None = None
    label: str | None = None
    opaque: bool = False
    opened: bool = False
    hidden: tuple[tuple[int, Op], ...] = ()
    differentiating: bool = False
    layer: Any = None
    state: tuple[int, ...] = ()
    order: int = 0
    shift: int = 0
    caller: Op | None = None
    refusal: str = ""

    @functools.cached_property
    def sources(self) -> tuple[int, ...]:
        """Keys of the inputs."""
        return tuple(key(tensor) + self.shift for tensor in self.inputs)

    @functools.cached_property
    def results(self) -> tuple[int, ...]:
        """Keys of the outputs."""
        return tuple(key(tensor) + self.shift for tensor in self.outputs)

    @functools.cached_property
    def site(self) -> frames.Site | None:
        """The user's line that ran this op, or the function without lines around it."""
        own = frames.site_of_operation(self.operation) if self.operation is not None else frames.site_of(self.steps)
        return own if own is not None or self.caller is None else self.caller.site

    @property
    def callers(self) -> tuple[Op, ...]:
        """The calls, branches and loops around this op, innermost first."""
        return (self.caller, *self.caller.callers) if self.caller is not None else ()

    @property
    def name(self) -> str | None:
        return self.operation.name if self.operation is not None else self.label

    @property
    def reads_values(self) -> bool:
        return self.type not in _SHAPE_READERS


@dataclasses.dataclass(frozen=True)
class Escape:
    """A tensor that was turned into a Python or NumPy value."""

    tensor: Any
    steps: tuple[frames.Step, ...]
    way: str  # ".numpy()", "float()", "np.mean()", …

    @property
    def site(self) -> frames.Site | None:
        return frames.site_of(self.steps)


@dataclasses.dataclass(frozen=True)
class InnerGradient:
    """A call of `tape.gradient` inside the forward pass, for one source; the answer is None without a gradient."""

    target: Any
    source: Any
    answer: Any
    steps: tuple[frames.Step, ...]

    @property
    def site(self) -> frames.Site | None:
        return frames.site_of(self.steps)


@dataclasses.dataclass(frozen=True)
class Link:
    """A value passed on unchanged, into a function or out of a loop; with `op`, one that only steers (a predicate)."""

    source: int
    op: Op | None = None


class Trace:
    """All of a forward pass. Tensors are identified by `key`, which TensorFlow never assigns twice in a process."""

    def __init__(self):
        self.ops: list[Op] = []
        self.producers: dict[int, Op] = {}
        self.links: dict[int, list[Link]] = {}
        self.tensors: dict[int, Any] = {}
        self.readers: dict[int, list[Op]] = {}  # by key of a resource handle
        self.written: dict[int, int] = {}  # resource handle -> key of its latest state
        self.writes: dict[int, Op] = {}  # key of a state -> the op that wrote it
        self.escapes: list[Escape] = []
        self.inner: list[InnerGradient] = []
        self.began = 0  # tensors with a smaller key are older than the very first run
        self.started = 0  # tensors with a smaller key are older than this run
        self.loss: Any = None
        self.calls = 0
        self.kept: list[Any] = []  # graphs whose tensors are named above

    def add(self, op: Op) -> Op:
        op.order = len(self.ops)
        self.ops.append(op)
        for known, tensor in zip((*op.sources, *op.results), (*op.inputs, *op.outputs), strict=True):
            self.tensors[known] = tensor
        for result in op.results:
            self.producers[result] = op
        resources = [self.root(k) for k, t in zip(op.sources, op.inputs, strict=True) if t.dtype == tf.resource]
        if resources:
            self._touch(op, resources)
        return op

    def link(self, source: int, target: int, op: Op | None = None) -> None:
        """Notes that the value of `source` flows to `target` unchanged; with `op`, that it only steers it."""
        self.links.setdefault(target, []).append(Link(source, op))

    def root(self, handle: int) -> int:
        """The key of a resource handle outside of all functions that it was passed to."""
        while handle in self.links:
            handle = self.links[handle][0].source
        return handle

    def fresh_shift(self) -> int:
        """A shift of keys for another call of a function."""
        self.calls += 1
        return self.calls << 48

    def _touch(self, op: Op, resources: list[int]) -> None:
        """An op with a resource and no result writes to it; one with a result reads what was last written."""
        if not op.outputs and frames.is_of_optimizer(op.operation):
            return  # the update of another player's weights is training, not a memory of the forward pass
        for handle in resources:
            if not op.outputs and len(op.inputs) > len(resources):
                state = -1 - len(self.writes)  # states are not tensors: their keys are negative
                op.state += (self.written[handle],) if handle in self.written else ()
                self.written[handle], self.writes[state] = state, op
            elif op.outputs:
                self.readers.setdefault(handle, []).append(op)
                op.state += (self.written[handle],) if handle in self.written else ()


def key(tensor) -> int:
    """What identifies a tensor, eager or symbolic."""
    return tensor_id(tensor)


def differentiable(tensor) -> bool:
    """Whether a tensor of this type can carry a gradient at all."""
    dtype = tensor.dtype
    return dtype.is_floating or dtype.is_complex or dtype in (tf.resource, tf.variant)

"""Records an eager run of a forward pass op by op, with the values and the user's lines.

Eager mode is what a tape sees: every Python branch taken, every loop unrolled, every `.numpy()` done. TensorFlow
reports each op through its op callbacks (made for tfdbg; nothing public reports ops as they run); what happens in
Python without an op is watched as well: custom gradients, variables read inside a kernel call, and the ways out of
TensorFlow.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from . import escapes, graphs
from .frames import user_steps
from .layers import running_layer
from .owners import Read, read_of
from .pipelines import ITERATING, read_by_pipeline
from .private import (
    AtomicFunction,
    BaseVariable,
    ConcreteFunction,
    array_ops,
    op_callbacks,
    pywrap_tfe,
    record,
    tape_is_stopped,
)
from .trace import Escape, InnerGradient, Op, Trace, key

_one_at_a_time = threading.Lock()


class Recording:
    """The results of a recorded run: the trace, the loss as returned, the tape, and who read which variable."""

    def __init__(self):
        self.trace = Trace()
        self.reads: list[Read] = []
        self.loss = None
        self.tape: tf.GradientTape | None = None
        self.error: Exception | None = None
        self.failed: tuple = ()  # the arguments of a function that raised
        self.scopes: tuple[str, ...] = ()  # the functions around the one that computes the loss


@contextlib.contextmanager
def reads() -> Iterator[list[Read]]:
    """Collects who reads which variable while a step is traced; nothing is added to its graph.

    with reads() as seen, tf.GradientTape() as tape:
        loss = loss_fn(y, model(x, training=True))
    ...
    check_traced(loss, variables, gradients, watched=tape.watched_variables(), reads=seen)
    """
    seen: list[Read] = []

    def on_op(op_type, inputs, attrs, outputs, op_name=None, graph=None):
        if graph is not None and any(tensor.dtype == tf.resource for tensor in inputs):
            seen.append(read_of(Op(op_type, tuple(inputs), tuple(outputs or ()))))

    def on_call(function, *args):  # a function of a SavedModel, say, whose variables are never read singly
        handles = tuple(part for part in args if tf.is_tensor(part) and part.dtype == tf.resource)
        if handles and not tf.executing_eagerly():
            seen.append(read_of(Op("PartitionedCall", handles, ())))
        return call_flat(function, *args)

    call_flat = AtomicFunction.call_flat
    with _callback(on_op), escapes.replaced(AtomicFunction, "call_flat", on_call):
        yield seen


def record_run(forward_loss: Callable, began: int, *, flat: bool = True, nudge: bool = False) -> Recording:
    """Runs `forward_loss` once under a tape and records everything that happens.

    Args:
      forward_loss: computes the loss.
      began: tensors with a smaller key are older than the very first run.
      flat: run the body of each `tf.function` op by op, rather than as one call.
      nudge: give Python and NumPy slightly different values than TensorFlow has, to see what depends on them.

    Returns:
      The recording; with `error` set, and everything up to there, where `forward_loss` raised.
    """
    recording = Recording()
    with _one_at_a_time, _eager_functions(flat), _hooks(recording, nudge):
        recording.trace.began, recording.trace.started = began, key(tf.constant(0))
        with tf.GradientTape(persistent=True) as tape:
            recording.tape = tape
            try:
                recording.loss = tf.autograph.experimental.do_not_convert(forward_loss)() if flat else forward_loss()
            except Exception as error:  # the user's code may raise anything; the error is part of the recording
                recording.error = error
    recording.scopes = scopes_of(forward_loss)
    recording.trace.loss = recording.loss
    recording.trace.tensors.update((key(part), part) for part in tf.nest.flatten(recording.loss) if tf.is_tensor(part))
    return recording


def is_recording() -> bool:
    """Whether any thread is inside a recorded run."""
    return _one_at_a_time.locked()


@contextlib.contextmanager
def recorded_block() -> Iterator[Recording]:
    """Records what runs inside, under a tape that is already open: for a loop that cannot be run a second time."""
    recording = Recording()
    with _hooks(recording, False):
        recording.trace.began = recording.trace.started = key(tf.constant(0))
        yield recording


def scopes_of(function: Callable) -> tuple[str, ...]:
    """The qualified names of the functions that a function was defined in."""
    parts = getattr(function, "__qualname__", "").split(".<locals>.")
    return tuple(".<locals>.".join(parts[:depth]) for depth in range(1, len(parts)))


def _hooks(recording: Recording, nudge: bool):
    trace, boundary = recording.trace, record_run.__code__
    pending, bodies, home, differentiating = [], {}, threading.get_ident(), []

    def steps():
        return user_steps(sys._getframe(2), boundary)

    def on_op(op_type, inputs, attrs, outputs, op_name=None, graph=None):
        if graph is not None:  # the inside of a function being traced; graphs.py reads it whole
            return
        op_type = op_type.decode() if isinstance(op_type, bytes) else op_type
        inputs, outputs = tuple(tf.nest.flatten(list(inputs))), tuple(tf.nest.flatten(outputs or []))
        here, stopped = threading.get_ident() == home, tape_is_stopped()
        op = Op(
            op_type,
            inputs,
            outputs,
            steps(),
            attrs=attrs,
            recorded=here and not stopped,
            taped=here,
            differentiating=bool(differentiating),
            layer=running_layer(sys._getframe(1)),
        )
        if op_type in bodies:  # the call is recorded as a whole, around a stopped tape
            graphs.inline(trace, bodies[op_type], op, bodies)
            if any(t.dtype == tf.resource for t in inputs):
                recording.reads.append(read_of(op))
            return
        trace.add(op)
        if op_type == "EagerPyFunc" and pending:
            _join(trace, op, *pending.pop())
        if op_type in ITERATING:
            op.hidden = read_by_pipeline(inputs)
            trace.tensors.update((known, reader.inputs[0]) for known, reader in op.hidden)
        if any(t.dtype == tf.resource for t in inputs):
            recording.reads.append(read_of(op))

    def on_custom(op_type, output_tensors, input_tensors, backward_function, forward_function=None):
        original(op_type, output_tensors, input_tensors, backward_function, forward_function)
        eager = all(hasattr(t, "numpy") for t in (*output_tensors, *input_tensors) if tf.is_tensor(t))
        name = op_type.decode() if isinstance(op_type, bytes) else op_type
        if eager and output_tensors and not name.startswith(("__forward_", "__inference_")) and name not in _BUILT_IN:
            trace.add(
                Op(
                    "IdentityN",
                    tuple(input_tensors),
                    tuple(output_tensors),
                    steps(),
                    label=name,
                    backward=backward_function,
                )
            )

    mine = {home}  # threads of this forward pass; what others read meanwhile is ignored

    def nudged(value):
        return escapes.nudged(value) if threading.get_ident() in mine else value

    def on_escape(tensor, way):
        if threading.get_ident() not in mine:
            return
        trace.escapes.append(Escape(tensor, steps(), way))
        trace.tensors[key(tensor)] = tensor

    def mark():
        mine.add(threading.get_ident())
        return len(trace.ops), len(trace.escapes)

    def on_script(op_type, inputs, outputs, since):
        made = {known for op in trace.ops[since[0] :] for known in op.results}
        fresh = tuple(output for output in outputs if key(output) not in made)  # one passed through does not leave
        op = Op(op_type, inputs, fresh, steps(), opaque=True)
        read = dict.fromkeys(key(escape.tensor) for escape in trace.escapes[since[1] :])
        op.hidden = tuple((known, op) for known in read if known in made)
        trace.add(op)

    def on_call(function, *args):
        bodies[function.name.decode() if isinstance(function.name, bytes) else function.name] = function.graph
        return call_flat(function, *args)

    def on_taped_call(function, tensor_inputs, captured_inputs):
        try:
            return taped_call(function, tensor_inputs, captured_inputs)
        except Exception:
            given = tf.nest.flatten([tensor_inputs, captured_inputs])
            recording.failed = recording.failed or tuple(part for part in given if tf.is_tensor(part))
            raise

    def in_thread(thread):
        mine.add(threading.get_ident())
        try:
            with _callback(on_op):
                run_thread(thread)
        finally:
            mine.discard(threading.get_ident())

    def size_of(value, *args, **kwargs):
        size = plain_size(value, *args, **kwargs)
        if tf.is_tensor(value) and tf.is_tensor(size) and tf.executing_eagerly():  # counted without an op
            trace.add(Op("Size", (value,), (size,), steps()))
        return size

    def inner_gradient(tape, target, sources, *args, **kwargs):
        differentiating.append(tape)
        try:
            answers = gradient(tape, target, sources, *args, **kwargs)
        finally:
            differentiating.pop()
        for source, answer in zip(tf.nest.flatten(sources), tf.nest.flatten(answers), strict=False):
            trace.inner.append(InnerGradient(target, source, answer, steps()))
        return answers

    plain_size = array_ops.size_internal
    run_thread, gradient = threading.Thread.run, tf.GradientTape.gradient
    original, call_flat = record.record_operation, AtomicFunction.call_flat
    taped_call = ConcreteFunction._call_flat
    return _installed(
        [
            _callback(on_op),
            escapes.replaced(record, "record_operation", on_custom),
            escapes.replaced(AtomicFunction, "call_flat", on_call),
            escapes.replaced(ConcreteFunction, "_call_flat", on_taped_call),
            escapes.replaced(array_ops, "size_internal", size_of),
            escapes.replaced(threading.Thread, "run", in_thread),
            escapes.replaced(tf.GradientTape, "gradient", inner_gradient),
            escapes.replaced(pywrap_tfe, "TFE_Py_FastPathExecute", _reading_by_ops()),
            escapes.watching(on_escape, nudged if nudge else None),
            escapes.counting(on_escape),
            escapes.script_functions(mark, on_script, lambda *run: pending.append(run)),
        ]
    )


_BUILT_IN = frozenset({"captured_value", "ReadVariableOp", "_copy"})


def _join(trace: Trace, op: Op, args: tuple, results: tuple, since: tuple[int, int]) -> None:
    """Links a `tf.py_function`'s op to those of its function, which ran just before: values pass through them.

    Only arguments get their gradient back; what the function takes from elsewhere is cut off by the op.
    """
    for inner in trace.ops[since[0] : -1]:
        inner.caller = inner.caller or op
    inside = [key(result) for result in results]
    seen: set[int] = set()
    while inside:
        known = inside.pop()
        if known not in seen and known in trace.producers:
            inside.extend(trace.producers[known].sources)
        seen.add(known)
    op.opened = any(key(arg) in seen for arg in args)
    op.opaque = not op.opened  # a result that no op made was made by Python
    if op.opaque:
        op.hidden = tuple((key(result), op) for result in results)
        return
    for outer, inner in zip(op.inputs, args, strict=False):
        trace.link(key(outer), key(inner))
    for inner, outer in zip(results, op.outputs, strict=False):
        trace.link(key(inner), key(outer))


def _reading_by_ops() -> Callable:
    """The fast path into a kernel, except that variables are read by an op of their own first, which callbacks see."""
    fast = pywrap_tfe.TFE_Py_FastPathExecute

    def read(argument):
        if isinstance(argument, BaseVariable):
            return tf.convert_to_tensor(argument)
        if isinstance(argument, (list, tuple)) and any(isinstance(part, BaseVariable) for part in argument):
            return [read(part) for part in argument]
        return argument

    def execute(context, op_type, name, *arguments):
        return fast(context, op_type, name, *[read(argument) for argument in arguments])

    return execute


@contextlib.contextmanager
def _callback(function) -> Iterator[None]:
    op_callbacks.add_op_callback(function)
    try:
        yield
    finally:
        op_callbacks.remove_op_callback(function)


@contextlib.contextmanager
def _installed(managers) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for manager in managers:
            stack.enter_context(manager)
        yield


@contextlib.contextmanager
def _eager_functions(flat: bool) -> Iterator[None]:
    before = tf.config.functions_run_eagerly()
    if flat:
        tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def is_value(loss) -> bool:
    """Whether a loss is a number that Python or NumPy made."""
    return isinstance(loss, (int, float, complex, np.ndarray, np.generic))

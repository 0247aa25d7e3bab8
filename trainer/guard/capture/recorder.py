"""An eager run of a forward pass, written down op by op, with the values and the user's lines.

Eager mode is what a tape sees: every Python branch taken, every loop unrolled, every `.numpy()` done. TensorFlow
reports each op through its op callbacks (made for tfdbg; nothing public reports ops as they run); what happens in
Python without an op is watched besides: custom gradients, variables read inside a kernel call, and the ways out of
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
from .owners import Read, read_of
from .private import AtomicFunction, BaseVariable, op_callbacks, pywrap_tfe, record, tape_is_stopped
from .trace import Escape, InnerGradient, Op, Trace, key

_one_at_a_time = threading.Lock()


class Recording:
    """What a recorded run left behind: the trace, the loss as returned, the tape, and who read which variable."""

    def __init__(self):
        self.trace = Trace()
        self.reads: list[Read] = []
        self.loss = None
        self.tape: tf.GradientTape | None = None
        self.error: Exception | None = None


def record_run(forward_loss: Callable, began: int, *, flat: bool = True, nudge: bool = False) -> Recording:
    """Runs `forward_loss` once under a tape and writes down all that happens.

    Args:
      forward_loss: computes the loss.
      began: tensors with a smaller key are older than the first run of all.
      flat: run the body of each `tf.function` op by op, rather than as one call.
      nudge: give Python and NumPy slightly different values than TensorFlow has, to see what depends on them.

    Returns:
      The recording; with `error` set, and everything up to there, where `forward_loss` raised.
    """
    recording = Recording()
    with _one_at_a_time, _eager_functions(flat), _hooks(recording, nudge):
        recording.trace.began = began
        with tf.GradientTape(persistent=True) as tape:
            recording.tape = tape
            try:
                recording.loss = tf.autograph.experimental.do_not_convert(forward_loss)() if flat else forward_loss()
            except Exception as error:  # the user's code may raise anything; it is part of the answer
                recording.error = error
    recording.trace.loss = recording.loss
    recording.trace.tensors.update((key(part), part) for part in tf.nest.flatten(recording.loss) if tf.is_tensor(part))
    return recording


def _hooks(recording: Recording, nudge: bool):
    trace, boundary = recording.trace, record_run.__code__
    pending, bodies, home = [], {}, threading.get_ident()

    def steps():
        return user_steps(sys._getframe(2), boundary)

    def on_op(op_type, inputs, attrs, outputs, op_name=None, graph=None):
        if graph is not None:  # the inside of a function being traced; graphs.py reads it whole
            return
        op_type = op_type.decode() if isinstance(op_type, bytes) else op_type
        inputs, outputs = tuple(tf.nest.flatten(list(inputs))), tuple(tf.nest.flatten(outputs or []))
        here, stopped = threading.get_ident() == home, tape_is_stopped()
        op = Op(op_type, inputs, outputs, steps(), attrs=attrs, recorded=here and not stopped, taped=here)
        if op_type in bodies:  # the call is recorded as a whole, around a stopped tape
            graphs.inline(trace, bodies[op_type], op, bodies)
            return
        trace.add(op)
        if op_type == "EagerPyFunc" and pending:
            _join(trace, op, *pending.pop())
        if any(t.dtype == tf.resource for t in inputs):
            recording.reads.append(read_of(op))

    def on_custom(op_type, output_tensors, input_tensors, backward_function, forward_function=None):
        original(op_type, output_tensors, input_tensors, backward_function, forward_function)
        eager = all(hasattr(t, "numpy") for t in (*output_tensors, *input_tensors) if tf.is_tensor(t))
        name = op_type.decode() if isinstance(op_type, bytes) else op_type
        if eager and output_tensors and not name.startswith(("__forward_", "__inference_")) and name not in _BUILT_IN:
            trace.add(Op("IdentityN", tuple(input_tensors), tuple(output_tensors), steps(), label=name,
                         backward=backward_function))  # fmt: skip

    def on_escape(tensor, way):
        trace.escapes.append(Escape(tensor, steps(), way))
        trace.tensors[key(tensor)] = tensor

    def on_script(op_type, inputs, outputs):
        trace.add(Op(op_type, inputs, outputs, steps(), opaque=True))

    def on_call(function, *args):
        bodies[function.name.decode() if isinstance(function.name, bytes) else function.name] = function.graph
        return call_flat(function, *args)

    def in_thread(thread):
        with _callback(on_op):
            run_thread(thread)

    def inner_gradient(tape, target, sources, *args, **kwargs):
        answers = gradient(tape, target, sources, *args, **kwargs)
        for source, answer in zip(tf.nest.flatten(sources), tf.nest.flatten(answers), strict=False):
            if answer is None:
                trace.unanswered.append(InnerGradient(target, source, steps()))
        return answers

    run_thread, gradient = threading.Thread.run, tf.GradientTape.gradient
    original, call_flat = record.record_operation, AtomicFunction.call_flat
    return _installed(
        [
            _callback(on_op),
            escapes.replaced(record, "record_operation", on_custom),
            escapes.replaced(AtomicFunction, "call_flat", on_call),
            escapes.replaced(threading.Thread, "run", in_thread),
            escapes.replaced(tf.GradientTape, "gradient", inner_gradient),
            escapes.replaced(pywrap_tfe, "TFE_Py_FastPathExecute", _reading_by_ops()),
            escapes.watching(on_escape, escapes.nudged if nudge else None),
            escapes.script_functions(on_script, lambda args, results: pending.append((args, results))),
        ]
    )


_BUILT_IN = frozenset({"captured_value", "ReadVariableOp", "_copy"})


def _join(trace: Trace, op: Op, args: tuple, results: tuple) -> None:
    """The function of a `tf.py_function` ran just before its op: values go in, through its own ops, and come out."""
    inside = [key(result) for result in results]
    seen: set[int] = set()
    while inside:
        known = inside.pop()
        if known not in seen and known in trace.producers:
            inside.extend(trace.producers[known].sources)
        seen.add(known)
    op.opened = any(key(arg) in seen for arg in args)
    op.opaque = not op.opened  # a result that no op made was made by Python
    for outer, inner in zip(op.inputs, args, strict=False):
        trace.link(key(outer), key(inner))
    for inner, outer in zip(results, op.outputs, strict=False):
        trace.link(key(inner), key(outer))


def _reading_by_ops() -> Callable:
    """The fast way into a kernel, with variables read by an op of their own first, which a callback gets to see."""
    fast = pywrap_tfe.TFE_Py_FastPathExecute

    def read(argument):
        if isinstance(argument, BaseVariable):
            return tf.convert_to_tensor(argument)
        if isinstance(argument, (list, tuple)) and any(
            isinstance(part, BaseVariable) for part in argument
        ):
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

"""Which constants of a forward pass did Python compute from tensors?

A constant does not show where it came from. So the forward pass is run again with every value that Python reads
changed a little: constants that change with it came from there, and all others (labels, weights of terms, a learning
rate) did not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from ..capture.answer import Entry
from ..capture.recorder import Recording, record_run
from ..capture.state import preserved
from ..capture.trace import Trace, key
from .lineage import FLOAT_LOSS, Lineage


def lineage_with_python(recording: Recording, forward_loss: Callable, entries: Sequence[Entry]) -> Lineage:
    """The lineage of a recorded run, with the paths through Python that exist.

    It matters only where a variable has no other path to the loss; only then is the forward pass run again.
    """
    lineage = Lineage(recording.trace)
    lost = [entry for entry in entries if lineage.distance_of(entry.keys) is None]
    if not recording.trace.escapes or not (lost or not entries):
        return lineage
    wider = Lineage(recording.trace, reentries=_loose(recording.trace))
    if all(wider.distance_of(entry.keys) is None for entry in lost):
        return lineage
    moved = _moved(recording, forward_loss)
    return Lineage(recording.trace, reentries=moved) if moved is not None else wider


def _loose(trace: Trace) -> list[int]:
    """Keys of all tensors that an op reads and no op made, in the order of reading."""
    known, found = set(), []
    for op in trace.ops:
        for source, tensor in zip(op.sources, op.inputs, strict=True):
            if source in known or source in trace.producers or source in trace.links or tensor.dtype == tf.resource:
                continue
            if source >= trace.began or tensor.shape.rank == 0:  # TensorFlow keeps scalar constants from earlier runs
                known.add(source)
                found.append(source)
    loose_loss = [key(part) for part in tf.nest.flatten(trace.loss) if tf.is_tensor(part)]
    return found + [k for k in loose_loss if k not in trace.producers and k not in trace.links]


def _moved(recording: Recording, forward_loss: Callable) -> list[int] | None:
    """The constants that differ in a nudged run; None where the two runs cannot be compared."""
    with preserved():
        other = record_run(forward_loss, recording.trace.began, nudge=True)
    before, after = _loose(recording.trace), _loose(other.trace)
    if other.error is not None or len(before) != len(after):
        return None
    changed = [
        known
        for known, again in zip(before, after, strict=True)
        if not _equal(_value(recording.trace, known), _value(other.trace, again))
    ]
    if not changed and FLOAT_LOSS not in before and not tf.is_tensor(recording.loss):
        return None
    return changed


def _value(trace: Trace, known: int):
    tensor = trace.tensors.get(known)
    if tensor is None:
        tensor = next(part for part in tf.nest.flatten(trace.loss) if tf.is_tensor(part) and key(part) == known)
    return tensor.numpy() if hasattr(tensor, "numpy") else None


def _equal(first, second) -> bool:
    if first is None or second is None:
        return first is second
    if np.shape(first) != np.shape(second):
        return False
    return bool(
        np.array_equal(first, second) or np.array_equal(first, second, equal_nan=np.asarray(first).dtype.kind in "fc")
    )

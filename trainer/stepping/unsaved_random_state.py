"""Random operations whose state no checkpoint holds, found in the graph of a task's forward pass.

The kernel of `tf.random.normal` counts its draws by itself: no checkpoint holds its position, and without a seed it
starts elsewhere in each process.
"""

from __future__ import annotations

import linecache

import tensorflow as tf

from trainer.models.inputs import is_users

_STATEFUL = {
    *("RandomStandardNormal", "RandomUniform", "RandomUniformInt", "TruncatedNormal", "ParameterizedTruncatedNormal"),
    *("RandomGamma", "RandomPoisson", "RandomPoissonV2", "RandomShuffle", "Multinomial"),
}


def unsaved_draws(operations: list[tf.Operation]) -> str:
    """A warning for draws that a resumed run does not repeat; empty where there are none."""
    places = dict.fromkeys(_place(op) for op in operations if op.type in _STATEFUL)
    if not places:
        return ""
    shown = "\n".join(f"    {place}" for place in list(places)[:3])
    return (
        "the task draws random numbers whose state no checkpoint holds, so that two runs, or one that is resumed, "
        f"differ:\n{shown}\n"
        "  Draw with keras.random.normal(shape, seed=self.seeds), and likewise uniform …, where __init__ has "
        "self.seeds = keras.random.SeedGenerator(0)"
    )


def _place(operation: tf.Operation) -> str:
    users = [frame for frame in operation.traceback or () if is_users(frame[0])]
    if not users:
        return operation.name
    file, line = users[-1][:2]
    return f"{file}:{line}: {linecache.getline(file, line).strip()}"

"""Random seeds set for a while, so that a run is a function of its seed and the user's generators stay as they were."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

# The generators are the process's: of two runs that are built in two threads one waits for the other.
_building = threading.RLock()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Python's, NumPy's and TensorFlow's generators begin at `seed` inside, and go on where they were after it."""
    with _building:
        yield from _seeded(seed)


def _seeded(seed: int) -> Iterator[None]:
    # TensorFlow has no public way to ask for its global seed and for how far the draws from it have come, Keras none to
    # put its global generator back.
    from keras.src.backend.common import global_state
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
    from tensorflow.python.eager import context

    python, numpy, tensorflow = random.getstate(), np.random.get_state(), context.global_seed()
    draws = getattr(context.context(), "_rng", None)  # none before the first seed is set
    generator = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        tf.random.set_seed(tensorflow)
        if draws is not None:
            context.context()._rng = draws
        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, generator)

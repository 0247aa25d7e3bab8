"""What a graph holds at its fullest moment, on graphs whose memory is plain to see."""

import pytest
import tensorflow as tf

from trainer.stepping.step_memory import peak

_SIDE = 64
_BYTES = 4 * _SIDE * _SIDE


def _of(function, *, xla=False):
    spec = tf.TensorSpec([_SIDE, _SIDE])
    return peak(tf.function(function, jit_compile=xla).get_concrete_function(spec)).bytes / _BYTES


def _chain(x):
    """Each product is read by the next alone: two are held at a time."""
    for _ in range(5):
        x = tf.matmul(x, x)
    return tf.reduce_sum(x)


def _in_place(x):
    return tf.reduce_sum(tf.nn.relu(tf.matmul(x, x) * 2.0 + 1.0))


def _kept(x):
    """All five are read at the end, and one more is made of them."""
    made = [tf.matmul(x, x * float(n)) for n in range(1, 6)]
    return tf.reduce_sum(tf.concat(made, axis=0))


def _gradient(x):
    """The backward pass of three products needs what went into each."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(tf.matmul(tf.matmul(tf.matmul(x, x), x), x))
    return tape.gradient(y, x)


def _branch(x):
    y = tf.matmul(x, x)
    return tf.cond(tf.reduce_sum(y) > 0, lambda: _chain(y), lambda: tf.reduce_sum(y))


@pytest.mark.parametrize(
    ("function", "least", "most"),
    [(_chain, 2, 2.1), (_in_place, 1, 1.1), (_kept, 10, 11.1), (_gradient, 4, 6.1), (_branch, 3, 3.1)],
)
def test_what_is_alive_at_a_time(function, least, most):
    assert least <= _of(function) <= most


def test_half_precision_takes_half_and_views_nothing():
    def half(x):
        x = tf.cast(x, tf.float16)
        return tf.reduce_sum(tf.matmul(tf.reshape(x, [_SIDE, _SIDE]), tf.identity(x)))

    assert 1 <= _of(half) <= 1.1

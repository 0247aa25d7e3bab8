"""Functions compiled by each run for itself."""

import logging

import tensorflow as tf

from trainer.tracing import traced


def doubled(x):
    if tf.reduce_sum(x) > 0:
        x = 2 * x
    return x


def test_the_fifth_of_them_is_not_called_a_function_that_is_retraced(caplog):
    with caplog.at_level(logging.WARNING, "tensorflow"):
        assert [float(traced(doubled)(tf.constant(value))) for value in (1.0, -1.0) * 4] == [2.0, -1.0] * 4
        assert not caplog.records

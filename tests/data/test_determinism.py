"""--deterministic: what it asks of TensorFlow must not slow the reading of files."""

import threading

import pytest
import tensorflow as tf

# No public name takes determinism back; the rest of the suite runs without.
from tensorflow.python.framework.config import disable_op_determinism

from tests.data.making import config_for, make_folder
from trainer.data import open_data, training_batches


@pytest.fixture
def deterministic_operations():
    tf.config.experimental.enable_op_determinism()
    yield
    disable_op_determinism()


def test_examples_are_not_made_one_at_a_time(tmp_path, deterministic_operations):
    config = config_for(make_folder(tmp_path, 10), cache_mib=0, workers=2)
    source = open_data(config).train
    expected = [batch["index"].numpy().tolist() for batch in training_batches(source, config, start_step=0, steps=4)]
    # The first examples of two batches have to be in the making at once, or the first of all waits in vain.
    meeting, waiting = threading.Barrier(2, timeout=20), threading.Semaphore(2)
    read = source.load_compact

    def meeting_once(index):
        if waiting.acquire(blocking=False):
            meeting.wait()
        return read(index)

    source.load_compact = meeting_once
    found = [batch["index"].numpy().tolist() for batch in training_batches(source, config, start_step=0, steps=4)]
    assert found == expected

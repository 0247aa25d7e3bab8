"""data.processes: processes of their own make the same batches, name bad examples, and end."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Augment, Config, Data, Train
from tests.data.making import picture
from trainer.data import DataError, data_error_from, open_data, training_batches


class Pictures:
    """Examples with text and numbers besides; one of them has a label of another size."""

    def __init__(self, spoilt=None):
        self.spoilt = spoilt

    def __len__(self):
        return 11

    def __getitem__(self, index):
        image, label = picture(index, (40, 48))
        label = label[:-1] if index == self.spoilt else label
        return {"image": image, "label": label, "patient": f"patient {index}", "age": np.float32(index)}


def shifted(example, random):
    return example | {"image": example["image"] + random.uniform(0, 5)}


_CONFIG = Config(
    data=Data(cache_mib=8, processes=2),
    augment=Augment(crop=(32, 32)),
    train=Train(batch_size=4),
)


def _opened(spoilt=None, bad_files="stop", augment=(shifted,)):
    config = dataclasses.replace(_CONFIG, data=dataclasses.replace(_CONFIG.data, bad_files=bad_files))
    data = Pictures()
    opened = open_data(config, {"train": data, "validation": None}, augment)
    data.spoilt = spoilt
    return opened.train, opened.config


def _batches(source, config, start, steps, **where):
    return list(training_batches(source, config, start_step=start, steps=steps, **where).as_numpy_iterator())


@pytest.mark.slow
def test_batches_are_those_of_one_process_and_bad_examples_are_named():
    source, config = _opened(spoilt=7, bad_files="skip")
    alone, expected = _opened(spoilt=7, bad_files="skip")
    wanted = _batches(alone, expected, 0, 6, parts=2)
    try:
        made = _batches(source, config, 0, 6, parts=2, processes=True)
        made[4:] = _batches(source, config, 2, 4, parts=2, processes=True)  # from a step on
        assert len(made) == len(wanted) == 12
        for batch, expected in zip(made, wanted, strict=True):
            assert batch.keys() == expected.keys() and {"patient", "age", "index"} <= batch.keys()
            for key in batch:
                np.testing.assert_array_equal(batch[key], expected[key])
        assert list(source.skipped) == list(alone.skipped) and "[7]" in list(source.skipped)[0]

        children = list(source.pool._pool._processes.values())
        strict = dataclasses.replace(config, data=dataclasses.replace(config.data, bad_files="stop"))
        source.close()
        assert not any(child.is_alive() for child in children) and source.pool is None
        source.skipped.clear()
        with pytest.raises(tf.errors.OpError) as raised:
            _batches(source, strict, 0, 6, processes=True)
        assert "[7]" in str(data_error_from(raised.value))
        assert "39 x 48" in str(data_error_from(raised.value)) or "label" in str(data_error_from(raised.value))
    finally:
        source.close()


def test_what_cannot_be_handed_over_is_said_at_once():
    source, config = _opened(augment=(lambda example, random: example,))
    with pytest.raises(DataError, match="data.processes=2: augment cannot be passed to another process"):
        training_batches(source, config, start_step=0, steps=1, processes=True)
    images = np.tile(np.arange(2, dtype=np.uint8), (4, 32, 16, 1))[..., None].repeat(3, axis=-1)[:, 0]
    stream = tf.data.Dataset.from_tensor_slices((images, images[..., 0]))
    source = open_data(_CONFIG, {"train": stream, "validation": None}).train
    with pytest.raises(DataError, match="a tf.data.Dataset is read in its own order"):
        training_batches(source, _CONFIG, start_step=0, steps=1, processes=True)

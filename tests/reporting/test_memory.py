"""A lack of memory is answered in the run's own numbers, in training, evaluation and prediction."""

import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Augment, Config, Data, Evaluate, Model, Train
from trainer import Run, UserError
from trainer.reporting.memory.out_of_memory import is_out_of_memory, lacking_memory, less_to_train, smaller_tile

_CONFIG = Config(
    data=Data(classes=("background", "disc"), cache_mib=64),
    model=Model(width=4, depth=1),
    augment=Augment(crop=(16, 24)),
    train=Train(length="1 steps", batch_size=4),
    evaluate=Evaluate(panels=0),
)


def _data():
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 24, 3)).astype(np.uint8)
    return images, (images[..., 0] > 128).astype(np.uint8)


def _too_large(y_true, y_pred):
    """2^50 bytes: more than any address space has."""
    # Random numbers are no constant to be folded.
    return tf.reduce_mean(tf.random.uniform([2**24, 2**24])) * tf.reduce_mean(y_pred)


def _no_memory(*_):
    raise MemoryError


def _host_memory(y_true, y_pred):
    return tf.reduce_mean(y_pred) + tf.numpy_function(_no_memory, [y_pred], tf.float32)


@pytest.mark.parametrize(("loss", "named"), [(_too_large, ["[16777216, 16777216] of 1,024.0 TiB"]), (_host_memory, [])])
def test_training_says_what_was_too_large_and_what_takes_less(tmp_path, loss, named):
    config = Config(**{**vars(_CONFIG), "guard": type(_CONFIG.guard)(missing="off")})
    run = Run(config, workdir=tmp_path, loss=loss, data=_data())

    with pytest.raises(UserError) as raised:
        run.train()

    message = str(raised.value)
    parameters = sum(int(np.prod(v.shape)) for v in run.task.model.weights)
    for text in [
        *named,
        "Out of memory in training after step 0",
        "4 images of 16 x 24 pixels at a time",
        "train.batch_size=4 in 1 micro-batch.",
        f"{parameters:,} parameters",
        "Train(accumulate=2) ",
        "Train(batch_size=2) ",
        "Augment(crop=(8, 12)) ",
        "Model(width=2) ",
        "Data(cache_mib=16) ",
    ]:
        assert text in message, text
    assert raised.value.exit_code == 1


def test_evaluation_and_prediction_name_the_tiles(tmp_path, monkeypatch):
    run = Run(_CONFIG, workdir=tmp_path, data={"train": _data(), "validation": _data()})
    call = type(run.task.model).call

    def too_large(self, inputs, training=False, mask=None):
        huge = tf.random.uniform([2**24, 2**24])
        return call(self, inputs, training=training, mask=mask) + tf.reduce_mean(huge)

    monkeypatch.setattr(type(run.task.model), "call", too_large)

    for verb, doing in (
        (lambda: run.evaluate(None), "evaluation"),
        (lambda: run.predict(_data()[0], checkpoint=None), "prediction"),
    ):
        with pytest.raises(UserError) as raised:
            verb()
        assert str(raised.value).startswith(f"Out of memory in {doing}")
        assert "whole (evaluate.tile=0,0)" in str(raised.value)
        assert "Evaluate(tile=(512, 512))" in str(raised.value)


def test_tiles_are_halved_to_what_the_model_divides():
    assert smaller_tile(Config(model=Model(depth=4), evaluate=Evaluate(tile=(96, 160)))) == "48,80"
    assert smaller_tile(Config(model=Model(depth=4), evaluate=Evaluate(tile=(16, 16)))) == "16,16"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"), True),
        (tf.errors.ResourceExhaustedError(None, None, "/out/x.png; No space left on device"), False),
        (tf.errors.InternalError(None, None, "std::bad_alloc"), True),
        (tf.errors.InternalError(None, None, "Failed call to cuFoo: CUDA_ERROR_OUT_OF_MEMORY"), True),
        (tf.errors.UnknownError(None, None, "ResourceExhaustedError: OOM when allocating tensor"), True),
        (tf.errors.InternalError(None, None, "peer is gone"), False),
        (RuntimeError("out of memory"), False),
    ],
)
def test_which_errors_are_a_lack_of_memory(error, expected):
    assert is_out_of_memory(error) is expected
    try:
        raise RuntimeError("around it") from error
    except RuntimeError as around:
        assert is_out_of_memory(around) is expected


def test_a_model_of_ones_own_has_no_width_that_a_field_could_halve(tmp_path):
    run = Run(_CONFIG, workdir=tmp_path, model=_too_large, optimizer=_no_memory, data=_data())
    message = str(lacking_memory(MemoryError(), run.named_config, "building the model"))
    assert "The model is tests.reporting.test_memory:_too_large; held are" in message
    assert "width" not in message and "sgd" not in message and "a smaller model" in message
    assert not any("width" in line for line in less_to_train(run.named_config, 1, 1))

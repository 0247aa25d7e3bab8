"""The step on one replica: what it does to the weights, what it counts, and what it refuses before it begins."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Config, Loss
from tests.stepping import replica_runs as runs
from trainer import guard
from trainer.errors import UserError
from trainer.models.check import check_compiled, check_model
from trainer.stepping.objective import build_objective

SGD = {"name": "sgd", "momentum": 0.0, "learning_rate": 0.1, "ema_decay": 0.0}


def one_layer(outputs=2):
    images = keras.Input((None, None, 3))
    scaled = keras.layers.Rescaling(1 / 255)(images)
    return keras.Model(images, keras.layers.Conv2D(outputs, 3, padding="same", name="only")(scaled))


def gradients_of(made, batch):
    """Computed again, outside the step."""
    objective = build_objective(made.config, 2)
    with tf.GradientTape() as tape:
        total = tf.add_n(list(objective(batch["label"], made.model(batch["image"], training=True)).values()))
    values = tape.gradient(total, [v.value for v in made.state.trainable])
    return [value.numpy() for value in values], float(total)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def mine(y_true, y_pred):\n    pass", "returned None, of type NoneType"),
        ("def mine(y_true, y_pred):\n    return 'x', 1", "returned ('x', 1), of type tuple"),
        ("class mine:\n    def __init__(self, size):\n        pass", "is a class, and mine() raised TypeError"),
        ("from os import system as mine", "is written in C"),
    ],
)
def test_a_loss_that_gives_no_tensor_is_named(tmp_path, monkeypatch, body, words):
    name = f"losses_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(body, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    labels, logits = tf.zeros((1, 4, 4), tf.int32), tf.zeros((1, 4, 4, 2))
    with pytest.raises(UserError) as caught:
        build_objective(Config(loss=Loss(name=f"{name}:mine")), 2)(labels, logits)
    assert words in str(caught.value) and f"{name}:mine" in str(caught.value)


@pytest.mark.parametrize("limit", [0.0, 0.05, 1e6])
def test_a_step_is_the_gradient_clipped_by_its_global_norm(limit):
    made = runs.make(runs.tiny(train={"accumulate": 1}, optimizer={**SGD, "clip_norm": limit}), model=one_layer)
    data = runs.batches(1)
    before = [v.numpy() for v in made.state.trainable]
    gradients, loss = gradients_of(made, data[0])
    made.run(data)
    norm = np.sqrt(sum(np.square(g).sum() for g in gradients))
    assert norm > 0.05
    factor = min(1.0, limit / norm) if limit else 1.0
    for old, variable, gradient in zip(before, made.state.trainable, gradients, strict=True):
        np.testing.assert_allclose(variable.numpy(), old - 0.1 * factor * gradient, rtol=1e-5, atol=1e-7)
    report = made.totals.read()
    assert report["gradient_norm"] == pytest.approx(norm, rel=1e-5) and report["loss"] == pytest.approx(loss, rel=1e-6)
    assert report["loss/dice"] + report["loss/cross_entropy"] == pytest.approx(loss, rel=1e-6)


def test_averages_follow_weights_and_statistics_and_are_swapped_in_and_out():
    def normalised(outputs=2):
        images = keras.Input((None, None, 3))
        x = keras.layers.BatchNormalization(momentum=0.5)(keras.layers.Conv2D(4, 3, name="only")(images / 255))
        frozen = keras.layers.BatchNormalization(trainable=False)(x)
        return keras.Model(images, keras.layers.ZeroPadding2D(1)(keras.layers.Conv2D(outputs, 1)(frozen)))

    made = runs.make(runs.tiny(train={"accumulate": 1}, optimizer={**SGD, "ema_decay": 0.75}), model=normalised)
    watched = made.model.variables
    expected = [variable.numpy() for variable in watched]
    for batch in runs.batches(3):
        made.run([batch])
        expected = [0.75 * e + 0.25 * v.numpy() for e, v in zip(expected, watched, strict=True)]
    live = [variable.numpy() for variable in watched]
    assert any("moving_mean" in v.path and np.abs(v.numpy()).max() > 0.01 for v in watched)
    with pytest.raises(KeyboardInterrupt), made.state.averaged():
        for variable, average in zip(watched, expected, strict=True):
            np.testing.assert_allclose(variable.numpy(), average, rtol=1e-5, atol=1e-7, err_msg=variable.path)
        raise KeyboardInterrupt
    assert all(np.array_equal(v.numpy(), value) for v, value in zip(watched, live, strict=True))


def test_regularisers_are_part_of_the_loss():
    def regularised():
        images = keras.Input((None, None, 3))
        layer = keras.layers.Conv2D(2, 1, kernel_regularizer=keras.regularizers.L2(10.0))
        return keras.Model(images, layer(images))

    made = runs.make(runs.tiny(train={"accumulate": 2}, optimizer=SGD), model=regularised)
    penalty = float(made.model.losses[0])
    made.run(runs.batches(1))
    report = made.totals.read()
    assert report["loss"] == pytest.approx(report["loss/dice"] + report["loss/cross_entropy"] + penalty, rel=1e-5)


def test_the_report_counts_the_dice_of_the_batches_without_void():
    made = runs.make(runs.tiny(train={"accumulate": 2}, optimizer={**SGD, "learning_rate": 1e-9}), model=one_layer)
    data = runs.batches(2)
    shared = sizes = 0
    for batch in data:
        predicted = made.model(batch["image"]).numpy().argmax(-1) == 1
        valid, label = batch["label"] != 255, batch["label"] == 1
        shared += (predicted & label).sum()
        sizes += (predicted & valid).sum() + label.sum()
    assert made.totals.read() == {}
    made.run(data)
    assert made.totals.read()["dice"] == pytest.approx(2 * shared / sizes, rel=1e-6)
    assert made.totals.read() == {}


def test_a_zero_gradient_is_counted_until_it_moves():
    made = runs.make(runs.tiny(train={"accumulate": 1}, optimizer=SGD), model=one_layer)
    data = runs.batches(3)
    for batch in data[:2]:
        batch["image"][:] = 0.0
    made.run(data[:2])
    by_name = dict(zip([v.path for v in made.state.trainable], made.state.zero_streak.numpy(), strict=True))
    assert by_name == {"only/kernel": 2, "only/bias": 0}
    made.run(data[2:])
    assert made.state.zero_streak.numpy().tolist() == [0, 0]


def test_a_cut_gradient_ends_the_run_before_its_first_step():
    def cut():
        images = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(4, 1, name="before_the_cut")(images)
        return keras.Model(images, keras.layers.Conv2D(2, 1)(keras.ops.round(x)))

    made = runs.make(runs.tiny(train={"accumulate": 1}), model=cut)
    with pytest.raises(guard.MissingGradientError, match="before_the_cut"):
        made.run(runs.batches(1))
    assert int(made.state.step.numpy()) == 0
    allowed = runs.make(runs.tiny(train={"accumulate": 1}, guard={"allow": ("before_the_cut/.*",)}), model=cut)
    assert int(allowed.run(runs.batches(1)).state.step.numpy()) == 1


def test_a_layer_in_float64_is_trained_like_one_in_float32():
    def start(shape, dtype):
        return 0.1 * np.random.default_rng(0).normal(size=shape)  # random numbers of Keras's depend on their type

    def model(dtype):
        images = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(4, 3, dtype=dtype, name="first", padding="same", kernel_initializer=start)(images)
        return keras.Model(images, keras.layers.Conv2D(2, 1, name="last")(x))

    data = runs.batches(2)
    single, double = (
        runs.make(runs.tiny(), model=lambda dtype=dtype: model(dtype)).run(data).weights()
        for dtype in ("float32", "float64")
    )
    assert double["model/first/kernel"].dtype == "float64"
    assert runs.distance(single, double) < 1e-5


@pytest.mark.slow
def test_xla_computes_the_same_step():
    changes = dict(optimizer={"ema_decay": 0.0}, model={"normalization": "group"})
    data = runs.batches(2)
    plain = runs.make(runs.tiny(**changes)).run(data).weights()
    compiled = runs.make(runs.tiny(**changes, train={"accumulate": 2, "jit_compile": True})).run(data).weights()
    assert runs.distance(plain, compiled) < 1e-5


# --- before the first step


def test_a_model_that_is_not_built_or_frozen_is_refused():
    class Lazy(keras.Model):
        def call(self, images):
            return images

    one = runs.mirrored(1)
    with pytest.raises(UserError, match="is not built: it has no variables yet"):
        check_model(Lazy(), one)
    model = one_layer()
    model.trainable = False
    with pytest.raises(UserError, match="2 variables and none of them is trainable"):
        check_model(model, one)
    with pytest.raises(UserError, match="made outside the scope of MirroredStrategy"):
        check_model(one_layer(), runs.mirrored(2))


def test_xla_with_replicas_is_refused_with_each_reason():
    config = runs.tiny(train={"jit_compile": True})
    with runs.mirrored(2).scope():
        images = keras.Input((None, None, 3))
        normalised = keras.layers.BatchNormalization(synchronized=True, name="inner_bn")(images)
        nested = keras.Model(images, normalised)
        model = keras.Model(images, nested(images))
    with pytest.raises(UserError) as caught:
        check_compiled(config, [model], batchwide=True, replicas=2)
    text = str(caught.value)
    assert "inner_bn" in text and "normalization=group" in text and '"over": "image"' in text
    check_compiled(config, [model], batchwide=True, replicas=1)
    check_compiled(config, [one_layer()], batchwide=False, replicas=2)
    check_compiled(runs.tiny(), [model], batchwide=True, replicas=2)

"""A sum of losses by name in `compile` and `fit`: parts, labels, weights, saving, replicas, one pass."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import losses
from tests.losses.inputs import ids_and_logits, mask_and_logits

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((8, 8, 8, 1)).astype(np.float32)
MASK = (IMAGES > 0).astype(np.uint8)
IDS = RNG.integers(0, 3, (8, 8, 8))


def small_model(outputs, activation=None):
    keras.utils.set_random_seed(0)
    convolution = keras.layers.Conv2D(outputs, 3, padding="same", activation=activation)
    return keras.Sequential([keras.layers.Input((8, 8, 1)), convolution])


def test_fit_learns_reports_the_parts_and_is_saved(tmp_path):
    model = small_model(1)
    model.compile(keras.optimizers.Adam(0.1), losses.build("dice+binary_cross_entropy"))
    plain = model.fit(IMAGES, MASK, batch_size=4, epochs=3, verbose=0, shuffle=False).history["loss"]
    assert plain[-1] < plain[0]

    model, loss = small_model(1), losses.build("dice+binary_cross_entropy", weights=(1, 0.5))
    model.compile(keras.optimizers.Adam(0.1), loss, metrics=loss.metrics())
    history = model.fit(IMAGES, MASK, batch_size=3, epochs=2, verbose=0).history
    dice, cross_entropy = (np.array(history[name]) for name in ("dice", "binary_cross_entropy"))
    np.testing.assert_allclose(history["loss"], dice + 0.5 * cross_entropy, rtol=1e-5)

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.loss.get_config() == loss.get_config()
    expected = model.evaluate(IMAGES, MASK, verbose=0, return_dict=True)
    found = again.evaluate(IMAGES, MASK, verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-6) and set(found) == {"loss", "dice", "binary_cross_entropy"}


@pytest.mark.parametrize("labels", [IDS, IDS.astype(np.float32), np.eye(3)[IDS]], ids=["ids", "floats", "one-hot"])
@pytest.mark.parametrize(
    "weights", [None, RNG.uniform(size=8), RNG.uniform(size=IDS.shape)], ids=["", "images", "pixels"]
)
def test_labels_and_sample_weights_in_evaluate(labels, weights):
    model, loss = small_model(3), losses.build("dice_ce", include_background=False)
    model.compile(loss=loss, weighted_metrics=loss.metrics())
    found = model.evaluate(IMAGES, labels, sample_weight=weights, batch_size=8, verbose=0, return_dict=True)
    role = {} if weights is None else {("image_weights" if weights.ndim == 1 else "pixel_weights"): weights}
    expected = loss(IDS, model(IMAGES), **role)
    np.testing.assert_allclose(found["loss"], expected.total, rtol=1e-5)
    np.testing.assert_allclose(found["dice"], expected.parts["dice"], rtol=1e-5)


def test_probabilities_by_from_logits():
    model = small_model(3, "softmax")
    model.compile(loss=losses.keras_losses.Compound("dice+ce", options={"*": {"from_logits": False}}))
    expected = losses.build("dice+ce", from_logits=False)(IDS, model(IMAGES)).total
    np.testing.assert_allclose(model.evaluate(IMAGES, IDS, verbose=0, batch_size=8), expected, rtol=1e-5)


def test_one_output_has_one_activation_in_all_terms():
    mask, logits = mask_and_logits()
    value = losses.build("dice+bce")(mask, logits)
    np.testing.assert_allclose(value.parts["dice"], losses.dice(mask, logits, activation="sigmoid"))
    ids, logits = ids_and_logits()
    np.testing.assert_allclose(losses.build("dice+ce")(ids, logits).parts["dice"], losses.dice(ids, logits))
    with pytest.raises(ValueError, match="which a sigmoid does not say"):
        losses.build("ce+bce")(ids, logits)


def test_options_go_by_short_names_and_only_once():
    ids, logits = ids_and_logits()
    value = losses.build("dice+ce", options={"ce": {"label_smoothing": 0.1}}, over="batch")(ids, logits)
    expected = losses.cross_entropy(ids, logits, label_smoothing=0.1, over="batch")
    np.testing.assert_allclose(value.parts["cross_entropy"], expected)
    with pytest.raises(ValueError, match="options for 'ce' and 'cross_entropy', the same term"):
        losses.build("dice+ce", options={"ce": {}, "cross_entropy": {}})


def test_the_value_is_its_total_where_a_tensor_is_wanted():
    ids, logits = ids_and_logits((2, 8, 8, 4), "float32")
    loss = losses.build("dice+ce+focal")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        value = loss(ids, logits)
        total = value.total
    np.testing.assert_array_equal(tape.gradient(value, logits), tape.gradient(total, logits))
    np.testing.assert_array_equal(tf.convert_to_tensor(value), total)
    traced = tf.function(lambda z: loss(ids, z), autograph=False)(logits)
    assert list(traced.parts) == ["dice", "cross_entropy", "focal_softmax"]
    np.testing.assert_allclose(traced.total, total, rtol=1e-6)


def test_metrics_take_the_pass_of_the_loss():
    def exponentials(with_metrics):
        model, loss = small_model(3), losses.build("dice+ce")
        model.compile("sgd", loss, metrics=loss.metrics() if with_metrics else None, jit_compile=False)
        model.train_on_batch(IMAGES, IDS)
        graph = tf.function(model.train_step, autograph=False).get_concrete_function((IMAGES, IDS)).graph
        return sum(op.type == "Exp" for op in graph.get_operations())

    assert exponentials(True) == exponentials(False) > 0


def test_keras_needs_one_number():
    model = small_model(3)
    model.compile("sgd", losses.build("dice", reduction="none"))
    with pytest.raises(ValueError, match="Keras trains on one number"):
        model.fit(IMAGES, IDS, verbose=0)


@pytest.mark.parametrize(
    "make", [lambda: losses.build("dice+ce", over="batch"), lambda: losses.keras_losses.Dice(over="batch")]
)
def test_sums_over_the_batch_go_over_replicas_in_fit(make, logical_devices):
    ids = (IMAGES[:4, ..., 0] > 0.5).astype(np.uint8)
    ids[:2] = 0  # replicas that differ

    def trained(strategy):
        with strategy.scope():
            model, loss = small_model(2), make()
            model.compile(keras.optimizers.SGD(1.0), loss)
        history = model.fit(IMAGES[:4], ids, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"]
        return history, model.get_weights()

    # Not the default collectives: a process remembers their shapes across strategies.
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice())
    expected, weights = trained(tf.distribute.OneDeviceStrategy("CPU:0"))
    found, weights_of_two = trained(two)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    for a, b in zip(weights, weights_of_two, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)

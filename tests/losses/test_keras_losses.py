"""The Keras classes: the functions' values, weights inside the sums, saving, training by `fit`, replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import losses
from losses import keras_losses
from tests.losses.inputs import ids_and_logits, mask_and_logits


def test_every_loss_has_a_class_with_its_documentation():
    assert set(keras_losses.CLASSES) == {"".join(w.capitalize() for w in n.split("_")) for n in losses.names.LOSSES}
    for made in keras_losses.CLASSES.values():
        assert issubclass(made, keras.losses.Loss) and "Raises" in made.__doc__


@pytest.mark.parametrize("name", ["dice", "cross_entropy", "focal_tversky", "lovasz_softmax"])
def test_class_and_function_agree(name):
    ids, logits = ids_and_logits(dtype="float32")
    made = keras_losses.CLASSES["".join(w.capitalize() for w in name.split("_"))]
    function = getattr(losses, name)
    np.testing.assert_allclose(made()(ids, logits), function(ids, logits), rtol=1e-6)
    total = made(reduction="sum")(ids, logits)
    np.testing.assert_allclose(total, function(ids, logits, reduction="sum"), rtol=1e-6)
    each = made(reduction="none", include_background=False)(ids, logits)
    np.testing.assert_allclose(each, function(ids, logits, reduction="none", include_background=False), rtol=1e-6)


def test_sample_weights_weigh_images_or_pixels_inside_the_sums():
    ids, logits = ids_and_logits(dtype="float32")
    images, pixels = np.array([0.5, 2.0]), np.random.default_rng(0).uniform(0, 2, ids.shape)
    dice = keras_losses.Dice()
    by_image = dice(ids, logits, sample_weight=images)
    np.testing.assert_allclose(by_image, losses.dice(ids, logits, image_weights=images), rtol=1e-6)
    by_pixel = dice(ids, logits, sample_weight=pixels)
    np.testing.assert_allclose(by_pixel, losses.dice(ids, logits, pixel_weights=pixels), rtol=1e-6)
    with pytest.raises(ValueError, match="sample_weight must be"):
        dice(ids, logits, sample_weight=np.ones((2, 6)))


def test_half_precision_and_shapes():
    mask, logits = mask_and_logits((1, 400, 400, 1), "float16")
    dice = keras_losses.Dice(activation="sigmoid")
    expected = losses.dice(mask, tf.cast(logits, tf.float64), activation="sigmoid")
    np.testing.assert_allclose(dice(mask, logits), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="newaxis"):
        dice(mask[..., 0], logits)


def test_config_round_trip_and_unknown_options():
    made = keras_losses.Tversky(alpha=0.2, ignore_id=255, name="mine")
    again = keras.losses.deserialize(keras.losses.serialize(made))
    assert type(again) is keras_losses.Tversky
    assert again.get_config() == made.get_config() and again.options == {"alpha": 0.2, "ignore_id": 255}
    with pytest.raises(TypeError, match="did you mean 'smooth_nr'"):
        keras_losses.Dice(smoth_nr=1)
    arrays = {"distances": 1 - np.eye(4), "dtype": "float64", "reduction": "sum"}
    again = keras.losses.deserialize(keras.losses.serialize(keras_losses.WassersteinDice(**arrays)))
    ids, logits = ids_and_logits()
    expected = losses.wasserstein_dice(ids, logits, distances=arrays["distances"], reduction="sum")
    assert again(ids, logits).dtype == tf.float64
    np.testing.assert_allclose(again(ids, logits), expected, rtol=1e-12)


def test_what_keras_would_let_pass_is_told():
    ids, logits = ids_and_logits(dtype="float32")
    with pytest.raises(TypeError, match="int32 has no gradient"):
        keras_losses.Dice()(ids, tf.cast(logits > 0, tf.int32))
    with pytest.raises(ValueError, match="no other mean"):
        keras_losses.Dice(reduction="mean_with_sample_weight")
    with pytest.raises(ValueError, match="none of the 4 classes"):
        keras_losses.Dice()(ids + 1, logits)


def small_model():
    return keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(2, 3, padding="same")])


def test_fit_saves_loads_and_learns(tmp_path):
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).standard_normal((8, 8, 8, 1)).astype(np.float32)
    ids = (images[..., 0] > 0).astype(np.uint8)
    model = small_model()
    model.compile(keras.optimizers.Adam(0.1), loss=keras_losses.Dice())
    history = model.fit(images, ids, sample_weight=np.ones(8), batch_size=4, epochs=8, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
    model.save(tmp_path / "model.keras")
    assert isinstance(keras.models.load_model(tmp_path / "model.keras").loss, keras_losses.Dice)


def test_two_replicas_of_fit_are_one(logical_devices):
    images = np.random.default_rng(0).standard_normal((4, 8, 8, 1)).astype(np.float32)
    ids = (images[..., 0] > 0.5).astype(np.uint8)

    def weights(strategy):
        with strategy.scope():
            keras.utils.set_random_seed(0)
            model = small_model()
            model.compile(keras.optimizers.SGD(1.0), loss=keras_losses.Dice())
        model.fit(images, ids, batch_size=4, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    single = weights(tf.distribute.OneDeviceStrategy("CPU:0"))
    mirrored = weights(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
    for a, b in zip(single, mirrored, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)

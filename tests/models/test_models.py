"""The built-in networks and their layers, and the errors for a user's model that cannot be trained."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Config, Data, Model
from tests.stepping.replica_runs import mirrored
from trainer.errors import UserError
from trainer.models import build_model
from trainer.models.build import logits_per_pixel, size_multiple
from trainer.models.layers.batch_normalization import BatchNormalization
from trainer.models.layers.dropout import Dropout
from trainer.parts import resolve

TWO = Data(classes=("background", "object"))
SMALL = Model(width=4, depth=2)


def config_with(**model):
    return Config(model=dataclasses.replace(SMALL, **model), data=TWO)


@pytest.mark.parametrize("upsampling", ["transpose", "bilinear", "nearest"])
@pytest.mark.parametrize(("outputs", "logits"), [("softmax", 2), ("sigmoid", 1)])
def test_the_unet_maps_images_of_any_size_to_logits(upsampling, outputs, logits):
    config = config_with(upsampling=upsampling, outputs=outputs)
    model = build_model(config)
    assert logits_per_pixel(config) == logits
    for height, width in ((8, 12), (16, 4)):
        y = model(np.zeros((2, height, width, 3), "float32"))
        assert y.shape == (2, height, width, logits) and y.dtype == tf.float32
    assert size_multiple(config) == 4


def test_deep_supervision_halves_each_level():
    outputs = build_model(config_with(depth=3, deep_supervision=True))(np.zeros((1, 16, 16, 3), "float32"))
    assert [tuple(y.shape[1:3]) for y in outputs] == [(16, 16), (8, 8)]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_weights_statistics_and_logits_in_float32(policy):
    model = build_model(config_with(), policy=policy)
    assert {v.dtype for v in model.variables} == {"float32"}
    assert model(np.zeros((1, 8, 8, 3), "float32")).dtype == tf.float32
    half = policy.removeprefix("mixed_")
    assert model.get_layer("down0_1_conv").compute_dtype == half == model.get_layer("down0_1_bn").compute_dtype
    # The policy was this model's alone.
    assert keras.config.dtype_policy().name == "float32"


def test_a_convolution_has_no_bias_in_front_of_what_takes_it_away_again():
    def biases(**model):
        return {v.path for v in build_model(config_with(**model)).trainable_variables if v.path.endswith("conv/bias")}

    assert not biases(normalization="batch")
    assert len(biases(normalization="none")) == 10
    # Groups of one channel normalise by channel; wider layers have groups of several.
    assert {path.partition("_")[0] for path in biases(normalization="group")} == {"bottom"}


@pytest.mark.parametrize("scaling", ["unit", "standardize", "none"])
def test_constant_images_stay_finite(scaling):
    model = build_model(config_with(input_scaling=scaling, normalization="group"))
    for value in (0.0, 255.0):
        assert np.isfinite(model(np.full((1, 8, 8, 3), value, "float32")).numpy()).all()


@pytest.mark.slow
def test_an_encoder_from_keras_applications():
    config = Config(model=Model(name="encoder_unet", width=4), data=Data(channels=1, classes=("a", "b")))
    model = build_model(config)
    assert model(np.zeros((1, 64, 32, 1), "float32")).shape == (1, 64, 32, 2)
    kinds = {type(layer) for layer in model._flatten_layers() if "normalization" in type(layer).__name__.lower()}
    assert kinds == {BatchNormalization}
    with pytest.raises(UserError, match="no network 'MobileNetV9'"):
        build_model(Config(model=Model(name="encoder_unet", encoder="MobileNetV9"), data=TWO))


# --- dropout


def test_dropout_keeps_the_mean_draws_anew_and_does_nothing_in_inference():
    keras.utils.set_random_seed(0)
    layer, x = Dropout(0.25), np.ones((8, 16, 16, 4), "float32")
    first, second = layer(x, training=True).numpy(), layer(x, training=True).numpy()
    assert set(np.unique(first)) == {0.0, np.float32(1 / 0.75)}
    assert first.mean() == pytest.approx(1.0, abs=0.03)
    assert not np.array_equal(first, second)
    assert np.array_equal(layer(x, training=False), x) and np.array_equal(Dropout(0.0)(x, training=True), x)
    assert [v.path for v in layer.variables] and not layer.trainable_variables


@pytest.mark.parametrize(
    "layer", [BatchNormalization(0.8, 1e-5, True, name="bn"), Dropout(0.3, name="drop")], ids=["norm", "dropout"]
)
def test_layers_come_back_from_their_config(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer) and again.get_config() == layer.get_config()


# --- models of the user's

MODULE = """
import keras
import numpy as np
from keras import layers


def conv(input_channels, outputs, blocks=1):
    x = images = keras.Input((None, None, input_channels))
    for _ in range(blocks):
        x = layers.Conv2D(4, 3, padding="same")(x)
    return keras.Model(images, layers.Conv2D(outputs, 1, dtype="float32")(x), name="mine")


class Lazy(keras.Model):
    def __init__(self, outputs):
        super().__init__()
        self.last = layers.Conv2D(outputs, 1, dtype="float32")

    def call(self, images):
        return self.last(images)


def lazy(input_channels, outputs):
    return Lazy(outputs)


def sequential(input_channels, outputs):
    return keras.Sequential([layers.Conv2D(outputs, 1)])


def not_a_model(input_channels, outputs):
    return conv(input_channels, outputs).output


def too_few(input_channels, outputs):
    return conv(input_channels, outputs + 3)


def smaller(input_channels, outputs):
    images = keras.Input((None, None, input_channels))
    return keras.Model(images, layers.Conv2D(outputs, 3, strides=2, padding="same")(images))


def frozen(input_channels, outputs):
    model = conv(input_channels, outputs)
    model.trainable = False
    return model


def empty(input_channels, outputs):
    images = keras.Input((None, None, input_channels))
    return keras.Model(images, images[..., :outputs])


def other_arguments(shape, classes):
    return None


def raising(input_channels, outputs):
    return keras.Sequential([layers.Conv2D(outputs, 1, padding="most")])


made_at_import = conv(3, 2)


def at_import(input_channels, outputs):
    return made_at_import
"""


@pytest.fixture(scope="module")
def users(tmp_path_factory):
    """`users(name)`: a config whose model is that function of the module above; imported outside of any scope."""
    folder = tmp_path_factory.mktemp("users")
    (folder / "users_models.py").write_text(MODULE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield lambda name, **options: Config(model=Model(name=f"users_models:{name}", options=options), data=TWO)


@pytest.mark.parametrize("name", ["conv", "lazy", "sequential", "Lazy"])
@pytest.mark.parametrize("replicas", [1, 2])
def test_a_model_of_the_users_is_built_in_the_scope(users, name, replicas):
    strategy = mirrored(replicas)
    with strategy.scope():
        model = build_model(users(name))
    assert model.built and model.trainable_variables
    assert all(strategy.extended.variable_created_in_scope(v.value) for v in model.variables)


def test_options_reach_the_function(users):
    assert len(build_model(users("conv", blocks=3)).trainable_variables) == 8


def test_an_option_that_a_model_does_not_take_is_refused_by_name_and_as_an_object(users):
    config = users("conv", block=3)
    for model in (None, resolve(config.model.name, "model")):
        with pytest.raises(UserError, match=r"unexpected keyword argument 'block'.*conv\(.*block=3\)"):
            build_model(config, model)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("not_a_model", ["not a keras.Model", "return keras.Model(inputs, logits)"]),
        ("too_few", ["(1, 128, 128, 5)", "(1, 128, 128, 2)", "Conv2D(2, 1"]),
        ("smaller", ["(1, 64, 64, 2)", "(1, 128, 128, 2)"]),
        ("frozen", ["none of them is trainable", "layer.trainable = True"]),
        ("empty", ["0 variables and none of them is trainable"]),
        ("other_arguments", ["input_channels=3, outputs=2", "def other_arguments(input_channels, outputs)"]),
        ("raising", ["users_models.py:", "raised ValueError", "padding", 'padding="most"']),
        ("missing", ["'missing' does not exist"]),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused_in_words(users, name, parts):
    with pytest.raises(UserError) as caught:
        build_model(users(name))
    for part in parts:
        assert part in str(caught.value)


def test_float16_logits_are_refused(users):
    with pytest.raises(UserError, match="returns float16 logits; losses need float32"):
        build_model(users("sequential"), policy="mixed_float16")


def test_a_model_made_outside_the_scope_is_refused_with_replicas_alone(users):
    assert build_model(users("at_import")).built
    with mirrored(2).scope(), pytest.raises(UserError) as caught:
        build_model(users("at_import"), replicas=2)
    text = str(caught.value)
    assert "4 of 4 variables of the model 'mine' were made outside the scope of MirroredStrategy" in text
    assert "conv2d" in text and "2 replicas" in text and "not at the top of a module" in text

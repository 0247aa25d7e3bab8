"""Initial weights, activations, capacity, what holds weights back."""

import keras
import numpy as np
import tensorflow as tf
from keras import initializers, layers, regularizers

from tests.guard.doctor.making import asked, bars, curve, fault, groups, moons, one_hot, walks

ADAM = keras.optimizers.Adam


@fault(("weight_initialization", "symmetric_units", "dead_units"), ("one", "two", "class"), says="zero", depth="batch")
def everything_starts_at_zero(mended):
    x, y = groups()
    start = "glorot_uniform" if mended else "zeros"
    model = keras.Sequential([
        keras.Input(x.shape[1:]),
        layers.Dense(20, activation="tanh", kernel_initializer=start, name="one"),
        layers.Dense(20, activation="tanh", kernel_initializer=start, name="two"),
        layers.Dense(5, activation="softmax", kernel_initializer=start, name="class"),
    ])  # fmt: skip
    return asked(model, "sparse_categorical_crossentropy", ADAM(0.01), x, y)


@fault(("symmetric_units", "weight_initialization"), ("memory", "score"), says="same weights", depth="batch")
def a_recurrent_layer_of_ones(mended):
    x, y = walks()
    start = (
        {}
        if mended
        else dict(kernel_initializer=initializers.Constant(0.05), recurrent_initializer=initializers.Constant(0.02))
    )
    model = keras.Sequential([
        keras.Input(x.shape[1:]), layers.LSTM(12, name="memory", **start),
        layers.Dense(1, activation="sigmoid", kernel_initializer="glorot_uniform" if mended else "ones", name="score"),
    ])  # fmt: skip
    return asked(model, "binary_crossentropy", ADAM(0.02), x, y)


@fault(("weight_initialization", "saturated_units"), ("one", "two"), says="usual initialisers", depth="steps")
def weights_of_deviation_ten(mended):
    x, y = moons()
    start = "glorot_uniform" if mended else initializers.RandomNormal(stddev=10.0)
    model = keras.Sequential([
        keras.Input((2,)),
        layers.Dense(24, activation="tanh", kernel_initializer=start, name="one"),
        layers.Dense(24, activation="tanh", kernel_initializer=start, name="two"),
        layers.Dense(1, activation="sigmoid", name="score"),
    ])  # fmt: skip
    return asked(model, "binary_crossentropy", ADAM(0.01), x, y)


@fault(
    ("weight_initialization", "vanishing_gradient"),
    ("one", "two", "three", "level"),
    says="times the root",
    depth="steps",
)
def weights_of_a_thousandth(mended):
    x, y = curve()
    start = "he_normal" if mended else initializers.RandomNormal(stddev=0.001)
    model = keras.Sequential([
        keras.Input((2,)),
        layers.Dense(32, activation="relu", kernel_initializer=start, name="one"),
        layers.Dense(32, activation="relu", kernel_initializer=start, name="two"),
        layers.Dense(32, activation="relu", kernel_initializer=start, name="three"),
        layers.Dense(1, kernel_initializer=start, name="level"),
    ])  # fmt: skip
    return asked(model, "mse", keras.optimizers.SGD(0.05), x, y, epochs=25)


@fault(("dead_units", "weight_initialization"), "hidden", says="answers 0", depth="batch")
def a_bias_that_kills_every_unit(mended):
    x, y = moons()
    hidden = layers.Dense(
        24, activation="relu", bias_initializer=initializers.Constant(0.0 if mended else -20.0), name="hidden"
    )
    model = keras.Sequential([keras.Input((2,)), hidden, layers.Dense(1, activation="sigmoid", name="score")])
    return asked(model, "binary_crossentropy", ADAM(0.02), x, y)


@fault("dead_units", ("second", "first"), says="never dies", depth="batch")
def negative_weights_behind_a_relu(mended):
    x, y = bars()
    start = "he_normal" if mended else initializers.RandomUniform(-0.4, -0.1)
    model = keras.Sequential([
        keras.Input(x.shape[1:]), layers.Conv2D(8, 3, activation="relu", name="first"),
        layers.Conv2D(8, 3, activation="relu", kernel_initializer=start, name="second"), layers.Flatten(),
        layers.Dense(1, activation="sigmoid", name="stands"),
    ])  # fmt: skip
    return asked(model, "binary_crossentropy", ADAM(0.01), x, y)


@fault(
    ("vanishing_gradient", "weight_initialization"), ("a", "b", "c", "d", "e"), says="does not saturate", depth="steps"
)
def six_sigmoid_layers(mended):
    x, y = groups()
    act = "relu" if mended else "sigmoid"
    hidden = [layers.Dense(20, activation=act, name=name) for name in "abcde"]
    model = keras.Sequential([keras.Input(x.shape[1:]), *hidden, layers.Dense(5, activation="softmax", name="class")])
    return asked(model, "sparse_categorical_crossentropy", keras.optimizers.SGD(0.1, momentum=0.5), x, y)


@fault("too_few_units", "waist", says="1 unit", depth="steps")
def an_autoencoder_with_a_waist_of_one(mended):
    r = np.random.default_rng(0)
    x = (r.normal(0, 1, (400, 4)) @ r.normal(0, 1, (4, 10))).astype("float32") / 2
    model = keras.Sequential([
        keras.Input((10,)), layers.Dense(24, activation="relu", name="in"),
        layers.Dense(8 if mended else 1, activation=None, name="waist"),
        layers.Dense(24, activation="relu", name="out"),
        layers.Dense(10, name="copy"),
    ])  # fmt: skip
    return asked(model, "mse", ADAM(0.01), x, x, epochs=30)


@fault("too_few_units", "memory", says="wider", depth="steps")
def one_unit_of_memory_for_six_classes(mended):
    x, y = groups(k=6, d=12)
    model = keras.Sequential([
        keras.Input((12,)), layers.Reshape((4, 3)), layers.GRU(24 if mended else 1, name="memory"),
        layers.Dense(6, activation="softmax", name="class"),
    ])  # fmt: skip
    return asked(model, "sparse_categorical_crossentropy", ADAM(0.02), x, y)


@fault("missing_nonlinearity", ("one", "two", "three"), says="a single linear layer can", depth="steps")
def four_linear_layers(mended):
    x, y = moons(500)
    y = ((x[:, 0] * x[:, 1]) > 0).astype("int64")
    act = "relu" if mended else None
    hidden = [layers.Dense(24, activation=act, name=name) for name in ("one", "two", "three")]
    model = keras.Sequential([keras.Input((2,)), *hidden, layers.Dense(1, activation="sigmoid", name="score")])
    return asked(model, "binary_crossentropy", ADAM(0.01), x, y)


@fault("missing_nonlinearity", ("wide", "narrow"), says="activation='relu'", depth="steps")
def a_regression_without_a_bend(mended):
    x, y = curve()
    rows = keras.Input((2,))
    wide = layers.Dense(48, activation="tanh" if mended else "linear", name="wide")(rows)
    narrow = layers.Dense(16, activation="tanh" if mended else "linear", name="narrow")(layers.Dropout(0.05)(wide))
    return asked(keras.Model(rows, layers.Dense(1, name="level")(narrow)), "mse", ADAM(0.02), x, y, epochs=30)


@fault("regularization_too_strong", ("hidden", "class"), says="times as hard as the data", depth="steps")
def an_l1_of_a_tenth_on_every_layer(mended):
    x, y = groups()
    penalty = regularizers.L1(1e-5 if mended else 0.1)
    model = keras.Sequential([
        keras.Input(x.shape[1:]), layers.Dense(24, activation="relu", kernel_regularizer=penalty, name="hidden"),
        layers.Dense(5, activation="softmax", kernel_regularizer=penalty, name="class"),
    ])  # fmt: skip
    return asked(model, "sparse_categorical_crossentropy", ADAM(0.01), x, y)


@fault("regularization_too_strong", "code", says="penalty", depth="steps")
def a_code_held_at_zero(mended):
    x, y = curve()
    held = regularizers.L2(1e-6 if mended else 100.0)
    model = keras.Sequential([
        keras.Input((2,)), layers.Dense(40, activation="relu", name="hidden"),
        layers.Dense(8, activity_regularizer=held, activation="relu", name="code"), layers.Dense(1, name="level"),
    ])  # fmt: skip
    return asked(model, "mse", ADAM(0.01), x, y, epochs=30)


@fault("dropout_too_high", ("drop", "drop2"), says="to zero at every step", depth="steps")
def dropout_of_nine_tenths_twice(mended):
    x, y = groups()
    rate = 0.1 if mended else 0.9
    model = keras.Sequential([
        keras.Input(x.shape[1:]), layers.Dense(16, activation="relu"), layers.Dropout(rate, name="drop"),
        layers.Dense(16, activation="relu"), layers.Dropout(rate, name="drop2"),
        layers.Dense(5, activation="softmax", name="class"),
    ])  # fmt: skip
    return asked(model, "sparse_categorical_crossentropy", ADAM(0.01), x, y)


@fault("frozen_layer", "features", says="not trainable", depth="steps")
def a_narrow_layer_frozen_before_it_learned(mended):
    x, y = groups(k=6, d=12)
    features = layers.Dense(3, activation="relu", name="features", trainable=mended)
    model = keras.Sequential([
        keras.Input((12,)), layers.Dense(24, activation="relu", name="stem", trainable=mended), features,
        layers.Dense(6, activation="softmax", name="class"),
    ])  # fmt: skip
    return asked(model, "sparse_categorical_crossentropy", ADAM(0.03), x, y, epochs=25)


@fault("frozen_layer", ("one", "class"), says="nothing of the model is")
def a_model_frozen_whole(mended):
    x, y = groups()
    model = keras.Sequential([
        keras.Input(x.shape[1:]), layers.Dense(24, activation="relu", name="one"),
        layers.Dense(5, activation="softmax", name="class"),
    ])  # fmt: skip
    model.trainable = mended
    return asked(model, "sparse_categorical_crossentropy", ADAM(0.01), x, y)


@fault("batchnorm_statistics", "norm", says="moving averages", depth="steps")
def averages_that_never_arrive(mended):
    x, y = groups()
    model = keras.Sequential([
        keras.Input(x.shape[1:]), layers.Dense(24, name="stem"),
        layers.BatchNormalization(momentum=0.9 if mended else 0.999, name="norm"), layers.Activation("relu"),
        layers.Dense(5, activation="softmax", name="class"),
    ])  # fmt: skip
    return asked(model, "sparse_categorical_crossentropy", ADAM(0.01), 5 * x + 20, y, epochs=10)


@fault("zero_gradient", ("quantise", "hidden"), says="No gradient", depth="batch")
def rounding_between_two_layers(mended):
    x, y = moons()
    step = layers.Lambda((lambda t: t) if mended else tf.round, name="quantise")
    model = keras.Sequential([
        keras.Input((2,)), layers.Dense(16, activation="sigmoid", name="hidden"), step,
        layers.Dense(1, activation="sigmoid", name="score"),
    ])  # fmt: skip
    return asked(model, "binary_crossentropy", ADAM(0.05), x, y, epochs=25)


@fault("zero_gradient", ("choose", "rank"), says="has none", depth="batch")
def a_decision_inside_the_model(mended):
    x, y = groups()
    rows = keras.Input(x.shape[1:])
    scores = layers.Dense(8, name="rank")(rows)
    if mended:
        chosen = layers.Softmax(name="choose")(scores)
    else:
        chosen = layers.Lambda(lambda t: tf.one_hot(tf.argmax(t, -1), 8), name="choose")(scores)
    model = keras.Model(rows, layers.Dense(5, activation="softmax", name="class")(chosen))
    return asked(model, "categorical_crossentropy", ADAM(0.03), x, one_hot(y, 5))

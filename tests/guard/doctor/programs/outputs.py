"""Output against loss against labels."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, losses

from tests.guard.doctor.making import asked, bars, curve, fault, groups, moons, one_hot, walks, words


def dense(x, *last, hidden=20, activation="relu"):
    first = [keras.Input(x.shape[1:]), layers.Dense(hidden, activation=activation, name="hidden")]
    return keras.Sequential([*first, *last])


@fault("softmax_over_one_unit", "spam", says="divided by itself is 1")
def words_end_in_a_softmax_over_one_unit(mended):
    x, y = words()
    last = layers.Dense(1, activation="sigmoid" if mended else "softmax", name="spam")
    model = keras.Sequential([keras.Input((8,)), layers.Embedding(40, 8), layers.GlobalAveragePooling1D(), last])
    return asked(model, losses.BinaryCrossentropy(), keras.optimizers.Adam(0.02), x, y.astype("float32"))


@fault("softmax_over_one_unit", ("squash", "score"), says="sigmoid")
def softmax_in_a_layer_of_its_own(mended):
    x, y = moons()
    squash = layers.Activation("sigmoid" if mended else tf.nn.softmax, name="squash")
    return asked(dense(x, layers.Dense(1, name="score"), squash), "binary_crossentropy", "adam", x, y, epochs=30)


@fault("softmax_over_one_unit", "weight", says="'weight' runs over an axis of size 1")
def attention_weights_along_the_wrong_axis(mended):
    x, y = walks()
    steps = keras.Input(x.shape[1:])
    states = layers.GRU(8, return_sequences=True)(steps)
    if mended:
        weight = layers.Softmax(axis=1, name="weight")(layers.Dense(1)(states))
    else:
        weight = layers.Dense(1, activation="softmax", name="weight")(states)
    seen = layers.GlobalAveragePooling1D()(layers.Multiply()([states, weight]))
    model = keras.Model(steps, layers.Dense(1, activation="sigmoid")(seen))
    return asked(model, "binary_crossentropy", keras.optimizers.Adam(0.02), x, y)


@fault("missing_output_activation", ("class", "loss"), says="no activation")
def scores_in_a_sparse_loss(mended):
    x, y = groups()
    loss = losses.SparseCategoricalCrossentropy(from_logits=mended)
    return asked(dense(x, layers.Dense(5, name="class")), loss, keras.optimizers.Adam(0.01), x, y)


@fault("missing_output_activation", ("scale", "score", "loss"), says="from_logits=True")
def a_normalisation_after_the_output(mended):
    x, y = moons()
    last = [layers.Dense(1, name="score"), layers.BatchNormalization(momentum=0.8, name="scale")]
    if mended:
        last.append(layers.Activation("sigmoid"))
    return asked(dense(x, *last), keras.losses.binary_crossentropy, keras.optimizers.Adam(0.02), x, y)


def cross_entropy_by_hand(y_true, y_pred):
    y_true, y_pred = tf.cast(y_true, "float32"), tf.clip_by_value(y_pred, 1e-6, 1 - 1e-6)
    return -tf.reduce_mean(y_true * tf.math.log(y_pred) + (1 - y_true) * tf.math.log(1 - y_pred))


@fault("missing_output_activation", ("score", "loss"), says="reads probabilities", depth="batch")
def a_home_made_cross_entropy_gets_scores(mended):
    x, y = moons()
    last = layers.Dense(1, activation="sigmoid" if mended else None, name="score")
    return asked(dense(x, last), cross_entropy_by_hand, keras.optimizers.Adam(0.02), x, y[:, None])


def cross_entropy_of_scores(y_true, y_pred):
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(y_true, "float32"), logits=y_pred)


@fault("activation_with_from_logits", ("loss", "score"), says="squashed twice", depth="batch")
def a_home_made_loss_squashes_again(mended):
    x, y = moons()
    last = layers.Dense(1, activation=None if mended else "sigmoid", name="score")
    return asked(dense(x, last), cross_entropy_of_scores, keras.optimizers.Adam(0.01), x, y[:, None])


@fault("activation_with_from_logits", ("loss", "share", "flat"), says="applies softmax once more", depth="batch")
def softmax_hidden_behind_a_reshape(mended):
    x, y = groups()
    last = [layers.Dense(5, activation="softmax", name="share"), layers.Reshape((5,), name="flat")]
    loss = losses.CategoricalCrossentropy(from_logits=not mended)
    return asked(dense(x, *last), loss, keras.optimizers.Adam(0.005), x, one_hot(y, 5))


@fault("categorical_loss_on_one_unit", ("loss", "score"), says="one unit")
def categorical_loss_object_for_two_classes(mended):
    x, y = moons()
    loss = losses.BinaryCrossentropy() if mended else losses.CategoricalCrossentropy()
    last = layers.Dense(1, activation="sigmoid", name="score")
    return asked(dense(x, last), loss, keras.optimizers.Adam(0.02), x, y[:, None].astype("float32"))


@fault("categorical_loss_on_one_unit", ("loss", "score"), says="binary_crossentropy")
def categorical_loss_over_every_time_step(mended):
    x, _ = walks()
    y = (np.cumsum(x, 1) > 0).astype("float32")
    model = keras.Sequential([
        keras.Input(x.shape[1:]), layers.GRU(10, return_sequences=True),
        layers.TimeDistributed(layers.Dense(1, activation="sigmoid"), name="score"),
    ])  # fmt: skip
    return asked(model, ("binary" if mended else "categorical") + "_crossentropy", keras.optimizers.Adam(0.02), x, y)


@fault("relu_output", "class", says="ends in relu")
def relu_in_a_layer_of_its_own(mended):
    x, y = groups()
    last = [layers.Dense(5, name="scores"), layers.Softmax(name="class") if mended else layers.ReLU(name="class")]
    return asked(dense(x, *last), "categorical_crossentropy", keras.optimizers.Adam(0.01), x, one_hot(y, 5))


@fault("relu_output", "score", says="no gradient passes")
def relu_before_the_binary_loss(mended):
    x, y = moons()
    last = layers.Dense(1, activation="sigmoid" if mended else tf.nn.relu, name="score")
    return asked(dense(x, last), "binary_crossentropy", keras.optimizers.Adam(0.02), x, y)


@fault(("output_range", "relu_output"), "score", says="from -1 to 1")
def tanh_before_the_binary_loss(mended):
    x, y = moons()
    last = layers.Dense(1, activation="sigmoid" if mended else "tanh", name="score")
    return asked(dense(x, last), "binary_crossentropy", keras.optimizers.Adam(0.02), x, y)


@fault("output_range", "price", says="out of its reach")
def a_sigmoid_for_targets_of_any_size(mended):
    x, y = curve()
    last = layers.Dense(1, activation=None if mended else "sigmoid", name="price")
    return asked(dense(x, last, hidden=40), "mse", keras.optimizers.Adam(0.02), x, 1.5 * y, epochs=25)


@fault(("output_range", "relu_output"), "level", says="from 0 upwards")
def a_relu_for_targets_of_both_signs(mended):
    x, y = curve(seed=1)
    last = layers.Dense(1, activation=None if mended else "relu", name="level")
    return asked(dense(x, last, hidden=40), "mae", keras.optimizers.Adam(0.02), x, y, epochs=25)


@fault("output_range", "next", says="tanh")
def a_recurrent_layer_as_the_output(mended):
    r = np.random.default_rng(0)
    x = np.cumsum(r.normal(0, 1, (300, 10, 1)), 1).astype("float32")
    y = 2.0 * x[:, -1]
    last = [layers.LSTM(16, name="memory"), layers.Dense(1, name="next")] if mended else [layers.LSTM(1, name="next")]
    model = keras.Sequential([keras.Input((10, 1)), layers.BatchNormalization(), *last])
    return asked(model, "mse", keras.optimizers.Adam(0.02), x, y)


@fault("output_range", "genres", says="two classes at once")
def softmax_for_labels_that_do_not_exclude_each_other(mended):
    x, y = groups(k=3)
    several = np.stack([y < 2, y > 0, y == 1], 1).astype("float32")
    last = layers.Dense(3, activation="sigmoid" if mended else "softmax", name="genres")
    return asked(dense(x, last), "binary_crossentropy", keras.optimizers.Adam(0.02), x, several)


@fault("wrong_loss", "loss", says="divides by the label")
def percentage_error_on_classes(mended):
    x, y = moons()
    last = layers.Dense(1, activation="sigmoid", name="score")
    return asked(dense(x, last), "binary_crossentropy" if mended else "mape", keras.optimizers.Adam(0.02), x, y)


@fault("wrong_loss", "loss", says="loss='categorical_crossentropy'")
def absolute_error_on_one_hot(mended):
    x, y = bars()
    model = keras.Sequential([
        keras.Input(x.shape[1:]), layers.Conv2D(6, 3, activation="relu"), layers.Flatten(),
        layers.Dense(2, activation="softmax", name="lies_or_stands"),
    ])  # fmt: skip
    loss = losses.CategoricalCrossentropy() if mended else losses.MeanAbsoluteError()
    return asked(model, loss, keras.optimizers.SGD(0.02), x, one_hot(y, 2))


@fault("wrong_loss", "loss", says="measurements")
def cross_entropy_on_measurements(mended):
    x, y = curve()
    loss = "mse" if mended else "binary_crossentropy"
    return asked(dense(x, layers.Dense(1, name="level"), hidden=40), loss, keras.optimizers.Adam(0.02), x, y, epochs=25)


@fault(("missing_output_activation", "wrong_loss"), ("class", "loss"), says="reads probabilities")
def two_outputs_and_one_of_them_wrong(mended):
    x, y = groups()
    rows = keras.Input(x.shape[1:])
    hidden = layers.Dense(20, activation="relu")(rows)
    outs = {
        "class": layers.Dense(5, activation="softmax" if mended else None, name="class")(hidden),
        "sum": layers.Dense(1, name="sum")(hidden),
    }
    labels = {"class": y, "sum": x.sum(1, keepdims=True) / 2}
    loss = {"class": "sparse_categorical_crossentropy", "sum": "mse"}
    return asked(keras.Model(rows, outs), loss, keras.optimizers.Adam(0.01), x, labels)


@fault("dropout_on_output", "noise", says="after the last weights")
def dropout_after_the_output(mended):
    x, y = curve()
    last = [layers.Dense(1, name="level"), layers.Dropout(0.0 if mended else 0.5, name="noise")]
    return asked(dense(x, *last, hidden=40), "mse", keras.optimizers.Adam(0.02), x, y, epochs=25)


@fault("shape_broadcast", ("y", "loss"), says="every row is compared with every other", depth="batch")
def a_loss_of_ones_own_broadcasts(mended):
    class Squares(losses.Loss):
        def call(self, y_true, y_pred):
            if mended:
                y_true = tf.reshape(y_true, tf.shape(y_pred))
            return tf.reduce_mean(tf.square(tf.cast(y_true, "float32") - y_pred))

    x, y = curve()
    model = dense(x, layers.Dense(1, name="level"), hidden=40)
    return asked(model, Squares(), keras.optimizers.Adam(0.02), x, y[:, 0], epochs=25)


@fault("shape_broadcast", ("y", "loss", "next"), says="broadcast", depth="batch")
def one_label_for_all_time_steps(mended):
    x, _ = walks()
    model = keras.Sequential([
        keras.Input(x.shape[1:]), layers.GRU(12, return_sequences=not mended, name="memory"),
        layers.Dense(1, name="next"),
    ])  # fmt: skip
    return asked(model, "mse", keras.optimizers.Adam(0.01), x, (x[:, -1] - x[:, 0]) / 2)

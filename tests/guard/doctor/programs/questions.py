"""Programs after questions that people ask in public: one mechanism each, written anew."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, losses, optimizers

from tests.guard.doctor.making import asked, bars, curve, fault, groups, healthy, moons, one_hot, walks, words

ADAM = keras.optimizers.Adam


def stack(x, *rest):
    return keras.Sequential([keras.Input(x.shape[1:]), *rest])


def hidden(units=24, activation="relu", name="hidden", **options):
    return layers.Dense(units, activation=activation, name=name, **options)


# What the network ends in, and what the loss reads


class Scorer(keras.Model):
    """A model of one's own class: nothing of it is a graph of layers."""

    def __init__(self, units, activation=None, width=24):
        super().__init__()
        self.hidden = layers.Dense(width, activation="relu", name="hidden")
        self.score = layers.Dense(units, activation=activation, name="score")

    def call(self, inputs):
        return self.score(self.hidden(inputs))


@fault("missing_output_activation", ("score", "loss"), says="from_logits")
def a_class_of_ones_own_hands_out_scores(mended):
    x, y = groups(k=4)
    model = Scorer(4, "softmax" if mended else None)
    return asked(model, "sparse_categorical_crossentropy", ADAM(0.01), x, y)


@fault("softmax_over_one_unit", "score", says="axis of size 1")
def a_class_of_ones_own_with_a_softmax_of_one(mended):
    x, y = moons(seed=3)
    return asked(Scorer(1, "sigmoid" if mended else "softmax"), "binary_crossentropy", ADAM(0.02), x, y)


class Squashing(keras.Model):
    """Squashes in `call`, by a function and not by a layer."""

    def __init__(self, squash, units=1):
        super().__init__()
        self.hidden = layers.Dense(24, activation="relu", name="hidden")
        self.score = layers.Dense(units, name="score")
        self.squash = squash

    def call(self, inputs):
        scores = self.score(self.hidden(inputs))
        squashed = {"relu": tf.nn.relu, "sigmoid": tf.sigmoid, "softmax": tf.nn.softmax}[self.squash](scores)
        return tf.reshape(squashed, (-1, scores.shape[-1]))  # behind which Keras finds no scores


@fault("relu_output", ("score", "loss", "model", "squashing"), says="ReLU", depth="batch")
def a_relu_in_the_last_line_of_call(mended):
    x, y = moons(seed=4)
    return asked(Squashing("sigmoid" if mended else "relu"), "binary_crossentropy", ADAM(0.02), x, y)


@fault("activation_with_from_logits", ("score", "loss"), says="from_logits", depth="batch")
def a_softmax_in_the_last_line_of_call(mended):
    x, y = groups(k=5, d=8, seed=3)
    loss = losses.SparseCategoricalCrossentropy(from_logits=not mended)
    return asked(Squashing("softmax", 5), loss, optimizers.SGD(0.05), x, y, epochs=8)


@fault("wrong_loss", "loss", says="cosine", depth="batch")
def cosine_similarity_of_single_numbers(mended):
    x, y = curve(seed=2)
    loss = "mse" if mended else "cosine_similarity"
    return asked(stack(x, hidden(), layers.Dense(1, name="size")), loss, ADAM(0.02), x, y)


@fault("wrong_loss", "loss", says="poisson")
def poisson_reads_noughts_and_ones(mended):
    x, y = words(seed=2)
    model = keras.Sequential([
        keras.Input((8,)), layers.Embedding(40, 6, name="words"), layers.GlobalAveragePooling1D(),
        layers.Dense(1, activation="sigmoid", name="score"),
    ])
    loss = "binary_crossentropy" if mended else "poisson"
    return asked(model, loss, ADAM(0.02), x, y.astype("float32"))


@fault(("wrong_loss", "label_range", "output_range"), ("loss", "y", "size"), says="negative")
def logarithms_of_negative_returns(mended):
    x, y = curve(seed=3)
    loss = "mse" if mended else "mean_squared_logarithmic_error"
    return asked(stack(x, hidden(), layers.Dense(1, name="size")), loss, ADAM(0.02), x, y)


@fault(("output_range", "wrong_output_activation"), ("next",), says="tanh")
def a_recurrent_layer_predicts_temperatures(mended):
    r = np.random.default_rng(3)
    phase = r.uniform(0, 6, (240, 1))
    wave = np.sin(phase + np.arange(13) * 0.5) * 4 + 8
    x, y = ((wave[:, :12, None] - 8) / 3).astype("float32"), wave[:, 12:].astype("float32") / (8 if mended else 1)
    last = [layers.Dense(1, name="next")] if mended else [layers.Dense(1, activation="tanh", name="next")]
    return asked(stack(x, layers.SimpleRNN(16, name="memory"), *last), "mse", ADAM(0.01), x, y, epochs=20)


# Labels


@fault(("label_encoding", "label_range", "wrong_loss"), ("y", "loss"), says="0.3", depth="static")
def grey_values_stand_for_classes(mended):
    x, y = groups(k=4, seed=4)
    y = y if mended else (y / 3).astype("float32")
    return asked(stack(x, hidden(), layers.Dense(4, activation="softmax", name="class")),
                 "sparse_categorical_crossentropy", ADAM(0.01), x, y)


@fault("label_range", "y", says="-1")
def labels_of_a_support_vector_machine(mended):
    x, y = moons(seed=6)
    y = y if mended else 2 * y - 1
    return asked(stack(x, hidden(), layers.Dense(1, activation="sigmoid", name="score")),
                 "binary_crossentropy", ADAM(0.02), x, y.astype("float32"))


@fault(("label_encoding", "does_not_run", "wrong_loss", "shape_broadcast"), ("y", "loss", "class"), says="one-hot")
def ids_of_many_classes_in_the_categorical_loss(mended):
    x, y = groups(k=4, seed=5)
    loss = "sparse_categorical_crossentropy" if mended else "categorical_crossentropy"
    model = stack(x, hidden(), layers.Dense(4, activation="softmax", name="class"))
    return asked(model, loss, ADAM(0.01), x, y[:, None])


@fault("constant_labels", "y", says="0")
def a_division_of_whole_numbers(mended):
    x, y = bars(seed=3)
    raw = (y * 128).astype("uint8")  # 0 and 128
    y = (raw > 0).astype("float32") if mended else (raw // 255).astype("float32")
    return asked(stack(x, layers.Flatten(), hidden(), layers.Dense(1, activation="sigmoid", name="score")),
                 "binary_crossentropy", ADAM(0.01), x, y)


@fault("labels_not_aligned", ("y", "x"), says="shuffled", depth="steps")
def the_labels_are_read_in_the_order_of_their_names(mended):
    x, y = bars(n=320, seed=4)
    order = np.array(sorted(range(len(y)), key=str))  # 0, 1, 10, 100, 101, …
    return asked(
        stack(x, layers.Conv2D(6, 3, activation="relu", name="edges"), layers.Flatten(), hidden(),
              layers.Dense(1, activation="sigmoid", name="score")),
        "binary_crossentropy", ADAM(0.005), x, y if mended else y[order],
    )


@fault("labels_not_aligned", ("y", "x"), says="shuffled", depth="steps")
def the_window_ends_where_another_begins(mended):
    x, y = walks(n=400, seed=4)
    return asked(stack(x, layers.GRU(10, name="memory"), layers.Dense(1, activation="sigmoid", name="score")),
                 "binary_crossentropy", ADAM(0.01), x, y if mended else np.roll(y, 1))


# What goes in


@fault(("unscaled_input", "constant_input"), ("x", "scale"), says="0.00", depth="steps")
def divided_by_255_outside_and_inside(mended):
    x, y = bars(seed=5)
    x = x * 255 if mended else x
    model = stack(x, layers.Rescaling(1 / 255 if mended else 1 / 255 / 8, name="scale"), layers.Flatten(), hidden(),
                  layers.Dense(1, activation="sigmoid", name="score"))
    return asked(model, "binary_crossentropy", optimizers.SGD(0.1), x, y, epochs=30)


@fault("constant_input", "x", says="0")
def whole_numbers_after_the_division(mended):
    x, y = bars(seed=6)
    raw = x * 200
    x = (raw / 255).astype("float32") if mended else (raw / 255).astype("uint8").astype("float32")
    return asked(stack(x, layers.Flatten(), hidden(), layers.Dense(1, activation="sigmoid", name="score")),
                 "binary_crossentropy", ADAM(0.01), x, y)


@fault("unscaled_input", "x", says="column", depth="steps")
def a_customer_number_among_the_columns(mended):
    x, y = groups(k=3, seed=6)
    number = np.random.default_rng(5).integers(1e6, 9e6, len(x))
    number = (number - number.mean()) / number.std() if mended else number
    x = np.concatenate([x, number[:, None]], 1).astype("float32")
    return asked(stack(x, hidden(), layers.Dense(3, activation="softmax", name="class")),
                 "sparse_categorical_crossentropy", ADAM(0.01), x, y)


@fault("duplicate_input", "x", says="a copy adds nothing", depth="steps")
def one_column_written_into_all(mended):
    raw, y = groups(k=5, d=8, seed=7)
    x = np.zeros_like(raw)
    for column in range(raw.shape[1]):
        x[:, column] = raw[:, column if mended else 0]
    return asked(stack(x, hidden(), layers.Dense(5, activation="softmax", name="class")),
                 "sparse_categorical_crossentropy", ADAM(0.01), x, y)


@fault("duplicate_input", "x", says="a copy adds nothing", depth="steps")
def every_row_of_the_loop_is_the_last_one(mended):
    x, y = walks(n=300, seed=5)
    if not mended:
        x = np.repeat(x[:10], 30, 0)  # a buffer that was appended, not copied
    return asked(stack(x, layers.Flatten(), hidden(), layers.Dense(1, activation="sigmoid", name="score")),
                 "binary_crossentropy", ADAM(0.01), x, y)


@fault("unshuffled_data", "x", says="sorted", depth="steps")
def a_data_set_from_one_folder_after_another(mended):
    x, y = moons(n=600, seed=8)
    order = np.argsort(y, kind="stable")
    data = tf.data.Dataset.from_tensor_slices((x[order], y[order]))
    data = (data.shuffle(600, seed=1) if mended else data).batch(20)
    model = stack(x, hidden(), layers.Dense(1, activation="sigmoid", name="score"))
    return asked(model, "binary_crossentropy", ADAM(0.03), data, None, epochs=4)


# Training and validation


@fault("validation_leak", "validation", says="also in the training data")
def copies_were_drawn_before_the_split(mended):
    x, y = moons(n=240, seed=8)
    if mended:
        (x, y), (xv, yv) = (x[:180], y[:180]), (x[180:], y[180:])
    else:
        drawn = np.random.default_rng(2).integers(0, 240, 400)  # the rare class was multiplied first
        x, y = x[drawn], y[drawn]
        x, y, xv, yv = x[:300], y[:300], x[300:], y[300:]
    return asked(stack(x, hidden(), layers.Dense(1, activation="sigmoid", name="score")),
                 "binary_crossentropy", ADAM(0.02), x, y, validation=(xv, yv))


@fault("train_validation_mismatch", "validation", says="channels have changed places")
def red_and_blue_change_places_for_validation(mended):
    r = np.random.default_rng(4)

    def colours(n):
        y = r.integers(0, 2, n)
        x = r.normal(0, 0.15, (n, 8, 8, 3)) + np.array([0.5, 0.42, 0.36])
        x[y == 1, 2:6, 2:6, 0] += 0.25
        return x.astype("float32"), y

    (x, y), (xv, yv) = colours(160), colours(80)
    xv = xv if mended else xv[..., ::-1].copy()
    return asked(stack(x, layers.Conv2D(6, 3, activation="relu", name="colours"), layers.Flatten(),
                       layers.Dense(1, activation="sigmoid", name="score")),
                 "binary_crossentropy", ADAM(0.01), x, y, validation=(xv, yv))


@fault("train_validation_mismatch", "validation", says="class")
def the_last_rows_of_a_sorted_file_validate(mended):
    x, y = groups(n=400, k=4, seed=9)
    order = np.argsort(y, kind="stable")
    x, y = (x, y) if mended else (x[order], y[order])
    return asked(stack(x, hidden(), layers.Dense(4, activation="softmax", name="class")),
                 "sparse_categorical_crossentropy", ADAM(0.01), x[:300], y[:300], validation=(x[300:], y[300:]))


# Layers


@fault("too_few_units", ("code", "class"), says="code", depth="steps")
def a_relu_layer_of_one_before_ten_classes(mended):
    x, y = groups(n=600, k=8, d=8, seed=10)
    code = hidden(16 if mended else 1, name="code")
    model = stack(x, hidden(), code, layers.Dense(8, activation="softmax", name="class"))
    return asked(model, "sparse_categorical_crossentropy", ADAM(0.01), x, y, epochs=20)


@fault(("frozen_layer",), ("edges", "hidden"), says="not trainable", depth="steps")
def all_layers_but_the_last_are_frozen_and_new(mended):
    x, y = bars(seed=8)
    model = stack(x, layers.Conv2D(2, 3, strides=2, activation="relu", name="edges"), layers.Flatten(),
                  hidden(3, "sigmoid"), layers.Dense(1, activation="sigmoid", name="score"))
    for layer in model.layers[:-1]:
        layer.trainable = mended
    return asked(model, "binary_crossentropy", ADAM(0.01), x, y, epochs=20)


@fault("dropout_too_high", "drop", says="95%", depth="steps")
def the_share_to_keep_given_as_the_share_to_drop(mended):
    x, y = moons(seed=14)
    drop = 0.05 if mended else 0.95
    model = stack(x, hidden(12), layers.Dropout(drop, name="drop"), hidden(12, name="second"), layers.Dropout(drop),
                  layers.Dense(1, activation="sigmoid", name="score"))
    return asked(model, "binary_crossentropy", ADAM(0.02), x, y)


EIGHT = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


@fault(("vanishing_gradient", "weight_initialization", "saturated_units"), EIGHT, says="first", depth="steps")
def eight_layers_of_tanh_drawn_too_small(mended):
    x, y = moons(seed=11)
    start = "glorot_uniform" if mended else keras.initializers.RandomNormal(stddev=0.01, seed=1)
    model = stack(x, *(hidden(16, "tanh", name, kernel_initializer=start) for name in EIGHT),
                  layers.Dense(1, activation="sigmoid", name="score"))
    return asked(model, "binary_crossentropy", ADAM(0.005), x, y)


@fault(("dead_units", "weight_initialization"), ("hidden",), says="hidden", depth="batch")
def positive_inputs_meet_negative_weights(mended):
    x, y = bars(seed=11)
    start = "he_normal" if mended else keras.initializers.RandomUniform(-0.2, -0.01, seed=1)
    last = layers.Dense(1, activation="sigmoid", name="score")
    model = stack(x, layers.Flatten(), hidden(kernel_initializer=start), last)
    return asked(model, "binary_crossentropy", ADAM(0.005), x, y)


@fault("zero_gradient", ("decide", "hidden", "code"), says="Sign", depth="steps")
def signs_between_two_layers(mended):
    x, y = groups(k=4, seed=12)
    squeeze = layers.Activation("tanh", name="decide") if mended else layers.Lambda(lambda v: tf.sign(v), name="decide")
    return asked(stack(x, hidden(3, None, "code"), squeeze, layers.Dense(4, activation="softmax", name="class")),
                 "sparse_categorical_crossentropy", ADAM(0.02), x, y)


# The optimizer


@fault("optimizer_for_other_variables", "optimizer", says="other variables")
def the_optimizer_was_built_for_the_model_before(mended):
    x, y = moons(seed=12)
    before = stack(x, hidden(8), layers.Dense(1, activation="sigmoid", name="score"))
    model = stack(x, hidden(), layers.Dense(1, activation="sigmoid", name="score"))
    optimizer = ADAM(0.02)
    optimizer.build((model if mended else before).trainable_variables)
    return asked(model, "binary_crossentropy", optimizer, x, y)


@fault("learning_rate_too_low", "optimizer.learning_rate", says="schedule", depth="steps")
def a_decay_counted_in_steps_and_not_in_epochs(mended):
    x, y = groups(k=5, seed=13)
    rate = optimizers.schedules.ExponentialDecay(0.01, decay_steps=200 if mended else 1, decay_rate=0.8)
    return asked(stack(x, hidden(), layers.Dense(5, activation="softmax", name="class")),
                 "sparse_categorical_crossentropy", ADAM(rate), x, y)


@fault("learning_rate_too_high", "optimizer.learning_rate", says="10", depth="steps")
def rmsprop_at_ten_percent_of_nothing(mended):
    x, y = bars(seed=13)
    model = stack(x, layers.Conv2D(6, 3, activation="relu", name="edges"), layers.Flatten(), hidden(16),
                  layers.Dense(1, activation="sigmoid", name="score"))
    return asked(model, "binary_crossentropy", optimizers.RMSprop(0.003 if mended else 10.0), x, y)


@fault("momentum_too_high", ("optimizer.momentum", "optimizer"), says="0.999", depth="steps")
def a_momentum_of_nearly_one(mended):
    x, y = curve(seed=13)
    return asked(stack(x, hidden(), layers.Dense(1, name="size")), "mse",
                 optimizers.SGD(0.05, momentum=0.9 if mended else 0.9995), x, y, epochs=20)


# Sound, and asked about all the same


@healthy
def three_equal_channels_of_a_grey_image():
    x, y = bars(seed=20)
    x = np.repeat(x, 3, -1)
    return asked(stack(x, layers.Conv2D(6, 3, activation="relu", name="edges"), layers.Flatten(), hidden(),
                       layers.Dense(1, activation="sigmoid", name="score")), "binary_crossentropy", ADAM(0.005), x, y)


@healthy
def a_small_table_of_categories_with_rows_that_occur_twice():
    r = np.random.default_rng(5)
    x = r.integers(0, 3, (300, 4)).astype("float32")
    y = (x.sum(1) > 4).astype("int64")
    xv = r.integers(0, 3, (80, 4)).astype("float32")
    return asked(stack(x, hidden(), layers.Dense(1, activation="sigmoid", name="score")), "binary_crossentropy",
                 ADAM(0.01), x, y, validation=(xv, (xv.sum(1) > 4).astype("int64")))


@healthy
def a_class_of_ones_own_with_scores_and_the_flag():
    x, y = groups(k=4, seed=20)
    return asked(Scorer(4), losses.SparseCategoricalCrossentropy(from_logits=True), ADAM(0.01), x, y)


@healthy
def sorted_rows_that_fit_shuffles():
    x, y = groups(k=4, seed=21)
    order = np.argsort(y, kind="stable")
    return asked(stack(x, hidden(), layers.Dense(4, activation="softmax", name="class")),
                 "sparse_categorical_crossentropy", ADAM(0.01), x[order], y[order])


@healthy
def sigmoid_scores_of_classes_that_exclude_each_other():
    x, y = groups(k=4, seed=22)
    return asked(stack(x, hidden(), layers.Dense(4, activation="softmax", name="class")), "kl_divergence", ADAM(0.01),
                 x, one_hot(y, 4))


@healthy
def an_optimizer_that_was_built_for_this_model():
    x, y = moons(seed=21)
    model = stack(x, hidden(), layers.Dense(1, activation="sigmoid", name="score"))
    optimizer = ADAM(0.02)
    optimizer.build(model.trainable_variables)
    return asked(model, "binary_crossentropy", optimizer, x, y)


@healthy
def a_class_of_ones_own_whose_softmax_keras_looks_behind():
    x, y = groups(k=5, d=8, seed=3)
    return asked(Scorer(5, "softmax"), losses.SparseCategoricalCrossentropy(from_logits=True), ADAM(0.01), x, y)

"""Labels and inputs that are not what model and loss take them for."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tests.guard.doctor.making import asked, bars, curve, fault, groups, moons, one_hot, walks


def classifier(x, k, hidden=24, **options):
    last = (
        layers.Dense(k, activation="softmax", name="class")
        if k > 1
        else layers.Dense(1, activation="sigmoid", name="class")
    )
    return keras.Sequential(
        [keras.Input(x.shape[1:]), layers.Dense(hidden, activation="relu", name="hidden", **options), last]
    )


@fault(("label_range", "output_range"), ("y", "class", "loss"), says="reads 0 and 1")
def labels_of_one_and_two(mended):
    x, y = moons()
    labels = y if mended else y + 1
    return asked(classifier(x, 1), "binary_crossentropy", keras.optimizers.Adam(0.02), x, labels.astype("float32"))


@fault(("label_range", "output_range"), ("y", "class", "loss"), says="0, 1, 2")
def three_classes_and_one_unit(mended):
    x, y = groups(k=3)
    model = classifier(x, 3) if mended else classifier(x, 1)
    loss = "sparse_categorical_crossentropy" if mended else "binary_crossentropy"
    return asked(model, loss, keras.optimizers.Adam(0.01), x, y)


@fault(("label_range", "output_range"), ("y", "class", "loss"), says="sigmoid")
def grades_through_a_sigmoid_and_squares(mended):
    x, y = groups(k=5)
    model = classifier(x, 5) if mended else classifier(x, 1)
    return asked(model, "sparse_categorical_crossentropy" if mended else "mse", keras.optimizers.Adam(0.01), x, y)


@fault("label_range", "y", says="Count the classes from 0")
def classes_counted_from_one(mended):
    x, y = groups(k=4)
    labels = y if mended else y + 1
    return asked(classifier(x, 4), "sparse_categorical_crossentropy", keras.optimizers.Adam(0.01), x, labels)


@fault(("label_encoding", "label_range"), "y", says="fractions")
def class_numbers_divided_by_the_largest(mended):
    x, y = groups(k=4)
    labels = y if mended else y / 3.0
    return asked(classifier(x, 4), "sparse_categorical_crossentropy", keras.optimizers.Adam(0.01), x, labels)


@fault("label_encoding", "y", says="sum to 1")
def one_hot_counted_upwards(mended):
    x, y = groups(k=4)
    exact = one_hot(y, 4)
    labels = exact if mended else np.cumsum(exact, 1)  # an ordinal code in a loss for one-hot rows
    return asked(classifier(x, 4), "categorical_crossentropy", keras.optimizers.Adam(0.01), x, labels)


@fault("constant_labels", "y", says="are the same")
def the_wrong_end_of_a_sorted_file(mended):
    x, y = moons(800)
    order = np.argsort(y, kind="stable")
    rows = order[200:600] if mended else order[:320]
    return asked(classifier(x, 1), "binary_crossentropy", keras.optimizers.Adam(0.02), x[rows], y[rows])


@fault("class_imbalance", ("y", "loss"), says="is found", depth="steps")
def fraud_is_rare(mended):
    r = np.random.default_rng(3)
    y = (r.uniform(size=1200) < 0.035).astype("int64")
    x = r.normal(0, 1, (1200, 6)).astype("float32")
    x[:, :2] += 1.6 * y[:, None]
    if mended:
        rows = np.concatenate([np.flatnonzero(y == 0)[:300], np.tile(np.flatnonzero(y == 1), 8)[:300]])
        x, y = x[rows], y[rows]
    return asked(
        classifier(x, 1), "binary_crossentropy", keras.optimizers.Adam(0.005), x, y, epochs=12 if not mended else 25
    )


@fault("nonfinite_data", "x", says="NaN")
def missing_ages_are_nan(mended):
    x, y = moons()
    x = x.copy()
    x[::37, 1] = 0.0 if mended else np.nan
    return asked(classifier(x, 1), "binary_crossentropy", keras.optimizers.Adam(0.02), x, y)


@fault("nonfinite_data", "y", says="row")
def the_logarithm_of_zero_in_the_targets(mended):
    x, y = curve()
    sales = np.exp(y)
    sales[::50] = 0
    with np.errstate(divide="ignore"):
        targets = np.log1p(sales) if mended else np.log(sales)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(40, activation="relu"), layers.Dense(1)])
    return asked(model, "mse", keras.optimizers.Adam(0.02), x, targets, epochs=25)


@fault("unscaled_input", "x", says="differ by a factor", depth="steps")
def income_beside_age(mended):
    x, y = moons()
    x = x if mended else np.stack([x[:, 0] * 30000 + 50000, x[:, 1] * 0.02], 1).astype("float32")
    return asked(classifier(x, 1), "binary_crossentropy", keras.optimizers.Adam(0.01), x, y, epochs=20)


@fault(
    ("unscaled_input", "dead_units", "learning_rate_too_high"),
    ("x", "optimizer.learning_rate"),
    says="255",
    depth="steps",
)
def images_up_to_255(mended):
    x, y = bars()
    x = x if mended else np.round(x * 255)
    model = keras.Sequential([
        keras.Input(x.shape[1:]), layers.Conv2D(8, 3, activation="relu"), layers.Flatten(),
        layers.Dense(1, activation="sigmoid", name="stands"),
    ])  # fmt: skip
    return asked(model, "binary_crossentropy", keras.optimizers.SGD(0.1), x, y)


@fault("unscaled_input", "x", says="mean", depth="steps")
def years_as_they_are(mended):
    x, y = curve()
    x = x if mended else x * 10 + 1990
    model = keras.Sequential([keras.Input((2,)), layers.Dense(40, activation="tanh"), layers.Dense(1)])
    return asked(model, "mse", keras.optimizers.Adam(0.02), x.astype("float32"), y, epochs=25)


@fault("unscaled_target", "y", says="mean 0 and deviation 1", depth="steps")
def house_prices_in_dollars(mended):
    x, y = curve()
    model = keras.Sequential([keras.Input((2,)), layers.Dense(40, activation="relu"), layers.Dense(1, name="price")])
    return asked(model, "mse", keras.optimizers.Adam(0.02), x, y if mended else y * 80000 + 210000, epochs=25)


@fault("labels_not_aligned", "y", says="Nothing in x foretells", depth="steps")
def labels_shuffled_alone(mended):
    x, y = groups(k=3)
    labels = y if mended else np.random.default_rng(5).permutation(y)
    return asked(classifier(x, 3), "sparse_categorical_crossentropy", keras.optimizers.Adam(0.01), x, labels)


@fault("labels_not_aligned", "y", says="shuffled labels", depth="steps")
def targets_sorted_apart(mended):
    x, y = curve()
    model = keras.Sequential([keras.Input((2,)), layers.Dense(40, activation="relu"), layers.Dense(1)])
    return asked(model, "mse", keras.optimizers.Adam(0.02), x, y if mended else np.sort(y, 0), epochs=25)


@fault("labels_not_aligned", "y", says="foretells", depth="steps")
def sequences_and_labels_of_another_order(mended):
    x, y = walks()
    model = keras.Sequential([keras.Input(x.shape[1:]), layers.GRU(8), layers.Dense(1, activation="sigmoid")])
    return asked(model, "binary_crossentropy", keras.optimizers.Adam(0.02), x, y if mended else np.roll(y, 31))


@fault("train_validation_mismatch", "validation", says="training and of validation")
def only_the_training_data_is_standardised(mended):
    x, y = moons()
    xv, yv = moons(100, seed=9)
    raw = np.array([40.0, 7.0]) + xv * np.array([12.0, 3.0])
    return asked(classifier(x, 1), "binary_crossentropy", keras.optimizers.Adam(0.02), x, y,
                 validation=(xv if mended else raw.astype("float32"), yv))  # fmt: skip


@fault("train_validation_mismatch", "validation", says="y")
def validation_labels_count_from_one(mended):
    x, y = groups(k=4)
    xv, yv = groups(120, k=4, seed=8)
    return asked(classifier(x, 4), "sparse_categorical_crossentropy", keras.optimizers.Adam(0.01), x, y,
                 validation=(xv, yv if mended else (yv + 1) * 10))  # fmt: skip


@fault(("label_range", "label_encoding"), ("y", "class"), says="label")
def a_data_set_with_labels_outside(mended):
    x, y = groups(k=4)
    labels = (y if mended else 2 * y - 3).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, labels if not mended else (labels > 1).astype("float32"))).batch(32)
    return asked(classifier(x, 1), "binary_crossentropy", keras.optimizers.Adam(0.02), data, None)

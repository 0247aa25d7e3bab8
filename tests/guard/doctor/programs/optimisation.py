"""How the weights are moved."""

import keras
from keras import layers

from tests.guard.doctor.making import asked, bars, curve, fault, groups, moons, walks

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
RATE = "optimizer.learning_rate"


def classifier(x, k, hidden=24):
    return keras.Sequential([
        keras.Input(x.shape[1:]), layers.Dense(hidden, activation="relu", name="hidden"),
        layers.Dense(k, activation="softmax", name="class"),
    ])  # fmt: skip


def regression(d=2):
    return keras.Sequential(
        [keras.Input((d,)), layers.Dense(40, activation="relu", name="hidden"), layers.Dense(1, name="level")]
    )


@fault("learning_rate_too_high", RATE, says="Take a lower one", depth="steps")
def adam_at_five(mended):
    x, y = curve(seed=2)
    return asked(regression(), "mse", ADAM(0.02 if mended else 5.0), x, y, epochs=25)


@fault("learning_rate_too_high", RATE, says="learning rate of 2", depth="steps")
def sgd_at_two_for_a_regression(mended):
    x, y = curve()
    return asked(regression(), "mse", SGD(0.05 if mended else 2.5), x, y, epochs=30)


@fault(
    ("learning_rate_too_high", "exploding_gradient", "momentum_too_high"),
    (RATE, "optimizer.momentum"),
    says="rate",
    depth="steps",
)
def momentum_takes_sgd_away(mended):
    x, y = moons()
    model = keras.Sequential([keras.Input((2,)), layers.Dense(32, activation="relu"),
                              layers.Dense(32, activation="relu"), layers.Dense(1, activation="sigmoid")])  # fmt: skip
    return asked(model, "binary_crossentropy", SGD(0.1 if mended else 20.0, momentum=0.5 if mended else 0.95), x, y)


@fault("learning_rate_too_low", RATE, says="Take a higher one", depth="steps")
def adam_at_a_millionth(mended):
    x, y = groups()
    return asked(classifier(x, 5), "sparse_categorical_crossentropy", ADAM(0.01 if mended else 1e-6), x, y)


@fault("learning_rate_too_low", RATE, says="SGD with a learning rate of 1e-05", depth="steps")
def sgd_at_a_hundred_thousandth(mended):
    x, y = walks()
    model = keras.Sequential([keras.Input(x.shape[1:]), layers.GRU(8), layers.Dense(1, activation="sigmoid")])
    return asked(model, "binary_crossentropy", SGD(0.5 if mended else 1e-5, momentum=0.9 if mended else 0.0), x, y)


@fault("learning_rate_too_low", RATE, says="schedule", depth="steps")
def a_decay_that_ends_too_early(mended):
    x, y = curve()
    decay = keras.optimizers.schedules.ExponentialDecay(0.02, 1000 if mended else 1, 0.5)
    return asked(regression(), "mse", ADAM(decay), x, y, epochs=30)


@fault(("batch_size_too_large", "too_few_epochs"), ("batch_size", "epochs"), says="steps", depth="steps")
def a_batch_of_all_rows(mended):
    x, y = groups()
    return asked(
        classifier(x, 5),
        "sparse_categorical_crossentropy",
        ADAM(0.01),
        x,
        y,
        batch_size=16 if mended else 450,
        epochs=6,
    )


@fault(("too_few_epochs", "batch_size_too_large"), ("batch_size", "epochs"), says="1 epoch make", depth="steps")
def a_single_epoch(mended):
    x, y = moons()
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(32, activation="relu"), layers.Dense(1, activation="sigmoid")]
    )
    return asked(model, "binary_crossentropy", SGD(0.3), x, y, epochs=60 if mended else 1)


@fault("clipping_too_tight", "optimizer.clipnorm", says="leaves of every gradient", depth="steps")
def gradients_clipped_to_a_thousandth(mended):
    x, y = groups()
    return asked(classifier(x, 5), "sparse_categorical_crossentropy", SGD(0.1, clipnorm=1.0 if mended else 1e-3), x, y)


@fault(
    ("regularization_too_strong", "learning_rate_too_high"),
    ("optimizer.weight_decay", RATE),
    says="decay",
    depth="steps",
)
def a_weight_decay_of_eighty(mended):
    x, y = bars()
    model = keras.Sequential([
        keras.Input(x.shape[1:]), layers.Conv2D(8, 3, activation="relu"), layers.Flatten(),
        layers.Dense(1, activation="sigmoid", name="stands"),
    ])  # fmt: skip
    return asked(
        model, "binary_crossentropy", keras.optimizers.AdamW(0.01, weight_decay=1e-4 if mended else 80.0), x, y
    )


@fault("learning_rate_too_low", ("optimizer.epsilon", "optimizer.learning_rate"), says="epsilon=100", depth="steps")
def adam_with_a_large_epsilon(mended):
    x, y = groups()
    optimizer = ADAM(0.01, epsilon=1e-7 if mended else 100.0)
    return asked(classifier(x, 5), "sparse_categorical_crossentropy", optimizer, x, y)

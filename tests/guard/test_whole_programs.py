"""Beyond a single answer: a table of terms, finite differences, a flight recorder, the guard for a whole program."""

import contextlib
import json
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainer.guard as guard
from trainer.guard import flight


def net(last="head", units=2, **more):
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(5, "tanh", name="trunk"), keras.layers.Dense(units, name=last)]
    return keras.Sequential([keras.Input((4,)), *layers], **more)


@pytest.fixture
def batch():
    draw = np.random.default_rng(0)
    return tf.constant(draw.random((8, 4)), tf.float32), tf.constant(draw.random((8, 2)), tf.float32)


# --- the table of terms


def test_table_says_which_term_trains_what_and_which_pull_apart(batch):
    (x, y), model = batch, net()

    def terms():
        p = model(x)
        return {
            "fit": tf.reduce_mean(tf.square(p - 3.0)),
            "against": -0.9 * tf.reduce_mean(tf.square(p - 3.1)),
            "penalty": 0.5 * tf.reduce_sum(tf.square(model.layers[1].kernel)),
            "labels": tf.reduce_mean(y),
        }

    table = guard.gradient_table(terms, model.trainable_variables)
    trunk, head = table.rows
    assert (trunk.layer, head.layer, trunk.variables) == ("sequential/trunk", "sequential/head", 2)
    assert trunk.norms["penalty"] is None and trunk.norms["labels"] is None and head.norms["penalty"] > 0
    assert trunk.cosines["fit", "against"] < -0.99 and ("fit", "against") in trunk.against
    text = str(table)
    assert "'labels' trains nothing" in text and "'penalty' trains 1 of 2 layers" in text
    assert "'fit' and 'against' pull against each other in 2 of 2 layers" in text
    assert json.loads(json.dumps(table.to_dict()))["terms"].keys() == {"fit", "against", "penalty", "labels"}

    with tf.GradientTape() as tape:
        loss = terms()["fit"]
    by_hand = tf.linalg.global_norm(tape.gradient(loss, model.layers[0].trainable_variables))
    np.testing.assert_allclose(trunk.norms["fit"], by_hand, rtol=1e-5)
    assert "… 1 more layers" in table.render(most=1)


def test_table_wants_terms_by_name(batch):
    x, _ = batch
    model = net()
    with pytest.raises(TypeError, match="the terms of the loss by name"):
        guard.gradient_table(lambda: tf.reduce_mean(model(x)), model.trainable_variables)


# --- finite differences


@tf.custom_gradient
def doubled(v):
    def grad(upstream):
        return upstream * 0.5

    return v * 2.0, grad


@tf.custom_gradient
def turned(v):
    def grad(upstream):
        return -upstream * tf.cos(v)

    return tf.sin(v), grad


@pytest.mark.parametrize("function", [doubled, turned])
def test_wrong_custom_gradient_is_found_at_its_line(batch, function):
    (x, y), model = batch, net()

    def forward_loss():
        return tf.reduce_mean(tf.square(function(model(x)) - y))  # the call

    report = guard.check_derivatives(forward_loss, model.trainable_variables)
    (finding,) = report.findings
    assert (finding.kind, finding.cause) == ("wrong", "wrong_derivative")
    assert set(finding.variables) == {variable.path for variable in model.trainable_variables}
    assert finding.code.endswith("# the call") and function.__name__ in finding.detail
    assert "not the derivative of the loss" in str(report)
    assert guard.explain(forward_loss, model.trainable_variables).ok  # nothing else notices


def test_right_derivatives_pass_with_dropout_and_state_untouched(batch):
    x, _ = batch
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(5, "relu"), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )
    before = [variable.numpy() for variable in model.variables]
    report = guard.check_derivatives(lambda: tf.reduce_mean(model(x, training=True) ** 2), model.trainable_variables)
    assert report.ok, report
    assert all(np.array_equal(a, v.numpy()) for a, v in zip(before, model.variables, strict=True))


def test_differences_want_gradients(batch):
    x, _ = batch
    model = net()
    with pytest.raises(ValueError, match="Ask explain"):
        guard.check_derivatives(lambda: tf.reduce_sum(tf.round(model(x))), model.trainable_variables)


# --- the flight recorder


def recorded(tmp_path, model, x, y, **more):
    recorder = guard.FlightRecorder(str(tmp_path / "flight"), **more)
    model.fit(x, y, batch_size=2, epochs=1, shuffle=False, verbose=0, callbacks=[recorder])
    return recorder.event


def data(spoiled):
    draw = np.random.default_rng(1)
    x, y = draw.random((48, 4)).astype("float32"), draw.random((48, 2)).astype("float32")
    y[41] = spoiled
    return x, y


@pytest.mark.parametrize(("spoiled", "what"), [(np.nan, "nonfinite"), (1e6, "explosion")])
def test_recorded_step_plays_again(tmp_path, capsys, spoiled, what):
    model = keras.Sequential([*net().layers[:1], keras.layers.Dropout(0.3), keras.layers.Dense(2, name="head")])
    model.compile("adam", "mse")
    event = recorded(tmp_path, model, *data(spoiled))
    assert (event.what, event.step) == (what, 21)
    assert event.command.split()[-1] == str(tmp_path / "flight") and event.command in capsys.readouterr().err
    assert "train_step" not in vars(model)
    assert flight.main([event.folder]) == 0  # from the folder alone
    text = capsys.readouterr().out
    assert "the same" in text and ("NaN" in text) == (what == "nonfinite")


class Own(keras.Model):
    """With a step of its own, and a layer that is dead from the start."""

    def __init__(self):
        super().__init__()
        self.dead = keras.layers.Dense(3, "relu", bias_initializer=keras.initializers.Constant(-9.0), name="dead")
        self.head = keras.layers.Dense(2, name="head")

    def call(self, x):
        return self.head(self.dead(x))

    def train_step(self, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(x, training=True) - y))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss}


def test_recorder_of_a_step_of_ones_own(tmp_path):
    model = Own()
    model.compile("sgd")
    event = recorded(tmp_path, model, *data(0.5), zero_steps=3)
    assert event.what == "zero" and event.step == 3 and "dead/kernel" in event.words
    assert "--model=" in event.command  # a subclass cannot be loaded without its code
    again = Own()
    again.compile("sgd")
    again(np.zeros((2, 4), "float32"))
    found = guard.replay(event.folder, again)
    assert found.same and found.norm == pytest.approx(event.norm, rel=1e-3)
    with pytest.raises(ValueError, match="only recorded: .*dead"):
        other = net()
        other.compile("sgd", "mse")
        guard.replay(event.folder, other)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "tf.function"])
def test_recorder_makes_the_steps_of_a_loop(tmp_path, compiled):
    model, optimizer = net(), keras.optimizers.Adam(0.01)
    model(np.zeros((2, 4), "float32"))

    def step(batch):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(batch["x"], training=True) - batch["y"]))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    train_step = tf.function(step) if compiled else step
    recorder, (x, y) = guard.FlightRecorder(str(tmp_path / "flight")), data(np.inf)
    for first in range(0, 48, 2):
        rows = slice(first, first + 2)
        recorder.step(train_step, {"x": x[rows], "y": y[rows]}, model, optimizer)
        if recorder.event:
            break
    assert (recorder.event.what, recorder.event.step) == ("nonfinite", 21)
    assert "replay(" in recorder.event.command
    found = guard.replay(recorder.event.folder, model, optimizer, step=train_step)
    assert found.same and not np.isfinite(found.norm)


def test_recorder_believes_a_norm_that_the_step_reports(tmp_path):
    """A loop that skips a step which is not finite, as `Run.step` may: no gradient reaches the optimizer."""
    recorder, model = guard.FlightRecorder(str(tmp_path / "flight")), net()
    model(np.zeros((2, 4), "float32"))
    for norm in (1.0, 1.1, np.nan):
        answer = recorder.step(lambda batch, norm=norm: {"gradient_norm": norm}, (np.ones(2),), model)
        assert answer["gradient_norm"] is norm
    assert (recorder.event.what, recorder.event.step) == ("nonfinite", 3)
    found = guard.replay(recorder.event.folder, model, step=lambda batch: {"gradient_norm": float(np.sum(batch[0]))})
    assert found.norm == 2.0 and not found.same


def test_healthy_training_writes_nothing(tmp_path):
    model = net()
    model.compile("adam", "mse")
    assert recorded(tmp_path, model, *data(0.5)) is None
    assert not (tmp_path / "flight").exists()


# --- a whole program


@contextlib.contextmanager
def installed(**more):
    before = keras.Model.fit, tf.GradientTape.__enter__, tf.GradientTape.gradient, keras.optimizers.Optimizer.apply
    guard.install(**more)
    try:
        yield
    finally:
        guard.uninstall()
    after = keras.Model.fit, tf.GradientTape.__enter__, tf.GradientTape.gradient, keras.optimizers.Optimizer.apply
    assert before == after


def step(model, aux, x, y, optimizer):
    variables = [*model.trainable_variables, *aux.trainable_variables]
    with tf.GradientTape() as tape:
        kept = tf.cast(aux(x) > 0.0, tf.float32)  # the line
        loss = tf.reduce_mean(tf.square(model(x) - y) * kept)
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


@pytest.mark.parametrize("wrap", [lambda function: function, tf.function], ids=["eager", "traced"])
def test_own_loop_is_reported_once_in_place_of_keras_warning(batch, capsys, wrap):
    (x, y), model, aux = batch, net(), keras.layers.Dense(1, name="aux")
    aux.build((None, 4))
    with installed(), warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer = keras.optimizers.SGD(0.1)
        run = wrap(lambda: step(model, aux, x, y, optimizer))
        warnings.filterwarnings("ignore", message="Gradients do not exist")
        for _ in range(3):
            run()
    text = capsys.readouterr().err
    assert text.count("2 of 6 trainable variables get no gradient") == 1
    assert "(Greater)" in text and "# the line" in text and "install(allow=['aux/.*'])" in text


def test_two_tapes_two_optimizers_and_an_error(batch):
    (x, y), generator, critic = batch, net(), net("critic", 1, name="critic_net")
    with installed(missing="error", allow=["critic_net/trunk/bias"]):
        with tf.GradientTape() as one, tf.GradientTape() as two:
            made = generator(x)
            first = tf.reduce_mean(tf.square(made - y))
            second = tf.reduce_mean(critic(tf.concat([tf.round(made), made], 1)))
        keras.optimizers.Adam().apply(one.gradient(first, generator.trainable_variables), generator.trainable_variables)
        keras.optimizers.Adam().apply(two.gradient(second, critic.trainable_variables), critic.trainable_variables)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.round(generator(x)))
        gradients = tape.gradient(loss, generator.trainable_variables)
        with pytest.raises(guard.MissingGradientError) as caught:
            keras.optimizers.SGD().apply(gradients, generator.trainable_variables)
    assert [finding.op_type for finding in caught.value.report.findings] == ["Round"]


def test_every_fit_gets_the_guard(batch):
    (x, y), model = batch, net()
    model.compile("sgd", lambda y, p: tf.reduce_mean(tf.round(p) * y))
    with installed(missing="error"), pytest.raises(guard.MissingGradientError, match="Round"):
        model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match="'warn' or 'error'"):
        guard.install(missing="off")
    with pytest.raises(ValueError, match="not a regular expression"):
        guard.install(allow=["("])

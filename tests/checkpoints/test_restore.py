"""From a checkpoint's arrays to variables: all of them, or those that match, with a report about the others."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.checkpoints.folder import Saved
from trainer.checkpoints.restore import load_weights, restore, snapshot, warm_start
from trainer.errors import UserError
from trainer.stepping.state import task_variables
from trainer.stepping.task import Task


def variable(shape, value=0.0, path=""):
    made = tf.Variable(np.full(shape, value, np.float32))
    return types.SimpleNamespace(path=path, shape=made.shape, value=made, assign=made.assign, numpy=made.numpy)


class State:
    """The part of a run's state that is read here: two layers, and an average of the first."""

    def __init__(self, value=0.0, averages=False, statistics=False):
        self.trainable = [variable((2, 3), value, "a/kernel"), variable((3,), value, "b/bias")]
        self.followed = [*self.trainable, *([variable((3,), value, "b/moving_mean")] if statistics else ())]
        self.averages = [tf.Variable(v.numpy()) for v in self.followed] if averages else []
        self.step = tf.Variable(0, dtype=tf.int64)

    def variables_by_path(self):
        named = {f"model/{v.path}": v for v in self.followed} | {"counter/step": self.step}
        return named | {f"average/{v.path}": a for v, a in zip(self.followed, self.averages, strict=False)}


def saved(**changes):
    arrays = {
        "model/a/kernel": np.full((2, 3), 5.0, np.float32),
        "model/b/bias": np.full((3,), 6.0, np.float32),
        "counter/step": np.int64(40),
    }
    arrays |= {name.replace("__", "/"): array for name, array in changes.items()}
    return Saved("runs/old/checkpoints/step_00000040", 40, {n: a for n, a in arrays.items() if a is not None}, {})


def test_a_snapshot_is_a_copy_that_later_steps_do_not_change():
    state = State(1.0)
    taken = snapshot(state)
    state.trainable[0].assign(np.zeros((2, 3)))
    assert (taken["model/a/kernel"] == 1.0).all() and set(taken) == set(state.variables_by_path())


def test_everything_is_put_back():
    state = State()
    restore(state, saved())
    assert int(state.step) == 40 and (state.trainable[1].numpy() == 6.0).all()


def test_averages_of_statistics_that_an_earlier_version_did_not_take_begin_at_the_statistics():
    state = State(averages=True, statistics=True)
    arrays = {"model__b__moving_mean": np.full((3,), 7.0, np.float32)}
    arrays |= {
        f"average__{name}": np.full(shape, 8.0, np.float32) for name, shape in (("a__kernel", (2, 3)), ("b__bias", 3))
    }
    restore(state, saved(**arrays))
    assert [float(average.numpy().flat[0]) for average in state.averages] == [8.0, 8.0, 7.0]


def test_what_does_not_fit_is_named_all_at_once_and_nothing_is_changed():
    state = State()
    with pytest.raises(UserError) as caught:
        restore(state, saved(model__a__kernel=None, model__b__bias=np.zeros(4), model__c__bias=np.zeros(1)))
    text = str(caught.value)
    assert "3 variables do not fit" in text and "--config.checkpoint.warm_start=" in text
    assert "model/a/kernel: not in the checkpoint" in text
    assert "model/b/bias: [4] in the checkpoint, [3] in this run" in text
    assert "model/c/bias: in the checkpoint, but this run has no such variable" in text
    assert int(state.step) == 0


def test_a_warm_start_takes_the_weights_and_not_the_counters():
    state = State(averages=True)
    report = warm_start(state, saved(), ".*")
    assert str(report) == "2 of 2 model variables taken" and int(state.step) == 0
    assert (state.averages[0].numpy() == 5.0).all()


def test_a_warm_start_by_pattern_says_why_each_other_was_left():
    state = State()
    report = warm_start(state, saved(model__a__kernel=np.zeros((2, 4)), model__c__bias=np.zeros(1)), "a/|b/|d/")
    assert str(report).splitlines() == [
        "1 of 3 model variables taken",
        "shape [2, 4] there, [2, 3] here: a/kernel",
        "extra in the checkpoint, no such variable here: c/bias",
    ]
    report = warm_start(state, saved(model__b__bias=None), "kernel")
    assert report.reasons == {"b/bias": "left out by the pattern 'kernel'"}


def test_a_warm_start_finds_a_model_that_was_one_of_several():
    state = State()
    kernel, bias = np.full((2, 3), 7.0, np.float32), np.full((3,), 8.0, np.float32)
    there = {"model__student__a__kernel": kernel, "model__student__b__bias": bias, "model__teacher__b__bias": bias}
    report = warm_start(state, saved(model__a__kernel=None, model__b__bias=None, **there), ".*")
    assert (state.trainable[0].numpy() == 7.0).all()  # the other is there twice
    assert str(report).splitlines()[:2] == [
        "1 of 4 model variables taken, 1 of them from another task: a/kernel from student/a/kernel",
        "missing in the checkpoint: b/bias",
    ]


def test_a_warm_start_takes_the_averages_of_a_run_that_kept_some():
    state = State()
    warm_start(state, saved(average__a__kernel=np.full((2, 3), 9.0, np.float32)), ".*")
    assert (state.trainable[0].numpy() == 9.0).all() and (state.trainable[1].numpy() == 6.0).all()


def test_a_warm_start_that_takes_nothing_is_an_error_with_the_reasons():
    with pytest.raises(UserError, match=r"(?s)nothing of runs/old.*fits.*left out by the pattern 'nowhere'"):
        warm_start(State(), saved(), "nowhere")


class Layers(Task):
    """Two layers of one name, as a user may give them."""

    def __init__(self):
        first, second = (keras.layers.Dense(3, name="twice", use_bias=False) for _ in range(2))
        self.model = Both(first, second)
        self.model(keras.ops.zeros((1, 3)))


class Both(keras.Model):
    def __init__(self, first, second):
        super().__init__(name="both")
        self.first, self.second = first, second

    def call(self, x):
        return self.second(self.first(x))


def test_two_layers_of_one_name_keep_their_own_weights():
    task = Layers()
    variables = task_variables(task)
    arrays = {path: np.full(v.shape, 1.0 + i, np.float32) for i, (path, v) in enumerate(variables.items())}
    assert len(arrays) == 2
    load_weights(task, Saved("runs/old", 1, arrays, {}))
    assert (task.model.first.kernel.numpy() == 1.0).all() and (task.model.second.kernel.numpy() == 2.0).all()


def test_weights_for_prediction_name_what_is_missing():
    task = Layers()
    first, second = task_variables(task)
    with pytest.raises(UserError, match=r"(?s)2 variables do not fit.*\[4\] there, \[3, 3\] here.*not in the check"):
        load_weights(task, Saved("runs/old", 1, {first: np.zeros(4)}, {}))


def test_a_model_that_keras_numbered_otherwise_finds_its_weights():
    """Built again in one process, layers without a name have other numbers; nothing else may differ."""

    def task():
        made = Task()
        made.model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(2)])
        return made

    first, second = task(), task()
    assert task_variables(first).keys() != task_variables(second).keys()
    arrays = {path: v.numpy() + 5.0 for path, v in task_variables(first).items()}
    load_weights(second, Saved("runs/old", 1, arrays, {}))
    for old, new in zip(first.model.variables, second.model.variables, strict=True):
        assert np.array_equal(old.numpy() + 5.0, new.numpy())

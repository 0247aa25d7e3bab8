"""`Run` as a library: what a script or a notebook may rely on."""

import dataclasses
import io
import itertools
import json
import logging
import os
import random
import signal
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from configs.knobs import ConfigError
from configs.reading.setting_names import in_python
from configs.schema import Augment, Checkpoint, Config, Data, Evaluate, Model, Optimizer, Train
from tests.stepping import replica_runs as runs
from trainer import Phase, Run, Task, UserError
from trainer.checkpoints.lock import WorkdirLock
from trainer.data import training_batches
from trainer.reporting.records import unsaved
from trainer.stepping.compiled import CompiledWith
from trainer.workdir import holding

RANDOM = np.random.default_rng(0)
LABELS = (RANDOM.uniform(size=(20, 16, 16)) < 0.3).astype("uint8")
IMAGES = (RANDOM.normal(90, 20, LABELS.shape) + 60 * LABELS).clip(0, 255).astype("uint8")


def small(outputs=2):
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(3, 3, padding="same")(image / 64 - 2)
    x = keras.layers.Dropout(0.1)(keras.layers.BatchNormalization(momentum=0.5)(x))
    return keras.Model(image, keras.layers.Conv2D(outputs, 1)(x))


def config(**changes):
    made = Config(
        train=Train(length="8 steps", batch_size=4, log_every="2 steps", steps_per_call=1),
        augment=Augment(crop=(16, 16)),
        evaluate=Evaluate(every="4 steps"),
        checkpoint=Checkpoint(every="3 steps", keep=9),
        optimizer=Optimizer(learning_rate=0.05, ema_decay=0.9),
    )
    return runs.replace(made, **changes)


def weights(run):
    return [variable.numpy() for variable in run.task.model.variables]


def alike(first, second):
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run in a thread, with what was there before it and after it, what it logged, and its result."""
    workdir = str(tmp_path_factory.mktemp("finished"))
    logger, lines = logging.getLogger("gradline"), io.StringIO()
    handlers = logger.handlers[:]
    logger.handlers[:] = [logging.StreamHandler(lines)]
    keras.config.set_dtype_policy("float32")
    tf.random.set_seed(3)
    tf.random.uniform([])
    random.seed(3)
    np.random.seed(3)
    first = keras.layers.Dense(1).name
    before = _surroundings()
    run = Run(config(), workdir=workdir, model=small, data=(IMAGES, LABELS), metrics={"specificity": specificity})
    found = {}
    thread = threading.Thread(target=lambda: found.update(result=run.train()))
    thread.start()
    thread.join()
    after = _surroundings()
    logger.handlers[:] = handlers
    return {
        "run": run,
        "result": found["result"],
        "before": before,
        "after": after,
        "lines": lines.getvalue(),
        "names": (first, keras.layers.Dense(1).name),
        "next": float(tf.random.uniform([])),
    }


def _surroundings():
    kept = np.random.get_state()
    return {
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)],
        "policy": keras.config.dtype_policy().name,
        "python": random.getstate(),
        "numpy": (kept[0], kept[1].tolist(), *kept[2:]),
        "folder": os.getcwd(),
    }


def specificity(confusion):
    return confusion[0, 0] / confusion[0].sum()


def test_a_run_in_a_thread_leaves_its_surroundings_as_they_were(finished):
    assert finished["before"] == finished["after"]
    first, second = (int(name.partition("_")[2] or 0) for name in finished["names"])
    assert second == first + 1
    tf.random.set_seed(3)
    tf.random.uniform([])
    assert finished["next"] == float(tf.random.uniform([]))


def test_the_result(finished):
    run, result = finished["run"], finished["result"]
    assert (result.step, result.reason, result.saved, result.stopped) == (8, "finished", True, False)
    assert {"mean_dice", "loss", "specificity", "dice/class_1"} <= set(result.scores)
    assert result.best_step in (4, 8) and result.best_score == pytest.approx(run.host.best_score)
    again = Run(run.config, workdir=run.workdir, model=small, data=(IMAGES, LABELS), metrics=run.parts.metrics).train()
    assert (again.step, again.reason, again.saved) == (8, "finished", True)


def test_lines_go_where_the_logger_sends_them(finished, capsys):
    assert "Gradline · run" in finished["lines"] and "step 8/8" in finished["lines"]
    logger = logging.getLogger("gradline")
    logger.setLevel(logging.ERROR)
    try:
        finished["run"].log("a line")
    finally:
        logger.setLevel(logging.INFO)
    assert capsys.readouterr().out == ""


def test_config_json_says_what_came_as_objects(finished):
    with open(os.path.join(finished["run"].workdir, "config.json"), encoding="utf-8") as file:
        kept = json.load(file)
    assert kept["objects"] == {
        "model": "tests.test_run:small",
        "data": "tuple",
        "metrics": {"specificity": "tests.test_run:specificity"},
    }
    assert kept["data"]["classes"] == ["class_0", "class_1"] and kept["data"]["channels"] == 1
    assert kept["name"] == "run"


def test_what_follows_training_leaves_the_weights_as_they_are(finished, tmp_path, capsys):
    run = finished["run"]
    before = weights(run)
    best, averaged = run.evaluate(), run.evaluate(checkpoint=None)
    assert best.score("mean_dice") == pytest.approx(run.host.best_score, abs=1e-9)
    # The averages are what was scored last while training, too.
    assert averaged.score("mean_dice") == pytest.approx(finished["result"].scores["mean_dice"], abs=1e-9)
    masks = run.predict(IMAGES[:3])
    assert masks.shape == (3, 16, 16) and masks.dtype == np.int32
    assert np.array_equal(run.predict([IMAGES[0]])[0], masks[0])
    run.export(tmp_path, formats=["saved_model"])
    run.check()
    assert alike(weights(run), before)
    with pytest.raises(UserError, match="no score 'mean_dise'.*mean_dice.*specificity"):
        best.score("mean_dise")


class Stop(Exception):
    pass


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Stop])
def test_an_interruption_leaves_the_trained_weights_and_not_their_averages(tmp_path, kind):
    kept = {}

    def keep(run, step):
        kept[step] = weights(run)

    def interrupts(label, prediction):
        averages = [v.numpy() for v in run.state.averages]
        kept["scored"] = alike(averages, [v.numpy() for v in run.state.followed])
        raise kind("in the middle of an evaluation")

    run = Run(
        config(), workdir=tmp_path, model=small, data=(IMAGES, LABELS), metrics={"own": interrupts}, actions=[(1, keep)]
    )
    with pytest.raises(KeyboardInterrupt if kind is KeyboardInterrupt else UserError) as raised:
        run.train()
    assert kept["scored"] and run.current_step == 4
    assert alike(weights(run), kept[4])
    if kind is Stop:
        assert "test_run.py" in str(raised.value) and "Stop: in the middle of an evaluation" in str(raised.value)
        assert "raise kind(" in str(raised.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Run(Config(train=Train(batch_size=0))), ["train.batch_size", "0", "1"]),
        (lambda: Run(modle=small), ["'modle'", "Did you mean model?", "config, workdir, force, extend, model, loss"]),
        (
            lambda: Run(batch_size=4, lr=1),
            ["Train(batch_size=…) of the config", "Optimizer(learning_rate=…) of the config"],
        ),
        (
            lambda: Run(callbacks=[], validation_data=1),
            ["actions=[(100, function)", 'data={"train": …, "validation": …}'],
        ),
        (lambda: Run(config(), data={"x": IMAGES, "y": LABELS}).data, ["Rename 'x' to 'image', 'y' to 'label'"]),
        (lambda: Run(config(), data={"train": (IMAGES, LABELS), "val": 1}).data, ["Rename 'val' to 'validation'"]),
        (lambda: Run(config(), data=(IMAGES, LABELS), augment=[abs]).data, ["abs, which does not take two arguments"]),
        (
            lambda: Run(config(), data=(IMAGES, LABELS), model=[3]).task,
            ["model=[3] is of type list", "keras.Sequential"],
        ),
        (
            lambda: Run(config(), data=(IMAGES, LABELS), model=small, loss=["dice"]).task,
            ['written "dice+cross_entropy"'],
        ),
        (lambda: Run({"train": {}}), ["given dict", "Run(Config(…), model=…, data=…)"]),
        (lambda: Run(Config(), IMAGES), ["given Config, ndarray", "only its config"]),
        (lambda: Run(model="unett"), ["model.name", "unett", "unet"]),
        (lambda: Run(optimizer="lionn"), ["optimizer.name", "lion"]),
        (lambda: Run(config(evaluate={"metric": "bondary_f1"}), metrics={"boundary_f1": len}), ["boundary_f1"]),
        (lambda: Run(config(), data=[]).data, ["data is empty"]),
        (lambda: Run(config(), data=(IMAGES, LABELS, LABELS)).data, ["three arrays of 20 each", '"weight": …']),
        (lambda: Run(workdir=5), ["workdir=5 is of type int"]),
        (lambda: setattr(Run(), "learning_rate", 0.1), ["A run has no 'learning_rate'", "Assign to run.rate_factor"]),
        (lambda: setattr(Run(), "best", 0.1), ["run.memory['best']"]),
        (lambda: setattr(Run(), "rate_factor", -1), ["run.rate_factor=-1", "0 or more"]),
        (
            lambda: (
                Run(
                    config(), data=(IMAGES, LABELS), model=small, optimizer=keras.optimizers.SGD(0.1), schedule=abs
                ).state
            ),
            ["schedule=builtins:abs is the rate of nothing"],
        ),
        (
            lambda: (
                Run(
                    config(),
                    data=(IMAGES, LABELS),
                    model=keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(2, 1)]),
                ).task
            ),
            ["images of 3 channels, and the data have 1"],
        ),
        (
            lambda: Run(config(), data=(IMAGES, LABELS), model=small, loss=keras.losses.CategoricalCrossentropy()).task,
            ["loss of probabilities", "(from_logits=True)", "Loss(from_logits=False)"],
        ),
        (lambda: Run(metrics={"mean_iou": len}), ["metrics={'mean_iou': …}: mean_iou is the name of two metrics"]),
        (lambda: Run(metrics=[len], augment=max), ["metrics={'len': len}", "2. augment is of type", "[max]"]),
    ],
)
def test_mistakes_are_named(make, words):
    with pytest.raises((UserError, ConfigError)) as raised:
        make()
    for word in words:
        assert word in str(raised.value)


def test_a_folder_that_cannot_be_written_is_named(finished, tmp_path):
    run, taken, picture = finished["run"], tmp_path / "taken", tmp_path / "image.png"
    taken.write_text("a file where a folder is to be", encoding="utf-8")
    Image.fromarray(IMAGES[0]).save(picture)
    for write in (lambda: run.export(taken, ["saved_model"]), lambda: run.predict([str(picture)], taken)):
        with pytest.raises(UserError, match=r"taken.* cannot be written: .*\n  Another folder: output=…"):
            write()


def test_a_part_by_its_name_is_the_fields(tmp_path):
    run = Run(config(), workdir=tmp_path, model="unet", loss="dice", optimizer="sgd", schedule="poly", data="nuclei")
    assert (run.config.model.name, run.config.loss.name, run.config.data.source) == ("unet", "dice", "nuclei")
    assert (run.config.optimizer.name, run.config.optimizer.schedule, run.parts.names()) == ("sgd", "poly", {})
    assert len(run.data.train) == 150


def test_a_loop_of_ones_own_trains_the_same_bits(finished, tmp_path):
    run = Run(config(), workdir=tmp_path, model=small, data=(IMAGES, LABELS))
    assert run.resume() == 0
    for batch in training_batches(run.data.train, run.config, start_step=0, steps=8):
        batch = {key: value.numpy() for key, value in batch.items()}
        report = run.step(batch if run.current_step % 2 else {key: batch[key] for key in ("image", "label")})
    assert run.current_step == 8 and np.isfinite(float(report["loss"])) and "gradient_norm" in report
    whole = finished["run"]
    assert alike(weights(run), weights(whole))
    assert alike([v.numpy() for v in run.state.averages], [v.numpy() for v in whole.state.averages])
    scores = run.evaluate(checkpoint=None)
    assert scores.score("mean_dice") == pytest.approx(finished["result"].scores["mean_dice"], abs=1e-9)
    run.save()
    run.saver.wait()
    assert Run(config(), workdir=tmp_path, model=small, data=(IMAGES, LABELS)).resume() == 8


def test_a_loop_of_ones_own_without_data_goes_on_where_it_was(tmp_path):
    batches = [{"image": IMAGES[i : i + 4, ..., None], "label": LABELS[i : i + 4]} for i in (0, 4, 8, 12)]

    def make(workdir, **changes):
        return Run(config(**changes), workdir=tmp_path / workdir, model=small)

    whole, parts = make("whole"), make("parts")
    for batch in batches:
        whole.step(batch)
    for batch in batches[:2]:
        parts.step(batch)
    parts.save()
    parts.saver.wait()
    with pytest.raises(UserError, match=r"is in use by process "):
        WorkdirLock(str(tmp_path / "parts"))
    before, parts = parts, make("parts")
    for batch in batches[parts.resume() :]:
        parts.step(batch)
    with pytest.raises(UserError, match="Another Run of this process has taken over the workdir"):
        before.step(batches[0])
    assert parts.current_step == 4 and parts.config.data.channels == 1 and len(parts.config.data.classes) == 2
    assert alike(weights(parts), weights(whole))
    with pytest.raises(UserError, match=r"takes the global batch.*batch_size=4.*image \[3, 16, 16, 1\]"):
        parts.step({key: value[:3] for key, value in batches[0].items()})
    with pytest.raises(UserError, match="no validation examples"):
        parts.evaluate()
    run = Run(config(), workdir=tmp_path / "strange", model=small, data=(IMAGES, LABELS))
    strange = {"image": np.zeros((4, 16, 16, 3), "float32"), "label": batches[0]["label"] + 6}
    with pytest.raises(
        UserError, match=r"(?s)1\. image is \[4, 16, 16, 3\].*2\. label holds 6, 7; the classes are 0\.\.1"
    ):
        run.step(strange)
    for label, message in (
        (LABELS[:4, :8], r"label is \[4, 8, 16\] and image \[4, 16, 16, 1\]"),
        (LABELS[:4] + 0.5, "label has fractions"),
    ):
        with pytest.raises(UserError, match=message):
            run.step({"image": IMAGES[:4, ..., None], "label": label})
    with pytest.raises(UserError, match="label is missing: it has image"):
        run.step({"image": batches[0]["image"]})
    with pytest.raises(UserError, match='train.length="2 epochs".*the batches of run.step'):
        make("epochs", train={"length": "2 epochs"}).step(batches[0])
    masks = {"image": batches[0]["image"], "label": 255 * LABELS[:4]}
    for data in ((IMAGES, 255 * LABELS), None):
        run = Run(config(), workdir=tmp_path / "masks", model=small, data=data)
        with pytest.raises(
            UserError, match=r"label holds 255 at .*: void in a batch, and class 1 .*Data\(void_id=254\)"
        ):
            run.step(masks)
    started = make("started", checkpoint={"warm_start": str(tmp_path / "parts")}, optimizer={"learning_rate": 1e-9})
    started.step(batches[0])
    with before.averaged():
        pairs = zip(started.state.trainable, before.state.trainable, strict=True)
        assert all(np.allclose(found.numpy(), wanted.numpy(), atol=1e-6) for found, wanted in pairs)
    other = make("parts", optimizer={"learning_rate": 1.0})
    other.resume()
    with pytest.raises(UserError, match="config.optimizer.learning_rate") as refused:
        other.step(batches[0])
    assert "Run(…, force=True)" in str(refused.value) and "--" not in str(refused.value)


def stream():
    examples = tf.data.Dataset.from_tensor_slices({"image": IMAGES[:16], "label": LABELS[:16]})
    return examples.shuffle(16, seed=1, reshuffle_each_iteration=False)


def noisy(example, random):
    example["image"] += random.normal(0, 5, example["image"].shape).astype("float32")
    return example


def test_an_action_ends_the_run_for_good_and_the_end_is_called_once(tmp_path):
    called = []

    def enough(run, step):
        return f"enough at step {step}" if step >= 4 else None

    def at_end(run, step):
        called.append((step, run.scores_step, run.memory.setdefault("times", 0)))
        run.memory["times"] += 1

    def make(**changes):
        actions = [("end", at_end), ("evaluation", enough)]
        return Run(config(), workdir=tmp_path, model=small, data=(IMAGES, LABELS), actions=actions, **changes)

    first, second = make().train(), make().train()
    assert (first.step, first.reason) == (second.step, second.reason) == (4, "enough at step 4")
    assert not first.stopped and called == [(4, 4, 0)]
    # Meant to go on: `force`. The action, which would be asked at the next evaluation, ends it there.
    assert make(force=True).train().step == 8 and called == [(4, 4, 0), (8, 8, 1)]


def test_a_killed_run_on_a_stream_goes_on_exactly_with_what_actions_remember(tmp_path):
    def count(run, step):
        seen = run.memory.setdefault("seen", [])
        seen.append([step, round(run.report["loss"], 6)])
        if step == 6:
            run.rate_factor = 0.5

    def make(workdir, killed=False):
        def kill(run, step):
            raise KeyboardInterrupt

        data = {"train": stream(), "validation": (IMAGES[16:], LABELS[16:])}
        actions = [(2, count), *([(5, kill)] if killed else [])]
        return Run(config(), workdir=tmp_path / workdir, model=small, data=data, augment=[noisy], actions=actions)

    whole, killed = make("whole"), make("parts", killed=True)
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    resumed = make("parts")
    resumed.train()
    assert alike(weights(resumed), weights(whole)) and resumed.rate_factor == whole.rate_factor == 0.5
    assert resumed.memory == whole.memory and [step for step, _ in resumed.memory["seen"]] == [2, 4, 6, 8]


class Players(Task):
    phases = (
        Phase(name="critic", terms=("judge",), models=("critic",), optimizer=keras.optimizers.Adam(1e-2)),
        Phase(name="painter", terms=("paint",), models=("painter",), optimizer="sgd"),
    )

    def __init__(self):
        image = keras.Input((None, None, 3))
        x = keras.layers.BatchNormalization(synchronized=True)(image / 128)
        self.painter = keras.Model(image, keras.layers.Conv2D(1, 3, padding="same")(x))
        picture = keras.Input((None, None, 1))
        x = keras.layers.Conv2D(4, 3, activation="tanh")(picture)
        self.critic = keras.Model(picture, keras.layers.Conv2D(1, 1)(x))

    def losses(self, batch, training):
        target = tf.cast(batch["label"] == 1, tf.float32)[..., None]
        painted = self.painter(batch["image"], training=training)
        real, fake = self.critic(target, training=training), self.critic(painted, training=training)
        return {
            "judge": tf.reduce_mean(tf.nn.softplus(-real) + tf.nn.softplus(fake)),
            "paint": tf.reduce_mean(tf.nn.softplus(-fake)) + tf.reduce_mean(tf.abs(painted - target)),
        }


class Thrice(Players):
    """The painter moves at every third step alone, and the critic with other terms of its own."""

    phases = (Players.phases[0], dataclasses.replace(Players.phases[1], every=3))


@pytest.mark.slow
def test_phases_mean_the_same_on_two_replicas():
    data = runs.batches(4)
    changes = runs.tiny(train={"accumulate": 1})
    single, double = (runs.make(changes, n, task=Thrice).run(data) for n in (1, 2))
    assert runs.distance(single.weights(), double.weights()) < 1e-5
    found = single.totals.read()
    assert found["loss"] == pytest.approx(found["loss/judge"] + found["loss/paint"])
    assert found["gradient_norm/critic"] > 0 and found["gradient_norm/painter"] > 0
    assert [int(update.optimizer.iterations.numpy()) for update in single.state.updates] == [4, 1]


def test_a_phase_of_every_third_step_moves_there_alone(tmp_path):
    reports = []

    class Watched(Thrice):
        def __init__(self):
            super().__init__()
            self.painter.layers[-1].bias.assign([0.5])

    def watch(run, step):
        weights = [w.numpy() for w in run.task.painter.trainable_variables]
        reports.append((run.report, weights))

    section = config(train={"length": "7 steps", "batch_size": 2, "log_every": "1 steps"})
    data = (np.repeat(IMAGES[..., None], 3, axis=-1), LABELS)
    run = Run(section, workdir=tmp_path, task=Watched, data=data, actions=[(1, watch)])
    run.train()
    moved = [
        any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
        for (_, before), (_, after) in itertools.pairwise(reports)
    ]
    assert moved == [False, True, False, False, True, False]  # steps 2 to 7: at 3 and 6
    for step, (report, _) in enumerate(reports, 1):
        assert ("loss/paint" in report) == (step % 3 == 0) == ("gradient_norm/painter" in report)
        assert report["loss"] == pytest.approx(report["loss/judge"] + report.get("loss/paint", 0.0), rel=1e-5)
    streak = run.state.zero_streak.numpy()
    assert not streak.any()  # a step without a part in it is no gradient of zero
    # The rate goes by the phase's own updates: three of them in seven steps, to the end of the schedule.
    assert run.state.updates[1].optimizer.iterations.numpy() == 2


def test_terms_that_two_phases_share_are_reported_once(tmp_path):
    class Rates(Task):
        """Encoder and decoder at rates of their own: both phases minimise the one term."""

        phases = (
            Phase(name="slow", models=("encoder",), optimizer=keras.optimizers.SGD(0.0)),
            Phase(name="fast", models=("decoder",), optimizer=keras.optimizers.SGD(0.0)),
        )

        def __init__(self):
            image = keras.Input((None, None, 1))
            self.encoder = keras.Model(image, keras.layers.Conv2D(2, 1, activation="tanh")(image / 255))
            features = keras.Input((None, None, 2))
            output = keras.layers.Conv2D(1, 1, kernel_regularizer=keras.regularizers.L2(0.1))(features)
            self.decoder = keras.Model(features, output)

        def losses(self, batch, training):
            found = self.decoder(self.encoder(batch["image"], training=training), training=training)
            return {"level": tf.reduce_mean(tf.square(found - 1.0))}

    run = Run(config(), workdir=tmp_path, task=Rates, data=(IMAGES, LABELS))
    report = {name: float(value) for name, value in run.step({"image": np.ones((4, 16, 16, 1), np.float32)}).items()}
    ones = np.ones((4, 16, 16, 1), np.float32)
    level = float(run.task.losses({"image": ones}, False)["level"])
    penalty = float(run.task.decoder.losses[0])
    assert report["loss/level"] == pytest.approx(level, rel=1e-5)
    assert report["loss/penalties/fast"] == pytest.approx(penalty, rel=1e-5)
    assert report["loss"] == pytest.approx(level + penalty, rel=1e-5)


def test_phases_with_wrong_names_are_named_before_the_first_step(tmp_path):
    class Wrong(Players):
        phases = (Phase(name="a", models=("painer",)), Phase(name="a", models=("critic", "judge"), every=0))

    class WrongTerm(Players):
        phases = (Phase(name="a", terms=("judges",), models=("critic",)),)

    with pytest.raises(UserError) as raised:
        Run(config(), workdir=tmp_path, task=Wrong, data=(IMAGES, LABELS)).train()
    for word in ("trains 'painer'", "trains 'judge'", "painter, critic", "two phases are called 'a'", "every=0"):
        assert word in str(raised.value)
    colour = np.repeat(IMAGES[..., None], 3, axis=-1)
    with pytest.raises(UserError, match="gave judge, paint, and the phase 'a' minimises judges"):
        Run(config(), workdir=tmp_path, task=WrongTerm, data=(colour, LABELS)).train()
    with pytest.raises(UserError, match="also needs width"):
        Run(config(), workdir=tmp_path, task=lambda width: None, data=(IMAGES, LABELS)).train()


class Picture(Task):
    """One term, given as a tensor; of data without classes, with the model that the run names."""

    def __init__(self, model):
        self.model = model

    def losses(self, batch, training):
        return tf.reduce_mean(tf.abs(self.model(batch["image"], training=training)[..., 0] - batch["label"]))

    def predict(self, batch):
        return self.model(batch["image"])[..., 0]


def test_a_task_of_data_without_classes_gets_a_model_of_one_plane(tmp_path):
    def error(label, prediction, weight):
        return float(weight * np.abs(label - prediction).mean())

    data = {"image": IMAGES, "label": (0.7 * LABELS).astype("float32"), "weight": np.full(20, 2.0, "float32")}
    short = config(train={"length": "2 steps"}, evaluate={"metric": "error", "best": "lowest"})
    run = Run(short, workdir=tmp_path, model=small, data=data, task=Picture, metrics={"error": error})
    result = run.train()
    assert run.task.model.output_shape[-1] == 1
    assert result.best_score == pytest.approx(2 * result.scores["loss"], rel=1e-5)
    assert run.predict(IMAGES[:2])[1].shape == (16, 16)
    with pytest.raises(UserError, match=r"one image alone: write a list, \[image\]"):
        run.predict(IMAGES[0][..., None])
    with pytest.raises(UserError, match=r"images\[0\] is \[16, 16, 3\], .*: an image is \[height, width, 1\]"):
        run.predict(np.zeros((2, 16, 16, 3), "uint8"))
    with pytest.raises(UserError, match=r"images\[0\] is \[0, 16, 1\], images\[1\] holds values that are NaN"):
        run.predict([np.zeros((0, 16, 1)), np.full((16, 16), np.nan)])
    with pytest.raises(UserError, match="the metric error takes spacing, and there is classes, image, label"):
        Run(
            short,
            workdir=tmp_path,
            model=small,
            data=data,
            task=Picture,
            metrics={"error": lambda label, prediction, spacing: 0.0},
        ).train()


def test_void_in_a_loss_of_class_ids_is_named(tmp_path):
    class Careless(Picture):
        def losses(self, batch, training):
            logits = self.model(batch["image"], training=training)
            return {"ids": tf.nn.sparse_softmax_cross_entropy_with_logits(batch["label"], logits)}

    void = np.where(np.arange(16) < 2, 255, LABELS)
    with pytest.raises(UserError, match=r"(?s)labels hold 255.*\[0, 2\).*255 is void.*known = tf.cast\(label != 255"):
        Run(config(), workdir=tmp_path, model=small, data=(IMAGES, void), task=Careless).train()


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ([print], ["actions[0] is <built-in", "write a pair"]),
        (print, ["write a list of pairs"]),
        ([("evaluations", print), (0, print)], ['Did you mean "evaluation"?', "actions[1]: 0 is never"]),
        ([(10, 3)], ["actions[0]", "cannot be called"]),
    ],
)
def test_actions_that_are_none(actions, words):
    with pytest.raises(UserError) as raised:
        Run(config(), actions=actions)
    for word in words:
        assert word in str(raised.value)


def test_what_the_compiled_step_does_not_see_is_said(tmp_path):
    run, logged = Run(config(), workdir=tmp_path, model=small, data=(IMAGES, LABELS)), []
    task, model = run.task, run.task.model
    task.alpha, task.traced = 0.0, 0
    compiled = CompiledWith(run.state, logged.append)
    compiled.before_call()
    task.traced += 1  # by what is called while tracing
    compiled.after_call()
    compiled.before_call()
    task.alpha = 1.0
    compiled.before_call()
    compiled.before_call()
    assert len(logged) == 1 and "run.task.alpha was 0.0 when the step was compiled and is 1.0 now" in logged[0]
    task.model, model.layers[-1].trainable = small(), False
    with pytest.raises(UserError) as raised:
        compiled.before_call()
    text = str(raised.value)
    assert "run.task.model is another model than the one that is trained" in text and "set_weights(" in text
    assert "/kernel is False, and was True, and 1 more)" in text and "Checkpoint(warm_start=…)" in in_python(text)


ALPHA = keras.Variable(0.5, trainable=False, name="alpha")


def ramped(y_true, y_pred):
    return ALPHA * (y_true - y_pred) ** 2


class Ramped(keras.losses.Loss):
    def __init__(self):
        super().__init__()
        self.beta = keras.Variable(0.5, trainable=False, name="beta")

    def call(self, y_true, y_pred):
        return self.beta * (y_true - y_pred) ** 2


class OfALoss(Task):
    def __init__(self, model):
        self.model, self.loss = model, Ramped()

    def losses(self, batch, training):
        return {"loss": self.loss(0.0, self.model(batch["image"]))}


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        ({"loss": ramped}, "loss/alpha"),
        ({"loss": Ramped}, "loss/beta"),
        ({"task": OfALoss}, "model/loss/beta/beta"),
    ],
)
def test_what_a_loss_reads_is_in_the_checkpoints(tmp_path, parts, path):
    run = Run(config(), workdir=tmp_path, model=small, data=(IMAGES, LABELS), **parts)
    assert float(run.state.variables_by_path()[path]) == 0.5


def test_what_no_checkpoint_would_hold_is_named():
    kept = {"a": [1, np.float32(2), "x", None, (True, 0.5)], "b": {}}
    assert unsaved(kept) == "" and unsaved({"a": [{"b": np.inf}]}) == "inf in run.memory['a'][0]['b']"
    assert unsaved({"a": {3: 1}}) == "the key 3, of type int, in run.memory['a']"
    assert unsaved({"a": np.zeros(2)}) == "a value of type ndarray in run.memory['a']"


def test_training_inside_training_is_refused(tmp_path):
    run = Run(config(), workdir=tmp_path, model=small, data=(IMAGES, LABELS))
    with holding(run), pytest.raises(UserError, match=r"run.train\(\) is at work already"):
        run.train()


def test_runs_that_are_built_in_threads_are_those_of_their_seeds(tmp_path):
    def built(seed):
        run = Run(config(seed=seed), workdir=tmp_path / str(seed), model=small, data=(IMAGES, LABELS))
        found[seed] = weights(run)

    found: dict[int, list] = {}
    for seed in (1, 2):
        built(seed)
    alone, found = found, {}
    threads = [threading.Thread(target=built, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(alike(found[seed], alone[seed]) for seed in (1, 2))


def test_data_of_another_kind_than_the_config_says_win(tmp_path):
    """Classes and channels come from the data, a name for the run from nowhere; what is named in the config stays."""
    named = config(name="mine", data={"classes": ("ground", "disc")}, model={"width": 4, "depth": 1})
    run = Run(named, workdir=tmp_path, data=(IMAGES, LABELS))
    assert run.data.classes == ("ground", "disc") and run.config.data.channels == 1 and run.config.name == "mine"
    assert isinstance(run.config.data, Data) and isinstance(run.config.model, Model)
    assert "mine" in run.describe() and "tuple: 16 training and 4 validation images" in run.describe()

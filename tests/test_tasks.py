"""Tasks as users write them: a frozen teacher, odd sizes, several results, models in lists, a phase as an argument."""

import copy
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Augment, Checkpoint, Config, Data, Evaluate, Train
from trainer import Phase, Run, Task, UserError
from trainer.evaluation.best_score import check_terms
from trainer.evaluation.own_metrics import build_metrics
from trainer.stepping.state import task_variables
from trainer.stepping.task import Examples, Outcome, build_task, terms_of
from trainer.stepping.unsaved_random_state import unsaved_draws

RANDOM = np.random.default_rng(0)
LABELS = (RANDOM.uniform(size=(10, 12, 12)) < 0.3).astype("uint8")
IMAGES = (RANDOM.normal(90, 20, LABELS.shape) + 60 * LABELS).clip(0, 255).astype("uint8")
CONFIG = Config(
    train=Train(length="2 steps", batch_size=4),
    # No multiple of what the configured U-Net needs, which this task does not use.
    augment=Augment(crop=(12, 12)),
    evaluate=Evaluate(every="1 steps", metric="bright"),
)


def pixels(width=2):
    image = keras.Input((None, None, 1))
    return keras.Model(image, keras.layers.Conv2D(width, 1)(image / 64))


class Distilled(Task):
    phases = (Phase(name="soft", terms=("near",), models=("student",)), Phase(name="whole", terms=("mean",)))

    def __init__(self):
        self.student, self.teacher = pixels(), pixels()
        self.teacher.trainable = False
        # Needs the size while it is traced.
        self.head = keras.Sequential([keras.Input((12 * 12 * 2,)), keras.layers.Dense(3)])

    def losses(self, batch, training, phase):
        found = self.student(batch["image"], training=training)
        if phase == "soft":
            return {"near": tf.reduce_mean((found - self.teacher(batch["image"])) ** 2)}
        assert phase == "whole"
        return {"mean": tf.reduce_mean(self.flat(found) ** 2)}

    def flat(self, found):
        return self.head(tf.reshape(found, [-1, found.shape[1] * found.shape[2] * 2]))

    def predict(self, batch):
        found = self.student(batch["image"], training=False)
        return {"bright": found[..., 0] > 0, "three": self.flat(found)}


def zero(label, prediction):
    return 0.0


@pytest.fixture(scope="module")
def distilled(tmp_path_factory):
    def bright(label, prediction):
        assert label.shape == (12, 12) and prediction["three"].shape == (3,)
        return prediction["bright"].mean()

    def make():
        return Run(CONFIG, workdir=workdir, task=Distilled, data=(IMAGES, LABELS), metrics={"bright": bright})

    workdir = tmp_path_factory.mktemp("distilled")
    run = make()
    teacher = run.task.teacher.get_weights()
    return run, teacher, run.train(), make


def test_a_frozen_teacher_stays_as_it_is_and_its_student_learns(distilled):
    run, teacher, result, _ = distilled
    assert result.step == 2
    assert all(np.array_equal(a, b) for a, b in zip(teacher, run.task.teacher.get_weights(), strict=True))
    assert not np.array_equal(run.task.student.get_weights()[0], Distilled().student.get_weights()[0])


def test_what_learns_in_a_phase_has_to_be_trainable(tmp_path):
    class Frozen(Distilled):
        phases = (Phase(name="soft", terms=("near",), models=("teacher",)),)

    with pytest.raises(UserError, match="none of them is trainable"):
        Run(CONFIG, workdir=tmp_path, task=Frozen, data=(IMAGES, LABELS), metrics={"bright": zero}).train()


def test_terms_of_every_phase_are_scored(distilled):
    _, _, result, _ = distilled
    assert set(result.scores) == {"loss", "loss/near", "loss/mean", "bright"}
    assert result.scores["loss"] == pytest.approx(result.scores["loss/near"] + result.scores["loss/mean"])


def test_a_prediction_may_be_a_mapping(distilled):
    run, _, result, _ = distilled
    found = run.predict(IMAGES)
    assert found["bright"].shape == IMAGES.shape and found["three"].shape == (10, 3)
    assert run.predict(list(IMAGES))[3]["three"].shape == (3,)
    held_out = [int(name[5:-1]) for name in run.data.validation.names]
    assert result.scores["bright"] == pytest.approx(run.predict(IMAGES[held_out], checkpoint=None)["bright"].mean())


def test_a_run_that_had_ended_gives_its_scores_again(distilled):
    _, _, result, make = distilled
    assert dict(make().train().scores) == pytest.approx(dict(result.scores))


class Mapped(Task):
    """Its first model takes no images; nothing asks for what it predicts."""

    def __init__(self):
        self.mapping = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        self.pixels = pixels(3)

    def losses(self, batch, training):
        return {"mapped": tf.reduce_mean(self.mapping(tf.reduce_mean(self.pixels(batch["image"]), [1, 2])) ** 2)}


def test_predict_is_needed_where_it_is_asked_for_alone(tmp_path):
    run = Run(CONFIG, workdir=tmp_path, task=Mapped, data={"image": IMAGES}, metrics={"bright": zero})
    with pytest.raises(
        UserError, match=r"(?s)the task Mapped, which has none of its own, and its first model, mapping"
    ):
        run.train()
    by_loss = Config(train=CONFIG.train, augment=CONFIG.augment)
    assert Run(by_loss, workdir=tmp_path, task=Mapped, data={"image": IMAGES}).train().scores["loss"] >= 0


def test_the_crop_is_judged_where_a_task_takes_the_configured_model(tmp_path):
    class Plain(Task):
        def __init__(self, model):
            self.model = model

    run = Run(Config(augment=CONFIG.augment), workdir=tmp_path, task=Plain, data=(IMAGES, LABELS))
    with pytest.raises(UserError, match=r"Augment\(crop=\(16, 16\)\)"):
        run.describe()


class Contrast(Task):
    """Models and a variable in a list and a mapping; random views, by a generator that is saved."""

    def __init__(self):
        self.heads = [pixels(), pixels()]
        self.scales = {"first": keras.Variable(1.0, name="scale")}
        self.seeds = keras.random.SeedGenerator(3)

    def losses(self, batch, training):
        view = batch["image"] + keras.random.normal(tf.shape(batch["image"]), stddev=20.0, seed=self.seeds)
        first, second = (head(view, training=training) for head in self.heads)
        far = tf.reduce_mean((first - self.scales["first"] * second - 1.0) ** 2)
        return {"far": far}, {"twice": 2.0 * far}

    def predict(self, batch):
        return [head(batch["image"]) for head in self.heads]


@pytest.fixture(scope="module")
def contrasts(tmp_path_factory):
    def make(name):
        config = Config(
            train=Train(length="4 steps", batch_size=4, steps_per_call=1),
            augment=CONFIG.augment,
            evaluate=Evaluate(every="3 steps"),
            checkpoint=Checkpoint(every="1 steps"),
        )
        return Run(config, workdir=folder / name, task=Contrast, data={"image": IMAGES})

    folder = tmp_path_factory.mktemp("contrasts")
    whole, stopped = make("whole"), make("parts")
    whole.train()
    stopped.train(stop=lambda: stopped.current_step >= 2)
    resumed = make("parts")
    resumed.train()
    return whole, resumed


def test_what_a_task_holds_in_lists_is_trained_and_saved_and_its_random_numbers_go_on(contrasts):
    whole, resumed = contrasts
    found = [{path: v.numpy() for path, v in task_variables(run.task).items()} for run in contrasts]
    assert {path.rpartition("/")[0] for path in found[0]} >= {"model/heads/0/conv2d", "model/heads/1/conv2d_1"}
    assert all(np.array_equal(found[0][path], found[1][path]) for path in found[0])
    assert float(resumed.task.scales["first"].value) != 1.0


def test_what_is_watched_is_reported_and_scored_and_not_minimised(contrasts):
    whole, _ = contrasts
    assert whole.report["twice"] == pytest.approx(2 * whole.report["loss"], rel=1e-5)
    assert whole.scores.score("twice") == pytest.approx(2 * whole.scores.loss, rel=1e-5)
    assert set(whole.scores.terms) == {"far"}


def test_a_task_is_exported_as_what_it_predicts(contrasts, tmp_path):
    whole, _ = contrasts
    lines = whole.export(tmp_path, formats=["saved_model", "litert"])
    assert len(lines) == 2 and "equal to Contrast.predict within" in lines[0]
    image = IMAGES[:1, ..., None].astype("float32")
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    found = loaded.serve(image)
    for name, wanted in zip(("output_0", "output_1"), whole.predict(IMAGES[:1]), strict=True):
        assert np.allclose(found[name], wanted, atol=1e-5)
    with pytest.raises(UserError, match="litert_int8: .*Contrast is no segmentation"):
        whole.export(tmp_path, formats=["litert_int8"])
    with pytest.raises(UserError, match="Contrast is no segmentation: read the images into arrays"):
        whole.predict(["photos/"])


def test_draws_that_no_checkpoint_holds_are_named():
    @tf.function
    def views(image):
        return image + tf.random.normal(tf.shape(image))

    graph = views.get_concrete_function(tf.TensorSpec([2, 2])).graph
    text = unsaved_draws(graph.get_operations())
    assert "test_tasks.py:" in text and "image + tf.random.normal(tf.shape(image))" in text
    assert "keras.random.SeedGenerator" in text
    assert unsaved_draws([op for op in graph.get_operations() if "Random" not in op.type]) == ""


def test_metrics_of_a_task_look_at_its_examples(tmp_path):
    def count(confusion):
        return 0.0

    with pytest.raises(
        UserError, match=r"count has one parameter, the confusion counts, .*def count\(label, prediction\)"
    ):
        Run(CONFIG, workdir=tmp_path, task=Mapped, data={"image": IMAGES}, metrics={"count": count}).describe()


def test_segmentation_without_labels_is_named(tmp_path):
    by_loss = Config(train=CONFIG.train, augment=CONFIG.augment)
    run = Run(by_loss, workdir=tmp_path, model=pixels, data={"image": IMAGES})
    with pytest.raises(UserError, match="examples have no label, and segmentation learns from class ids"):
        run.describe()


def _task(**attributes):
    return type("Odd", (Mapped,), attributes)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (int, "task=int is a class, and no trainer.Task: write class int(Task)"),
        (type, "task=type is a class"),
        (pixels(), "is of type Functional: pass a Task"),
        (lambda: None, "gave NoneType, not a trainer.Task"),
        (_task(__init__=lambda self, model: self.nothing), "has no attribute 'nothing'\n    (_task(__init__"),
        (_task(losses=3), "it has no losses(self, batch, training)"),
        (_task(predict=3), "write def predict(self, batch)"),
        (_task(phases=None), "phases = (Phase(…),)"),
        (_task(losses=Task.losses), "it has no losses(self, batch, training)"),
        (_task(losses=lambda self, batch: {}), "is called as losses(batch, training)"),
        (_task(predict=lambda self: {}), "is called as predict(batch)"),
        (_task(after_update=lambda self, step: None), "after_update(step) is called as after_update()"),
        (_task(phases=Phase(name="a")), "phases = (Phase(…),)"),
        (_task(phases=(Phase(name="a", models="mappping"),)), "trains 'mappping', and the task has mapping, pixels"),
        (_task(__init__=lambda self: vars(self).update(a=[tf.Variable(1.0)], m=pixels())), "self.a/0 is a tf.Variable"),
        (
            _task(__init__=lambda self: vars(self).update(g=tf.random.Generator.from_seed(1), m=pixels())),
            "self.g = keras.random.SeedGenerator(0)",
        ),
    ],
)
def test_tasks_that_cannot_be_trained(task, words):
    with pytest.raises(UserError) as raised:
        build_task(task, config=CONFIG, data=None, model=pixels)
    assert words in str(raised.value)


def test_a_phase_says_what_it_does_not_take():
    with pytest.raises(UserError, match=r"(?s)Phase has no 'model'. Did you mean models\?.*2. A phase has a name"):
        Phase(model=("critic",))
    assert copy.copy(Phase(name="a", terms="b")) == dataclasses.replace(Phase(name="a"), terms=("b",))


def test_a_term_that_no_phase_minimises_is_no_term():
    task = _task(phases=(Phase(name="a", terms="far"),))()
    outcome = Outcome({"far": tf.constant(1.0), "near": tf.constant(2.0)})
    with pytest.raises(UserError, match="Odd.losses gave far, near, and no phase minimises near"):
        terms_of(outcome, task.phases[0], task)
    task.phases = (*task.phases, Phase(name="all"))
    assert list(terms_of(outcome, task.phases[0], task)) == ["far"]


def test_the_score_that_decides_is_one_of_the_tasks_and_each_has_a_name_of_its_own():
    metrics = build_metrics({"bright": lambda label, prediction: 0.0, "far": lambda label, prediction: 0.0})
    with pytest.raises(UserError) as raised:
        check_terms("brigth", ["far"], ["sure"], metrics)
    text = str(raised.value)
    assert "far is the name of a metric and of a term" in text and "Did you mean bright?" in text
    check_terms("loss/far", ["far"], ["sure"], metrics[:1])


class Constant(Task):
    def __init__(self):
        self.model = pixels()

    def losses(self, batch, training):
        return {"far": 0.5, "near": np.float32(1.5)}


def test_terms_that_are_numbers_of_python_are_named_with_the_users_line():
    with pytest.raises(UserError, match=r"Constant\.losses \(.*test_tasks\.py:\d+\) gave 'far': 0\.5, 'near': "):
        task = Constant()
        terms_of(task.outcome({}, True), None, task)


@pytest.mark.parametrize("loss", ["dice", zero])
def test_a_loss_or_a_model_that_a_task_does_not_read_is_refused(tmp_path, loss):
    data = (np.zeros((4, 12, 12), "uint8"), np.eye(12, dtype="uint8")[None].repeat(4, 0))
    with pytest.raises(UserError, match=r"(?s)1\. loss=.* is not read: the task Constant.*2\. model=.* is not read"):
        Run(CONFIG, workdir=tmp_path, task=Constant, loss=loss, model=pixels, data=data).task  # noqa: B018

    def with_config(config, model):
        return Constant()

    assert Run(CONFIG, workdir=tmp_path, task=with_config, loss="dice", model=pixels, data=data).task


def test_a_key_that_a_batch_has_not_is_answered_with_those_that_it_has():
    batch = Examples(image=1, label=2, index=3)
    assert batch["image"] == 1 and batch.get("x") is None and "x" not in batch
    with pytest.raises(UserError, match="has no 'lable': it has image, label, and index. Did you mean label?"):
        batch["lable"]


class Conditional(Task):
    """Python's own `if` and `for` on tensors, in what the step calls and in what that calls."""

    def __init__(self):
        self.model = pixels()
        self.seen = keras.Variable(0.0, trainable=False, name="seen")

    def losses(self, batch, training):
        square = tf.reduce_mean(self.model(batch["image"], training=training) ** 2)
        for power in tf.range(3):
            square += tf.cast(power, tf.float32)
        return {"square": doubled_above(square, 1.0)}

    def after_update(self):
        if self.seen.value < 1.0:
            self.seen.assign_add(1.0)


def doubled_above(value, limit):
    if value > limit:
        value = 2.0 * value
    return value


def test_autograph_serves_what_the_user_wrote():
    run = Run(dataclasses.replace(CONFIG, data=Data(channels=1)), task=Conditional)
    images = tf.cast(IMAGES[:4, ..., None], tf.float32)
    before = float(tf.reduce_mean(run.task.model(images) ** 2))
    reports = [run.step({"image": images}) for _ in range(2)]
    assert float(reports[0]["loss"]) == pytest.approx(2.0 * (before + 3.0), rel=1e-5)
    # Set after the first step, left alone after the second.
    assert float(run.task.seen.numpy()) == 1.0

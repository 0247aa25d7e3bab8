"""--extend: a run goes on with a class at the end, more examples, or for longer; what it had learned is kept."""

from __future__ import annotations

import numpy as np
import pytest

from configs.schema import Augment, Checkpoint, Config, Data, Evaluate, Model, Optimizer, Train
from trainer import Run
from trainer.errors import UserError


def images_and_labels(count: int, classes: int):
    random = np.random.default_rng(0)
    labels = (np.indices((16, 16))[1] * classes // 16).astype(np.uint8)
    images = np.repeat((labels * 60)[None, :, :, None], count, axis=0) + random.integers(0, 20, (count, 16, 16, 1))
    return images.astype(np.uint8), np.repeat(labels[None], count, axis=0)


def config_of(classes: int, length: int, **model) -> Config:
    return Config(
        data=Data(classes=tuple("abc")[:classes]),
        augment=Augment(crop=(16, 16), quarter_turns=False, flip_horizontal=False),
        model=Model(width=4, depth=1, **model),
        optimizer=Optimizer(learning_rate=1e-2, ema_decay=0.9),
        train=Train(length=f"{length} steps", batch_size=2),
        evaluate=Evaluate(every="100%"),
        checkpoint=Checkpoint(every="100%"),
    )


def test_a_class_and_examples_are_added_and_the_old_rows_kept(tmp_path):
    first = Run(config_of(2, 4), workdir=tmp_path, data=images_and_labels(4, 2))
    first.train()
    before = {path: np.array(v) for path, v in first.state.variables_by_path().items()}
    more = images_and_labels(7, 3)
    with pytest.raises(UserError, match=r"(?s)data.classes.*train.length.*with classes added at the end.*extend=True"):
        Run(config_of(3, 6), workdir=tmp_path, data=more).train()
    run = Run(config_of(3, 6), workdir=tmp_path, data=more, extend=True)
    result = run.train()
    assert result.step == 6 and set(result.scores) >= {"dice/a", "dice/b", "dice/c"}
    again = Run(config_of(3, 6), workdir=tmp_path, data=more)
    assert again.resume() == 6
    for path, array in before.items():
        value = again.state.variables_by_path()[path]
        assert tuple(value.shape) == array.shape or (value.shape[-1], array.shape[-1]) == (3, 2)


def test_what_grows_predicts_the_same_of_the_old_classes(tmp_path):
    data = images_and_labels(4, 2)
    first = Run(config_of(2, 20), workdir=tmp_path, data=data)
    first.train()
    old = np.asarray(first.task.model(data[0][:1].astype("float32")))
    run = Run(config_of(3, 30), workdir=tmp_path, data=images_and_labels(6, 3), extend=True)
    assert run.resume() == 20
    new = np.asarray(run.task.model(data[0][:1].astype("float32")))
    np.testing.assert_allclose(new[..., :2], old, atol=1e-6)
    assert (new[..., 2] < old.max(axis=-1)).all() and run.host.best_score is None


def test_what_is_no_extension_is_refused(tmp_path):
    Run(config_of(2, 2), workdir=tmp_path, data=images_and_labels(4, 2)).train()
    renamed = Config(**{**vars(config_of(2, 2)), "data": Data(classes=("b", "a", "c"))})
    with pytest.raises(UserError, match="data.classes: was"):
        Run(renamed, workdir=tmp_path, data=images_and_labels(4, 3), extend=True).train()
    with pytest.raises(UserError, match="the train split had 3 images, now 2"):
        Run(config_of(2, 4), workdir=tmp_path, data=images_and_labels(3, 2), extend=True).train()
    workdir = tmp_path / "one"
    Run(config_of(2, 2, outputs="sigmoid"), workdir=workdir, loss="dice", data=images_and_labels(4, 2)).train()
    with pytest.raises(UserError, match="one output for its two classes"):
        run = Run(config_of(3, 4), workdir=workdir, loss="dice", data=images_and_labels(4, 3), extend=True, force=True)
        run.train()

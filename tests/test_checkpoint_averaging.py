"""The mean of a run's last checkpoints: its weights, statistics of batch normalisation, and when it is kept."""

import numpy as np
import pytest

from configs.schema import Augment, Checkpoint, Config, Evaluate, Model, Train
from trainer import Run, UserError, checkpoint_averaging
from trainer.actions.norm_gap import norm_layers
from trainer.checkpoints import folder
from trainer.checkpoints.restore import weights_of
from trainer.data import training_batches

random = np.random.default_rng(0)
LABELS = (random.uniform(size=(8, 16, 16)) > 0.5).astype("uint8")
IMAGES = (random.normal(60, 5, (8, 16, 16)) + 80 * LABELS).astype("uint8")


def run_in(workdir) -> Run:
    config = Config(
        model=Model(width=2, depth=1, normalization="batch"),
        augment=Augment(crop=(16, 16)),
        train=Train(length="9 steps", batch_size=4),
        evaluate=Evaluate(panels=0, every="100%"),
        checkpoint=Checkpoint(every="3 steps", keep=3),
    )
    return Run(config, workdir=workdir, data=(IMAGES, LABELS))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = run_in(tmp_path_factory.mktemp("runs") / "a")
    run.train()
    return run


def test_the_mean_is_of_the_weights(trained):
    steps = [3, 6, 9]
    mean = checkpoint_averaging.mean_of(trained.workdir, steps)
    all_arrays = [weights_of(folder.read(folder.step_folder(trained.workdir, step))) for step in steps]
    assert mean.keys() == all_arrays[0].keys()
    for path, array in ((path, array) for path, array in mean.items() if array.dtype.kind == "f"):
        np.testing.assert_allclose(
            array, np.mean([arrays[path] for arrays in all_arrays], axis=0), rtol=1e-5, atol=1e-7
        )


def test_statistics_are_those_of_the_training_batches(trained):
    (layer, *_), model = norm_layers(trained.task.model), trained.task.model
    with trained.weights("latest"):
        checkpoint_averaging.take_statistics(trained, norm_layers(model))
        momentum, means = layer.momentum, layer.moving_mean.numpy()
        seen = []
        layer.momentum = 0.0
        for batch in training_batches(trained.data.train, trained.config, start_step=0, steps=2):
            model(batch["image"], training=True)
            seen.append(layer.moving_mean.numpy())
        layer.momentum = momentum
    assert momentum == 0.9
    np.testing.assert_allclose(means, np.mean(seen, axis=0), rtol=1e-4, atol=1e-5)


def test_it_is_kept_only_where_it_is_better(trained, monkeypatch, capsys):
    before = {path: array.copy() for path, array in weights_of(folder.find(trained.workdir, "latest")).items()}
    found = trained.average()
    singles = max(score for steps, score in found.scores.items() if len(steps) == 1)
    means = max(score for steps, score in found.scores.items() if len(steps) > 1)
    assert {(3,), (6,), (9,), (6, 9), (3, 6, 9)} <= found.scores.keys()
    assert bool(found.folder) == (means > singles)
    # As if a mean had been the best, and as if none had.
    scores = iter([0.1, 0.2, 0.3, *[0.9] * 9])
    make = checkpoint_averaging.make_evaluator

    def evaluator(*arguments, **options):
        evaluate = make(*arguments, **options)

        def scored():
            scores_found, pictures = evaluate()
            object.__setattr__(scores_found, "mean_dice", next(scores))
            return scores_found, pictures

        return scored

    monkeypatch.setattr(checkpoint_averaging, "make_evaluator", evaluator)
    kept = trained.average()
    assert kept.kept == (6, 9) and kept.folder.endswith("averaged") and "--mode" not in capsys.readouterr().out
    saved = folder.find(trained.workdir, "averaged")
    assert saved.host["averaged"] == [6, 9] and all(path.startswith("model/") for path in saved.arrays)
    monkeypatch.undo()
    assert trained.evaluate("averaged").images == trained.evaluate("latest").images
    # A run that goes on does not see it.
    assert folder.list_steps(trained.workdir) == [3, 6, 9]
    after = weights_of(folder.find(trained.workdir, "latest"))
    assert all((before[path] == after[path]).all() for path in before)
    scores = iter([0.9, 0.8, 0.8, *[0.1] * 9])
    monkeypatch.setattr(checkpoint_averaging, "make_evaluator", evaluator)
    assert not trained.average().kept and "none was kept" in capsys.readouterr().out
    with pytest.raises(UserError, match="There is no averaged checkpoint"):
        trained.evaluate("averaged")


def test_one_checkpoint_is_none_to_average(tmp_path):
    with pytest.raises(UserError, match=r"(?s)There are no checkpoints in .*Checkpoint\(keep=5, every="):
        run_in(tmp_path).average()


def test_the_workdir_of_folds_is_said_to_be_one(tmp_path):
    (tmp_path / "crossvalidation.json").write_text('{"folds": [{}, {}]}', encoding="utf-8")
    with pytest.raises(UserError, match=r"(?s)this is the workdir of a cross-validation.*fold_0"):
        run_in(tmp_path).average()

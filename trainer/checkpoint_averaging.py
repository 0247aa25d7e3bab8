"""`Run.average`: the mean of the weights of a run's last checkpoints, kept where it scores better than each of them.

Weights along the end of a run lie around a better place than any of them (Izmailov et al., 2018, "Averaging Weights
Leads to Wider Optima and Better Generalization"; Wortsman et al., 2022, "Model soups"). Statistics of batch
normalisation belong to the weights that they were taken with, so they are taken anew over training batches. Averages
while training (`optimizer.ema_decay`) do much the same step by step; where a run has them, those are averaged.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from configs.reading.folders import folds_of
from trainer import workdir
from trainer.actions.norm_gap import norm_layers
from trainer.checkpoints import folder as checkpoints
from trainer.checkpoints.restore import load_weights, weights_of
from trainer.data import training_batches
from trainer.errors import UserError
from trainer.evaluation.evaluator import make_evaluator
from trainer.reporting.memory.out_of_memory import explaining_memory
from trainer.reporting.terminal import table
from trainer.stepping.state import task_variables

# Training batches over which statistics of batch normalisation are taken.
_BATCHES = 50


@dataclasses.dataclass(frozen=True)
class Averaged:
    """The result of averaging.

    scores: steps -> score on the validation images; a single step is the checkpoint itself.
    kept: the steps whose mean is the averaged checkpoint; empty where none is better than the best single one.
    folder: of the averaged checkpoint, or "".
    """

    scores: Mapping[tuple[int, ...], float]
    kept: tuple[int, ...]
    folder: str


def average(run) -> Averaged:
    """Scores the checkpoints that a run has kept, and means of the newest and of the best of them.

    The best mean is written to <workdir>/checkpoints/averaged where it beats the best single checkpoint; else one that
    is there from before is removed.

    Raises:
      UserError: there are fewer than two checkpoints, no validation images, or batch normalisation on several replicas.
    """
    steps = checkpoints.list_steps(run.workdir)
    if folds_of(run.workdir):
        raise checkpoints.none_there(run.workdir)
    if len(steps) < 2:
        raise UserError(
            f"There {'is one checkpoint' if steps else 'are no checkpoints'} in {checkpoints.folder_of(run.workdir)}, "
            "and an average is of two or more.\n  Train with more: --config.checkpoint.keep=5 "
            "--config.checkpoint.every=5%"
        )
    if run.data.validation is None:
        raise UserError("There are no validation examples to say whether an average is better.")
    layers = [layer for model in run.task.models().values() for layer in norm_layers(model)]
    if layers and run.devices.replicas > 1:
        raise UserError(
            f"The network has {len(layers)} layers of batch normalisation, whose statistics are taken anew on one "
            "replica: --strategy=one"
        )
    with workdir.holding(run), run.weights("latest"), explaining_memory(run.config, "evaluation"):
        return _average(run, steps, layers)


def _average(run, steps: Sequence[int], layers: Sequence) -> Averaged:
    config = dataclasses.replace(run.config, evaluate=dataclasses.replace(run.config.evaluate, panels=0))
    evaluate = make_evaluator(run.task, run.data, config, run.strategy, metrics=run.metrics)
    sign = 1.0 if run.highest_is_best else -1.0
    scores: dict[tuple[int, ...], float] = {}
    best: tuple[tuple[int, ...], dict] = ((), {})

    def try_out(chosen: tuple[int, ...]) -> None:
        nonlocal best
        arrays = mean_of(run.workdir, chosen)
        load_weights(run.task, checkpoints.Saved(f"the mean of {chosen}", chosen[-1], arrays, {}))
        if len(chosen) > 1 and layers:
            take_statistics(run, layers)
            arrays = {path: np.array(variable.numpy()) for path, variable in task_variables(run.task).items()}
        scores[chosen] = evaluate()[0].score(run.metric)
        run.log(f"{_named(chosen)}: {run.metric} {scores[chosen]:.4f}")
        if len(chosen) > 1 and (not best[0] or sign * scores[chosen] > sign * scores[best[0]]):
            best = chosen, arrays

    for step in steps:
        try_out((step,))
    ranked = sorted(steps, key=lambda step: -sign * scores[step,])
    for count in range(2, len(steps) + 1):
        for chosen in (tuple(steps[-count:]), tuple(sorted(ranked[:count]))):
            if chosen not in scores:
                try_out(chosen)
    single, folder = (ranked[0],), ""
    better = sign * scores[best[0]] > sign * scores[single]
    problem = (
        f"The mean of {_named(best[0])} has {run.metric} {scores[best[0]]:.4f}, {_named(single)} {scores[single]:.4f}"
    )
    if run.devices.chief:
        if better:
            host = {"averaged": list(best[0]), "metric": run.metric, "score": scores[best[0]]}
            folder = checkpoints.write(run.workdir, best[0][-1], best[1], host, averaged=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(checkpoints.averaged_folder(run.workdir))
    rows = [[_named(chosen), f"{score:.4f}"] for chosen, score in scores.items()]
    run.log("\n" + table(["weights", run.metric], rows))
    if better:
        run.log(
            f"{problem}, on the {len(run.data.validation)} validation images that picked it: expect a little less on "
            f"others.\nWritten to {folder}: --checkpoint=averaged"
        )
    else:
        run.log(f"{problem}: no average is better, and none was kept.")
    return Averaged(scores, best[0] if better else (), folder)


def _named(steps: Sequence[int]) -> str:
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(map(str, steps))}"


def mean_of(workdir: str, steps: Sequence[int]) -> dict[str, np.ndarray]:
    """The mean weights of checkpoints, summed in float64, one in memory at a time; whole numbers are the last one's.

    Raises:
      UserError: they are of different models.
    """
    total: dict[str, np.ndarray] = {}
    for step in steps:
        saved = checkpoints.read(checkpoints.step_folder(workdir, step))
        arrays = weights_of(saved)
        if total and {p: a.shape for p, a in total.items()} != {p: a.shape for p, a in arrays.items()}:
            raise UserError(f"{saved.folder} holds another model than step {steps[0]}: they have no mean.")
        for path, array in arrays.items():
            floating = array.dtype.kind == "f"
            total[path] = array.astype(np.float64) + total.get(path, 0.0) if floating else array
        kinds = {path: array.dtype for path, array in arrays.items()}
    return {p: (a / len(steps)).astype(kinds[p]) if kinds[p].kind == "f" else a for p, a in total.items()}


def take_statistics(run, layers: Sequence) -> None:
    """Computes batch normalisation's means and variances anew over training batches, with the current weights.

    Every batch counts alike.
    """
    length = run.data.train.length
    size = run.config.train.batch_size
    count = _BATCHES if length is None else max(1, min(_BATCHES, -(-length // size)))
    forward = tf.function(lambda batch: run.task.losses(batch, training=True))
    moving = [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]
    sums = [np.zeros(variable.shape, np.float64) for variable in moving]
    with _keeping_nothing(layers):
        for batch in training_batches(run.data.train, run.config, start_step=0, steps=count):
            forward(batch)
            for total, variable in zip(sums, moving, strict=True):
                total += variable.numpy()
    for total, variable in zip(sums, moving, strict=True):
        variable.assign(total / count)


@contextlib.contextmanager
def _keeping_nothing(layers: Sequence[keras.layers.Layer]) -> Iterator[None]:
    """Inside, the statistics of a layer are those of the last batch alone."""
    before = [layer.momentum for layer in layers]
    try:
        for layer in layers:
            layer.momentum = 0.0
        yield
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum

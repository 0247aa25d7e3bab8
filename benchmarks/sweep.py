"""Does a sweep find better settings than random search in the same number of steps? On the nuclei at a quarter size.

    python -m benchmarks.sweep                    # some minutes
    python -m benchmarks.sweep --pool=60 --seeds=10

Swept are the learning rate, over four decades, and the loss. Random search trains settings drawn at random to their
end. A pool of such trials is trained once, with the scores at the pauses noted, and both random search and halving are
replayed on thousands of draws from it: since a trial that is paused and goes on is bit for bit one that never was, what
halving would have come to is known without training again. With TPE settings depend on scores, so that whole sweeps are
trained, one a seed. Who goes on and what is drawn are decided by the functions that a sweep asks.

For speed the step is compiled once for each loss and not for each trial: the rate is that of `Run.rate_factor`.
Compared is the score of the best trial that was trained to its end, the one that would be used, after equal steps.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile

import numpy as np
from PIL import Image

from configs.schema import Augment, Config, Evaluate, Loss, Model, Optimizer, Train
from configs.sweep import Sweep, between, one_of
from trainer import Run
from trainer.process import processor
from trainer.sweep import halving
from trainer.sweep.drawing import draw

STEPS, PAUSES, REDUCTION, SIDE, BATCH, RATE = 90, 2, 3, 64, 8, 0.01
RUNGS = halving.rungs(STEPS, PAUSES, REDUCTION)
LOSSES = ("dice", "cross_entropy", "dice+cross_entropy")
RANGES = {"optimizer.learning_rate": between(1e-4, 1.0, log=True), "loss.name": one_of(*LOSSES)}


def examples() -> dict[str, list]:
    """The nuclei at a quarter of their size, the middle of each: (image, mask) of 64 x 64."""
    from trainer.data import open_data

    data = open_data(Config())

    def small(example):
        def middle(array, how):
            picture = Image.fromarray(np.asarray(array))
            scale = max(1 / 4, SIDE / min(picture.size))
            size = [max(SIDE, round(side * scale)) for side in picture.size]
            left, top = ((side - SIDE) // 2 for side in size)
            return np.asarray(picture.resize(size, how).crop((left, top, left + SIDE, top + SIDE)))

        image = middle(example.image.astype(np.uint8), Image.Resampling.BOX)
        return image, middle(example.label.astype(np.uint8), Image.Resampling.NEAREST)

    splits = {"train": data.train, "validation": data.validation}
    return {name: [small(source.load(n)) for n in range(source.length)] for name, source in splits.items()}


class Trainings:
    """Trains settings to a rung, from where they were paused; every score is kept."""

    def __init__(self, folder: str):
        self._data, self._folder, self._runs, self._batches = examples(), folder, {}, []
        self._scores, self._states = {}, {}

    def _run(self, loss: str):
        """The run of a loss, its evaluation and its state before the first step."""
        if loss in self._runs:
            return self._runs[loss]
        from trainer.checkpoints.restore import snapshot
        from trainer.evaluation.evaluator import make_evaluator
        from trainer.stepping.batches import batches_from

        config = Config(
            model=Model(width=4, depth=3, normalization="group"),
            augment=Augment(crop=(SIDE, SIDE), scale=(0.85, 1.2), brightness=0.0),
            loss=Loss(name=loss),
            optimizer=Optimizer(learning_rate=RATE),
            train=Train(length=f"{STEPS} steps", batch_size=BATCH),
            evaluate=Evaluate(panels=0),
        )
        run = Run(config, workdir=f"{self._folder}/{loss}", data=self._data)
        evaluate = make_evaluator(run.task, run.data, run.config, run.strategy)
        if not self._batches:
            found = batches_from(run.data.train, run.config, run.strategy, step=0, total=STEPS)
            self._batches = [{key: value.numpy() for key, value in next(found).items()} for _ in range(STEPS)]
        self._runs[loss] = run, evaluate, snapshot(run.state)
        return self._runs[loss]

    def score(self, settings, rung: int) -> float:
        from trainer.checkpoints.restore import put_back, snapshot

        key = tuple(settings.values())
        known = self._scores.setdefault(key, [])
        if len(known) <= rung:
            run, evaluate, start = self._run(settings["loss.name"])
            put_back(run.state, self._states.pop(key, start))
            run.rate_factor = settings["optimizer.learning_rate"] / RATE
            while len(known) <= rung:
                for step in range(run.current_step, RUNGS[len(known)]):
                    run.step(self._batches[step])
                score = evaluate()[0].score("mean_dice")
                known.append(-math.inf if math.isnan(score) else score)
            self._states[key] = snapshot(run.state)
        return known[rung]


def search(score, next_settings, count: int) -> tuple[float, int]:
    """The best score at the end, and the steps taken, by the rule that a sweep goes by.

    Args:
      score: of settings and a rung.
      next_settings: of the trials so far.
      count: of trials.
    """
    trials: list[halving.Trial] = []
    while True:
        task, rung = halving.decide(trials, (), count=count, reduction=REDUCTION, highest=True)
        if task == halving.DONE:
            best = halving.best(trials, True)
            return best.scores[PAUSES], sum(RUNGS[t.reached] for t in trials)
        trial = halving.Trial(len(trials), next_settings(trials), RUNGS) if task == halving.NEW else task
        scores = {**trial.scores, rung: score(trial.settings, rung)}
        trials[trial.number : trial.number + 1] = [
            halving.Trial(trial.number, trial.settings, RUNGS, rung=rung, scores=scores)
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pool", type=int, default=30, help="settings drawn at random")
    parser.add_argument("--trials", type=int, default=18, help="of each sweep")
    parser.add_argument("--seeds", type=int, default=3, help="sweeps with TPE")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(Trainings(folder), given.pool, given.trials, range(given.seeds))


def compare(trainings: Trainings, pool: int, count: int, seeds) -> None:
    at_random, drawn = Sweep(ranges=RANGES, sampler="random", seed=1000), []
    for number in range(pool):
        drawn.append(halving.Trial(number, draw(at_random, drawn, True), RUNGS))
        scores = [trainings.score(drawn[-1].settings, rung) for rung in range(PAUSES + 1)]
        print(*(f"{value}" for value in drawn[-1].settings.values()), *(f"{value:.4f}" for value in scores), flush=True)
    random = np.random.default_rng(0)
    orders = [random.permutation(pool) for _ in range(2000)]

    def searched(steps: float) -> list[tuple[float, int]]:
        """Random search in so many steps, rounded up to whole trials, on each draw."""
        count = min(pool, math.ceil(steps / STEPS))
        return [(max(trainings.score(drawn[n].settings, PAUSES) for n in o[:count]), count * STEPS) for o in orders]

    print(f"\n{pool} settings on a processor with {', '.join(processor())}")
    print(f"{'':28}{'steps':>8}{'mean':>9}{'lowest tenth':>14}{'best':>9}")
    ends = [search(trainings.score, lambda trials, o=o: drawn[o[len(trials)]].settings, count) for o in orders]
    _row("halving, random settings", ends)
    _row("  random search", searched(statistics.fmean(steps for _, steps in ends)))
    found = []
    for seed in seeds:
        spec = Sweep(ranges=RANGES, seed=seed)
        found.append(search(trainings.score, lambda trials, spec=spec: draw(spec, trials, True), count))
        print(f"  seed {seed}: {found[-1][0]:.4f} in {found[-1][1]} steps", flush=True)
    if found:
        _row("TPE and halving", found)
        _row("  random search", searched(statistics.fmean(steps for _, steps in found)))


def _row(name: str, found: list[tuple[float, int]]) -> None:
    scores, steps = zip(*found, strict=True)
    low, high = np.quantile(scores, 0.1), max(scores)
    print(f"{name:28}{statistics.fmean(steps):8.0f}{statistics.fmean(scores):9.4f}{low:14.4f}{high:9.4f}", flush=True)


if __name__ == "__main__":
    main()

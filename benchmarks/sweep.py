"""Does a sweep find better settings than random search in the same number of steps? On the nuclei at a quarter size.

    python -m benchmarks.sweep --workdir=DIRECTORY           # the same command goes on where it was stopped

Random search trains settings drawn at random to their end. A pool of such trials is trained once, with the scores at
the rungs of halving noted. Since a trial that is paused and goes on is bit for bit one that was never paused, what
halving would have come to with any of these settings is known without training again: both are replayed on thousands
of draws from the pool. With TPE the settings depend on the scores, so whole sweeps are trained, one a seed.

Compared is the score of the best trial that was trained to its end, the one that would be used, after equal steps.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics

import numpy as np
from PIL import Image

from configs.schema import Augment, Config, Evaluate, Model, Optimizer, Train
from configs.sweep import Sweep, between, one_of
from trainer import Run
from trainer.process import described
from trainer.reporting.records import METRICS_FILE, read_metrics
from trainer.sweep import halving

STEPS, PAUSES, REDUCTION, SIDE = 90, 2, 3, 64
RUNGS = halving.rungs(STEPS, PAUSES, REDUCTION)
RANGES = {
    "optimizer.learning_rate": between(1e-4, 1e-1, log=True),
    "optimizer.weight_decay": between(1e-5, 1e-1, log=True),
    "optimizer.ema_decay": one_of(0.0, 0.9, 0.97),
    "loss.name": one_of("dice", "cross_entropy", "dice+cross_entropy"),
    "augment.contrast": between(0.0, 0.5),
}


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


def run(workdir: str, data) -> Run:
    config = Config(
        model=Model(width=4, depth=3, normalization="group"),
        augment=Augment(crop=(SIDE, SIDE), scale=(0.85, 1.2), brightness=0.0),
        optimizer=Optimizer(name="adamw"),
        train=Train(length=f"{STEPS} steps", batch_size=8, histograms="0 steps"),
        evaluate=Evaluate(every=f"{RUNGS[0]} steps", panels=0),
    )
    return Run(config, workdir=workdir, data=data)


def pool_of(workdir: str, data, count: int) -> list[halving.Trial]:
    """Trials drawn at random and trained to their end, with their scores at the rungs."""
    found = run(workdir, data).sweep(Sweep(ranges=RANGES, trials=count, sampler="random", pauses=0, seed=1000))
    pool = []
    for trial in found.trials:
        lines = read_metrics(os.path.join(workdir, f"trial_{trial.number:05}", METRICS_FILE))
        at = {line["step"]: line[found.metric] for line in lines if line["kind"] == "eval"}
        if not trial.failure:
            scores = {rung: at[step] for rung, step in enumerate(RUNGS[:-1])} | {PAUSES: trial.scores[0]}
            pool.append(halving.Trial(trial.number, trial.settings, RUNGS, scores=scores))
    return pool


def random_search(scores: np.ndarray, count: int) -> float:
    return float(scores[:count, PAUSES].max())


def halved(scores: np.ndarray, count: int) -> tuple[float, int]:
    """The best score at the end and the steps taken, by the rule that a sweep goes by."""
    trials: list[halving.Trial] = []
    while True:
        task, rung = halving.decide(trials, (), count=count, reduction=REDUCTION, highest=True)
        if task == halving.DONE:
            best = halving.best(trials, True)
            return best.scores[PAUSES], sum(RUNGS[t.reached] for t in trials)
        number = len(trials) if task == halving.NEW else task.number
        known = {r: float(scores[number, r]) for r in range(rung + 1)}
        trial = halving.Trial(number, {}, RUNGS, rung=rung, scores=known)
        trials[number : number + 1] = [trial]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--pool", type=int, default=30)
    parser.add_argument("--trials", type=int, default=20, help="of each sweep")
    parser.add_argument("--seeds", type=int, default=3, help="sweeps with TPE")
    given = parser.parse_args()
    data = examples()
    pool = pool_of(os.path.join(given.workdir, "pool"), data, given.pool)
    table = np.array([[trial.scores[rung] for rung in range(PAUSES + 1)] for trial in pool])
    table = np.where(np.isnan(table), -math.inf, table)
    random = np.random.default_rng(0)
    draws = [table[random.permutation(len(table))] for _ in range(2000)]
    ends, steps = zip(*(halved(draw, given.trials) for draw in draws), strict=True)
    whole = [min(len(table), max(1, -(-taken // STEPS))) for taken in steps]
    searched = [random_search(draw, count) for draw, count in zip(draws, whole, strict=True)]
    print(f"\n{described()}\n{len(pool)} settings trained {STEPS} steps; best Dice of all {table[:, PAUSES].max():.4f}")
    print(f"{'':28}{'steps':>12}{'mean':>9}{'10 %':>9}{'90 %':>9}")
    _row("random search", [n * STEPS for n in whole], searched)
    _row("halving, random settings", steps, ends)
    print(f"halving at least as good in {np.mean(np.array(ends) >= np.array(searched)):.1%} of {len(draws)} draws")
    found = []
    for seed in range(given.seeds):
        result = run(os.path.join(given.workdir, f"tpe_{seed}"), data).sweep(
            Sweep(ranges=RANGES, trials=given.trials, pauses=PAUSES, reduction=REDUCTION, seed=seed)
        )
        score = result.best.scores[result.best.reached]
        found.append((sum(t.step for t in result.trials), score))
        print(f"TPE and halving, seed {seed}: {found[-1][0]} steps, {score:.4f}", flush=True)
    if found:
        _row("TPE and halving", *zip(*found, strict=True))


def _row(name: str, steps, scores) -> None:
    low, high = np.quantile(scores, [0.1, 0.9])
    print(f"{name:28}{statistics.fmean(steps):12.0f}{statistics.fmean(scores):9.4f}{low:9.4f}{high:9.4f}", flush=True)


if __name__ == "__main__":
    main()

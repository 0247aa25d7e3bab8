"""Whether the input pipeline feeds the step: the pipeline alone, the step alone, both together, and how long it waits.

    python -m benchmarks.pipeline                                      # the default recipe
    python -m benchmarks.pipeline --config=configs/own.py --config.data.path=DATA --config.data.processes=8
    python -m benchmarks.pipeline --seconds=20                         # of each; all other flags are main.py's

The pipeline reads, decodes and augments the run's own images; the step is the run's, on one batch that stays. Rounds
are interleaved and each rate is the median of three. On a CPU both share the processors, so that together they are
slower than the slower of the two; on a GPU they are as fast, if the pipeline keeps up.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

from trainer.process import prepare

prepare()

import tensorflow as tf  # noqa: E402

import main as program  # noqa: E402
from trainer import Run  # noqa: E402
from trainer.stepping.batches import batches_from  # noqa: E402
from trainer.stepping.step import make_train_steps  # noqa: E402
from trainer.stepping.waiting_for_data import Waiting  # noqa: E402

_ROUNDS = 3
# Batches that no measurement reaches the end of.
_MANY = 10**9


@dataclasses.dataclass(frozen=True)
class Rates:
    """Images a second of the pipeline alone, of the step alone, of both; and the share of time that it waits then."""

    pipeline: float
    step: float
    together: float
    waiting: float

    def __str__(self) -> str:
        rows = [("pipeline alone", self.pipeline, ""), ("step alone", self.step, "")]
        rows.append(("both together", self.together, f"  the step waits for data in {self.waiting:.1%} of the time"))
        return "\n".join(f"  {name:<16}{rate:>9.1f} images/s{more}" for name, rate, more in rows)


def measure(run: Run, seconds: float, rounds: int = _ROUNDS) -> Rates:
    """Rates of a run's pipeline and step; its state moves on."""
    config, strategy, waiting = run.config, run.strategy, Waiting()
    batch_size = config.train.batch_size
    steps = make_train_steps(run.state, run.totals, strategy, config, waiting=waiting)

    def batches():
        return batches_from(run.data.train, config, strategy, step=0, total=_MANY)

    alone, feeding = batches(), batches()
    batch = next(alone)
    local = strategy.experimental_local_results

    def kept(context):
        pieces = {key: [tf.identity(piece) for piece in local(value)] for key, value in batch.items()}
        stacked = {key: tf.stack(value) for key, value in pieces.items()}
        return tf.data.Dataset.from_tensor_slices(stacked).cache().repeat()

    same = iter(strategy.distribute_datasets_from_function(kept))

    def of_pipeline(count: int) -> None:
        for _ in range(count):
            next(alone)

    def of_step(iterator) -> Callable[[int], None]:
        def call(count: int) -> None:
            steps.many(iterator, tf.constant(count, tf.int64))
            run.state.step.numpy()  # the host waits for the last one

        return call

    parts = {"pipeline": of_pipeline, "step": of_step(same), "together": of_step(feeding)}
    counts = {name: _calibrated(part, seconds / rounds) for name, part in parts.items()}
    rates: dict[str, list[float]] = {name: [] for name in parts}
    waits = []
    for _ in range(rounds):
        for name, part in parts.items():
            waiting.since_last()
            start = time.perf_counter()
            part(counts[name])
            passed = time.perf_counter() - start
            rates[name].append(counts[name] * batch_size / passed)
            if name == "together":
                waits.append(waiting.since_last() / passed)
    return Rates(**{name: statistics.median(found) for name, found in rates.items()}, waiting=statistics.median(waits))


def _calibrated(part: Callable[[int], None], seconds: float) -> int:
    """How many steps fill this time; the first of them compile and fill buffers."""
    part(1)
    start, done, count = time.perf_counter(), 0, 1
    while (passed := time.perf_counter() - start) < seconds / 2:
        part(count)
        done, count = done + count, count * 2
    return max(1, round(done * seconds / max(passed, 1e-6)))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each (default 15)")
    options, flags = parser.parse_known_args(arguments)
    command = program.read(flags)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(command.config, workdir=folder)
        try:
            rates = measure(run, options.seconds)
        finally:
            run.data.train.close()
    config = run.config
    made = f"{config.data.processes} processes" if config.data.processes else "threads of one process"
    print(f"{config.name}: batches of {config.train.batch_size}, made by {made}; {run.devices.reason}\n{rates}")


if __name__ == "__main__":
    main(sys.argv[1:])

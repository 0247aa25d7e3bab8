"""What the training loop costs: against a hand-written one with nothing in it, and against `keras.Model.fit`.

    python -m benchmarks.loop                     # the table in docs/figures.md, about six minutes on two cores
    python -m benchmarks.loop --sizes=tiny        # one of them
    python -m benchmarks.loop --workers=2         # besides: two workers against one process on the same cores
    python -m benchmarks.start                    # a plain script as people start it, against main.py's process

All train the same network from the same weights on the same tensors with the same loss and optimizer. "ours" has
everything on: the guard, the test for non-finite gradients, clipping, Dice and loss totals, and a report to TensorBoard
at the end of every call. "by hand" is a `tf.function` that loops over forward, gradient and `optimizer.apply`. "fit" is
as it comes (a step an execution); "fit, in one" has steps_per_execution.

Rounds are interleaved, in an order drawn for each, and a ratio is the median of the rounds' ratios, with the quartiles:
so they hold on a busy machine, too. Of processor time there is a second ratio, which other processes touch less.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from trainer.process import prepare

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
prepare()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from configs.schema import Augment, Config, Data, Evaluate, Model, Train  # noqa: E402
from trainer.distribution import strategy as devices_of  # noqa: E402
from trainer.models import build_model  # noqa: E402
from trainer.reporting.tensorboard.summaries import Writer  # noqa: E402
from trainer.stepping.objective import build_objective  # noqa: E402
from trainer.stepping.optimizer import build_optimizer  # noqa: E402
from trainer.stepping.schedule import build_schedule  # noqa: E402
from trainer.stepping.segmentation import Segmentation  # noqa: E402
from trainer.stepping.state import TrainState, build_updates, new_rate_factor  # noqa: E402
from trainer.stepping.step import make_train_steps  # noqa: E402
from trainer.stepping.totals import Totals  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Size:
    """Attributes: steps: in a round; rounds: how often each loop has its turn."""

    width: int
    depth: int
    crop: int
    batch: int
    steps: int
    rounds: int

    def config(self, batch: int | None = None) -> Config:
        return Config(
            data=Data(classes=("background", "nucleus")),
            model=Model(width=self.width, depth=self.depth),
            augment=Augment(crop=(self.crop, self.crop)),
            train=Train(batch_size=batch or self.batch, length="1000 steps"),
            evaluate=Evaluate(classes=("nucleus",)),
        )


SIZES = {
    "tiny": Size(width=4, depth=2, crop=32, batch=8, steps=40, rounds=15),
    "unet": Size(width=16, depth=4, crop=128, batch=8, steps=5, rounds=11),
}


def one_batch(config: Config) -> dict[str, np.ndarray]:
    """Noise and a label of half its pixels: what is computed does not depend on the values."""
    rng, size = np.random.default_rng(0), config.augment.crop
    image = rng.uniform(0, 255, (config.train.batch_size, *size, 3)).astype("float32")
    return {"image": image, "label": (image[..., 0] > 127).astype("int32")}


def built(config: Config, strategy: tf.distribute.Strategy | None = None):
    """Model, optimizer and objective, the same each time."""
    strategy = strategy or tf.distribute.get_strategy()
    keras.utils.set_random_seed(config.seed)
    factor = new_rate_factor()
    with strategy.scope():
        model = build_model(config, replicas=strategy.num_replicas_in_sync)
        schedule = build_schedule(config.optimizer, None, total_steps=1000, warmup_steps=50)
        optimizer = build_optimizer(config.optimizer, schedule, factor)
    return model, optimizer, build_objective(config, len(config.data.classes))


def ours(config: Config, folder: str, strategy: tf.distribute.Strategy | None = None) -> Callable[[int], None]:
    """This loop with everything on."""
    strategy = strategy or tf.distribute.get_strategy()
    model, optimizer, objective = built(config, strategy)
    with strategy.scope():
        task = Segmentation(model, objective, config, config.data.classes, (1,))
        state = TrainState(task, build_updates(task, lambda phase: optimizer), config, scales_loss=False)
        totals = Totals()
    train_steps = make_train_steps(state, totals, strategy, config).many
    writer = Writer(folder, True, restored_step=0)
    batch = one_batch(config)

    def dataset(context):
        n, part = context.num_replicas_in_sync, context.input_pipeline_id
        share = {k: v[part * len(v) // n : (part + 1) * len(v) // n] for k, v in batch.items()}
        return tf.data.Dataset.from_tensors(share).repeat()

    iterator = iter(strategy.distribute_datasets_from_function(dataset))

    def run(steps: int) -> None:
        train_steps(iterator, tf.constant(steps, tf.int64))
        writer.scalars(int(state.step.numpy()), {f"train/{k}": v for k, v in totals.read().items()})

    return run


def total(terms: dict) -> tf.Tensor:
    return tf.add_n(list(terms.values()))


def keras_optimizer(config: Config) -> keras.optimizers.Optimizer:
    """What somebody would write who has only Keras: the same rule and schedule."""
    section = config.optimizer
    schedule = build_schedule(section, None, total_steps=1000, warmup_steps=50)
    optimizer = keras.optimizers.AdamW(
        schedule,
        beta_1=section.beta_1,
        beta_2=section.beta_2,
        epsilon=section.epsilon,
        weight_decay=section.weight_decay,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def by_hand(config: Config) -> Callable[[int], None]:
    """Forward, gradient, apply, in a loop on the device, and nothing else."""
    model, _, objective = built(config)
    optimizer = keras_optimizer(config)
    optimizer.build(model.trainable_variables)
    iterator = iter(tf.data.Dataset.from_tensors(one_batch(config)).repeat())

    @tf.function
    def train(count):
        for _ in tf.range(count):
            batch = next(iterator)
            with tf.GradientTape() as tape:
                loss = total(objective(batch["label"], model(batch["image"], training=True)))
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    def run(steps: int) -> None:
        train(tf.constant(steps))
        # The host waits for the last step, as it does where it reads a report.
        optimizer.iterations.numpy()

    return run


def fit(config: Config, in_one: int = 1) -> Callable[[int], None]:
    """`keras.Model.fit` with the same loss."""
    model, _, objective = built(config)
    model.compile(
        keras_optimizer(config),
        loss=lambda labels, logits: total(objective(labels, logits)),
        steps_per_execution=in_one,
        jit_compile=False,
    )
    batch = one_batch(config)
    data = tf.data.Dataset.from_tensors((batch["image"], batch["label"])).repeat()
    return lambda steps: model.fit(data, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0)


def measure(loops: dict[str, Callable[[int], None]], steps: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds a step, of the wall clock and of the processor, for each loop and round."""
    for run in loops.values():
        run(steps)
        run(steps)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    order = list(loops)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            wall, processor = time.perf_counter(), time.process_time()
            loops[name](steps)
            times[name].append(((time.perf_counter() - wall) / steps, (time.process_time() - processor) / steps))
    return times


def table(title: str, times: dict[str, list[tuple[float, float]]], reference: str) -> None:
    print(f"\n{title}\n{'':24}{'ms a step':>10}{'ratio':>8}  {'quartiles':<14}{'processor':>9}  quartiles")
    for name, rows in times.items():
        print(f"  {name:<22}{statistics.median(wall for wall, _ in rows) * 1e3:>10.2f}", end="")
        for kind in (0, 1):
            ratios = [row[kind] / base[kind] for row, base in zip(rows, times[reference], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(f"{middle:>8.3f}  {f'{low:.3f} {high:.3f}':<14}", end=" ")
        print(flush=True)


def compare_loops(name: str, rounds: int | None, *, deterministic: bool) -> None:
    size = SIZES[name]
    config = size.config()
    with tempfile.TemporaryDirectory() as folder:
        loops = {
            "by hand": by_hand(config),
            "ours, everything on": ours(config, folder),
            "fit": fit(config),
            "fit, in one": fit(config, size.steps),
        }
        if deterministic:
            loops["ours, deterministic"] = ours(dataclasses.replace(config, deterministic=True), folder)
        times = measure(loops, size.steps, rounds or size.rounds)
    table(
        f"{name}: width {size.width}, depth {size.depth}, batch {size.batch} of {size.crop}x{size.crop}, "
        f"{size.steps} steps a call, {rounds or size.rounds} rounds",
        times,
        "by hand",
    )


def as_worker(steps: int, rounds: int) -> None:
    """One process of `compare_workers`: prints the seconds a step of each round."""
    devices = devices_of.choose(Config())
    with tempfile.TemporaryDirectory() as folder:
        run = ours(SIZES["unet"].config(), folder, devices.strategy)
        times = measure({"unet": run}, steps, rounds)["unet"]
    if devices.chief:
        print(json.dumps([wall for wall, _ in times]), flush=True)


def compare_workers(workers: int, rounds: int | None) -> None:
    """The same global batch in one process and in several, on the same cores, by turns."""
    size = SIZES["unet"]
    command = [sys.executable, "-m", "benchmarks.loop", "--as_worker", f"--rounds={rounds or size.rounds}"]
    found: dict[int, list[float]] = {1: [], workers: []}
    for _ in range(2):
        for count in found:
            launch = [sys.executable, "-m", "trainer.launch", f"--workers={count}", "--restarts=0", "--"]
            done = subprocess.run([*launch, *command], capture_output=True, text=True, encoding="utf-8", check=True)
            line = next(line for line in done.stdout.splitlines() if line.startswith("[0] ["))
            found[count] += json.loads(line[4:])
    one, many = (statistics.median(found[count]) for count in found)
    print(f"\nunet, {workers} workers against one process on the same {os.cpu_count()} cores, the same global batch")
    print(f"  one process {one * 1e3:.1f} ms a step, {workers} workers {many * 1e3:.1f}: ratio {many / one:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="tiny,unet", help=f"any of {','.join(SIZES)} (default both)")
    parser.add_argument("--rounds", type=int, help="rounds of each (default 15 and 11)")
    parser.add_argument("--workers", type=int, default=0, help="also compare so many workers with one process")
    parser.add_argument("--deterministic", action="store_true", help="also this loop with config.deterministic")
    parser.add_argument("--as_worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_worker:
        as_worker(SIZES["unet"].steps, options.rounds)
        return
    for name in filter(None, options.sizes.split(",")):
        compare_loops(name, options.rounds, deterministic=options.deterministic)
    if options.workers:
        compare_workers(options.workers, options.rounds)


if __name__ == "__main__":
    main()

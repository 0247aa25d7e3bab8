"""What saving costs the training, and what a restart costs.

    python benchmarks/saving.py             # the default model
    python benchmarks/saving.py --width=64  # 31 million parameters

Saving: blocks of steps with a checkpoint at their beginning and blocks without take turns in one process; the mean
difference is what a checkpoint costs, copy and writing beside the training included, and is set against a minute.
Restart: processes that begin at step 0 and processes that go on from a late step take turns; timed is the way to the
end of the first step, and, by itself, reading the checkpoint.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from trainer.checkpoints import folder as checkpoint  # noqa: E402

LATE = 900_000


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--width", type=int, default=16, help="of the U-Net (default 16, 64 has 31 million parameters)")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=8.0, help="of a block of steps (default 8)")
    options = parser.parse_args(argv)
    flags = [f"--config.model.width={options.width}", f"--config.train.length={2 * LATE} steps"]
    with tempfile.TemporaryDirectory() as folder:
        saving(flags, os.path.join(folder, "saving"), options.pairs, options.seconds)
        restart(flags, os.path.join(folder, "saving"), folder, options.pairs)
    return 0


def saving(flags: list[str], workdir: str, pairs: int, seconds: float) -> None:
    """Prints the cost of a checkpoint in seconds and as a share of a minute; leaves one of a late step."""
    import dataclasses

    import tensorflow as tf

    import main as program
    from trainer.run import Run
    from trainer.stepping.batches import batches_from
    from trainer.stepping.step import make_train_steps

    config = program.read([f"--workdir={workdir}", *flags]).config
    run = Run(config, workdir=workdir)
    train_steps = make_train_steps(run.state, run.totals, run.strategy, run.config).many
    batches = batches_from(run.data.train, config, run.strategy, step=0, total=LATE)

    def steps(count: int) -> float:
        start = time.monotonic()
        train_steps(batches, tf.constant(count, tf.int64))
        run.current_step  # noqa: B018 - waits for the device
        return time.monotonic() - start

    steps(2)
    count = max(1, int(seconds / (steps(4) / 4)))
    steps(count)
    costs, copies = [], []
    for number in range(pairs):
        times = {}
        for saves in (number % 2 == 0, number % 2 == 1):
            start = time.monotonic()
            if saves:
                run.save(again=True)
                copies.append(time.monotonic() - start)
            copy = time.monotonic() - start
            times[saves] = copy + steps(count)
            run.saver.wait()
        costs.append(times[True] - times[False])
    folder = checkpoint.step_folder(workdir, run.saver.last_step)
    size = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)) / 2**20
    mean = statistics.fmean(costs)
    error = statistics.stdev(costs) / len(costs) ** 0.5
    print(
        f"a checkpoint of {size:.1f} MiB among {count} steps: {mean:.3f} s +- {error:.3f} s, of which the copy "
        f"{statistics.median(copies) * 1e3:.0f} ms; one a minute: {mean / 60:.2%} +- {error / 60:.2%}"
    )
    late = {"counter/step": LATE, "optimizer/adam_w/iteration": LATE}
    saved = checkpoint.read(folder)
    arrays = {name: array * 0 + late.get(name, array) for name, array in saved.arrays.items()}
    checkpoint.write(workdir, LATE, arrays, dataclasses.asdict(run.host) | {"reported": LATE, "evaluated": LATE})


def restart(flags: list[str], late_workdir: str, folder: str, pairs: int) -> None:
    """Prints the time to the end of the first step at 0 and late in the run, and what reading takes."""
    times: dict[str, list[float]] = {"0": [], "late": []}
    for number in range(pairs):
        for kind in ("0", "late") if number % 2 else ("late", "0"):
            workdir = late_workdir if kind == "late" else os.path.join(folder, f"new{number}")
            times[kind].append(first_step(flags, workdir))
    start = time.monotonic()
    checkpoint.read(checkpoint.step_folder(late_workdir, LATE))
    reading = time.monotonic() - start
    differences = [b - a for a, b in zip(times["0"], times["late"], strict=True)]
    error = statistics.stdev(differences) / len(differences) ** 0.5
    new, late = (statistics.median(times[kind]) for kind in ("0", "late"))
    print(
        f"to the end of the first step: {new:.1f} s at step 0, {late:.1f} s at step {LATE}; difference "
        f"{statistics.fmean(differences):+.2f} s +- {error:.2f} s; reading it alone {reading:.2f} s"
    )


def first_step(flags: list[str], workdir: str) -> float:
    """Seconds until the first report; the process is then killed, before it saves anything."""
    command = [
        sys.executable,
        os.path.join(ROOT, "main.py"),
        f"--workdir={workdir}",
        *flags,
        "--force_config",
        "--config.train.log_every=1 steps",
    ]
    start = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    )
    try:
        for line in process.stdout:
            if line.startswith("step"):
                return time.monotonic() - start
        raise SystemExit(f"the run ended by itself: {' '.join(command)}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    sys.exit(main())

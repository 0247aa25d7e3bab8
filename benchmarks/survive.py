"""Kills a real training run at random moments until it ends, and compares its weights with an unbroken run's.

    python benchmarks/survive.py                                  # 100 kills with -9
    python benchmarks/survive.py --signal=TERM --kills=20         # asked to stop, exit code 75, started again
    python benchmarks/survive.py --replicas=2 | --precision=mixed_float16 | --accumulate=2
    python benchmarks/survive.py --workers=2 --kills=5            # one worker is killed, the launcher restarts all
    python benchmarks/survive.py --keep=DIRECTORY --minutes=7     # a part of it; the same command goes on with the rest

The run is the embedded nuclei with a small model, dropout, an average of the weights, early stopping that counts, an
evaluation every 20 steps and a checkpoint every 4. Each life of the process is killed once: at a random moment of its
start, of a step, of an evaluation, or while a checkpoint is being written. Lives that are killed at their start are new
interpreters; the others are forked from a process that has imported TensorFlow (`lives.py`). Compared with a run of the
same command that nobody broke off are every variable by its path, bit for bit, what the host keeps (scores, counters,
sums of the report), every line of metrics.jsonl but for speeds, and evaluation.json. It exits with 0 where all of them
are equal and all kills were made.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from benchmarks.lives import Life  # noqa: E402
from trainer.checkpoints import folder as checkpoint  # noqa: E402
from trainer.reporting import tags  # noqa: E402
from trainer.reporting.records import read_metrics, write_json  # noqa: E402

EVALUATE_EVERY, SAVE_EVERY, REPORT_EVERY = 20, 4, 4
# Steps for each kill: fewer, and the run may be at its end before it was killed as often as asked for.
STEPS_PER_KILL = 12
# Shares of the moments aimed at; the first is the time before the first step: imports, building, tracing.
MOMENTS = {"start": 0.1, "step": 0.4, "evaluation": 0.2, "saving": 0.3}
UNFINISHED = 75


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="lives that are ended (default 100)")
    parser.add_argument("--steps", type=int, default=0, help=f"length (default: {STEPS_PER_KILL} for each kill)")
    parser.add_argument("--signal", choices=("KILL", "TERM", "INT"), default="KILL")
    parser.add_argument("--replicas", type=int, default=1, help="logical CPU devices under MirroredStrategy")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes under trainer.distribution.launcher")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--flags", default="", help="more flags of main.py, separated by blanks")
    parser.add_argument("--keep", default="", help="a folder for both workdirs (default: a temporary one)")
    parser.add_argument("--minutes", type=float, default=0, help="stop between two lives after so long; needs --keep")
    options = parser.parse_args(argv)
    options.steps = options.steps or max(24, STEPS_PER_KILL * options.kills)
    options.end = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    with tempfile.TemporaryDirectory() as folder:
        return survive(options, options.keep or folder)


def survive(options, folder: str) -> int:
    """Runs both; prints what was hit and what was found equal; returns the exit code."""
    os.makedirs(folder, exist_ok=True)
    unbroken, broken = os.path.join(folder, "unbroken"), os.path.join(folder, "broken")
    start = time.monotonic()
    life = new_life(options, unbroken, forked=options.workers == 1)
    if life.wait() != 0:
        print(life.output())
        return 1
    print(f"unbroken: {options.steps} steps in {time.monotonic() - start:.0f} s", flush=True)
    tally = Tally(os.path.join(folder, "kills.json"))
    code = kill_workers(options, broken, tally) if options.workers > 1 else kill_lives(options, broken, tally)
    if code == UNFINISHED:
        print(f"not at the end yet: {tally}. The same command goes on.")
    if code != 0:
        return code
    print(f"broken: ended by SIG{options.signal} {tally.kills} times ({tally})")
    if tally.kills < options.kills:
        print(f"The run was at its end before {options.kills} kills: more --steps.")
        return 1
    return compare(unbroken, broken)


class Tally:
    """How often the run was ended, in which moments and with which exit codes; kept in a file."""

    def __init__(self, path: str):
        self._path = path
        kept = _json(path) if os.path.exists(path) else {}
        self.moments = collections.Counter(kept.get("moments", {}))
        self.codes = collections.Counter(kept.get("codes", {}))

    @property
    def kills(self) -> int:
        return sum(self.moments.values())

    def add(self, moment: str, code: int) -> None:
        self.moments[moment] += 1
        self.codes[str(code)] += 1
        write_json(self._path, {"moments": self.moments, "codes": self.codes})

    def __str__(self) -> str:
        moments = ", ".join(f"{count} in {moment}" for moment, count in sorted(self.moments.items()))
        return moments + "; exit codes " + ", ".join(f"{code} x {count}" for code, count in sorted(self.codes.items()))


def new_life(options, workdir: str, *, forked: bool) -> Life:
    words = command(options, workdir)
    return Life(words, workdir, f"{workdir}.log", evaluate_every=EVALUATE_EVERY, forked=forked)


def command(options, workdir: str) -> list[str]:
    """The same for both runs but for the workdir."""
    main = [
        sys.executable,
        os.path.join(ROOT, "main.py"),
        f"--workdir={workdir}",
        f"--config.train.length={options.steps} steps",
        "--config.train.batch_size=8",
        "--config.model.normalization=batch",
        "--config.model.width=4",
        "--config.model.depth=1",
        "--config.model.dropout=0.2",
        "--config.augment.crop=32,32",
        "--config.optimizer.ema_decay=0.9",
        f"--config.train.accumulate={options.accumulate}",
        f"--config.train.log_every={REPORT_EVERY} steps",
        f"--config.checkpoint.every={SAVE_EVERY} steps",
        f"--config.evaluate.every={EVALUATE_EVERY} steps",
        "--config.evaluate.panels=0",
        f"--config.evaluate.patience={options.steps}",
        f"--precision={options.precision}",
        *options.flags.split(),
    ]
    if options.replicas > 1:
        main += ["--strategy=mirrored", f"--logical_devices={options.replicas}"]
    if options.workers > 1:
        restarts = f"--restarts={2 * options.kills + 5}"
        return [sys.executable, "-m", "trainer.launch", f"--workers={options.workers}", restarts, "--", *main]
    return main


def kill_lives(options, workdir: str, tally: Tally) -> int:
    """Starts the command again and again, and ends each life at its moment; returns the exit code of the last."""
    number = signal.Signals[f"SIG{options.signal}"]
    draw = random.Random(f"{options.seed} {tally.kills}")
    while time.monotonic() < options.end:
        kind = draw.choices(list(MOMENTS), MOMENTS.values())[0] if tally.kills < options.kills else "none"
        life = new_life(options, workdir, forked=kind != "start")
        if kind != "none":
            # Some occasions are let pass, or the run would never get beyond its first evaluation; not so many that it
            # would be at its end before the last kill.
            goal = options.steps * (tally.kills + 1) // (options.kills + 1)
            most = (goal - (checkpoint.list_steps(workdir) or [0])[-1]) // REPORT_EVERY
            aim(life, kind, draw, passed=min(draw.randrange(6), max(0, most - 1)))
            if life.running():
                moment = moment_of(life)
                life.send(number)
                if (code := life.wait()) != 0:
                    tally.add(moment, code)
        code = life.wait()
        if code == 0:
            return 0
        if code not in (75, -number):
            print(f"the run ended with {code} by itself:\n{life.output()}")
            return 1
    return UNFINISHED


def aim(life: Life, kind: str, draw, *, passed: int) -> None:
    """Lets so many reports pass, waits for a moment of that kind, and then a little longer."""
    if kind == "start":
        time.sleep(draw.uniform(0.0, 8.0))
    elif kind == "step":
        life.wait_for(lambda: life.said("step") > passed)
        time.sleep(draw.uniform(0.0, 0.2))
    elif kind == "evaluation":
        life.wait_for(lambda: life.said("step") >= passed and life.evaluates())
        time.sleep(draw.uniform(0.0, 1.0))
    else:
        life.wait_for(lambda: life.said("step") >= passed and life.saves())
        time.sleep(draw.uniform(0.0, 0.02))


def moment_of(life: Life) -> str:
    """What the process is seen doing."""
    if life.saves():
        return "saving"
    if life.evaluates():
        return "evaluation"
    return "step" if life.trains() else "start"


def kill_workers(options, workdir: str, tally: Tally) -> int:
    """Kills one worker at a time under one launcher, which starts all of them again."""
    life = new_life(options, workdir, forked=False)
    draw = random.Random(f"{options.seed} {tally.kills}")
    seen = 0
    while tally.kills < options.kills and time.monotonic() < options.end:
        life.wait_for(lambda: any("] step" in line for line in life.lines()[seen:]))  # noqa: B023
        time.sleep(draw.uniform(0.0, 2.0))
        if not life.running() or not (workers := life.children()):
            break
        number = draw.randrange(len(workers))
        os.kill(workers[number], signal.SIGKILL)
        tally.add(f"worker {number}", -signal.SIGKILL)
        life.wait_for(lambda: any("starting all again" in line for line in life.lines()[seen:]))  # noqa: B023
        seen = len(life.lines())
    if tally.kills < options.kills and life.running():
        life.send(signal.SIGTERM)
        life.wait()
        return UNFINISHED
    code = life.wait()
    if code != 0:
        print(life.output())
    return code


def digest(arrays) -> str:
    """SHA-256 over every variable's path, type, shape and bytes."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        total.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return total.hexdigest()


def compare(unbroken: str, broken: str) -> int:
    """Prints what is equal and what is not; 0 where everything is."""
    first, second = (checkpoint.find(workdir, "latest") for workdir in (unbroken, broken))
    print(f"step {first.step}: {digest(first.arrays)}\nstep {second.step}: {digest(second.arrays)}")
    different = [n for n in first.arrays if digest({n: first.arrays[n]}) != digest({n: second.arrays[n]})]
    equal = {
        f"{len(first.arrays)} variables": not different and first.arrays.keys() == second.arrays.keys(),
        "what the host keeps": _host(first.host) == _host(second.host),
        "the best step": checkpoint.best_step(unbroken) == checkpoint.best_step(broken),
        "metrics.jsonl": _metrics(unbroken) == _metrics(broken),
        "evaluation.json": _evaluation(unbroken) == _evaluation(broken),
    }
    for what, same in equal.items():
        print(f"  {'equal' if same else 'DIFFERENT'}: {what}")
    if different:
        print(f"  {len(different)} variables differ: {', '.join(different[:5])} …")
    return 0 if all(equal.values()) else 1


def _metrics(workdir: str) -> list[dict]:
    return [_of_the_run(line) for line in read_metrics(os.path.join(workdir, "metrics.jsonl"))]


def _evaluation(workdir: str) -> dict:
    return _json(os.path.join(workdir, "evaluation.json"))


def _json(path: str) -> dict:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _host(host):
    """What the host keeps, without seconds and speeds."""
    kept = {key: value for key, value in host.items() if key not in ("trained", "seconds")}
    return kept | {"last_report": _of_the_run(host.get("last_report", {}))}


def _of_the_run(report) -> dict:
    return {key: value for key, value in report.items() if not tags.is_of_the_machine(key)}


if __name__ == "__main__":
    sys.exit(main())

"""Kills a real training run at random moments until it ends, and compares its weights with an unbroken run's.

    python benchmarks/survive.py                                  # 100 kills with -9
    python benchmarks/survive.py --signal=TERM --kills=20         # asked to stop, exit code 75, started again
    python benchmarks/survive.py --replicas=2 | --precision=mixed_float16 | --accumulate=2
    python benchmarks/survive.py --workers=2 --kills=5            # one worker is killed, the launcher restarts all

The run is the embedded nuclei with a small model, dropout, an average of the weights, early stopping that counts, an
evaluation every 12 steps and a checkpoint every 4. Each life of the process is killed once: at a random moment of its
start, of a step, of an evaluation, or while a checkpoint is being written. Both runs have the same command. Compared
are every variable by its path, bit for bit, what the host keeps (scores, counters, sums of the report), every line of
metrics.jsonl but for speeds, and evaluation.json. It exits with 0 where all of them are equal.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from trainer import checkpoint  # noqa: E402
from trainer.records import read_metrics  # noqa: E402

EVALUATE_EVERY, SAVE_EVERY, REPORT_EVERY = 12, 4, 4
# Shares of the moments aimed at; the first is the time before the first step: imports, building, tracing.
MOMENTS = {"start": 0.1, "step": 0.4, "evaluation": 0.2, "saving": 0.3}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="lives that are ended (default 100)")
    parser.add_argument("--steps", type=int, default=0, help="length (default: 2 for each kill, at least 24)")
    parser.add_argument("--signal", choices=("KILL", "TERM", "INT"), default="KILL")
    parser.add_argument("--replicas", type=int, default=1, help="logical CPU devices under MirroredStrategy")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes under trainer.launch")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--flags", default="", help="more flags of main.py, separated by blanks")
    parser.add_argument("--keep", default="", help="a folder for both workdirs (default: a temporary one)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        return survive(options, options.keep or folder)


def survive(options, folder: str) -> int:
    """Runs both; prints what was hit and what was found equal; returns the exit code."""
    steps = options.steps or max(24, 2 * options.kills)
    unbroken, broken = os.path.join(folder, "unbroken"), os.path.join(folder, "broken")
    start = time.monotonic()
    life = Life(command(options, unbroken, steps), unbroken)
    if life.wait() != 0:
        print(life.output())
        return 1
    print(f"unbroken: {steps} steps in {time.monotonic() - start:.0f} s", flush=True)
    draw, hit, codes = random.Random(options.seed), collections.Counter(), collections.Counter()
    if options.workers > 1:
        code = kill_workers(options, broken, steps, draw, hit)
    else:
        code = kill_lives(options, broken, steps, draw, hit, codes)
    if code != 0:
        return 1
    shown = ", ".join(f"{count} in {moment}" for moment, count in hit.items())
    print(f"broken: ended by SIG{options.signal} {sum(hit.values())} times ({shown})" + ended_with(codes))
    return compare(unbroken, broken)


def command(options, workdir: str, steps: int) -> list[str]:
    """The same for both runs but for the workdir."""
    main = [
        sys.executable, os.path.join(ROOT, "main.py"), f"--workdir={workdir}",
        f"--config.train.length={steps} steps", "--config.train.batch_size=8",
        "--config.model.width=4", "--config.model.depth=2", "--config.model.dropout=0.2", "--config.augment.crop=32,32",
        "--config.optimizer.ema_decay=0.9", f"--config.train.accumulate={options.accumulate}",
        f"--config.train.log_every={REPORT_EVERY} steps", f"--config.checkpoint.every={SAVE_EVERY} steps",
        f"--config.evaluate.every={EVALUATE_EVERY} steps", "--config.evaluate.panels=0",
        f"--config.evaluate.patience={steps}", f"--precision={options.precision}", *options.flags.split(),
    ]  # fmt: skip
    if options.replicas > 1:
        main += ["--strategy=mirrored", f"--logical_devices={options.replicas}"]
    if options.workers > 1:
        restarts = f"--restarts={2 * options.kills + 5}"
        return [sys.executable, "-m", "trainer.launch", f"--workers={options.workers}", restarts, "--", *main]
    return main


class Life:
    """One process from its start to its end, with what it has said so far."""

    def __init__(self, words: list[str], workdir: str):
        self.workdir = workdir
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": ROOT}
        self.process = subprocess.Popen(
            words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace",
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def output(self) -> str:
        return "\n".join(self.lines)

    def wait(self) -> int:
        code = self.process.wait()
        self._reader.join(timeout=5.0)
        return code

    def running(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, reached, patience: float = 600.0) -> bool:
        """Whether `reached()` came true before the process, or the patience, ended."""
        end = time.monotonic() + patience
        while time.monotonic() < end and self.running():
            if reached():
                return True
            time.sleep(0.0005)
        return False

    def trains(self) -> bool:
        """The first report or evaluation of this life is out: a step has been done."""
        return any(line.lstrip("[01] ").startswith(("step", "eval")) for line in list(self.lines))

    def evaluates(self) -> bool:
        """The report of a step that is evaluated is the last that was said."""
        last = next((line for line in reversed(list(self.lines)) if "loss" in line), "")
        words = last.replace("/", " ").split()
        return words[:1] == ["step"] and int(words[1]) % EVALUATE_EVERY == 0

    def saves(self) -> bool:
        try:
            return any(".partial-" in name for name in os.listdir(checkpoint.folder_of(self.workdir)))
        except OSError:
            return False


def kill_lives(options, workdir: str, steps: int, draw, hit, codes) -> int:
    """Starts the command again and again, and ends each life at its moment; returns the exit code of the last."""
    words, number = command(options, workdir, steps), signal.Signals[f"SIG{options.signal}"]
    while True:
        life = Life(words, workdir)
        if sum(hit.values()) < options.kills:
            aim(life, draw)
        else:
            life.wait()
        if life.running():
            moment = moment_of(life)
            life.process.send_signal(number)
            code = life.wait()
            if code != 0:
                hit[moment] += 1
                codes[code] += 1
        code = life.wait()
        if code not in (0, 75, -number):
            print(f"the run ended with {code} by itself:\n{life.output()}")
            return code or 1
        if code == 0:
            return 0


def aim(life: Life, draw) -> None:
    """Waits for a moment of the drawn kind, and a little longer."""
    kind = draw.choices(list(MOMENTS), MOMENTS.values())[0]
    if kind == "start":
        time.sleep(draw.uniform(0.0, 10.0))
        return
    if not life.wait_for(lambda: any("workdir" in line for line in list(life.lines))):
        return
    if kind == "step":
        life.wait_for(life.trains)
        time.sleep(draw.uniform(0.0, 0.5))
    elif kind == "evaluation":
        life.wait_for(life.evaluates)
        time.sleep(draw.uniform(0.0, 1.0))
    else:
        life.wait_for(life.saves)
        time.sleep(draw.uniform(0.0, 0.02))


def moment_of(life: Life) -> str:
    """What the process is seen doing."""
    if life.saves():
        return "saving"
    if life.evaluates():
        return "evaluation"
    return "step" if life.trains() else "start"


def kill_workers(options, workdir: str, steps: int, draw, hit) -> int:
    """Kills one worker at a time under one launcher, which starts all of them again."""
    life = Life(command(options, workdir, steps), workdir)
    for _ in range(options.kills):
        said = len(life.lines)
        life.wait_for(lambda said=said: any("] step" in line for line in life.lines[said:]))
        time.sleep(draw.uniform(0.0, 2.0))
        children = children_of(life.process.pid)
        if not life.running() or not children:
            break
        worker = draw.randrange(len(children))
        os.kill(children[worker], signal.SIGKILL)
        hit[f"worker {worker}"] += 1
        life.wait_for(lambda said=said: any("starting all again" in line for line in life.lines[said:]))
    code = life.wait()
    if code != 0:
        print(life.output())
    return code


def children_of(pid: int) -> list[int]:
    """The worker processes of a launcher, in the order in which they were started."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def ended_with(codes) -> str:
    return "; exit codes " + ", ".join(f"{code} x {count}" for code, count in sorted(codes.items())) if codes else ""


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
        "what the host keeps": _without(first.host, "trained") == _without(second.host, "trained"),
        "the best step": checkpoint.best_step(unbroken) == checkpoint.best_step(broken),
        "metrics.jsonl": _metrics(unbroken) == _metrics(broken),
        "evaluation.json": _json(unbroken, "evaluation.json") == _json(broken, "evaluation.json"),
    }
    for what, same in equal.items():
        print(f"  {'equal' if same else 'DIFFERENT'}: {what}")
    if different:
        print(f"  {len(different)} variables differ: {', '.join(different[:5])} …")
    return 0 if all(equal.values()) else 1


def _metrics(workdir: str) -> list[dict]:
    return [_without(line, "images_per_second") for line in read_metrics(os.path.join(workdir, "metrics.jsonl"))]


def _json(workdir: str, name: str) -> dict:
    with open(os.path.join(workdir, name), encoding="utf-8") as file:
        return json.load(file)


def _without(mapping, name: str) -> dict:
    return {key: value for key, value in mapping.items() if key != name}


if __name__ == "__main__":
    sys.exit(main())

"""Time and memory of a step, measured by taking some: in a process of its own, whose memory is nobody else's.

python -m trainer.plan.probe CONFIG.json     # writes a line of JSON, the fields of `Measured`
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time

from configs.reading import serialization
from configs.schema import Config
from trainer.errors import UserError

_STEPS = 6
_MARK = "measured: "


@dataclasses.dataclass(frozen=True)
class Measured:
    """What some steps took.

    step: seconds of a step, the median, with reading and augmentation beside it.
    start: seconds from the beginning of the process to the end of the first step.
    evaluation: seconds that all validation images take, from the time of one.
    memory: GiB at the most: of the process, or of the device's memory where that is a GPU.
    """

    step: float
    start: float
    evaluation: float
    memory: float


def measure(config: Config) -> Measured:
    """Takes some steps of a config in a process of its own.

    Raises:
      UserError: they end in an error; its text.
    """
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "config.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(serialization.to_json(config))
        home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        paths = os.pathsep.join(filter(None, [home, os.getcwd(), os.environ.get("PYTHONPATH", "")]))
        command = [sys.executable, "-m", "trainer.plan.probe", path]
        # In the user's directory, for paths of the config that are relative.
        environment = os.environ | {"PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", env=environment)
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if done.returncode or not lines:
        last = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-12:]
        raise UserError("The steps that were to be timed ended in an error:\n" + "\n".join(last))
    return Measured(**json.loads(lines[-1].removeprefix(_MARK)))


def _main(path: str, began: float) -> None:
    from trainer.process import prepare

    prepare()
    import statistics

    import tensorflow as tf

    from trainer.data import training_batches
    from trainer.data.example import RESERVED
    from trainer.run import Run

    with open(path, encoding="utf-8") as file:
        config = serialization.from_json(file.read())
    with tempfile.TemporaryDirectory() as workdir:
        run = Run(config, workdir=workdir)
        times = []
        for batch in training_batches(run.data.train, run.config, start_step=0, steps=_STEPS):
            started = time.perf_counter()
            taken = run.step({key: value.numpy() for key, value in batch.items() if key not in RESERVED})
            float(taken["loss"])
            if not times:
                start = time.time() - began
            times.append(time.perf_counter() - started)
        memory, evaluation = _peak(tf), _evaluation(run, tf)
    measured = Measured(statistics.median(times[2:]), start, evaluation, memory)
    print(f"\n{_MARK}{json.dumps(dataclasses.asdict(measured))}", flush=True)


def _evaluation(run, tf) -> float:
    """Seconds for the validation split: the forward pass of one image of median size, times their number."""
    source = run.data.validation
    if source is None or not source.names:
        return 0.0
    example = source.load(0)
    side = 2**run.config.model.depth
    padded = [-(-length // side) * side for length in example.size]
    image = tf.zeros((1, *padded, run.data.channels))
    forward = tf.function(lambda x: run.task.model(x, training=False))
    forward(image)
    started = time.perf_counter()
    tf.nest.map_structure(lambda t: t.numpy(), forward(image))
    return (time.perf_counter() - started) * len(source)


def _peak(tf) -> float:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**30 if sys.platform == "darwin" else 2**20)


if __name__ == "__main__":
    _main(sys.argv[1], time.time())

"""Time and memory of a step, measured by taking some: in a process of its own, whose memory is nobody else's.

python -m trainer.plan.probe CONFIG.json wall 1     # prints a line of JSON, the fields of `Measured`
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Literal

import numpy as np

from configs.reading import serialization
from configs.reading.settings import by_flags, named_by_flags
from configs.schema import Config
from trainer.errors import UserError
from trainer.process import usable_processors

Clock = Literal["wall", "processor"]

_STEPS = 6
_MARKS = _MEASURED, _FAILED = "measured: ", "failed: "


@dataclasses.dataclass(frozen=True)
class Measured:
    """What some steps took.

    step: seconds of a step, the median, with reading and augmentation beside it.
    start: seconds from the beginning of the process to the end of the first step.
    evaluation: seconds that all validation images take, from the time of one.
    memory: GiB at the most: of the process, or of the device's memory where that is a GPU.
    bfloat16: whether the processor has instructions for it that were not used.
    """

    step: float
    start: float
    evaluation: float
    memory: float
    bfloat16: bool = False


def measure(config: Config, clock: Clock = "wall") -> Measured:
    """Takes some steps of a config in a process of its own.

    Args:
      config: what would be trained.
      clock: "wall", or "processor": seconds of processor time by the number of processors, which other programs on the
        machine do not lengthen; it takes all processors to be busy all the time.

    Raises:
      UserError: they end in an error; what it said.
    """
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "config.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(serialization.to_json(config))
        home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        paths = os.pathsep.join(filter(None, [home, os.getcwd(), os.environ.get("PYTHONPATH", "")]))
        command = [sys.executable, "-m", "trainer.plan.probe", path, clock, str(int(by_flags()))]
        # In the user's directory, for paths of the config that are relative.
        environment = os.environ | {"PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", env=environment)
    lines = done.stdout.splitlines()
    said = {mark: line.removeprefix(mark) for line in lines for mark in _MARKS if line.startswith(mark)}
    if done.returncode or _MEASURED not in said:
        last = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-12:]
        text = json.loads(said[_FAILED]) if _FAILED in said else "\n".join(last)
        raise UserError(f"The steps that were to be timed ended in an error:\n{text}")
    return Measured(**json.loads(said[_MEASURED]))


def _processor_time() -> float:
    """Seconds that the processors would have taken with nothing else to do."""
    return time.process_time() / usable_processors()


def _main(path: str, clock: Clock, flags: bool) -> None:
    try:
        with named_by_flags() if flags else contextlib.nullcontext():
            mark, result = _MEASURED, dataclasses.asdict(_taken(path, clock))
    except UserError as error:
        mark, result = _FAILED, str(error)
    # On a line of its own, in ASCII: what else is printed, and in which encoding, is nobody's to know.
    print(f"\n{mark}{json.dumps(result)}", flush=True)


def _taken(path: str, clock: Clock) -> Measured:
    from trainer.process import prepare

    prepare()
    import statistics

    import tensorflow as tf

    from trainer.data import training_batches
    from trainer.data.example import RESERVED
    from trainer.run import Run
    from trainer.stepping.precision import cpu_has_bfloat16

    now = time.perf_counter if clock == "wall" else _processor_time
    began = now() if clock == "wall" else 0.0
    with open(path, encoding="utf-8") as file:
        config = serialization.from_json(file.read())
    with tempfile.TemporaryDirectory() as workdir:
        run = Run(config, workdir=workdir)
        times = []
        for batch in training_batches(run.data.train, run.config, start_step=0, steps=_STEPS):
            started = now()
            taken = run.step({key: value.numpy() for key, value in batch.items() if key not in RESERVED})
            float(taken["loss"])
            if not times:
                start = now() - began
            times.append(now() - started)
        memory = _peak(tf)
        one = _a_volume if len(config.augment.crop) == 3 else _an_image
        source = run.data.validation
        evaluation = one(run, now) * len(source) if source is not None and source.names else 0.0
    unused = run.precision.policy == "float32" and cpu_has_bfloat16() and not tf.config.list_physical_devices("GPU")
    return Measured(statistics.median(times[2:]), start, evaluation, memory, unused)


def _an_image(run, now: Callable[[], float]) -> float:
    """Seconds of the forward pass of a validation image."""
    import tensorflow as tf

    example = run.data.validation.load(0)
    side = 2**run.config.model.depth
    padded = [-(-length // side) * side for length in example.size]
    image = tf.zeros((1, *padded, run.data.channels))
    forward = tf.function(lambda x: run.task.model(x, training=False))
    seconds = _second(lambda: tf.nest.map_structure(lambda t: t.numpy(), forward(image)), now)
    return seconds * (4 if run.config.evaluate.mirror else 1)


def _a_volume(run, now: Callable[[], float]) -> float:
    """Seconds of a validation volume, from those of one window."""
    from trainer.evaluation.volume_windows import VolumeNetwork

    network = VolumeNetwork(run.task.model, run.config)
    window = np.zeros((*network.window, run.data.channels), np.float32)
    example = run.data.validation.load_compact(0)
    return _second(lambda: network.class_ids(window, network.window), now) * network.windows(example.image.shape[:3])


def _second(call: Callable[[], object], now: Callable[[], float]) -> float:
    """Seconds of the second call; the first traces."""
    call()
    started = now()
    call()
    return now() - started


def _peak(tf) -> float:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**30 if sys.platform == "darwin" else 2**20)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3] == "1")

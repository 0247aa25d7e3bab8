"""Time and memory of a step, measured by running some in a separate process, whose memory is nothing else's.

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
from configs.reading.setting_names import by_flags, named_by_flags
from configs.schema import Config
from trainer.errors import UserError
from trainer.process import usable_processors

Clock = Literal["wall", "processor"]

_STEPS = 6
# Images on which an evaluation is timed; for volumes one window is enough.
_IMAGES = 4
_MARKS = _MEASURED, _FAILED = "measured: ", "failed: "


@dataclasses.dataclass(frozen=True)
class Measured:
    """Time and memory of some steps.

    step: seconds of a step, the median, with reading and augmentation going on in parallel.
    start: seconds from the start of the process to the end of the first step, plus those by which the first evaluation
      is slower than later ones.
    evaluation: seconds for all validation images, with their pictures, estimated from some.
    memory: GiB at the peak, of the process, or of the device if that is a GPU.
    bfloat16: whether the processor has instructions for it that were not used.
    """

    step: float
    start: float
    evaluation: float
    memory: float
    bfloat16: bool = False


def measure(config: Config, clock: Clock = "wall") -> Measured:
    """Runs some steps of a config in a separate process.

    Args:
      config: the config that would be trained.
      clock: "wall", or "processor": seconds of processor time divided by the number of processors, which other
        programs on the machine do not lengthen; it assumes that all processors are always busy.

    Raises:
      UserError: they end in an error, with its message.
    """
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "config.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(serialization.to_json(config))
        home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        paths = os.pathsep.join(filter(None, [home, os.getcwd(), os.environ.get("PYTHONPATH", "")]))
        command = [sys.executable, "-m", "trainer.plan.probe", path, clock, str(int(by_flags()))]
        # In the user's directory, for relative paths in the config.
        environment = os.environ | {"PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", env=environment)
    lines = done.stdout.splitlines()
    results = {mark: line.removeprefix(mark) for line in lines for mark in _MARKS if line.startswith(mark)}
    if done.returncode or _MEASURED not in results:
        last = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-12:]
        text = json.loads(results[_FAILED]) if _FAILED in results else "\n".join(last)
        raise UserError(f"The steps that were to be timed ended in an error:\n{text}")
    return Measured(**json.loads(results[_MEASURED]))


def _processor_time() -> float:
    """Seconds that the processors would have needed with nothing else to do."""
    return time.process_time() / usable_processors()


def _main(path: str, clock: Clock, flags: bool) -> None:
    try:
        with named_by_flags() if flags else contextlib.nullcontext():
            mark, result = _MEASURED, dataclasses.asdict(_taken(path, clock))
    except UserError as error:
        mark, result = _FAILED, str(error)
    # On its own line, in ASCII: other output may have any contents and encoding.
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
        first = evaluation = 0.0
        if run.data.validation is not None and run.data.validation.names:
            evaluated = _volumes if len(config.augment.crop) == 3 else _images
            first, evaluation = evaluated(run, now)
    unused = run.precision.policy == "float32" and cpu_has_bfloat16() and not tf.config.list_physical_devices("GPU")
    return Measured(statistics.median(times[2:]), start + first, evaluation, memory, unused)


def _images(run, now: Callable[[], float]) -> tuple[float, float]:
    """Seconds of tracing, and of an evaluation of all images: reading, forward pass, scores, and pictures."""
    from trainer.data.source import Source
    from trainer.evaluation.evaluator import make_evaluator
    from trainer.reporting.evaluation_record import write_evaluation
    from trainer.reporting.tensorboard.summaries import Writer

    source = run.data.validation
    chosen = np.unique(np.linspace(0, len(source) - 1, min(_IMAGES, len(source))).astype(int)).tolist()
    some = Source(
        source.split,
        [source.names[index] for index in chosen],
        lambda number: source.load_compact(chosen[number]),
        classes=source.classes,
        void_id=source.void_id,
        channels=source.channels,
        features=source.features,
    )
    evaluate = make_evaluator(
        run.task, dataclasses.replace(run.data, validation=some), run.config, run.strategy, metrics=run.metrics
    )
    times = []
    for _ in range(2):
        started = now()
        scores, pictures = evaluate()
        times.append(now() - started)
    started = now()
    write_evaluation(run.workdir, 0, scores, pictures)
    Writer(run.workdir).evaluation(0, scores, pictures)
    written = now() - started
    # With more images than were tried, more pictures are shown.
    shown = min(len(source), run.config.evaluate.panels + 4) / max(len(pictures), 1)
    return max(times[0] - times[1], 0.0), times[1] * len(source) / len(chosen) + written * shown


def _volumes(run, now: Callable[[], float]) -> tuple[float, float]:
    """Seconds of tracing, and of the windows of all validation volumes, from the time of one window."""
    from trainer.prediction.volume_windows import VolumeNetwork

    network = VolumeNetwork(run.task.model, run.config)
    window = np.zeros((*network.window, run.data.channels), np.float32)
    example, times = run.data.validation.load_compact(0), []
    for _ in range(2):
        started = now()
        network.class_ids(window, network.window)
        times.append(now() - started)
    of_all = network.windows(example.image.shape[:3]) * len(run.data.validation)
    return max(times[0] - times[1], 0.0), times[1] * of_all


def _peak(tf) -> float:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**30 if sys.platform == "darwin" else 2**20)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3] == "1")

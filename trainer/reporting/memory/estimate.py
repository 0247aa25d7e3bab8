"""Estimates the memory that training will need, by its parts, before anything is trained, and whether it is available.

Weights, moments and averages are counted from the variables, gradients and activations from the graph of the step
(`trainer.stepping.step_memory`), batches and cache from the pipeline's own rules and some examples, and the program
itself is measured: TensorFlow, Keras and this process as they are. docs/memory.md compares estimates with measurements.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer import process
from trainer.data.pipeline import batches_ahead
from trainer.models.inference_memory import footprint
from trainer.reporting.memory.out_of_memory import less_to_train, size_of
from trainer.stepping.batches import batches_from
from trainer.stepping.state import task_variables
from trainer.stepping.step import make_train_steps
from trainer.stepping.step_memory import bytes_of, peak

# Examples that are decoded for their sizes.
_LOOKED_AT = 8
# Host memory for tracing and optimising the step's graph, its threads and kernels, besides tensors: a fixed part and
# one for each operation, as measured; docs/memory.md.
_OF_THE_GRAPH = 40 * 2**20, 21_000
# Working space of kernels, and fragmentation: shares of the memory held at the peak. The host's is measured; the GPU's,
# which includes cuDNN's workspace, is a guess.
_PIECES_ON_HOST, _PIECES_ON_GPU = 0.4, 0.1
# The memory of a process that makes batches, mostly TensorFlow's libraries.
_A_PROCESS = 400 * 2**20


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The parts, in bytes.

    Attributes:
      weights, moments, averages: those of all variables, optimizers and moving averages, on one replica.
      gradients: those of all trainable variables, on one replica.
      activations: the other tensors of a step at its peak, on one replica.
      largest: the largest tensor of a step.
      evaluation: the needs of an image in evaluation, when no step is held.
      saving: the copy of weights, moments and averages from which a checkpoint is written, on this host.
      batches: those that the pipeline makes ahead, on this host.
      cache: decoded examples that are kept, on this host.
      processes: those that make batches (data.processes), with TensorFlow in each.
      program: this process without all that.
      replicas: copies of the model in the host's memory (0 if they are on GPUs).
    """

    weights: int
    moments: int
    averages: int
    gradients: int
    activations: int
    largest: int
    evaluation: int
    saving: int
    batches: int
    cache: int
    processes: int
    program: int
    replicas: int

    @property
    def device_total(self) -> int:
        """The sum on one replica."""
        held = max(self.gradients + self.activations, self.evaluation)
        return self.weights + self.moments + self.averages + held

    @property
    def host_total(self) -> int:
        """The sum in this process."""
        shared = self.program + self.batches + self.cache + self.saving + self.processes
        return shared + self.replicas * self.device_total


def estimate(run) -> Estimate:
    """Traces the step of a run, and adds up. Nothing is computed, and the run is unchanged."""
    config, state = run.config, run.state
    own = list(task_variables(run.task).values())
    moments = [v for update in state.updates for v in update.optimizer.variables]
    weights, of_moments, averages = bytes_of(own), bytes_of(moments), bytes_of(state.averages)
    gradients = bytes_of(state.trainable)
    on_host = not tf.config.list_physical_devices("GPU")
    replicas = run.devices.local_replicas if on_host else 0
    # Before the step is traced: the memory that tracing keeps is in the sum below.
    program = resident() - (replicas or 0) * (weights + of_moments + averages)
    found, operations = step_peak(run)
    held = found.bytes // max(1, run.devices.local_replicas)
    held = int(held * (1 + (_PIECES_ON_HOST if on_host else _PIECES_ON_GPU)))
    fixed, each = _OF_THE_GRAPH
    return Estimate(
        weights=weights,
        moments=of_moments,
        averages=averages,
        gradients=gradients,
        activations=max(held - gradients, 0),
        largest=found.largest,
        evaluation=_evaluated(run),
        saving=weights + of_moments + averages if run.devices.chief else 0,
        batches=batches_of(run, config),
        cache=_cache(run, config),
        processes=config.data.processes * _A_PROCESS,
        program=program + fixed + each * operations,
        replicas=replicas,
    )


def step_peak(run):
    """The peak of a step on all replicas of this process, and the number of operations in its graph."""
    config = dataclasses.replace(run.config, train=dataclasses.replace(run.config.train, accumulate=run.micro_batches))
    config = dataclasses.replace(
        config,
        guard=dataclasses.replace(config.guard, missing="off"),
        data=dataclasses.replace(config.data, processes=0),
    )
    steps = make_train_steps(run.state, run.totals, run.strategy, config)
    iterator = batches_from(run.data.train, config, run.strategy, step=0, total=1)
    traced = steps.one.get_concrete_function(iterator.element_spec)
    return peak(traced), len(traced.graph.get_operations())


def batches_of(run, config: Config) -> int:
    """Bytes of the batches made ahead on this host."""
    share = config.train.batch_size // run.devices.workers
    shapes = [(f.batch_shape(*config.augment.crop), f.dtype) for f in run.data.train.features.values()]
    batch = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in shapes if dtype.kind != "O")
    return share * batch * batches_ahead(config)


def _cache(run, config: Config) -> int:
    """Decoded examples of both splits, as far as they fit in data.cache_mib."""
    total = 0
    for source in (run.data.train, run.data.validation):
        if source is None or source.stream is not None or not source.length or not source.caches:
            continue
        places = np.unique(np.linspace(0, source.length - 1, min(source.length, _LOOKED_AT)).astype(int)).tolist()
        sizes = [source.load_compact(i).nbytes for i in places if not source.why_unusable(i)]
        total += int(np.mean(sizes) * source.length) if sizes else 0
    return min(total, config.data.cache_mib * 2**20)


def _evaluated(run) -> int:
    """The needs of evaluating one of the larger validation images, whole or in tiles."""
    from trainer.prediction.windows import _MEMORY

    model, source = getattr(run.task, "model", None), run.data.validation
    if model is None or source is None or not source.length or run.intervals.evaluate_every == 0:
        return 0
    each = footprint(model, run.config.data.channels)
    tile = run.config.evaluate.tile
    places = np.unique(np.linspace(0, source.length - 1, min(source.length, _LOOKED_AT)).astype(int)).tolist()
    pixels = max((int(np.prod(source.load_compact(i).size)) for i in places if not source.why_unusable(i)), default=0)
    return int(min(each.activations * (min(pixels, tile[0] * tile[1]) if any(tile) else pixels), _MEMORY))


def resident() -> int:
    """Bytes of memory that this process holds; 0 if the system does not report it."""
    try:
        with open("/proc/self/statm", encoding="utf-8") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def described(run) -> list[str]:
    """The estimate as lines of text: the rows, their sum, the available memory, and what to change if it is small."""
    try:
        found = estimate(run)
    except Exception as error:  # A step that cannot be traced: training reports why, with the line.
        reason = (str(error).strip().splitlines() or [""])[0]
        return [f"not known: the step cannot be traced ({type(error).__name__}: {reason})"]
    config, micro_batches = run.config, run.micro_batches
    at_once = config.train.batch_size // (run.devices.replicas * micro_batches)
    images = f"{at_once} image{'s' if at_once > 1 else ''} of {config.augment.crop[0]} x {config.augment.crop[1]}"
    rows = [
        ("weights", found.weights, ""),
        ("moments", found.moments, "the optimizer's"),
        ("averages", found.averages, "of the weights"),
        ("gradients", found.gradients, ""),
        ("activations", found.activations, f"{images} at a time; the largest tensor has {size_of(found.largest)}"),
    ]
    if found.evaluation:
        rows.append(("evaluation", found.evaluation, "an image at its own size or a tile of it, when no step is held"))
    rows = [(name, size, text) for name, size, text in rows if size]
    lines = [f"{name:<12}{size_of(size):>10}  {text}".rstrip() for name, size, text in rows]
    many = f" x {run.devices.local_replicas} replicas" if run.devices.local_replicas > 1 else ""
    lines.append(f"{'a replica':<12}{size_of(found.device_total):>10}{many}")
    lines.append(f"{'batches':<12}{size_of(found.batches):>10}  made ahead")
    lines.append(f"{'cache':<12}{size_of(found.cache):>10}  decoded images, of at most {config.data.cache_mib:,} MiB")
    if found.processes:
        lines.append(f"{'processes':<12}{size_of(found.processes):>10}  {config.data.processes} that make batches")
    if found.saving:
        lines.append(f"{'saving':<12}{size_of(found.saving):>10}  the copy that a checkpoint is written from")
    lines.append(f"{'program':<12}{size_of(found.program):>10}  Python, TensorFlow, the compiled step")
    limits = _limits(run, found)
    for where, needed, there in limits:
        lines.append(
            f"{where:<12}{size_of(needed):>10}  of {size_of(there)}" if there else f"{where}: {size_of(needed)}"
        )
    short = [(where, needed, there) for where, needed, there in limits if there and needed > there]
    for where, needed, there in short:
        lines.append(
            f"It would not fit: {size_of(needed)} are needed on the {where}, {size_of(there)} are there. Less takes:"
        )
        lines += [f"  {advice}" for advice in less_to_train(run.named_config, run.devices.replicas, micro_batches)]
    return lines


def _limits(run, found: Estimate) -> list[tuple[str, int, int | None]]:
    """(where, bytes needed, bytes available or None) for the host, and for a GPU if there is any."""
    limits = [("host", found.host_total, process.memory_limit())]
    for limit in gpu_memory()[:1]:
        limits.append(("GPU", found.device_total, limit))
    return limits


def gpu_memory() -> list[int]:
    """Bytes of each GPU that TensorFlow may use."""
    if not tf.config.list_physical_devices("GPU"):
        return []
    # tf.config has no public access to a device's memory size.
    from tensorflow.python.client import device_lib

    return [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]

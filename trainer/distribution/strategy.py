"""Devices: which tf.distribute strategy a run takes, and why, in words.

TensorFlow's own engines do the work: MirroredStrategy for the devices of one machine, MultiWorkerMirroredStrategy for
several machines (a cluster from TF_CONFIG or Slurm), TPUStrategy, and the default strategy for one device.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer import console
from trainer.distribution.cluster import Cluster, cluster_from_environment
from trainer.distribution.lost_worker import first_line
from trainer.errors import EXIT_FAILED, UserError


@dataclasses.dataclass(frozen=True)
class Devices:
    """What a run computes on.

    Attributes:
      strategy: the tf.distribute strategy.
      replicas: copies of the model over all workers, N.
      workers: processes that take part.
      worker: this process's number, 0-based.
      reason: a sentence for the user: what was taken and why.
      cluster: the workers' addresses where there are several, or None.
    """

    strategy: tf.distribute.Strategy
    replicas: int
    workers: int
    worker: int
    reason: str
    cluster: Cluster | None = None

    @property
    def chief(self) -> bool:
        """The one process that writes to the workdir."""
        return self.worker == 0

    @property
    def local_replicas(self) -> int:
        return self.replicas // self.workers

    def sum_over_workers(self, value: float | np.ndarray) -> float | np.ndarray:
        """Adds up a number, or an array, over all workers, each of which has to call this; on one it is the value."""
        if self.workers == 1:
            return value

        def once_a_worker(context):
            first = context.replica_id_in_sync_group % self.local_replicas == 0
            return tf.constant(value if first else np.zeros_like(value), tf.float64)

        spread = self.strategy.experimental_distribute_values_from_function(once_a_worker)
        total = self.strategy.reduce(tf.distribute.ReduceOp.SUM, spread, axis=None).numpy()
        return total if total.ndim else float(total)

    def any_worker(self, value: bool) -> bool:
        """Whether it is true on one of the workers: a decision that all of them have to take alike."""
        return self.sum_over_workers(float(value)) > 0.0


def split_cpu(count: int) -> None:
    """Makes `count` logical CPU devices. Must run before TensorFlow's first operation.

    Raises:
      UserError: TensorFlow has already started with another number.
    """
    if not count:
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError as error:
        have = len(tf.config.list_logical_devices("CPU"))
        if have < count:
            raise UserError(
                f"config.logical_devices={count}: TensorFlow already runs with {have} CPU device(s) in this process; "
                "the number can be set only before its first operation, such as a model, an optimizer or a variable "
                "that a script makes before the run. Pass functions or classes that make them."
            ) from error


def choose(config: Config) -> Devices:
    """Turns `config.strategy` into devices.

    Raises:
      UserError: what was asked for is not there, or the cluster in the environment is wrong or half.
    """
    split_cpu(config.logical_devices)
    # Physical devices: asking for the logical ones starts TensorFlow, after which no cluster can be joined.
    kind, gpus = config.strategy, tf.config.list_physical_devices("GPU")
    cluster = cluster_from_environment() if kind in ("auto", "multi_worker") else None
    if kind == "auto":
        kind, why = _automatic(cluster, gpus, config.logical_devices)
    else:
        why = "as asked"
    if kind == "multi_worker":
        if cluster is None:
            found = "TF_CONFIG is not set and this is no Slurm step"
            if os.environ.get("TF_CONFIG", "").strip():
                found = "TF_CONFIG is of one process alone"
            raise UserError(
                f"config.strategy=multi_worker: there is no cluster in the environment: {found}.\n"
                "  On one machine: python -m trainer.launch --workers=2 -- python main.py …\n"
                "  On several: set TF_CONFIG on each, see docs/cluster.md."
            )
        return _multi_worker(cluster, why)
    if kind == "tpu":
        return _tpu(why)
    if kind == "mirrored":
        names = [d.name for d in tf.config.list_logical_devices("GPU" if gpus else "CPU")]
        if not gpus and config.logical_devices:
            names = names[: config.logical_devices]
        if len(names) == 1:
            why += ", on the one device there is"
        # On CPU devices the reduction to one of them has a fixed order, and lets one process hold several strategies.
        reduction = None if gpus else tf.distribute.ReductionToOneDevice()
        strategy = tf.distribute.MirroredStrategy(names, cross_device_ops=reduction)
        what = f"{len(names)} replicas on {', '.join(n.split('device:')[-1] for n in names)}"
        return Devices(strategy, strategy.num_replicas_in_sync, 1, 0, f"mirrored, {why}: {what}")
    device = "GPU:0" if gpus else "CPU"
    return Devices(tf.distribute.get_strategy(), 1, 1, 0, f"one device, {why}: {device}")


def _automatic(cluster, gpus, logical_devices: int) -> tuple[str, str]:
    if cluster is not None:
        return "multi_worker", f"a cluster of {cluster.workers} workers is in the environment ({cluster.origin})"
    if len(gpus) > 1:
        return "mirrored", f"{len(gpus)} GPUs are here"
    if logical_devices > 1:
        return "mirrored", f"{logical_devices} logical CPU devices were asked for"
    return "one", "one GPU is here" if gpus else "no GPU is here"


def _multi_worker(cluster: Cluster, why: str) -> Devices:
    gpus = tf.config.list_physical_devices("GPU")
    if cluster.own_gpus is not None:
        gpus = [gpus[i] for i in cluster.own_gpus if i < len(gpus)]
        tf.config.set_visible_devices(gpus, "GPU")
    implementations = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=implementations.NCCL if gpus else implementations.RING
    )
    others = [address for i, address in enumerate(cluster.addresses) if i != cluster.index]
    listed = ", ".join(others[:4]) + (f", … ({len(others)} in all)" if len(others) > 4 else "")
    # Said by each: one that waits alone would seem to hang.
    console.log(f"worker {cluster.index} of {cluster.workers} ({cluster.origin}): waiting for {listed}")
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(
            cluster_resolver=cluster.resolver(len(gpus)), communication_options=options
        )
    except tf.errors.OpError as error:
        raise UserError(
            f"Worker {cluster.index} could not join the cluster as {cluster.addresses[cluster.index]}: "
            f"{first_line(error)}\n  The address has to be this machine's, its port free and open to {listed}; workers "
            "that do not come are waited for, but not for ever.",
            exit_code=EXIT_FAILED,
        ) from error
    n = strategy.num_replicas_in_sync
    what = f"worker {cluster.index} of {cluster.workers}, {n} replicas in all"
    return Devices(strategy, n, cluster.workers, cluster.index, f"multi_worker, {why}: {what}", cluster)


def _tpu(why: str) -> Devices:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
    except (ValueError, tf.errors.OpError) as error:
        raise UserError(
            f"config.strategy=tpu: no TPU can be reached from here: {error}\n  Without one: --strategy=auto"
        ) from error
    strategy = tf.distribute.TPUStrategy(resolver)
    n = strategy.num_replicas_in_sync
    return Devices(strategy, n, 1, 0, f"tpu, {why}: {n} cores")


def check_batch(config: Config, replicas: int) -> None:
    """Refuses a global batch that replicas and micro-batches do not divide, with the nearest sizes that they do.

    Raises:
      UserError: with the numbers.
    """
    batch, parts = config.train.batch_size, replicas * config.train.micro_batches
    if batch % parts:
        low, high = batch // parts * parts, (batch // parts + 1) * parts
        sizes = f"{low} or {high}" if low else f"{high}"
        micro_batches = config.train.micro_batches
        micro = f" x {micro_batches} micro-batches" if micro_batches > 1 else ""
        raise UserError(
            f"config.train.batch_size={batch} is the global batch and cannot be cut into {replicas} replicas{micro} = "
            f"{parts} equal parts; unequal parts would weigh images differently.\n"
            f"  Take --config.train.batch_size={sizes.split(' ')[0]}" + (f" (or {high})." if low else ".")
        )

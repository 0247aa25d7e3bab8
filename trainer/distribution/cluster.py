"""The cluster in the environment: TF_CONFIG as Kubernetes' training operator sets it, or a Slurm step."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping

from trainer.errors import UserError, numbered

_EXAMPLE = '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Which processes train together.

    Attributes:
      chief, worker: "host:port" of the tasks of each type. The first of them all writes to the workdir.
      index: which one this process is, counted over chief and workers.
      origin: where this was read, for the user.
      own_gpus: positions, among the GPUs that this process sees, of those that are its own; None for all.
    """

    chief: tuple[str, ...]
    worker: tuple[str, ...]
    index: int
    origin: str
    own_gpus: tuple[int, ...] | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.chief + self.worker

    @property
    def workers(self) -> int:
        return len(self.addresses)

    @property
    def task(self) -> tuple[str, int]:
        """TensorFlow's name for this process."""
        is_chief = self.index < len(self.chief)
        return ("chief", self.index) if is_chief else ("worker", self.index - len(self.chief))

    def index_of(self, kind: str, task: int) -> int:
        """The position of TensorFlow's `/job:kind/task:task` among all."""
        return task + (len(self.chief) if kind == "worker" else 0)

    def resolver(self, gpus: int):
        """TensorFlow's description of the cluster, for a process that uses so many GPUs."""
        import tensorflow as tf

        tasks = {kind: list(hosts) for kind, hosts in (("chief", self.chief), ("worker", self.worker)) if hosts}
        kind, index = self.task
        return tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(tasks), task_type=kind, task_id=index, rpc_layer="grpc", num_accelerators={"GPU": gpus}
        )


def cluster_from_environment() -> Cluster | None:
    """Reads the cluster from this process's environment, or None where there is none or it is of one process.

    Raises:
      UserError: TF_CONFIG or Slurm's variables are wrong or half; every fault is listed, with a right example.
    """
    if os.environ.get("TF_CONFIG", "").strip():
        return _from_tf_config(os.environ["TF_CONFIG"])
    if "SLURM_STEP_NODELIST" in os.environ:
        return _from_slurm(os.environ)
    return None


def _from_tf_config(text: str) -> Cluster | None:
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        hint = " Strings are in double quotes." if "'" in text else ""
        raise _wrong([f"it is not JSON: {error}.{hint}"], text) from error
    if not isinstance(config, dict):
        raise _wrong([f"it holds a {type(config).__name__}, not an object"], text)
    if not config.get("cluster") and not config.get("task"):
        return None
    tasks, problems = _tasks(config.get("cluster"))
    kind, index, task_problems = _task(config.get("task"), tasks)
    problems += task_problems
    if problems:
        raise _wrong(problems, text)
    if len(tasks["chief"] + tasks["worker"]) == 1:
        return None
    unplaced = Cluster(tasks["chief"], tasks["worker"], 0, "TF_CONFIG")
    return dataclasses.replace(unplaced, index=unplaced.index_of(kind, index))


def _tasks(cluster) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The addresses of each type of task, and what is wrong with them."""
    tasks: dict[str, tuple[str, ...]] = {"chief": (), "worker": ()}
    if not isinstance(cluster, dict) or not cluster:
        return tasks, ['"cluster" is missing: the addresses of all workers, the same on each']
    problems = []
    for kind, hosts in cluster.items():
        if kind == "ps":
            problems.append('"ps" is in the cluster: Keras 3 does not support parameter servers; use workers alone')
        elif kind == "master":
            problems.append('"master" is TensorFlow 1\'s name of it: write "chief"')
        elif kind not in ("chief", "worker", "evaluator"):
            problems.append(f'"{kind}" is no type of task: write "worker" (and "chief" for one of them, if you like)')
        elif not isinstance(hosts, list):
            problems.append(f'"{kind}" is {hosts!r}, not a list of "host:port"')
        else:
            bad = [host for host in hosts if not _is_address(host)]
            problems += [f'"{kind}" has {host!r}, which is not "host:port" with a port from 1 to 65535' for host in bad]
            if kind in tasks:
                tasks[kind] = tuple(str(host) for host in hosts)
    everyone = tasks["chief"] + tasks["worker"]
    twice = sorted({address for address in everyone if everyone.count(address) > 1})
    if twice:
        problems.append(f"{', '.join(twice)} occurs more than once: each process has an address of its own")
    if len(tasks["chief"]) > 1:
        problems.append(f'"chief" has {len(tasks["chief"])} addresses; there is one chief')
    if not everyone and not problems:
        problems.append('"cluster" has neither "chief" nor "worker"')
    return tasks, problems


def _task(task, tasks: Mapping[str, tuple[str, ...]]) -> tuple[str, int, list[str]]:
    """Type and index of this process, and what is wrong with them."""
    if not isinstance(task, dict) or "type" not in task or "index" not in task:
        return "", 0, ['"task" needs "type" and "index": which of the workers this process is']
    kind, index = task["type"], task["index"]
    if kind == "evaluator":
        return kind, 0, ['the task is an "evaluator": the workers evaluate themselves here, start none']
    if kind not in tasks:
        return "", 0, [f'the task\'s type is {kind!r}: write "worker" or "chief"']
    if isinstance(index, str) and index.isdecimal():
        index = int(index)
    if isinstance(index, bool) or not isinstance(index, int):
        return kind, 0, [f"the task's index is {index!r}, not a whole number"]
    count = len(tasks[kind])
    if not 0 <= index < count:
        listed = f"lists {count} of that type, so its index is from 0 to {count - 1}"
        return kind, 0, [f'the task is {kind} {index}, but "cluster" {listed if count else "lists none of that type"}']
    return kind, index, []


def _is_address(host) -> bool:
    if not isinstance(host, str):
        return False
    name, _, port = host.rpartition(":")
    return bool(name) and "/" not in host and port.isdecimal() and 0 < int(port) < 65536


def _wrong(problems: list[str], text: str) -> UserError:
    received = text if len(text) <= 300 else text[:300] + "…"
    return UserError(
        f"TF_CONFIG does not describe a cluster:\n{numbered(problems)}\n  A right one: {_EXAMPLE}\n"
        f"  To train without a cluster: unset TF_CONFIG\nReceived: TF_CONFIG={received}"
    )


def _from_slurm(environ: Mapping[str, str]) -> Cluster | None:
    """A step of Slurm (`srun`), read by TensorFlow's resolver."""
    names = ("SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_STEP_TASKS_PER_NODE")
    missing = [name for name in names if name not in environ]
    if missing:
        raise UserError(
            f"This looks like a Slurm step (SLURM_STEP_NODELIST={environ['SLURM_STEP_NODELIST']}), but "
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.\n"
            "  Start the workers with: srun python main.py …\n"
            "  To train in this one process: --strategy=one or --strategy=mirrored"
        )
    read = {name: environ[name] for name in names}
    try:
        count, index = int(read["SLURM_STEP_NUM_TASKS"]), int(read["SLURM_PROCID"])
        addresses = _slurm_addresses(environ) if count > 1 else ()
        if not 0 <= index < count:
            raise ValueError(f"this is task {index} of {count}, which are counted from 0")
    except (ValueError, RuntimeError) as error:
        listed = ", ".join(f"{name}={value}" for name, value in read.items())
        raise UserError(f"Slurm's variables do not describe a cluster: {error}\nReceived: {listed}") from error
    if count == 1:
        return None
    here, node = addresses[index].rpartition(":")[0], environ.get("SLURMD_NODENAME", "")
    if node and node != here:
        raise UserError(
            f"Slurm started task {index} on {node}, but in the order of the nodes it belongs on {here}, where the "
            "others would look for it.\n  Start the workers with: srun --distribution=block python main.py …"
        )
    return Cluster((), addresses, index, "Slurm", _slurm_gpus(environ, addresses, index))


def _slurm_addresses(environ: Mapping[str, str]) -> tuple[str, ...]:
    """ "host:port" of every task of the step, in the order of their ranks."""
    import tensorflow as tf

    # It takes the number of GPUs for a way to count tasks; the GPUs themselves are handed out below.
    most = max(int(n) for n in re.findall(r"(?:^|,)(\d+)", environ["SLURM_STEP_TASKS_PER_NODE"]))
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver
    found = resolver(gpus_per_node=most, gpus_per_task=1, auto_set_gpu=False).cluster_spec().as_dict()["worker"]

    def in_slurms_order(address: str):
        # The resolver sorts hosts as text, node10 before node9, where Slurm counts ranks node9 before node10.
        return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", address)]

    return tuple(sorted(found, key=in_slurms_order))


def _slurm_gpus(environ: Mapping[str, str], addresses: tuple[str, ...], index: int) -> tuple[int, ...] | None:
    """This task's GPUs where tasks share a node and Slurm has not given each its own."""
    bound = any(name in environ for name in ("SLURM_GPUS_PER_TASK", "SLURM_NTASKS_PER_GPU", "SLURM_TRES_PER_TASK"))
    node = addresses[index].rpartition(":")[0]
    on_node = [i for i, address in enumerate(addresses) if address.rpartition(":")[0] == node]
    seen = [name for name in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name and name != "-1"]
    share = len(seen) // len(on_node)
    if bound or len(on_node) == 1 or not share:
        return None
    first = on_node.index(index) * share
    return tuple(range(first, first + share))

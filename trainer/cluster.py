"""The cluster in the environment: TF_CONFIG as Kubernetes' training operator sets it, or a Slurm step."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping

from trainer.errors import UserError, numbered


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Attributes: workers: how many; index: which one this is, the chief being 0; origin: where it was read."""

    workers: int
    index: int
    addresses: tuple[str, ...]
    origin: str
    resolver: Callable


def cluster_from_environment(environ: Mapping[str, str]) -> Cluster | None:
    """Reads the cluster, or None where there is none (a TF_CONFIG with a single process counts as none).

    Raises:
      UserError: TF_CONFIG is there but wrong or half; every fault is listed, with a correct example.
    """
    if environ.get("TF_CONFIG"):
        return _from_tf_config(environ["TF_CONFIG"])
    if "SLURM_STEP_NODELIST" in environ and int(environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return _from_slurm(environ)
    return None


def _from_tf_config(text: str) -> Cluster | None:
    import tensorflow as tf

    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong([f"it is not JSON: {error}"], text) from error
    if not isinstance(config, dict):
        raise _wrong([f"it holds a {type(config).__name__}, not an object"], text)
    cluster, task, problems = config.get("cluster"), config.get("task"), []
    if not cluster and not task:
        return None
    if not isinstance(cluster, dict):
        problems.append('"cluster" is missing: the addresses of all workers, the same on each')
        cluster = {}
    if not isinstance(task, dict) or "type" not in task or "index" not in task:
        problems.append('"task" needs "type" and "index": which of the workers this process is')
        task = {}
    if "ps" in cluster:
        problems.append('"ps" (parameter servers) is in the cluster: Keras 3 does not support them; use workers alone')
    addresses = {}
    for kind in ("chief", "worker"):
        hosts = cluster.get(kind, [])
        if not isinstance(hosts, list) or not all(isinstance(h, str) and ":" in h for h in hosts):
            problems.append(f'"{kind}" is {hosts!r}, not a list of "host:port"')
            hosts = []
        addresses[kind] = hosts
    everyone = addresses["chief"] + addresses["worker"]
    if len(addresses["chief"]) > 1:
        problems.append(f'"chief" has {len(addresses["chief"])} addresses; there is one chief')
    if len(set(everyone)) < len(everyone):
        problems.append(f"an address occurs twice: {', '.join(sorted({a for a in everyone if everyone.count(a) > 1}))}")
    kind, index = task.get("type"), task.get("index")
    if task and kind not in ("chief", "worker", "evaluator", "ps"):
        problems.append(f'the task\'s type is {kind!r}; it is "chief" or "worker"')
    elif kind == "evaluator":
        problems.append('the task is an "evaluator"; evaluation runs inside the workers here, start none')
    elif task and not (isinstance(index, int) and 0 <= index < len(addresses.get(kind, ()))):
        problems.append(
            f'the task is {kind} {index!r}, but "cluster" lists {len(addresses.get(kind, ()))} of that type'
        )
    if not everyone and not problems:
        problems.append('"cluster" has neither "chief" nor "worker"')
    if problems:
        raise _wrong(problems, text)
    if len(everyone) == 1:
        return None
    number = index + (len(addresses["chief"]) if kind == "worker" else 0)
    return Cluster(
        len(everyone), number, tuple(everyone), "TF_CONFIG", tf.distribute.cluster_resolver.TFConfigClusterResolver
    )


def _wrong(problems: list[str], text: str) -> UserError:
    example = '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
    return UserError(
        f"TF_CONFIG does not describe a cluster:\n{numbered(problems)}\n  Received: "
        f"TF_CONFIG={text[:300]}\n  A right one: {example}\n"
        "  To train without a cluster: unset TF_CONFIG"
    )


def _from_slurm(environ: Mapping[str, str]) -> Cluster:
    import tensorflow as tf

    missing = [k for k in ("SLURM_PROCID", "SLURM_STEP_TASKS_PER_NODE", "SLURM_STEP_NUM_TASKS") if k not in environ]
    if missing:
        raise UserError(
            f"This looks like a Slurm step (SLURM_STEP_NODELIST={environ['SLURM_STEP_NODELIST']!r}), but "
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.\n  Start the "
            "workers with: srun python main.py …"
        )

    def resolver():
        return tf.distribute.cluster_resolver.SlurmClusterResolver(gpus_per_node=0, gpus_per_task=0, auto_set_gpu=False)

    return Cluster(int(environ["SLURM_STEP_NUM_TASKS"]), int(environ["SLURM_PROCID"]), (), "Slurm", resolver)

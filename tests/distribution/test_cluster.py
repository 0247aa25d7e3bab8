"""The cluster in the environment: what is read from TF_CONFIG and Slurm, and what is said of a wrong one."""

import json

import pytest
import tensorflow as tf

from trainer.distribution.cluster import cluster_from_environment
from trainer.distribution.lost_worker import naming_lost_worker
from trainer.errors import UserError

TWO = ["10.0.0.1:2222", "10.0.0.2:2222"]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_STEP_NODELIST", "CUDA_VISIBLE_DEVICES", "SLURMD_NODENAME"):
        monkeypatch.delenv(name, raising=False)


def read(monkeypatch, value):
    monkeypatch.setenv("TF_CONFIG", value if isinstance(value, str) else json.dumps(value))
    return cluster_from_environment()


def task(kind="worker", index=0):
    return {"type": kind, "index": index}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "  ",
        "{}",
        {"cluster": {}, "task": {}},
        {"cluster": {"worker": TWO[:1]}, "task": task()},
        {"cluster": {"chief": TWO[:1]}, "task": task("chief")},
    ],
)
def test_no_cluster_and_a_cluster_of_one_are_none(monkeypatch, value):
    assert read(monkeypatch, value) is None


def test_nothing_in_the_environment_is_none():
    assert cluster_from_environment() is None


@pytest.mark.parametrize(
    ("kind", "index", "number"), [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2), ("worker", "1", 2)]
)
def test_chief_and_workers_are_counted_together(monkeypatch, kind, index, number):
    cluster = read(monkeypatch, {"cluster": {"chief": ["10.0.0.9:1"], "worker": TWO}, "task": task(kind, index)})
    assert (cluster.index, cluster.workers, cluster.addresses) == (number, 3, ("10.0.0.9:1", *TWO))
    assert cluster.task == (kind, int(index)) and cluster.index_of(kind, int(index)) == number
    resolver = cluster.resolver(gpus=2)
    assert (resolver.task_type, resolver.task_id) == (kind, int(index))
    assert resolver.cluster_spec().as_dict() == {"chief": ["10.0.0.9:1"], "worker": TWO}
    assert resolver.num_accelerators() == {"GPU": 2}


def test_kubernetes_extra_fields_do_not_matter(monkeypatch):
    value = {"cluster": {"worker": TWO}, "task": task(index=1), "environment": "cloud", "rpc_layer": "grpc"}
    assert read(monkeypatch, value).index == 1


CLUSTER = {"worker": TWO}
WRONG = [
    ("{'cluster': {}}", "not JSON", "Strings are in double quotes."),
    ('{"cluster": ', "not JSON"),
    ("[1, 2]", "holds a list, not an object"),
    ("3", "holds a int, not an object"),
    ({"cluster": CLUSTER}, '"task" needs "type" and "index"'),
    ({"cluster": CLUSTER, "task": {"type": "worker"}}, '"task" needs "type" and "index"'),
    ({"cluster": CLUSTER, "task": {"index": 0}}, '"task" needs "type" and "index"'),
    ({"cluster": CLUSTER, "task": "worker"}, '"task" needs "type" and "index"'),
    ({"task": task()}, '"cluster" is missing'),
    ({"cluster": TWO, "task": task()}, '"cluster" is missing'),
    ({"cluster": CLUSTER, "task": task(index=2)}, "the task is worker 2", "from 0 to 1"),
    ({"cluster": CLUSTER, "task": task(index=-1)}, "the task is worker -1"),
    ({"cluster": CLUSTER, "task": task(index=1.5)}, "index is 1.5, not a whole number"),
    ({"cluster": CLUSTER, "task": task(index=True)}, "index is True, not a whole number"),
    ({"cluster": CLUSTER, "task": task("chief")}, '"cluster" lists none of that type'),
    ({"cluster": CLUSTER, "task": task("boss")}, "type is 'boss'"),
    ({"cluster": CLUSTER, "task": task("evaluator")}, "the workers evaluate themselves"),
    ({"cluster": CLUSTER, "task": task("ps")}, "type is 'ps'"),
    ({"cluster": {**CLUSTER, "ps": ["10.0.0.3:1"]}, "task": task()}, "Keras 3 does not support parameter servers"),
    ({"cluster": {**CLUSTER, "master": ["10.0.0.3:1"]}, "task": task()}, 'write "chief"'),
    ({"cluster": {**CLUSTER, "workers": TWO}, "task": task()}, '"workers" is no type of task'),
    ({"cluster": {"chief": TWO, "worker": ["10.0.0.3:1"]}, "task": task()}, "there is one chief"),
    ({"cluster": {"worker": "10.0.0.1:2222"}, "task": task()}, 'not a list of "host:port"'),
    ({"cluster": {"worker": {"0": TWO[0]}}, "task": task()}, 'not a list of "host:port"'),
    ({"cluster": {"worker": ["10.0.0.1", TWO[1]]}, "task": task()}, "'10.0.0.1', which is not \"host:port\""),
    ({"cluster": {"worker": ["10.0.0.1:http", TWO[1]]}, "task": task()}, 'not "host:port"'),
    ({"cluster": {"worker": ["10.0.0.1:70000", TWO[1]]}, "task": task()}, "from 1 to 65535"),
    ({"cluster": {"worker": ["grpc://10.0.0.1:22", TWO[1]]}, "task": task()}, 'not "host:port"'),
    ({"cluster": {"worker": [2222, TWO[1]]}, "task": task()}, "2222, which is not"),
    ({"cluster": {"worker": [TWO[0], TWO[0]]}, "task": task()}, "10.0.0.1:2222 occurs more than once"),
    ({"cluster": {"evaluator": TWO}, "task": task()}, 'neither "chief" nor "worker"'),
]


@pytest.mark.parametrize("case", WRONG, ids=[str(case[1]) for case in WRONG])
def test_a_wrong_or_half_tf_config_is_explained(monkeypatch, case):
    value, *said = case
    with pytest.raises(UserError) as caught:
        read(monkeypatch, value)
    text = str(caught.value)
    for part in said:
        assert part in text
    assert "A right one: {" in text and "unset TF_CONFIG" in text and "Received: TF_CONFIG=" in text
    assert caught.value.exit_code == 2


def test_all_faults_are_told_at_once(monkeypatch):
    value = {"cluster": {"worker": ["a", "a"], "ps": ["b:1"]}, "task": {"type": "boss", "index": 0}}
    with pytest.raises(UserError) as caught:
        read(monkeypatch, value)
    faults = ("'a', which", "'a', which", "parameter servers", "more than once", "'boss'")
    for number, said in enumerate(faults, start=1):
        assert f"  {number}. " in str(caught.value) and said in str(caught.value)


SLURM = {
    "SLURM_STEP_NODELIST": "node[9-10]",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURMD_NODENAME": "node10",
}


def slurm(monkeypatch, **changes):
    for name, value in {**SLURM, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    return cluster_from_environment()


def test_a_slurm_step_is_a_cluster_in_the_order_of_its_ranks(monkeypatch):
    cluster = slurm(monkeypatch)
    assert cluster.addresses == ("node9:8888", "node9:8889", "node10:8888", "node10:8889")
    assert (cluster.index, cluster.workers, cluster.origin, cluster.own_gpus) == (2, 4, "Slurm", None)
    assert cluster.resolver(0).cluster_spec().as_dict() == {"worker": list(cluster.addresses)}


def test_uneven_tasks_and_several_prefixes(monkeypatch):
    cluster = slurm(
        monkeypatch, SLURM_STEP_NODELIST="a[01-02],b7", SLURM_STEP_TASKS_PER_NODE="1(x2),2", SLURMD_NODENAME="b7"
    )
    assert cluster.addresses == ("a01:8888", "a02:8888", "b7:8888", "b7:8889")


def test_a_slurm_step_of_one_task_is_no_cluster(monkeypatch):
    one = dict(SLURM_STEP_NUM_TASKS="1", SLURM_STEP_TASKS_PER_NODE="1", SLURM_STEP_NODELIST="n1", SLURM_PROCID="0")
    assert slurm(monkeypatch, **one) is None


def test_tf_config_wins_over_slurm(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": CLUSTER, "task": task()}))
    assert slurm(monkeypatch).origin == "TF_CONFIG"


def test_tasks_that_share_a_node_share_its_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert slurm(monkeypatch).own_gpus == (0, 1)
    assert slurm(monkeypatch, SLURM_PROCID="3").own_gpus == (2, 3)
    assert slurm(monkeypatch, SLURM_GPUS_PER_TASK="2").own_gpus is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"SLURM_PROCID": None}, "SLURM_PROCID is not set"),
        ({"SLURM_PROCID": None, "SLURM_STEP_NUM_TASKS": None}, "are not set"),
        ({"SLURM_STEP_NUM_TASKS": "many"}, "SLURM_STEP_NUM_TASKS=many"),
        ({"SLURM_STEP_NUM_TASKS": "5"}, "Requested 5 tasks but only 4"),
        ({"SLURM_PROCID": "4"}, "task 4 of 4"),
        ({"SLURM_STEP_NODELIST": "node[9-"}, "Invalid hostlist"),
        ({"SLURMD_NODENAME": "node9"}, "started task 2 on node9, but in the order of the nodes it belongs on node10"),
    ],
)
def test_a_half_slurm_step_is_explained(monkeypatch, changes, said):
    with pytest.raises(UserError, match="srun|Slurm") as caught:
        slurm(monkeypatch, **changes)
    assert said in str(caught.value)


def unavailable(message):
    return tf.errors.UnavailableError(None, None, message)


@pytest.fixture
def cluster(monkeypatch):
    # Port 1 is reserved and closed everywhere.
    hosts = ["127.0.0.1:1", "127.0.0.1:2"]
    return read(monkeypatch, {"cluster": {"worker": hosts}, "task": task()})


def test_the_lost_worker_is_named(cluster):
    message = (
        "Graph execution error:\n\nDetected at node while/CollectiveReduceV2 defined at (most recent call last):\n"
        "Collective ops is aborted by: Connection reset by peer\nmore\n [[{{node x}}]]"
    )
    with pytest.raises(UserError) as caught, naming_lost_worker(cluster, "runs/a"):
        raise unavailable(message)
    text = str(caught.value)
    assert text.startswith("Lost worker 1 (127.0.0.1:2): Connection reset by peer\n")
    assert "This is worker 0 of 2" in text and "newest checkpoint in runs/a" in text
    assert "node" not in text and caught.value.exit_code == 1


def test_an_error_of_one_process_stays_what_it_is(cluster):
    with pytest.raises(tf.errors.UnavailableError), naming_lost_worker(None, "runs/a"):
        raise unavailable("no cluster here")
    with pytest.raises(tf.errors.InternalError), naming_lost_worker(cluster, "runs/a"):
        raise tf.errors.InternalError(None, None, "a kernel failed")
    with pytest.raises(ZeroDivisionError), naming_lost_worker(cluster, "runs/a"):
        raise ZeroDivisionError

"""Which devices a run takes, what it says of them, and which it refuses."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import main
from configs.schema import Config, Train
from trainer.distribution import strategy
from trainer.errors import UserError


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_STEP_NODELIST"):
        monkeypatch.delenv(name, raising=False)


def test_auto_on_a_bare_machine_takes_one_device():
    devices = strategy.choose(Config())
    assert (devices.replicas, devices.workers, devices.worker, devices.chief) == (1, 1, 0, True)
    assert devices.reason == "one device, no GPU is here: CPU"


def test_auto_takes_the_logical_devices_that_were_asked_for():
    devices = strategy.choose(Config(logical_devices=4))
    assert isinstance(devices.strategy, tf.distribute.MirroredStrategy)
    assert devices.replicas == devices.local_replicas == 4
    assert devices.reason == (
        "mirrored, 4 logical CPU devices were asked for: 4 replicas on CPU:0, CPU:1, CPU:2, CPU:3"
    )


def test_what_is_asked_for_is_taken():
    assert strategy.choose(Config(strategy="one", logical_devices=4)).replicas == 1
    assert strategy.choose(Config(strategy="mirrored")).reason.startswith("mirrored, as asked: 8 replicas")


@pytest.mark.parametrize("tf_config", [None, {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}])
def test_multi_worker_without_a_cluster_says_how_to_get_one(monkeypatch, tf_config):
    if tf_config:
        monkeypatch.setenv("TF_CONFIG", json.dumps(tf_config))
    with pytest.raises(UserError) as caught:
        strategy.choose(Config(strategy="multi_worker"))
    text = str(caught.value)
    assert ("of one process alone" if tf_config else "TF_CONFIG is not set") in text
    assert "python -m trainer.launch --workers=2" in text and "docs/cluster.md" in text


def test_a_wrong_cluster_is_explained_to_auto_too(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(UserError, match="not JSON"):
        strategy.choose(Config())
    assert strategy.choose(Config(strategy="one")).replicas == 1


def test_a_tpu_that_is_not_there():
    with pytest.raises(UserError, match="no TPU can be reached") as caught:
        strategy.choose(Config(strategy="tpu"))
    assert "--strategy=auto" in str(caught.value)


@pytest.mark.parametrize("name", ["parameter_server", "ps", "ParameterServerStrategy"])
def test_parameter_servers_are_refused_with_the_reason(capsys, name):
    assert main.main(["main.py", f"--strategy={name}"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "Keras 3 does not support" in said and "multi_worker" in said


def test_more_logical_devices_than_this_process_started_with():
    with pytest.raises(UserError, match="config.logical_devices=9: TensorFlow already runs with 8"):
        strategy.split_cpu(9)
    strategy.split_cpu(0)


@pytest.mark.parametrize(
    ("batch", "accumulate", "replicas", "said"),
    [
        (8, 1, 3, "batch_size=6 (or 9)"),
        (8, 2, 3, "batch_size=6 (or 12)"),
        (2, 1, 4, "batch_size=4."),
        (6, 4, 1, "batch_size=4 (or 8)"),
    ],
)
def test_a_batch_that_cannot_be_cut_in_equal_parts(batch, accumulate, replicas, said):
    with pytest.raises(UserError) as caught:
        strategy.check_batch(Config(train=Train(batch_size=batch, accumulate=accumulate)), replicas)
    assert said in str(caught.value) and f"batch_size={batch} " in str(caught.value)


def test_a_batch_that_can():
    strategy.check_batch(Config(train=Train(batch_size=12, accumulate=2)), 3)


def test_one_worker_is_all_workers():
    devices = strategy.choose(Config(logical_devices=2))
    assert devices.sum_over_workers(2.5) == 2.5
    assert devices.any_worker(True) and not devices.any_worker(False)


@pytest.mark.slow
def test_an_address_in_use_is_said_in_words():
    """In a process of its own: a process can join one cluster in its life."""
    program = (
        "import json, os, socket\n"
        "held = socket.socket(); held.bind(('127.0.0.1', 0)); held.listen()\n"
        "here = f'127.0.0.1:{held.getsockname()[1]}'\n"
        "cluster = {'cluster': {'worker': [here, '127.0.0.1:1']}, 'task': {'type': 'worker', 'index': 0}}\n"
        "os.environ['TF_CONFIG'] = json.dumps(cluster)\n"
        "from configs.schema import Config\n"
        "from trainer import errors\nfrom trainer.distribution import strategy\n"
        "try:\n    strategy.choose(Config())\n"
        "except errors.UserError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, encoding="utf-8", timeout=120
    )
    assert "worker 0 of 2 (TF_CONFIG): waiting for 127.0.0.1:1" in done.stdout
    assert "could not join the cluster as 127.0.0.1:" in done.stdout and "its port free" in done.stdout


def test_every_replica_reads_its_own_slice(logical_devices):
    made = strategy.choose(Config(logical_devices=2)).strategy
    data = tf.data.Dataset.from_tensor_slices(np.arange(4))
    iterator = iter(made.distribute_datasets_from_function(lambda context: data))
    assert [int(part) for part in made.experimental_local_results(next(iterator))] == [0, 1]

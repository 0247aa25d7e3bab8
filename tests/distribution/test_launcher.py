"""The launcher, with workers that are small programs instead of trainings."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest
import yaml

import main
from trainer.distribution import launcher as launch
from trainer.distribution.cluster import cluster_from_environment


def worker(tmp_path, body):
    """A command whose process runs `body` with `index`, `attempt` (from 1) and `cluster` at hand."""
    path = tmp_path / "worker.py"
    path.write_text(
        "import json, os, pathlib, signal, sys, time\n"
        "config = json.loads(os.environ['TF_CONFIG'])\n"
        "index, cluster = config['task']['index'], config['cluster']['worker']\n"
        f"counter = pathlib.Path({str(tmp_path)!r}) / f'attempts_{{index}}'\n"
        "attempt = int(counter.read_text()) + 1 if counter.exists() else 1\n"
        "counter.write_text(str(attempt))\n" + body,
        encoding="utf-8",
    )
    return [sys.executable, str(path)]


@pytest.fixture(autouse=True)
def short_grace(monkeypatch):
    monkeypatch.setattr(launch, "_GRACE_SECONDS", 1.0)


def test_a_missing_module_is_not_started_again(capfd):
    code = launch.main(["--workers=2", "--", sys.executable, "-c", "import no_such_module_at_all"])

    out = capfd.readouterr().out
    assert code == 1
    assert "a module is missing" in out and "No module named 'no_such_module_at_all'" in out
    assert "starting all again" not in out


def test_each_worker_has_the_cluster_and_a_prefix(tmp_path, capfd):
    command = worker(tmp_path, "print(json.dumps([index, cluster]))")
    assert launch.launch(command, workers=3, restarts=0) == 0
    lines = sorted(line for line in capfd.readouterr().out.splitlines() if line)
    said = [json.loads(line.partition("] ")[2]) for line in lines]
    assert [line[:4] for line in lines] == ["[0] ", "[1] ", "[2] "]
    assert [index for index, _ in said] == [0, 1, 2]
    assert len({tuple(cluster) for _, cluster in said}) == 1
    assert len(set(said[0][1])) == 3


def test_all_start_again_together_when_one_is_killed(tmp_path, capfd):
    command = worker(
        tmp_path,
        "if attempt == 1 and index == 1: os.kill(os.getpid(), signal.SIGKILL)\nif attempt == 1: time.sleep(60)\n",
    )
    assert launch.launch(command, workers=2, restarts=3) == 0
    out = capfd.readouterr().out
    assert "worker 1 ended with signal SIGKILL, then worker 0 ended with signal SIGTERM" in out
    assert "starting all again, 1 of 3" in out
    assert [(tmp_path / f"attempts_{i}").read_text(encoding="utf-8") for i in (0, 1)] == ["2", "2"]


def test_a_worker_that_ignores_sigterm_is_killed(tmp_path, capfd):
    command = worker(
        tmp_path,
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nif index == 0: time.sleep(0.5); sys.exit(7)\ntime.sleep(60)\n",
    )
    start = time.monotonic()
    assert launch.launch(command, workers=2, restarts=0) == 7
    assert time.monotonic() - start < 30
    assert "worker 1 ended with signal SIGKILL; no restarts are left" in capfd.readouterr().out


def test_the_exit_code_is_that_of_the_first_to_fail(tmp_path):
    command = worker(tmp_path, "time.sleep(0 if index == 1 else 0.6); sys.exit(3 + index)")
    assert launch.launch(command, workers=2, restarts=1) == 4
    assert (tmp_path / "attempts_0").read_text(encoding="utf-8") == "2"


@pytest.mark.parametrize("code", [2, 75])
def test_a_usage_error_and_a_stop_are_not_tried_again(tmp_path, code):
    command = worker(tmp_path, f"sys.exit({code})")
    assert launch.launch(command, workers=2, restarts=3) == code
    assert (tmp_path / "attempts_0").read_text(encoding="utf-8") == "1"


def test_a_signal_is_handed_on_once(tmp_path):
    command = worker(
        tmp_path,
        "def stop(number, frame):\n    print('asked', flush=True); time.sleep(0.5); sys.exit(75)\n"
        "signal.signal(signal.SIGTERM, stop)\nprint('ready', flush=True)\ntime.sleep(60)\n",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer.launch", "--workers=2", "--", *command],
        cwd=os.path.dirname(DOCS),
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert "listen on all network interfaces" in process.stdout.readline()
    seen = [process.stdout.readline(), process.stdout.readline()]
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert sorted(seen) == ["[0] ready\n", "[1] ready\n"]
    assert sorted(out.splitlines()) == ["[0] asked", "[1] asked"]
    assert process.returncode == 75


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the command is missing"),
        (["--workers=0", "--", "true"], "--workers=0"),
        (["--restarts=-1", "--", "true"], "--restarts=-1"),
        (["--", "no-such-program-anywhere"], "there is no program 'no-such-program-anywhere'"),
    ],
)
def test_wrong_arguments_are_said(arguments, said, capsys):
    assert launch.main(arguments) == 2
    assert said in capsys.readouterr().err


# --- docs/cluster.md and what it names

DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs")


def test_the_commands_in_the_documentation_are_right(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with open(os.path.join(DOCS, "cluster.md"), encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    commands = [line for line in lines if line.startswith(("python main.py", "python -m trainer.launch"))]
    assert len(commands) >= 3
    for command in commands:
        words = shlex.split(command)
        if words[1] == "-m":
            split = words.index("--")
            assert launch.main([*words[3:split], "--", "true"]) == 0
            words = words[split + 1 :]
        assert words[:2] == ["python", "main.py"]
        assert main.read(words[2:]).mode == "train"
    (exported,) = [line for line in lines if line.startswith("export TF_CONFIG=")]
    monkeypatch.setenv("TF_CONFIG", shlex.split(exported)[1].partition("=")[2])
    assert cluster_from_environment().workers == 2


def test_the_slurm_script_is_a_script():
    done = subprocess.run(
        ["bash", "-n", os.path.join(DOCS, "slurm.sh")], capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr


def test_the_kubernetes_manifest_names_what_the_operator_looks_for():
    with open(os.path.join(DOCS, "kubernetes.yaml"), encoding="utf-8") as file:
        job = yaml.safe_load(file)
    worker = job["spec"]["tfReplicaSpecs"]["Worker"]
    (container,) = worker["template"]["spec"]["containers"]
    assert (job["kind"], container["name"]) == ("TFJob", "tensorflow")
    assert container["ports"] == [{"name": "tfjob-port", "containerPort": 2222}]
    command = main.read(container["args"])
    assert command.mode == "train" and command.workdir.startswith(container["volumeMounts"][0]["mountPath"])

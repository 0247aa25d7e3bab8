"""The program as it is started: a process of its own, its exit code, its two streams, and what it imports."""

import os
import subprocess
import sys

import pytest

_HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _run(*arguments, cwd=_HOME, options=()):
    command = [sys.executable, *options, os.path.join(_HOME, "main.py"), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)


@pytest.mark.parametrize("arguments", [["--help"], ["--helpfull"], ["--mode=trian"], ["--config.optimizer.lr=1"]])
def test_help_and_mistakes_do_not_wait_for_tensorflow(arguments):
    result = _run(*arguments, options=("-X", "importtime"))

    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if "import time:" in line}
    assert "configs.schema" in imported
    assert not imported & {"tensorflow", "keras", "numpy", "PIL", "scipy", "tensorflow_datasets"}


def test_help_is_on_stdout_and_exits_0():
    result = _run("--help")

    assert result.returncode == 0
    assert result.stderr == ""
    for mode in ("train", "evaluate", "predict", "export", "describe", "check", "sweep"):
        assert f"\n      {mode} " in result.stdout


def test_mistakes_are_on_stderr_and_exit_2(tmp_path):
    result = _run("--mode=trian", "--config.optimizer.lr=1", "--seed", cwd=tmp_path)

    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("3 mistakes; nothing was started:")
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_not_utf8_are_answered_too(tmp_path):
    result = subprocess.run(
        [sys.executable.encode(), os.path.join(_HOME, "main.py").encode(), b"--config.name=caf\xe9", b"\xff"],
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )

    assert result.returncode == 2
    assert b"Traceback" not in result.stderr


def test_the_users_module_is_found_in_the_current_directory(tmp_path):
    (tmp_path / "my_losses.py").write_text("def dice_loss(y_true, y_pred):\n    return 0\n", encoding="utf-8")

    result = _run("--config.loss.name=my_losses:dice_loss", "--config.model.name=no_such_module:net", cwd=tmp_path)

    assert result.returncode == 2
    assert "no module 'no_such_module'" in result.stderr
    assert "loss.name" not in result.stderr


@pytest.mark.parametrize("package", ["absl", "tensorflow"])
def test_a_package_that_is_missing_is_answered_in_words(tmp_path, package):
    (tmp_path / "sitecustomize.py").write_text(
        f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == {package!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Missing())
""",
        encoding="utf-8",
    )
    command = [sys.executable, os.path.join(_HOME, "main.py"), "--seed=3"]

    result = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )

    assert result.returncode == 2  # so that the launcher does not start it again
    assert f"The package {package!r} is missing in this Python: {sys.executable}" in " ".join(result.stderr.split())
    assert ".venv" in result.stderr and "main.py --seed=3" in result.stderr
    assert "Traceback" not in result.stderr

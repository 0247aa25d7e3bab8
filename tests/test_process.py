"""What is set before TensorFlow is imported; each case in a process of its own, where it is not."""

import json
import os
import subprocess
import sys

import pytest

from trainer import process

SCRIPT = """
import json, sys, warnings
{before}
from trainer.process import prepare
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    settings = prepare()
assert prepare() is settings
import os
print(json.dumps(dict(
    set=dict(settings.set), kept=dict(settings.kept), late=settings.late, text=settings.describe(),
    record=settings.to_dict(), warned=[str(w.message) for w in caught], environment=dict(os.environ),
    tensorflow="tensorflow" in sys.modules)))
"""
X86 = process.platform.machine() in ("x86_64", "AMD64")


def prepared(before="", **environment):
    names = (*process.wanted(), *process._MALLOC_VARIABLES, *process._RECORDED, "LD_PRELOAD", "GLIBC_TUNABLES")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before)],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return json.loads(done.stdout)


def test_what_is_set_reaches_the_environment_and_tensorflow_is_not_imported():
    found = prepared()
    assert found["set"]["KERAS_BACKEND"] == "tensorflow" and not found["kept"] and not found["warned"]
    assert found["set"].get("TF_ENABLE_ONEDNN_OPTS") == ("1" if X86 else None)
    assert found["set"].items() <= found["environment"].items()
    assert not found["tensorflow"]
    for name, value in found["set"].items():
        assert f"{name}={value}" in found["text"]
    assert process.differences(found["record"], found["record"]) == []


def test_the_users_environment_wins_and_is_said():
    found = prepared(
        TF_ENABLE_ONEDNN_OPTS="0",
        TF_CPP_MIN_LOG_LEVEL="0",
        MALLOC_TOP_PAD_="1000000",
        KERAS_BACKEND="jax",
        ONEDNN_MAX_CPU_ISA="AVX2",
    )
    assert "TF_ENABLE_ONEDNN_OPTS" not in found["set"] and found["environment"]["TF_CPP_MIN_LOG_LEVEL"] == "0"
    # But for Keras's backend: there is no other here.
    assert found["set"]["KERAS_BACKEND"] == "tensorflow"
    assert "As your environment says: " in found["text"] and "TF_CPP_MIN_LOG_LEVEL=0" in found["text"]
    assert found["record"]["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    if sys.platform == "linux":
        assert "as your environment says (MALLOC_TOP_PAD_)" in found["text"]
    if X86:
        assert found["kept"]["TF_ENABLE_ONEDNN_OPTS"] == "0" == found["record"]["TF_ENABLE_ONEDNN_OPTS"]
        text = process.differences(prepared()["record"], found["record"])
        assert "TF_ENABLE_ONEDNN_OPTS was 1 and is 0" in text and "ONEDNN_MAX_CPU_ISA was not set and is AVX2" in text


@pytest.mark.skipif(not X86, reason="oneDNN is turned on on x86 alone")
def test_after_the_import_of_tensorflow_what_is_too_late_is_named():
    # An empty module of that name stands for the import, which would take seconds and change nothing here.
    found = prepared("import types; sys.modules['tensorflow'] = types.ModuleType('tensorflow')")
    assert not found["set"] and "TF_ENABLE_ONEDNN_OPTS" in found["late"]
    assert "TF_ENABLE_ONEDNN_OPTS" not in found["environment"]
    assert "first line of the script" in found["warned"][0] and "Too late to set" in found["text"]
    assert found["record"]["TF_ENABLE_ONEDNN_OPTS"] == "not set"


@pytest.mark.parametrize(
    ("files", "granted"),
    [
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_a_containers_quota_counts_processors(tmp_path, files, granted):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert process.cpu_quota(str(tmp_path)) == granted


@pytest.mark.skipif(not X86 or sys.platform != "linux", reason="reads /proc/cpuinfo of x86")
def test_the_processor_is_named():
    assert "avx2" in process.processor()

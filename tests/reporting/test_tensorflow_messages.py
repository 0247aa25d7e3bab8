"""TensorFlow's remarks are kept off standard error; errors are not."""

import os
import subprocess
import sys

import pytest

from trainer.reporting.tensorflow_messages import is_chatter, without_chatter

_STAMP = "0000 00:00:1795651559.894702    8213 "


@pytest.mark.parametrize(
    ("line", "chatter"),
    [
        ("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.", True),
        ("WARNING: All log messages before absl::InitializeLog() is called are written to STDERR", True),
        (f"I{_STAMP}port.cc:153] oneDNN custom operations are on.", True),
        (f"E{_STAMP}node_def_util.cc:682] NodeDef mentions attribute Truncate which is not in the op definition", True),
        ("2026-11-25 23:51:04.123456: I tensorflow/core/platform/cpu_feature_guard.cc:210] AVX2", True),
        (f"E{_STAMP}node_def_util.cc:682] NodeDef is broken", False),
        (f"E{_STAMP}collective_ops.cc:1] peer is gone", False),
        (f"F{_STAMP}status.cc:1] Check failed: I am lost", False),
        ("Traceback (most recent call last):", False),
        ("UserWarning: INFO: of mine", False),
        ("", False),
    ],
)
def test_remarks_are_told_from_errors(line, chatter):
    assert is_chatter(line.encode()) is chatter


_PROGRAM = f"""
import os, sys
from trainer.reporting.tensorflow_messages import without_chatter
with without_chatter():
    os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\n")
    print("from Python", file=sys.stderr)
    os.write(2, b"E{_STAMP}x.cc:1] a real error\\n")
print("after", file=sys.stderr)
with without_chatter():
    os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\n")
    raise RuntimeError("what went wrong")
"""


@pytest.mark.parametrize("level", ["2", "0"])
def test_errors_come_out_in_order_and_everything_does_with_an_exception(level):
    result = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": level},
    )

    lines = result.stderr.splitlines()
    remark = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
    first = [line for line in lines if not line.startswith((" ", "Traceback"))]
    expected = ["from Python", f"E{_STAMP}x.cc:1] a real error", "after", remark, "RuntimeError: what went wrong"]
    assert first == ([] if level == "2" else [remark]) + expected


def test_no_standard_error_is_no_failure(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)

    with without_chatter():
        pass

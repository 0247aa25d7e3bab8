"""`python -m benchmarks.gpu` runs, small, where there is no GPU: every row that it prints on one."""

import pytest

from benchmarks import gpu


@pytest.mark.slow
def test_every_row_is_there(capsys, monkeypatch):
    # In this process: another one is tried below, without the time that TensorFlow takes to load.
    monkeypatch.setattr(gpu.subprocess, "run", lambda command, **_: gpu.one(command[-1]) or _Done())
    # Each row compiles a step; the other two precisions take the same way.
    monkeypatch.setattr(gpu, "PRECISIONS", {name: gpu.PRECISIONS[name] for name in ("TF32", "float16")})
    gpu.main(["--small", "--seconds=0.05"])
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith("| small U-Net")]
    assert [row.split(" | ")[1:3] for row in rows] == [
        [precision, xla] for precision in ("TF32", "float16") for xla in ("off", "on")
    ]
    for row in rows:
        first, rate, ratio, busy = row.split(" | ")[3:7]
        assert float(first) > 0 and float(rate) > 0 and float(ratio) > 0 and busy.endswith("%"), row
    text = "\n".join(lines)
    for expected in (
        "no GPU: small networks on the CPU",
        "63 -> 141",
        "| fused |",
        "| written out |",
        "the step waits for data in",
        "| as main.py sets it |",
    ):
        assert expected in text, expected


class _Done:
    stdout, stderr = '{"first": 1.0, "rate": 2.0, "busy": null, "memory": 1048576}', ""


def test_a_row_that_does_not_fit_says_so_and_a_mistake_is_one():
    import tensorflow as tf

    def too_large():
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    assert gpu.tried(too_large) == "does not fit"
    with pytest.raises(ZeroDivisionError):
        gpu.tried(lambda: 1 / 0)
    assert gpu.share(None) == gpu.held(None) == "?" and gpu.held(2**30) == "1.0 GiB"

"""The folder lives anywhere: under another name, deep inside a foreign package, with nothing of Gradline in reach."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

GUARD = pathlib.Path(__file__).resolve().parents[2] / "trainer" / "guard"

SCRIPT = """
import sys
import keras, tensorflow as tf
from house.third_party.watch_9 import explain, explain_model
from house.third_party import watch_9

def loss():
    return tf.reduce_sum(tf.round(w))

w = tf.Variable([1.0, 2.0], name="w")
finding = explain(loss, [w]).findings[0]
print(finding.op_type, finding.line, finding.code)
print(explain(lambda: tf.reduce_sum(w), [w]))
for name in watch_9.__all__:
    print(name, getattr(watch_9, name).__module__)
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("trainer", "losses", "configs")))
"""


def test_the_folder_runs_under_any_name(tmp_path):
    ignored = shutil.ignore_patterns("__pycache__", "examples")
    for name in ("gradline_guard", "house/third_party/watch_9"):
        shutil.copytree(GUARD, tmp_path / name, ignore=ignored)
    for name in ("house", "house/third_party"):
        (tmp_path / name / "__init__.py").write_text("", encoding="utf-8")
    readme = re.findall(r"```python\n(.*?)```", (GUARD / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(readme) == 4
    (tmp_path / "readme.py").write_text("\n\n".join(readme), encoding="utf-8")
    (tmp_path / "renamed.py").write_text(SCRIPT, encoding="utf-8")
    shutil.copy(GUARD / "examples" / "cut_gradient.py", tmp_path / "cut_gradient.py")

    names = ("readme.py", "renamed.py", "cut_gradient.py")
    program = f"import runpy; [runpy.run_path(name, run_name='__main__') for name in {names}]"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    for words in (
        "(ArgMax) has no gradient",
        "All 2 trainable variables get a gradient from this loss.",
        "Round 8 return tf.reduce_sum(tf.round(w))",
        "explain house.third_party.watch_9.explanation",
        "fit stopped before its first step: non_differentiable_op",
        "\n[]\n",
    ):
        assert words in run.stdout, run.stdout

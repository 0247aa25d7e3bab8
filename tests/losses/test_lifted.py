"""The folder copied under another name is a package of its own: imports, Keras saving, the README's examples."""

import pathlib
import re
import shutil
import subprocess
import sys

import losses

FOLDER = pathlib.Path(losses.__file__).parent

SAVED_AND_LOADED = """
import sys
import keras, my_losses.names
assert "my_losses.compound" not in sys.modules and "losses" not in sys.modules
import my_losses

model = keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(2, 3)])
config = keras.saving.serialize_keras_object(my_losses.keras_losses.Tversky(alpha=0.2))
assert config["registered_name"] == "gradline_losses>Tversky", config
assert keras.saving.deserialize_keras_object(config).options == {"alpha": 0.2}
model.compile("adam", my_losses.build("dice+ce"))
model.save("model.keras")
assert keras.models.load_model("model.keras").loss.terms == ("dice", "cross_entropy")

import gradline_losses.keras_losses      # another copy loads what the first one saved
assert keras.models.load_model("model.keras").loss.terms == ("dice", "cross_entropy")
assert "losses" not in sys.modules
"""


def test_a_copy_works_under_any_name_and_runs_the_readme(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    for name in ("my_losses", "gradline_losses"):
        shutil.copytree(FOLDER, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "program.py").write_text("\n".join([SAVED_AND_LOADED, *blocks]), "utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_list_of_losses_needs_no_tensorflow(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "my_losses", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('TensorFlow was imported')", encoding="utf-8")
    command = [sys.executable, "-m", "my_losses"]
    listed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=True)
    assert "`focal_tversky`" in listed.stdout
    wrong = subprocess.run([*command, "dyce"], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert wrong.returncode == 2 and "did you mean 'dice'" in wrong.stderr and "python -m my_losses" in wrong.stderr

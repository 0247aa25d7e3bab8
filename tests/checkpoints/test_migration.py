"""Runs that earlier versions have left: each format has a folder here, which no later version may fail to read."""

import pathlib
import shutil

import numpy as np
import pytest

from configs.reading.serialization import from_json
from configs.schema import Config
from trainer import Run
from trainer.checkpoints.folder import read

FORMATS = sorted(pathlib.Path(__file__).parent.glob("format_*"))


@pytest.fixture(params=FORMATS, ids=lambda path: path.name)
def run_of(request, tmp_path):
    return pathlib.Path(shutil.copytree(request.param, tmp_path / "run"))


def test_a_run_of_an_earlier_version_goes_on(run_of):
    """Killed at step 3 of 6 there; here it ends where it would have ended, up to another processor's rounding."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (10, 32, 32, 3)).astype("uint8")
    labels = (images[..., 0] > 128).astype("uint8")
    config = from_json((run_of / "config.json").read_text(encoding="utf-8"))
    assert isinstance(config, Config) and config.optimizer.ema_decay == 0.9

    result = Run(config, workdir=str(run_of), data=(images, labels)).train()

    assert (result.step, result.reason) == (6, "finished")
    # Written under another name than step_…, so that it is no checkpoint of the run's own.
    expected, found = read(str(run_of / "expected")).arrays, read(str(run_of / "checkpoints" / "step_00000006")).arrays
    # Averages of the statistics of layers came with format 1's second version of the program, and are taken up there.
    new = {path for path in found if path.startswith("average/") and path.rpartition("/")[2].startswith("moving_")}
    assert {*found} - new == {*expected} and len(new) == 12
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-3, atol=2e-4, err_msg=name)

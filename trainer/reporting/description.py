"""run.json: facts that are known only while a run goes on, for later readers of its folder."""

from __future__ import annotations

import datetime
import os
import platform

import keras
import tensorflow as tf

from trainer.reporting.overview import opening_rows
from trainer.reporting.records import RUN_FILE, write_json
from trainer.stepping.segmentation import Segmentation


def write_description(run, ended: str = "") -> None:
    """Writes run.json.

    Args:
      run: at the step to describe.
      ended: why the run has ended; empty while it goes on.

    Raises:
      OSError: it cannot be written.
    """
    host, intervals = run.host, run.intervals
    write_json(
        os.path.join(run.workdir, RUN_FILE),
        {
            "name": run.config.name,
            "step": run.current_step,
            "steps": intervals.total,
            "epochs": intervals.epochs,
            "ended": ended,
            "metric": run.metric,
            "highest_is_best": run.highest_is_best,
            "best_step": host.best_step,
            "best_score": host.best_score,
            "segmentation": isinstance(run.task, Segmentation),
            "objects": bool(run.parts.names()),
            "about": [list(row) for row in opening_rows(run)],
            "classes": list(run.data.classes),
            "validation": run.data.validation is not None,
            "guard": {
                "missing": run.config.guard.missing,
                "variables": len(run.state.trainable),
                "steps_skipped": int(run.state.skipped.numpy()),
                "returns": host.returns,
            },
            "seconds": run.clock.parts,
            "versions": {
                "TensorFlow": tf.__version__,
                "Keras": keras.__version__,
                "Python": platform.python_version(),
            },
            "written": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        },
    )

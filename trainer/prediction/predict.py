"""`Run.predict`: images or volumes, as arrays or as the paths of files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from configs.reading.levels import rank_of
from configs.schema import Config
from trainer.distribution.strategy import Devices
from trainer.errors import UserError
from trainer.prediction.arrays import predict_arrays
from trainer.prediction.inputs import are_paths
from trainer.prediction.paths import predict_paths
from trainer.prediction.postprocessing import PostProcessing
from trainer.prediction.volumes import predict_volume_arrays, predict_volumes
from trainer.reporting.memory.out_of_memory import explaining_memory
from trainer.stepping.segmentation import Segmentation
from trainer.stepping.task import Task


def predict(
    task: Task,
    images,
    output: str,
    config: Config,
    *,
    devices: Devices,
    postprocessing: PostProcessing | None,
    report: Callable[[str], None],
):
    """As `Run.predict`, for a task with its weights; `output` is the folder for the results of paths."""
    volumes = rank_of(config) == 3 and isinstance(task, Segmentation)
    if volumes:
        # A field for each kind of picture output; volumes read only one.
        mirror = config.predict.mirror or config.evaluate.mirror
        config = dataclasses.replace(config, evaluate=dataclasses.replace(config.evaluate, mirror=mirror))
    with explaining_memory(config, "prediction"):
        if not are_paths(images):
            if not volumes:
                return predict_arrays(task, images, config, postprocessing)
            found = predict_volume_arrays(task.model, images, config, postprocessing)
            return np.stack(found) if hasattr(images, "shape") and found else found
        if not isinstance(task, Segmentation):
            raise UserError(
                f"Of paths, masks of class ids are written, and {type(task).__name__} is no segmentation: "
                "read the images into arrays, run.predict(arrays), and write what its `predict` gives."
            )
        how = {"postprocessing": postprocessing, "report": report}
        if volumes:
            return predict_volumes(task.model, list(images), output, config, **how)
        return predict_paths(task.model, list(images), output, config, devices=devices, **how)

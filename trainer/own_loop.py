"""`Run.step`: single steps for a loop of the user's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from configs.reading.line_wrapping import wrapped
from configs.schema import Config
from trainer.actions.micro_batches import FittingSteps
from trainer.actions.nonfinite import Nonfinite
from trainer.checkpoints.resume import describe_data, take_up_micro_batches, write_config
from trainer.data.example import RESERVED
from trainer.data.sources.objects.objects import open_object
from trainer.data.sources.splits import Splits
from trainer.errors import UserError, numbered
from trainer.models.inputs import input_names
from trainer.reporting.failures import explain_failure
from trainer.reporting.overview import remarks
from trainer.stepping.segmentation import Segmentation
from trainer.training import _Warnings, start_from, warm_start_source, warn_of_parts

# After this many steps the host checks whether a non-finite gradient has stopped the run.
_ASK_EVERY = 10


class OwnLoop:
    """The compiled step on the batches that the user passes; see `Run.step`."""

    def __init__(self, run):
        self._run = run
        run.host.data = describe_data(run.data)  # opens them: the config that is written has their classes
        take_up_micro_batches(run)
        source = warm_start_source(run.config) if run.current_step == 0 else None
        for label, text in remarks(run):
            run.log(wrapped(f"  {label}: {text}"))
        warn_of_parts(run)
        if source is not None:
            start_from(run, source)
        if run.devices.chief:
            write_config(run)
        self._step = FittingSteps(run, _Warnings(run)).one
        self._nonfinite = Nonfinite(run)
        self._batch: Mapping | None = None
        self._steps = 0

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, tf.Tensor]:
        run = self._run
        batch = checked(batch, run.config.train.batch_size)
        self._batch = batch = self._of_the_task(batch)
        try:
            row = self._step(self._distributed(batch))
        except Exception as error:
            explained = explain_failure(error, run, batch=batch)
            if explained is None:
                raise
            raise explained from error
        self._steps += 1
        if self._steps % _ASK_EVERY == 0 or self._steps == 1:
            self._nonfinite.after_call(run.current_step, batch)
        return run.totals.named(row)

    def _of_the_task(self, batch: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The batch, if it has what the built-in task reads, with the run's channels and classes.

        Raises:
          UserError: with everything that is missing; what a user's task reads only the task knows.
        """
        run, problems = self._run, []
        channels, classes = run.config.data.channels, len(run.data.classes)
        if "image" in batch and batch["image"].ndim == 4 and batch["image"].shape[3] != channels:
            shape = list(batch["image"].shape)
            problems.append(f"image is {shape}, and the run's images have {channels} channel(s): config.data.channels.")
        if isinstance(run.task, Segmentation):
            wanted = (*input_names(run.task.model), "label")
            missing = [key for key in wanted if key not in batch]
            if missing:
                problems.append(f"{', '.join(missing)} is missing: it has {', '.join(batch)}.")
            label, void = batch.get("label"), run.config.data.void_id
            if label is not None and label.dtype.kind == "f" and np.array_equal(label, np.rint(label)):
                # For a task of the user's it would be a picture.
                label = label.astype(np.int32)
                batch = {**batch, "label": label}
            if label is not None and label.dtype.kind == "f":
                problems.append("label has fractions, and segmentation takes class ids: whole numbers.")
            elif label is not None and not run.config.data.multi_label:
                strange = label[((label < 0) | (label >= classes)) & (label != void)]
                if strange.size:
                    held = ", ".join(map(str, np.unique(strange)[:5]))
                    problems.append(f"label holds {held}; the classes are 0..{classes - 1}, and {void} is void.")
            sides = label.shape[1:-1] if label is not None and run.config.data.multi_label else np.shape(label)[1:]
            if label is not None and "image" in batch and tuple(sides) != batch["image"].shape[1:-1]:
                shapes = f"label is {list(label.shape)} and image {list(batch['image'].shape)}"
                problems.append(f"{shapes}: each pixel has its class, [batch, height, width].")
        label, void = batch.get("label"), run.config.data.void_id
        if run.config.data.mask_encoding == "binary" and void == 255 and label is not None and (label == 255).any():
            problems.append(
                f"label holds 255 at {(label == 255).mean():.1%} of the pixels: void in a batch, and class 1 "
                f"({run.data.classes[1]}) in the masks of the run's data. Write class ids, label // 255. Where a batch "
                "has void, too, void takes another id: --config.data.void_id=254."
            )
        if problems:
            raise UserError("run.step, the batch:\n" + numbered(problems))
        return batch

    def _distributed(self, batch: Mapping[str, np.ndarray]):
        """Consecutive slices of the global batch, one for each replica; each worker takes its own."""
        strategy, n = self._run.strategy, self._run.devices.replicas
        if n == 1:
            return {key: tf.convert_to_tensor(value) for key, value in batch.items()}
        size = self._run.config.train.batch_size // n

        def part(key):
            def of_replica(context):
                first = context.replica_id_in_sync_group * size
                return tf.convert_to_tensor(batch[key][first : first + size])

            return of_replica

        return {key: strategy.experimental_distribute_values_from_function(part(key)) for key in batch}


def data_of(batch: Mapping[str, np.ndarray], config: Config) -> Splits:
    """The data as described by a batch, where nothing else describes them: keys, channels, classes; no length."""
    examples = {key: value for key, value in batch.items() if key not in RESERVED}
    splits = open_object({"train": examples, "validation": None}, config.data, title="the batches of run.step")
    splits.train.length = None
    return splits


def checked(batch: Mapping[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
    if not isinstance(batch, Mapping):
        raise UserError(
            f"run.step takes a mapping, such as {{'image': images, 'label': labels}}. Received: {type(batch).__name__}."
        )
    shapes = {key: np.shape(value) for key, value in batch.items()}
    wrong = [f"{key} {list(shape)}" for key, shape in shapes.items() if shape[:1] != (size,)]
    if wrong:
        raise UserError(
            f"run.step takes the global batch of config.train.batch_size={size} examples. Received: {', '.join(wrong)}."
        )
    usual = {"image": np.float32, "label": np.int32}
    found = {}
    for key, value in batch.items():
        value = np.asarray(value)
        wanted = usual.get(key)
        # Float labels are pictures (image to image); whole numbers are class ids.
        cast = wanted is not None and not (key == "label" and value.dtype.kind == "f")
        value = value[..., None] if key == "image" and value.ndim == 3 else value
        found[key] = value.astype(wanted) if cast else value
    return found

"""TensorBoard: scalars, panels, text and the model's graph, in event files that survive a kill and a restart.

Steps after the last checkpoint are repeated when a run goes on. Their first records are removed from the files, for
later readers, and invalidated by a session start, for a TensorBoard that has read them. TensorFlow's `tf.summary`
writers cannot write the latter; TensorBoard's own writer (which PyTorch uses, too) takes whole events.
"""

from __future__ import annotations

import dataclasses
import glob
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from trainer.reporting import tags
from trainer.reporting.tensorboard import plugins
from trainer.reporting.tensorboard.confusion_picture import confusion_picture
from trainer.reporting.tensorboard.event_file import EventFile
from trainer.reporting.tensorboard.graph import model_graph


class Writer:
    """Writes a run's event file; does nothing where `chief` is false.

    Args:
      workdir: directory of the event files, `tensorboard --logdir`.
      chief: whether this is the only process that writes.
      restored_step: the step that training goes on from; records of later steps in earlier files are dropped. 0 for a
        new run, which drops everything of an earlier one.
      log: called with a line of text, once, if the disk is full or not writable: curves are lost, but not the run.
    """

    def __init__(self, workdir: str, chief: bool = True, *, restored_step: int = 0, log: Callable[[str], None] = print):
        self._workdir, self._restored_step, self._log = workdir, restored_step, log
        self._open, self._failed = chief, False
        self._events: EventFile | None = None
        if chief:
            self._trying(lambda: drop_later_events(workdir, restored_step))
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._add(step=restored_step + 1, session_log=start)

    def _add(self, **fields) -> None:
        if self._open:
            self._trying(lambda: self._write(event_pb2.Event(wall_time=time.time(), **fields)))

    def _write(self, event) -> None:
        if self._events is None:
            self._events = EventFile(self._workdir)
        self._events.add(event)

    def _trying(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if not self._failed:
                self._failed = True
                self._log(f"warning: TensorBoard's event file cannot be written: {error.strerror}; curves are lost.")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes a point of each curve: tag -> number. NaN is also written: TensorBoard marks it."""
        for tag, value in values.items():
            self._add(step=int(step), summary=_compatible(scalar_pb(tag, float(value))))

    def evaluation(self, step: int, scores, pictures: Sequence = ()) -> None:
        """Writes an evaluation's records besides its numbers: panels, precision and recall, confusion matrix."""
        if not self._open:
            return
        self.images(step, {f"{tags.PANELS}/{p.kind}_{p.rank}": p.titled() for p in pictures})
        confusion = getattr(scores, "confusion", ())
        if confusion:
            self.images(step, {tags.CONFUSION: confusion_picture(confusion, scores.classes)})
        for each in plugins.precision_recall(getattr(scores, "precision_recall", {})):
            self._add(step=int(step), summary=_compatible(each))

    def images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Writes pictures: tag -> RGB uint8 `[height, width, 3]`."""
        for tag, image in images.items():
            self._add(step=int(step), summary=_image_pb(tag, image))

    def layer_norms(self, step: int, norms: Mapping[str, np.ndarray]) -> None:
        """Writes a histogram for each layer: layer -> norms of its gradient."""
        for each in plugins.layer_norms(norms):
            self._add(step=int(step), summary=_compatible(each))

    def text(self, name: str, markdown: str, step: int | None = None) -> None:
        """Writes a text that TensorBoard shows as Markdown; by default at the step that training goes on from."""
        self._add(step=self._restored_step if step is None else int(step), summary=_compatible(text_pb(name, markdown)))

    def config_text(self, config) -> None:
        """Writes the config as a table, with differences from the defaults first and in bold."""
        self.text(tags.CONFIG_TEXT, config_markdown(config))

    def settings(self, config, classes: Sequence[str]) -> None:
        """Writes the config for the HParams table, and which curves share a chart."""
        for each in (plugins.hparams(config, self._workdir), plugins.charts(classes)):
            self._add(step=self._restored_step, summary=_compatible(each))

    def ended(self, succeeded: bool) -> None:
        """Writes the end of the run for the HParams table."""
        self._add(summary=_compatible(plugins.hparams_end(succeeded)))

    def graph(self, task, channels: int) -> None:
        """Writes the graph of the first model, once in a run, since TensorBoard shows only one. See `graph.py`.

        Args:
          task: the task with the models.
          channels: the image's.
        """
        if not self._open or self._restored_step:
            return
        model = next(iter(task.models().values()), None)
        found = model_graph(model, channels) if model is not None else None
        if found is not None:
            self._add(graph_def=found.SerializeToString())

    def close(self) -> None:
        """Closes the file; nothing can be written afterwards."""
        self._open = False
        if self._events is not None:
            self._events.close()


def drop_later_events(workdir: str, step: int) -> None:
    """Removes the events of later steps from a directory's event files; step 0 removes the files.

    A file is replaced by its shorter version at once, so a kill leaves one or the other. A record that an earlier kill
    cut off at a file's end is also dropped.
    """
    for path in sorted(glob.glob(os.path.join(glob.escape(workdir), "events.out.tfevents.*"))):
        if step == 0:
            os.remove(path)
            continue
        records, dropped = [], False
        try:
            for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
                if event_pb2.Event.FromString(record).step <= step:
                    records.append(record)
                else:
                    dropped = True
        except tf.errors.DataLossError:
            dropped = True
        if dropped:
            # A name that no reader mistakes for an event file.
            beside = os.path.join(workdir, f"tmp.{os.getpid()}")
            try:
                with open(beside, "wb") as file:
                    writer = RecordWriter(file)
                    for record in records:
                        writer.write(record)
                os.replace(beside, path)
            except OSError:
                if os.path.exists(beside):
                    os.remove(beside)
                raise


def _compatible(summary):
    """The message as TensorBoard's own class: with TensorFlow installed, its helpers build TensorFlow's class."""
    return summary_pb2.Summary.FromString(summary.SerializeToString())


def _image_pb(tag: str, image: np.ndarray) -> summary_pb2.Summary:
    """The same as `tf.summary.image` writes: width, height and a PNG."""
    png = io.BytesIO()
    Image.fromarray(np.asarray(image, np.uint8)).save(png, format="PNG")
    height, width = image.shape[:2]
    strings = [str(width).encode(), str(height).encode(), png.getvalue()]
    tensor = tf.make_tensor_proto(strings, dtype=tf.string).SerializeToString()
    metadata = image_metadata.create_summary_metadata(display_name=None, description=None).SerializeToString()
    summary = summary_pb2.Summary()
    value = summary.value.add(tag=tag)
    value.tensor.ParseFromString(tensor)
    value.metadata.ParseFromString(metadata)
    return summary


def config_markdown(config) -> str:
    """A nested config dataclass as a Markdown table of field, value and default."""
    changed, same = [], []
    for name, value, default in _fields(config):
        if value == default:
            same.append(f"| {name} | {_cell(value)} | |")
        else:
            changed.append(f"| **{name}** | **{_cell(value)}** | {_cell(default)} |")
    return "\n".join(["| field | value | default |", "|---|---|---|", *changed, *same])


def _fields(config, prefix: str = ""):
    default = type(config)()
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            yield from _fields(value, name + ".")
        else:
            yield name, value, getattr(default, field.name)


def _cell(value) -> str:
    text = "-" if value in ("", (), {}) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")

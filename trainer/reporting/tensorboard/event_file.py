"""A TensorBoard event file that a full disk shortens by a record but does not break."""

from __future__ import annotations

import itertools
import os
import socket
import time

from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

# Readers sort files by name: with zeros before it, the tenth file of a second follows the ninth.
_NUMBERS = itertools.count()


class EventFile:
    """Appends events to a new file, with one `write` per record and without a thread.

    TensorBoard's own `EventFileWriter` writes in a thread, whose death on a full disk prints a traceback and ends the
    file with half a record, after which nothing is read.

    Args:
      folder: created if it is missing.

    Raises:
      OSError: here and in every write: the disk is full or not writable. Earlier records are intact.
    """

    def __init__(self, folder: str):
        os.makedirs(folder, exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS):06d}"
        self.path = os.path.join(folder, name)
        self._file = open(self.path, "xb", buffering=0)
        self._records = RecordWriter(_Whole(self._file))
        self.add(event_pb2.Event(wall_time=now, file_version="brain.Event:2"))

    def add(self, event: event_pb2.Event) -> None:
        end = self._file.tell()
        try:
            self._records.write(event.SerializeToString())
        except OSError:
            self._file.truncate(end)
            self._file.seek(end)
            raise

    def close(self) -> None:
        self._file.close()


class _Whole:
    """The file for `RecordWriter`: an unbuffered file may accept only some of the bytes, on a disk that fills up."""

    def __init__(self, file):
        self._file = file

    def write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]

"""Random access to TFRecord files, which have no index: the offsets are found by going from length to length.

Layout (tensorflow/core/lib/io/record_writer.h): uint64 length, uint32 checksum of it, the data, uint32 checksum.
"""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Iterable

from trainer.data.errors import DataError, shown

_LENGTH = struct.Struct("<Q")
_HEADER, _FOOTER = 12, 4


@dataclasses.dataclass(frozen=True)
class Record:
    """The position of a record's data: `number` counts from 0 within its file."""

    path: str
    number: int
    offset: int
    length: int

    @property
    def name(self) -> str:
        return f"{shown(os.path.basename(self.path))}#{self.number}"


def index_file(path: str, expected: int | None = None) -> list[Record]:
    """The records of a TFRecord file.

    Args:
      path: the file.
      expected: how many it should have; None allows any number.
    Raises:
      DataError: missing, cut short, not a TFRecord file, or with another number of records.
    """
    records: list[Record] = []
    try:
        size = os.path.getsize(path)
        with open(path, "rb", buffering=0) as file:
            at = 0
            while at < size:
                file.seek(at)
                header = file.read(_HEADER)
                length = _LENGTH.unpack_from(header)[0] if len(header) == _HEADER else size
                if at + _HEADER + length + _FOOTER > size:
                    raise DataError(
                        f"{shown(path)}: record {len(records)} at byte {at} reaches beyond the file's end ({size:,} "
                        "bytes): the file is truncated or damaged. Prepare the data set again."
                    )
                records.append(Record(path, len(records), at + _HEADER, length))
                at += _HEADER + length + _FOOTER
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read: {error.strerror or error}.") from error
    if expected is not None and len(records) != expected:
        raise DataError(
            f"{shown(path)}: holds {len(records)} records, and dataset_info.json beside it says {expected}. "
            "Prepare the data set again."
        )
    return records


def read_record(record: Record) -> bytes:
    """A record's data. Opens the file each time: any thread may, and a set may have too many files to keep open."""
    try:
        with open(record.path, "rb", buffering=0) as file:
            file.seek(record.offset)
            content = file.read(record.length)
    except OSError as error:
        raise DataError(f"{shown(record.path)}: cannot be read: {error.strerror or error}.") from error
    if len(content) != record.length:
        raise DataError(f"{shown(record.path)}: record {record.number} is cut short; the file changed while in use.")
    return content


def damaged_files(paths: Iterable[str]) -> list[str]:
    """Problems of TFRecord files by their checksums: each is read completely once."""
    import tensorflow as tf

    problems = []
    for path in paths:
        count = 0
        try:
            for _ in tf.data.TFRecordDataset(path):
                count += 1
        except tf.errors.DataLossError:
            problems.append(f"{shown(path)}: record {count} is damaged (wrong checksum). Prepare the data set again.")
    return problems

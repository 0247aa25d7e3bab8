"""Any TensorFlow Datasets set with an image and a mask, by name, through its own builder and with random access."""

from __future__ import annotations

import contextlib
import difflib
import logging
import os

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, listed, shown
from trainer.data.sources.splits import Splits
from trainer.data.sources.tfds.examples import TfdsExamples
from trainer.data.sources.tfds.tfrecord import damaged_files, index_file, read_record


def open_splits(data: Data) -> Splits:
    """Readers of the training and the validation split.

    Raises:
      DataError: no such set, split or feature, or the set is not on disk; with how to get it.
    """
    builder = _builder(data)
    with _without_warnings():
        prepared = builder.is_prepared()
    if not prepared:
        _prepare(builder, data)
    _check_features(builder, data)
    readers, problems, spans = [], [], []
    for field in ("train_split", "validation_split"):
        split = getattr(data, field)
        try:
            info = builder.info.splits[split]
            spans.append([(i.filename, i.skip, i.skip + i.take) for i in info.file_instructions])
            readers.append(_split_reader(builder, split, info, data))
            if not readers[-1].names:
                problems.append(f"data.{field}={split!r}: the split is empty, of {builder.info.name}.")
        except DataError as error:
            problems.append(str(error))
        except (ValueError, KeyError, AssertionError) as error:
            known = ", ".join(f"{name} ({part.num_examples})" for name, part in builder.info.splits.items())
            problems.append(f"data.{field}={split!r}: {_first_line(error)} {builder.info.name} has the splits {known}.")
    if problems:
        raise DataError(listed(problems))
    shared = _overlap(*spans)
    overlap = f"the splits {data.train_split!r} and {data.validation_split!r} share {shared} examples"
    return Splits(
        *readers,
        title=data.name,
        notes=(f"Examples are both trained on and evaluated: {overlap}.",) if shared else (),
        damage=lambda: damaged_files(record_files(data)),
    )


def record_files(data: Data) -> list[str]:
    """The TFRecord files of both splits, for a check of their checksums; none for other formats."""
    info = _builder(data).info
    if info.file_format.value != "tfrecord":
        return []
    splits = (info.splits[data.train_split], info.splits[data.validation_split])
    return sorted({part.filename for split in splits for part in split.file_instructions})


def _builder(data: Data):
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError(
            f"data.source='tfds' needs TensorFlow Datasets, and importing it failed: {error}.\n"
            "  pip install tensorflow-datasets importlib_resources"
        ) from error
    if not data.name:
        raise DataError("No data set is named: --config.data.name=oxford_iiit_pet, or any of tfds.list_builders().")
    try:
        return tfds.builder(data.name, data_dir=os.path.expanduser(data.path) or None)
    except tfds.core.DatasetNotFoundError as error:
        plain = data.name.split(":")[0].split("/")[0]
        near = difflib.get_close_matches(plain, sorted(set(tfds.list_builders())), 3)
        raise DataError(
            f"data.name={data.name!r}: TensorFlow Datasets knows no such set, and {_data_dir(data)} holds none."
            + (f" Did you mean {' or '.join(near)}?" if near else "")
        ) from error
    except Exception as error:  # Each builder checks its name, version and config in its own way.
        raise DataError(f"data.name={data.name!r}: {_first_line(error)}") from error


@contextlib.contextmanager
def _without_warnings():
    """Silences TFDS's warning about a folder without a set; `_prepare` reports it, and how to get the set."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _prepare(builder, data: Data) -> None:
    if not data.download:
        where = f", data_dir={data.path!r}" if data.path else ""
        manual = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
        raise DataError(
            f"The data set {builder.info.full_name} is not on disk: looked in {shown(str(builder.data_path))}.\n"
            "  Download and prepare it with --config.data.download=true, or, where there is a network, with\n"
            '  python -c "import tensorflow_datasets as tfds; '
            f'tfds.builder({data.name!r}{where}).download_and_prepare()"\n'
            "  and copy the folder here; data.path is the data_dir that holds it."
            + (f"\n  Parts of it have to be fetched by hand: {manual.strip()}" if manual else "")
        )
    try:
        builder.download_and_prepare()
    except Exception as error:  # The network, the disk, a checksum, a set's own code: the user has to know which.
        raise DataError(
            f"Preparing {builder.info.full_name} in {shown(str(builder.data_path))} failed: "
            f"{type(error).__name__}: {error}"
        ) from error


def _check_features(builder, data: Data) -> None:
    features = builder.info.features
    problems = []
    for field in ("image_key", "mask_key"):
        key = getattr(data, field)
        if key not in features:
            images = sorted(name for name, feature in features.items() if _is_image(feature))
            problems.append(
                f"data.{field}={key!r}: {builder.info.name} has no such feature. It has {', '.join(sorted(features))}"
                + (f"; images among them: {', '.join(images)}." if images else "; none of them is an image.")
            )
        elif not _is_image(features[key]):
            problems.append(f"data.{field}={key!r}: is {features[key]!r}, not an image of whole numbers.")
    if problems:
        raise DataError(listed(problems))


def _is_image(feature) -> bool:
    import tensorflow_datasets as tfds

    if not isinstance(feature, (tfds.features.Image, tfds.features.Tensor)) or len(feature.shape) not in (2, 3):
        return False
    return np.dtype(feature.np_dtype).kind in "uib"


def _split_reader(builder, split: str, info, data: Data) -> TfdsExamples:
    import tensorflow_datasets as tfds

    file_format = builder.info.file_format.value
    features = builder.info.features
    if file_format == "tfrecord":
        records = [
            record
            for part in info.file_instructions
            for record in index_file(part.filename, part.examples_in_shard)[part.skip : part.skip + part.take]
        ]
        return TfdsExamples([r.name for r in records], lambda i: read_record(records[i]), features, data)
    if file_format != "array_record":
        raise DataError(
            f"{builder.info.full_name} is stored as {file_format}; read are tfrecord and array_record. Convert it:\n"
            f"  tfds convert_format --dataset_dir={shown(str(builder.data_path))} --out_file_format=array_record"
        )
    names = [
        f"{shown(os.path.basename(part.filename))}#{number}"
        for part in info.file_instructions
        for number in range(part.skip, part.skip + part.take)
    ]
    try:
        whole = builder.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
    except ImportError as error:
        raise DataError(f"{builder.info.full_name} is stored as array_record: pip install array_record.") from error
    except MemoryError:
        raise
    except Exception as error:  # A damaged file: the reader is C++ and may raise anything.
        folder = shown(str(builder.data_path))
        raise DataError(f"{folder}: the files of split {split!r} do not open: {error}") from error

    def record(index: int) -> bytes:
        try:
            return whole[index]
        except MemoryError:
            raise
        except Exception as error:  # As above.
            raise DataError(f"{names[index]}: the record cannot be read: {error}") from error

    return TfdsExamples(names, record, features, data)


def _overlap(first: list[tuple[str, int, int]], second: list[tuple[str, int, int]]) -> int:
    return sum(
        max(0, min(end, other_end) - max(start, other_start))
        for path, start, end in first
        for other_path, other_start, other_end in second
        if path == other_path
    )


def _data_dir(data: Data) -> str:
    return shown(data.path or os.path.join("~", "tensorflow_datasets"))


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

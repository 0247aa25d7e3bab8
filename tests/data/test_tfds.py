"""TFDS sets: any record at any time, the same as TFDS itself reads; missing sets are reported at once."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from configs.schema import Config, Data
from tests.data.making import changed, config_for, picture
from trainer.data import DataError, check_data, data_error_from, evaluation_batches, open_data, training_batches

NAME = "discs"
TRAIN, TEST = 11, 4


def stored(data_dir, file_format: str, features: dict | None = None, change=lambda image, mask: (image, mask)) -> str:
    """A set written by TFDS: image, mask and file name."""
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "mask": tfds.features.Image(shape=(None, None, 1), use_colormap=False),
            "file_name": tfds.features.Text(),
            "boxes": tfds.features.Sequence(tfds.features.BBoxFeature()),
            **(features or {}),
        }
    )

    def examples(start: int, count: int):
        for number in range(start, start + count):
            image, mask = change(*picture(number, (20 + number, 30)))
            mask = mask if mask.ndim == 3 or not isinstance(features["mask"], tfds.features.Image) else mask[:, :, None]
            yield number, {"image": image, "mask": mask, "file_name": f"disc_{number}.png", "boxes": []}

    tfds.dataset_builders.store_as_tfds_dataset(
        NAME,
        version="1.2.0",
        features=features,
        split_datasets={"train": list(examples(0, TRAIN)), "test": list(examples(100, TEST))},
        data_dir=str(data_dir),
        file_format=file_format,
    )
    return str(data_dir)


@pytest.fixture(scope="module", params=["tfrecord", "array_record"])
def prepared(request, tmp_path_factory):
    return stored(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("records"), "tfrecord")


def tfds_config(data_dir, **data) -> Config:
    return config_for(data_dir, **{"source": "tfds", "name": NAME, "mask_key": "mask", **data})


def test_examples_are_those_that_tfds_reads(prepared):
    data = open_data(tfds_config(prepared))
    assert (len(data.train), len(data.validation), data.notes) == (TRAIN, TEST, ())
    builder = tfds.builder(NAME, data_dir=prepared)
    if builder.info.file_format.value == "tfrecord":
        expected = list(tfds.as_numpy(builder.as_dataset(split="train", shuffle_files=False)))
    else:
        expected = list(builder.as_data_source("train"))
    for index in reversed(range(TRAIN)):
        example = data.train.load(index)
        np.testing.assert_array_equal(example.image, expected[index]["image"])
        np.testing.assert_array_equal(example.label, expected[index]["mask"][:, :, 0] // 255)
    assert len(set(data.train.names)) == TRAIN


@pytest.mark.parametrize(
    ("train", "validation", "sizes"),
    [
        ("train[:5]", "train[5:]", (5, 6)),
        ("train[:50%]", "test", (6, 4)),
        ("train+test", "test[-1:]", (15, 1)),
        ("train[2:4]+test[1:2]", "test[2:]", (3, 2)),
    ],
)
def test_splits_are_cut_in_tfds_own_language(prepared, train, validation, sizes):
    data = open_data(tfds_config(prepared, train_split=train, validation_split=validation))
    assert (len(data.train), len(data.validation)) == sizes
    everything = open_data(tfds_config(prepared, train_split="train+test"))
    by_name = {name: everything.train.load(i).image for i, name in enumerate(everything.train.names)}
    for source in (data.train, data.validation):
        for index, name in enumerate(source.names):
            np.testing.assert_array_equal(source.load(index).image, by_name[name])


def test_splits_that_overlap_are_noted(prepared):
    (note,) = open_data(tfds_config(prepared, validation_split="train[:3]")).notes
    assert note == "Examples are both trained on and evaluated: the splits 'train' and 'train[:3]' share 3 examples."


def test_batches_come_from_it_as_from_any_source(prepared):
    config = tfds_config(prepared)
    data = open_data(config)
    batches = list(training_batches(data.train, config, start_step=0, steps=3).as_numpy_iterator())
    assert batches[0]["image"].shape == (4, 16, 16, 3)
    assert len({int(i) for b in batches[:2] for i in b["index"]}) == 8
    assert len(list(evaluation_batches(data.validation, config, multiple=8))) == TEST


@pytest.mark.parametrize("version", ["discs:1.2.0", "discs:1.*.*"])
def test_a_version_may_be_named(records, version):
    assert len(open_data(tfds_config(records, name=version)).train) == TRAIN


def test_arrays_are_read_where_the_set_stores_no_pictures(tmp_path):
    features = {
        "image": tfds.features.Tensor(shape=(None, None, 3), dtype=np.uint8, encoding="zlib"),
        "mask": tfds.features.Tensor(shape=(None, None), dtype=np.int32, encoding="zlib"),
    }
    change = lambda image, mask: (image, (mask // 255).astype(np.int32))  # noqa: E731
    data = open_data(tfds_config(stored(tmp_path, "tfrecord", features, change), mask_encoding="ids"))
    image, mask = picture(100, (120, 30))
    found = {data.validation.load(i).label.shape: data.validation.load(i) for i in range(TEST)}[(120, 30)]
    np.testing.assert_array_equal(found.image, image)
    np.testing.assert_array_equal(found.label, mask // 255)


def test_sixteen_bit_masks_keep_their_ids(tmp_path):
    features = {"mask": tfds.features.Image(shape=(None, None, 1), dtype=np.uint16, encoding_format="png")}
    directory = stored(tmp_path, "tfrecord", features, lambda i, m: (i, m.astype(np.uint16) * 4))
    config = tfds_config(directory, mask_encoding="ids", mask_ids=((0, 0), (1020, 1)))
    assert set(np.unique(open_data(config).train.load(0).label)) == {0, 1}


# What is missing or wrong.
def test_a_set_that_is_not_on_disk_says_at_once_how_to_get_it(tmp_path):
    config = tfds_config(tmp_path, name="oxford_iiit_pet:4.0.0", mask_key="segmentation_mask")
    start = time.monotonic()
    with pytest.raises(DataError) as caught:
        open_data(config)
    # TFDS's own download gives up after minutes without a network; nothing may be tried unasked.
    assert time.monotonic() - start < 60
    text = str(caught.value)
    assert f"oxford_iiit_pet/4.0.0 is not on disk: looked in {tmp_path}/oxford_iiit_pet/4.0.0" in text
    assert "--config.data.download=true" in text
    assert f"tfds.builder('oxford_iiit_pet:4.0.0', data_dir='{tmp_path}').download_and_prepare()" in text
    assert not list(tmp_path.iterdir())


def test_what_has_to_be_fetched_by_hand_is_said(tmp_path):
    with pytest.raises(DataError, match="(?s)cityscapes/.*is not on disk.*fetched by hand.*cityscapes"):
        open_data(tfds_config(tmp_path, name="cityscapes"))


def test_a_download_that_fails_says_why(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", refuse)
    config = tfds_config(tmp_path, name="oxford_iiit_pet", mask_key="segmentation_mask", download=True)
    with pytest.raises(DataError, match="Preparing oxford_iiit_pet/4.0.0 .*failed: ConnectionError: no route to host"):
        open_data(config)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "oxford_iiit_pets"}, "knows no such set.*Did you mean oxford_iiit_pet"),
        ({"name": ""}, "No data set is named: --config.data.name="),
        ({"name": "Bad Name!"}, "data.name='Bad Name!'"),
        ({"name": "oxford_iiit_pet:9.9.9"}, "cannot be loaded at version 9.9.9, only: 4.0.0"),
        ({"image_key": "img"}, "image_key='img': discs has no such feature. It has .*images among them: image, mask"),
        ({"mask_key": "file_name"}, "data.mask_key='file_name': is Text.*not an image of whole numbers"),
        ({"image_key": "boxes", "mask_key": "x"}, "(?s)1. data.image_key='boxes'.*2. data.mask_key='x'"),
        ({"train_split": "training"}, "data.train_split='training': .*discs has the splits train .11., test .4."),
        ({"train_split": "train[:", "validation_split": "dev"}, "(?s)1. data.train_.*2. data.validation_split='dev'"),
        ({"validation_split": "test[:0%]"}, r"data.validation_split='test\[:0%\]': the split is empty"),
    ],
    ids=str,
)
def test_wrong_names_are_answered_with_the_right_ones(records, fields, says):
    with pytest.raises(DataError, match=says):
        open_data(tfds_config(records, **fields))


@pytest.fixture
def copy(records, tmp_path):
    shutil.copytree(records, tmp_path / "copy")
    return tmp_path / "copy"


def shard(data_dir: pathlib.Path, split: str = "train") -> pathlib.Path:
    (path,) = data_dir.rglob(f"{NAME}-{split}.tfrecord*")
    return path


def test_a_truncated_file_is_found_at_once(copy):
    path = shard(copy)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=f"{path}: record 10 at byte .* reaches beyond the file's end"):
        open_data(tfds_config(copy))


def test_a_file_with_fewer_records_than_promised_is_found_at_once(copy):
    shutil.copyfile(shard(copy, "test"), shard(copy))
    with pytest.raises(DataError, match=f"{shard(copy)}: holds 4 records, and dataset_info.json beside it says 11"):
        open_data(tfds_config(copy))


def test_a_missing_file_is_found_at_once(copy):
    path = shard(copy)
    path.unlink()
    with pytest.raises(DataError, match=f"{path}: cannot be read: No such file"):
        open_data(tfds_config(copy))


def test_a_file_of_something_else_is_found_at_once(copy):
    shard(copy).write_bytes(b"something else entirely")
    with pytest.raises(DataError, match="record 0 at byte 0 reaches beyond the file's end"):
        open_data(tfds_config(copy))


def test_a_flipped_bit_is_met_in_training_by_the_examples_own_name_and_found_by_the_check(copy):
    path = shard(copy)
    content = bytearray(path.read_bytes())
    # Within the pixels of some record's image, well away from its frame.
    at = content.find(b"IDAT", len(content) // 2) + 12
    content[at] ^= 0x40
    path.write_bytes(content)
    config = tfds_config(copy)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        list(training_batches(open_data(config).train, config, start_step=0, steps=3))
    assert f"{path.name}#" in str(data_error_from(caught.value))
    assert "(disc_" in str(data_error_from(caught.value)) and "checksum" in str(data_error_from(caught.value))
    report = check_data(config)
    assert any(f"{path}: record" in problem and "is damaged" in problem for problem in report.problems)
    assert any("disc_" in problem and "does not decode" in problem for problem in report.problems)


def test_a_value_outside_the_table_names_the_record(records):
    config = tfds_config(records, mask_encoding="ids", mask_ids=((0, 0),))
    with pytest.raises(DataError, match=r"discs-train\.tfrecord-00000-of-00001#0 \(disc_\d+\.png\), mask: .*255 \("):
        open_data(config).train.load(0)


def test_another_format_says_how_to_convert(tmp_path):
    pytest.importorskip("pyarrow", reason="TFDS writes parquet files with pyarrow")
    with pytest.raises(DataError, match="stored as parquet; read are tfrecord and array_record"):
        open_data(tfds_config(stored(tmp_path, "parquet")))


# The real builder of the Oxford pets, on the part of the set that lies beside the project.
PETS = pathlib.Path(__file__).parents[3] / "shared" / "data" / "oxford_pet"
TRIMAP = Data(
    source="tfds",
    name="oxford_iiit_pet:4.0.0",
    classes=("background", "pet"),
    mask_encoding="ids",
    mask_ids=((1, 1), (2, 0), (3, 255)),
)


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    if not PETS.is_dir():
        pytest.skip(f"the Oxford pets are not at {PETS}")
    data_dir = tmp_path_factory.mktemp("pets")
    extracted = lambda self, urls: dict.fromkeys(urls, PETS)  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfds.download.DownloadManager, "download_and_extract", extracted)
        tfds.builder("oxford_iiit_pet:4.0.0", data_dir=str(data_dir)).download_and_prepare()
    return changed(Config(data=TRIMAP), path=str(data_dir))


@pytest.mark.slow
def test_the_real_pets_through_their_own_builder(pets):
    data = open_data(pets)
    assert (len(data.train), len(data.validation)) == (215, 45)
    report = check_data(pets)
    assert report.ok, report.text()
    train, validation = (split.pixels / split.pixels.sum() for split in report.splits)
    # Shares of background, pet and border as the set's own description states them.
    assert train == pytest.approx([0.574, 0.304, 0.123], abs=1e-3)
    assert validation == pytest.approx([0.586, 0.280, 0.134], abs=1e-3)


@pytest.mark.slow
def test_the_real_pets_need_their_table(pets):
    with pytest.raises(DataError, match=r"\(\w+\.jpg\), segmentation_mask: .*no class: .*3 \("):
        open_data(dataclasses.replace(pets, data=dataclasses.replace(pets.data, mask_ids=()))).train.load(0)

"""A batch is a function of (seed, step): from any start, in any process, in any cut, each example once an epoch."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf

from tests.data.making import changed, config_for, make_folder, picture, save
from trainer.data import DataError, data_error_from, evaluation_batches, open_data, training_batches

COUNT = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten pairs to train on, three of other sizes to evaluate."""
    root = tmp_path_factory.mktemp("folder")
    make_folder(root, COUNT, place="train")
    for number, size in enumerate([(20, 33), (32, 64), (45, 17)]):
        image, mask = picture(number + 50, size)
        save(root / "val" / "images" / f"{number}.png", image)
        save(root / "val" / "masks" / f"{number}.png", mask)
    return root


@pytest.fixture
def config(folder):
    return config_for(folder, seed=7)


def batches(source, config, start, steps, **cut):
    return list(training_batches(source, config, start_step=start, steps=steps, **cut).as_numpy_iterator())


def assert_same(first, second):
    assert len(first) == len(second)
    for left, right in zip(first, second, strict=True):
        for key in left:
            np.testing.assert_array_equal(left[key], right[key])


def test_shapes_are_static_and_values_are_the_loops(config):
    train = open_data(config).train
    dataset = training_batches(train, config, start_step=0, steps=3)
    assert dataset.element_spec == {
        "image": tf.TensorSpec((4, 16, 16, 3), tf.float32),
        "label": tf.TensorSpec((4, 16, 16), tf.int32),
        "index": tf.TensorSpec((4,), tf.int64),
    }
    assert dataset.cardinality() == 3
    (batch, _, _) = dataset.as_numpy_iterator()
    assert 0.0 <= batch["image"].min() and 100.0 < batch["image"].max() <= 255.0
    assert set(np.unique(batch["label"])) <= {0, 1, 255}


def test_starting_at_a_step_gives_what_running_to_it_gives(config):
    train = open_data(config).train
    whole = batches(train, config, 0, 12)
    assert_same(whole[5:], batches(train, config, 5, 7))


def test_a_start_far_away_is_as_near_as_any(config):
    train = open_data(config).train
    assert_same(batches(train, config, 10**12, 2)[1:], batches(train, config, 10**12 + 1, 1))


def test_each_epoch_has_every_example_once_in_an_order_of_its_own(config):
    train = open_data(config).train
    # Four do not divide ten: batches straddle the epochs.
    indices = np.concatenate([b["index"] for b in batches(train, config, 0, 15)])
    epochs = indices.reshape(6, COUNT)
    for epoch in epochs:
        assert sorted(epoch) == list(range(COUNT))
    assert len({tuple(epoch) for epoch in epochs}) == 6


def test_index_tells_the_example(config):
    still = config_for(
        config.data.path,
        augment={
            "crop": (24, 32),
            "scale": (1.0, 1.0),
            "quarter_turns": False,
            "flip_horizontal": False,
            "flip_vertical": False,
            "brightness": 0.0,
            "contrast": 0.0,
        },
    )
    train = open_data(still).train
    for batch in batches(train, still, 0, 3):
        for image, label, index in zip(batch["image"], batch["label"], batch["index"], strict=True):
            example = train.load(int(index))
            np.testing.assert_array_equal(image, example.image)
            np.testing.assert_array_equal(label, example.label)


def test_an_example_is_augmented_anew_each_time(config):
    train = open_data(config).train
    seen = {}
    for batch in batches(train, config, 0, 20):
        for image, index in zip(batch["image"], batch["index"], strict=True):
            seen.setdefault(int(index), []).append(image.tobytes())
    assert all(len(set(images)) == len(images) == 8 for images in seen.values())


def test_seeds_differ_in_order_and_augmentation(config):
    train = open_data(config).train
    first, second = (batches(train, dataclasses.replace(config, seed=seed), 0, 3) for seed in (1, 2))
    assert not np.array_equal([b["index"] for b in first], [b["index"] for b in second])


@pytest.mark.parametrize(("shards", "parts"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_shards_and_parts_put_together_are_the_global_batch(config, shards, parts):
    train = open_data(config).train
    whole = batches(train, config, 3, 4)
    cut = [batches(train, config, 3, 4, shard_index=s, shard_count=shards, parts=parts) for s in range(shards)]
    rebuilt = [
        {
            key: np.concatenate([cut[s][step * parts + part][key] for s in range(shards) for part in range(parts)])
            for key in whole[0]
        }
        for step in range(4)
    ]
    assert_same(whole, rebuilt)


def test_a_batch_that_cannot_be_cut_is_refused(config):
    with pytest.raises(ValueError, match=r"batch_size=4 over 3 workers of 1 parts.*multiple of 3"):
        training_batches(open_data(config).train, config, start_step=0, steps=1, shard_count=3)


def test_workers_and_cache_change_nothing(config):
    plain = batches(open_data(config).train, config, 0, 6)
    for fields in ({"workers": 1}, {"workers": 3}, {"cache_mib": 0}):
        other = changed(config, **fields)
        assert_same(plain, batches(open_data(other).train, other, 0, 6))


def digest(train, config) -> str:
    total = hashlib.sha256()
    for batch in batches(train, config, 2, 6):
        for key in sorted(batch):
            total.update(batch[key].tobytes())
    return total.hexdigest()


@pytest.mark.slow
def test_another_process_makes_the_same_batches(config):
    program = (
        "import sys; from tests.data.making import config_for; from tests.data.test_pipeline import digest\n"
        "from trainer.data import open_data\n"
        "config = config_for(sys.argv[1], seed=7); print(digest(open_data(config).train, config))"
    )
    root = pathlib.Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "123", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", program, config.data.path],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.stdout.strip() == digest(open_data(config).train, config), done.stderr[-2000:]


def test_the_cache_reads_a_file_once(config, folder, tmp_path):
    here = tmp_path / "copy"
    shutil.copytree(folder, here)
    config = changed(config, path=str(here))
    train = open_data(config).train
    first = batches(train, config, 0, 5)
    shutil.rmtree(here / "train" / "images")
    assert_same(first, batches(train, config, 0, 5))


def test_the_cache_keeps_to_its_limit(tmp_path):
    make_folder(tmp_path, 4, size=(700, 900))
    config = config_for(tmp_path, cache_mib=5, validation_fraction=0.25)
    train = open_data(config).train
    for index in range(3):
        train.load(index)
    shutil.rmtree(tmp_path / "images")
    # 700 * 900 * 4 bytes are 2.4 MiB: two fit.
    readable = 0
    for index in range(3):
        try:
            train.load(index)
            readable += 1
        except DataError:
            continue
    assert readable == 2


def test_examples_are_loaded_from_any_thread(config):
    train = open_data(changed(config, cache_mib=0)).train
    expected = [train.load(i).image.sum() for i in range(COUNT)]
    found = {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: train.load(i).image.sum()})) for i in range(COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[i] for i in range(COUNT)] == expected


@pytest.fixture
def damaged(folder, tmp_path):
    """The folder with an image that opens and does not decode."""
    here = tmp_path / "damaged"
    shutil.copytree(folder, here)
    path = here / "train" / "images" / "004.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    return here


def test_a_bad_file_stops_training_with_its_name(config, damaged):
    config = changed(config, path=str(damaged))
    train = open_data(config).train
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        batches(train, config, 0, 3)
    error = data_error_from(caught.value)
    assert isinstance(error, DataError)
    assert str(error).startswith(f"{damaged}/train/images/004.png: does not decode: the checksum of the")
    assert "Traceback" not in str(error) and error.exit_code == 2


def test_a_bad_file_is_found_behind_other_errors(config, damaged):
    config = changed(config, path=str(damaged))
    iterator = iter(training_batches(open_data(config).train, config, start_step=0, steps=3))

    @tf.function
    def total():
        result = 0.0
        for _ in tf.range(3):
            result += tf.reduce_sum(next(iterator)["image"])
        return result

    with pytest.raises(Exception) as caught:
        try:
            total()
        except tf.errors.OpError as error:
            raise RuntimeError("the step failed") from error
    assert "004.png" in str(data_error_from(caught.value))


def test_other_errors_are_not_taken_for_bad_data():
    assert data_error_from(ValueError("DataError: not from a pipeline")) is None
    assert data_error_from(tf.errors.InvalidArgumentError(None, None, "KeyError: 1\nTraceback (most recent")) is None


def test_a_bad_file_is_skipped_and_counted_by_name(config, damaged):
    config = changed(config, path=str(damaged), bad_files="skip")
    train = open_data(config).train
    found = batches(train, config, 0, 5)
    indices = np.concatenate([b["index"] for b in found])
    assert 4 not in indices and set(indices) == set(range(COUNT)) - {4}
    assert list(train.skipped) == ["train/images/004.png"]
    assert "does not decode" in train.skipped["train/images/004.png"]
    # Its place is taken by the one after it, alike in any process.
    again = open_data(config).train
    assert_same(found[3:], batches(again, config, 3, 2))
    assert (np.bincount(indices, minlength=COUNT)[5]) == 4


def test_skipping_everything_is_an_error(config, damaged):
    for path in (damaged / "train" / "masks").iterdir():
        path.write_bytes(path.read_bytes()[:-20])
    config = changed(config, path=str(damaged), bad_files="skip")
    with pytest.raises(DataError, match="None of the 10 masks that were looked at can be read"):
        open_data(config)
    # Where nothing has to be recognised the first batch says it.
    config = changed(config, mask_encoding="binary", mask_threshold=1)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        batches(open_data(config).train, config, 0, 1)
    assert "None of the 10 examples of the train split can be used" in str(data_error_from(caught.value))


@pytest.mark.parametrize(("shards", "parts"), [(1, 1), (2, 1), (1, 2), (2, 2), (3, 4)])
def test_every_image_is_evaluated_once_and_all_shards_are_equally_long(config, shards, parts):
    validation = open_data(config).validation
    by_shard = [
        list(evaluation_batches(validation, config, multiple=8, shard_index=s, shard_count=shards, parts=parts))
        for s in range(shards)
    ]
    assert len({len(elements) for elements in by_shard}) == 1 and len(by_shard[0]) % parts == 0
    elements = [element for shard in by_shard for element in shard]
    counted = [int(e["index"][0]) for e in elements if e["valid"][0] == 1.0]
    assert sorted(counted) == [0, 1, 2]
    assert all(int(e["index"][0]) == -1 for e in elements if e["valid"][0] == 0.0)


@pytest.mark.parametrize("multiple", [1, 8, 32, 128])
def test_evaluation_keeps_the_resolution_and_pads_with_void(config, multiple):
    validation = open_data(config).validation
    for element in evaluation_batches(validation, config, multiple=multiple).as_numpy_iterator():
        example = validation.load(int(element["index"][0]))
        height, width = element["size"][0]
        assert (height, width) == example.label.shape
        image, label = element["image"][0], element["label"][0]
        assert image.shape[:2] == label.shape == (-(-height // multiple) * multiple, -(-width // multiple) * multiple)
        np.testing.assert_array_equal(image[:height, :width], example.image)
        np.testing.assert_array_equal(label[:height, :width], example.label)
        padding = np.ones(label.shape, bool)
        padding[:height, :width] = False
        assert (label[padding] == validation.void_id).all()


def test_a_bad_image_stops_the_evaluation_or_is_not_counted(config, folder, tmp_path):
    here = tmp_path / "copy"
    shutil.copytree(folder, here)
    path = here / "val" / "images" / "1.png"
    path.write_bytes(path.read_bytes()[:-30])
    config = changed(config, path=str(here))
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        list(evaluation_batches(open_data(config).validation, config, multiple=8))
    assert "val/images/1.png" in str(data_error_from(caught.value))
    skipping = changed(config, bad_files="skip")
    validation = open_data(skipping).validation
    elements = list(evaluation_batches(validation, skipping, multiple=8))
    assert [float(e["valid"][0]) for e in elements] == [1.0, 0.0, 1.0]
    assert list(validation.skipped) == ["val/images/1.png"]


def test_load_gives_three_channels_of_grey_and_whole_ids(tmp_path):
    grey = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
    make_folder(tmp_path, 2)
    save(tmp_path / "images" / "000.png", grey)
    data = open_data(config_for(tmp_path))
    source = next(source for source in (data.train, data.validation) if "images/000.png" in source.names)
    example = source.load(source.names.index("images/000.png"))
    np.testing.assert_array_equal(example.image, np.dstack([grey] * 3))
    assert example.image.flags.c_contiguous and example.label.dtype == np.int32

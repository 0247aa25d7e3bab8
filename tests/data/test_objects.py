"""Data passed as Python objects: what they become, that they stay exact, and the errors for wrong ones."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Augment, Config, Data, Train
from tests.data.making import picture
from trainer.data import DataError, data_error_from, evaluation_batches, open_data, training_batches
from trainer.parts import name_of

COUNT, SIZE = 12, (24, 32)


def config_of(*, batch_size: int = 4, length: str = "100 steps", augment: dict | None = None, **data) -> Config:
    return Config(
        seed=3,
        data=Data(**data),
        augment=Augment(**{"crop": (16, 16), **(augment or {})}),
        train=Train(batch_size=batch_size, length=length),
    )


def example(number: int, size: tuple[int, int] = SIZE) -> dict:
    """An image, its label of ids 0 to 2, and keys of each kind."""
    image, mask = picture(number, size)
    label = (mask > 0).astype(np.uint8)
    label[:3, :4] = 2
    return {
        "image": image,
        "label": label,
        "weight": np.linspace(0, 1, size[0] * size[1]).reshape(size),
        "second": image[:, :, ::-1],
        "number": number,
        "vector": np.array([number, 1, 2], np.int16),
        "text": f"patient {number}",
    }


class Listed:
    """Anything with len() and [i]."""

    def __init__(self, count: int = COUNT, make=example):
        self.count, self.make = count, make

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self.make(index)


def pair(number: int):
    return example(number)["image"], example(number)["label"]


def arrays():
    pairs = [pair(number) for number in range(COUNT)]
    return np.stack([image for image, _ in pairs]), np.stack([label for _, label in pairs])


def stream(keys=("image", "label", "weight", "number", "text"), count: int = COUNT, make=example):
    columns = [make(number) for number in range(count)]
    return tf.data.Dataset.from_tensor_slices({key: np.stack([c[key] for c in columns]) for key in keys})


def batches(source, config, start, steps, **cut):
    return list(training_batches(source, config, start_step=start, steps=steps, **cut).as_numpy_iterator())


def assert_same(first, second):
    assert len(first) == len(second)
    for left, right in zip(first, second, strict=True):
        assert left.keys() == right.keys()
        for key in left:
            np.testing.assert_array_equal(left[key], right[key])


def add_noise(example, random):
    example["image"] = example["image"] + random.normal(size=example["image"].shape)
    if random.random() < 0.5:
        for key in ("image", "label", "weight"):
            example[key] = example[key][::-1]
    return example


KINDS = {
    "an object": lambda: Listed(),
    "a list": lambda: [example(number) for number in range(COUNT)],
    "a mapping of arrays": lambda: {k: np.stack([example(n)[k] for n in range(COUNT)]) for k in example(0)},
    "a tf.data.Dataset": lambda: {"train": stream(), "validation": None},
}


@pytest.mark.parametrize("kind", KINDS)
def test_any_start_shard_and_part_gives_the_same_batches(kind):
    config = config_of()
    train = open_data(config, KINDS[kind](), [add_noise]).train
    whole = batches(train, config, 0, 9)
    assert_same(whole[5:], batches(train, config, 5, 4))
    assert_same(whole[5:], batches(open_data(config, KINDS[kind](), [add_noise]).train, config, 5, 4))
    for shards, parts in ((2, 1), (1, 2), (2, 2)):
        cut = [batches(train, config, 2, 3, shard_index=s, shard_count=shards, parts=parts) for s in range(shards)]
        rebuilt = [
            {
                key: np.concatenate([cut[s][step * parts + part][key] for s in range(shards) for part in range(parts)])
                for key in whole[0]
            }
            for step in range(3)
        ]
        assert_same(whole[2:5], rebuilt)
    workers = dataclasses.replace(config, data=dataclasses.replace(config.data, workers=1))
    assert_same(whole, batches(train, workers, 0, 9))


def test_extra_keys_go_with_the_image_or_as_they_are():
    still = {"scale": (1.0, 1.0), "brightness": 0.0, "contrast": 0.0}
    config = config_of(augment=still)
    data = open_data(config, Listed(make=lambda n: {**example(n), "own": example(n)["label"].astype(np.int16)}))
    assert data.classes == data.config.data.classes == ("class_0", "class_1", "class_2") and data.channels == 3
    assert "3 classes, ids 0..2 of the labels of all 12 examples" in data.notes
    for batch in batches(data.train, config, 0, 5):
        np.testing.assert_array_equal(batch["second"], batch["image"][..., ::-1])
        inside = batch["label"] != 255
        np.testing.assert_array_equal(batch["own"][inside], batch["label"][inside])
        assert (batch["own"][~inside] == 0).all() and batch["own"].dtype == np.int16
        assert batch["weight"].shape == (4, 16, 16) and batch["weight"].dtype == np.float32
        for row, index in enumerate(batch["index"]):
            number = int(data.train.names[index][5:-1])
            assert batch["number"][row] == number and batch["text"][row] == f"patient {number}".encode()
            assert batch["vector"][row].tolist() == [number, 1, 2]


def test_evaluation_has_every_example_whole_with_its_keys():
    for value in (Listed(), {"train": stream(), "validation": stream(count=5)}):
        config = config_of()
        validation = open_data(config, value).validation
        for shards in (1, 2):
            elements = [
                e
                for s in range(shards)
                for e in evaluation_batches(validation, config, multiple=32, shard_index=s, shard_count=shards)
            ]
            valid = [e for e in elements if e["valid"][0]]
            assert sorted(int(e["index"][0]) for e in valid) == list(range(len(validation)))
            for element in valid:
                assert element["image"].shape == (1, 32, 32, 3) and element["weight"].shape == (1, 32, 32)
                number = int(element["number"][0])
                np.testing.assert_array_equal(element["image"][0, :24], example(number)["image"])
                assert (element["label"][0, 24:].numpy() == 255).all() and element["text"].dtype == tf.string


def test_a_pair_of_arrays_is_split_and_a_mapping_is_not():
    config = config_of(validation_fraction=0.25)
    data = open_data(config, arrays())
    assert (len(data.train), len(data.validation), data.title) == (9, 3, "arrays")
    assert not set(data.train.names) & set(data.validation.names)
    # One more example leaves the others on their side.
    images, labels = arrays()
    more = open_data(config, (np.concatenate([images, images[:1]]), np.concatenate([labels, labels[:1]])))
    assert set(data.validation.names) <= set(more.validation.names) | {"data[12]"}
    images, labels = arrays()
    data = open_data(config, {"train": (images, labels), "validation": (images[:2], labels[:2])})
    assert (len(data.train), data.validation.names[1]) == (12, "validation[1]")


def test_without_validation_it_is_said_that_nothing_is_evaluated():
    data = open_data(config_of(), stream())
    assert data.validation is None
    assert any("nothing is evaluated: a tf.data.Dataset cannot be split" in note for note in data.notes)
    assert open_data(config_of(), {"train": Listed(), "validation": None}).validation is None


def test_images_of_any_type_and_number_of_channels_are_not_clipped():
    config = config_of(augment={"scale": (0.7, 1.4), "brightness": 0.5})
    for dtype, factor in ((np.float64, 1e-4), (np.uint16, 90), (np.float32, -3.0)):
        made = [(np.dstack([example(n)["image"]] * 2)[:, :, :5].astype(dtype) * dtype(factor)) for n in range(4)]
        data = open_data(config, [(image, example(n)["label"]) for n, image in enumerate(made)])
        assert data.channels == 5
        images = np.concatenate([b["image"] for b in batches(data.train, config, 0, 6)])
        assert images.dtype == np.float32 and images.shape[1:] == (16, 16, 5)
        span = max(float(image.max()) - float(image.min()) for image in made)
        # Shifted by up to half of the range, of whatever size it is.
        shifts = images.mean(axis=(1, 2, 3)) - np.mean(made)
        assert 0.1 * span < np.abs(shifts).max() < 0.8 * span


def test_an_image_alone_and_a_float_label_travel_too():
    data = open_data(config_of(), np.stack([example(n)["image"] for n in range(4)]))
    assert set(batches(data.train, config_of(), 0, 1)[0]) == {"image", "index"} and data.classes == ()
    config = config_of(augment={"scale": (1.0, 1.0), "brightness": 0.0, "contrast": 0.0})
    data = open_data(config, [(example(n)["image"], example(n)["image"] / 255) for n in range(4)])
    assert "no class ids" in data.notes[0]
    for batch in batches(data.train, config, 0, 3):
        np.testing.assert_allclose(batch["label"], batch["image"] / 255, rtol=1e-6)


def labels_become(change, **data):
    items = [(example(n)["image"], change(example(n)["label"])) for n in range(4)]
    found = open_data(config_of(**data), items)
    drawn = [example(int(name[5:-1]))["label"] for name in found.train.names]
    return found, [found.train.load(i).label for i in range(3)], drawn


@pytest.mark.parametrize(
    ("change", "note", "expected"),
    [
        (lambda label: label[:, :, None], "ids 0..2", lambda label: label),
        (lambda label: label.astype(np.float32), "read as whole ones", lambda label: label),
        (lambda label: np.eye(3, dtype=np.uint8)[label], "one-hot over 3 classes", lambda label: label),
        (lambda label: np.eye(3, dtype=np.float32)[label], "one-hot over 3 classes", lambda label: label),
        (lambda label: label == 1, "2 classes, ids 0..1", lambda label: label == 1),
        (lambda label: (label == 1).astype(np.uint8) * np.uint8(255), "255 is class 1", lambda label: label == 1),
        (lambda label: np.where(label == 2, 255, label), "2 classes", lambda label: np.where(label == 2, 255, label)),
    ],
)
def test_labels_are_recognised_and_it_is_said(change, note, expected):
    found, labels, drawn = labels_become(change)
    assert any(note in text for text in found.notes), found.notes
    for label, truth in zip(labels, drawn, strict=True):
        np.testing.assert_array_equal(label, expected(truth))


def test_other_data_are_read_as_those_that_were_trained_on():
    found, _, _ = labels_become(lambda label: np.where(label == 2, 255, label))
    other, labels = np.zeros((2, 24, 30, 3), np.uint8), np.full((2, 24, 30), 255, np.uint8)
    labels[:, :9] = 0
    scored = open_data(found.config, (other, labels))
    assert set(np.unique(scored.train.load(0).label)) == {0, 255}  # void still, and no class 1


def test_values_can_be_mapped_and_classes_named():
    found, labels, drawn = labels_become(
        lambda label: label * 100, mask_encoding="ids", mask_ids=((0, 0), (100, 1), (200, 255)), classes=("a", "b")
    )
    assert found.classes == ("a", "b")
    np.testing.assert_array_equal(labels[0], np.where(drawn[0] == 2, 255, drawn[0]))


class Named(Listed):
    classes = ("ground", "disc", "corner")


def test_an_object_may_name_its_classes():
    assert open_data(config_of(), Named()).classes == Named.classes


def with_key(key, value):
    """Item 3 with another value."""
    return lambda n: (
        {**example(n), key: value(example(n)) if n == 3 else example(n)[key]}
        if key in example(n)
        else {**example(n), **({key: value(example(n))} if n == 3 else {})}
    )


def without(key):
    return lambda n: {k: v for k, v in example(n).items() if k != key or n != 3}


WRONG = {
    "empty": (lambda: [], ["data is empty"]),
    "one example": (lambda: [example(0)], ["data holds 1 example", "None}"]),
    "a path": (lambda: "photos/", ["data is str", "Data(source='folder', path='photos/')"]),
    "a generator": (lambda: (pair(n) for n in range(4)), ["generator", "from_generator"]),
    "no length": (object, ["data is object", "no __len__ and no __getitem__"]),
    "a mapping without train": (lambda: {"validation": Listed()}, ["no \"train\": it has 'validation'"]),
    "arrays of different lengths": (lambda: (arrays()[0], arrays()[1][:-1]), ["image 12, label 11"]),
    "batches": (lambda: [arrays(), arrays()], ["data[0]['image'] is uint8 [12, 24, 32, 3]", "one image at a time"]),
    "three in a tuple": (lambda: Listed(make=lambda n: (*pair(n), 1)), ["data[0] is a tuple of 3", "{'image': …"]),
    "no image": (lambda: Listed(make=lambda n: {"picture": 1}), ["data[0] has no key 'image'; it has 'picture'"]),
    "paths": (lambda: Listed(make=lambda n: ("a.png", "b.png")), ["data[0]['image'] is one text"]),
    "none": (lambda: Listed(make=lambda n: None), ["data[0] is None"]),
    "channels first": (lambda: Listed(make=lambda n: (pair(n)[0].transpose(2, 0, 1), pair(n)[1])), ["moveaxis"]),
    "another size": (
        lambda: Listed(make=with_key("label", lambda e: e["label"][:-2])),
        ["data[3]['label'] is 32 x 22 pixels, its image 32 x 24 (width x height)"],
    ),
    "nan": (
        lambda: Listed(make=lambda n: (pair(n)[0] * (np.nan if n == 3 else 1.0), pair(n)[1])),
        ["data[3]['image'] holds 2304 NaN values"],
    ),
    "other channels": (
        lambda: Listed(make=with_key("image", lambda e: e["image"][:, :, :2])),
        ["data[3]['image'] has 2 channels"],
    ),
    "other type": (
        lambda: Listed(make=with_key("image", lambda e: e["image"] / 2)),
        ["data[3]['image'] is an array of float32"],
    ),
    "no label in one": (lambda: Listed(make=without("label")), ["data[3] has no label", "full of void"]),
    "a key missing in one": (lambda: Listed(make=without("weight")), ["data[3] has no 'weight'", "the same keys"]),
    "a key more in one": (lambda: Listed(make=with_key("extra", lambda e: 1)), ["data[3] has 'extra'"]),
    "another shape of a vector": (
        lambda: Listed(make=with_key("vector", lambda e: np.zeros(2, np.int16))),
        ["data[3]['vector'] is int16 [2]", "int16 [3]", "one shape and type"],
    ),
    "another type of a number": (
        lambda: Listed(make=with_key("number", lambda e: 0.5)),
        ["data[3]['number'] is one float32", "one int64"],
    ),
    "none as a value": (lambda: Listed(make=with_key("number", lambda e: None)), ["data[3]['number'] is None"]),
    "a key of ours": (lambda: Listed(make=lambda n: {**example(n), "valid": 1}), ["the key 'valid'"]),
    "ids of objects": (
        lambda: Listed(make=lambda n: (pair(n)[0], np.arange(768).reshape(24, 32))),
        ["767 different ids", "objects"],
    ),
    "one class": (lambda: Listed(make=lambda n: (pair(n)[0], pair(n)[1] * 0)), ["hold the id 0 alone"]),
    "negative": (lambda: Listed(make=lambda n: (pair(n)[0], pair(n)[1] - 1.0)), ["negative ids", "data.void_id=-1"]),
    "gaps": (
        lambda: Listed(make=lambda n: (pair(n)[0], 60 * pair(n)[1])),
        ["up to 120", "((0, 0), (60, 1), (120, 2))"],
    ),
    "planes of other numbers": (
        lambda: Listed(make=lambda n: (pair(n)[0], np.full((24, 32, 3), 2))),
        ["not one-hot", "768 pixels have no"],
    ),
    "a volume without its channel axis": (
        lambda: [(np.zeros((9, 8, 10), np.float32), np.arange(720).reshape(9, 8, 10) % 3 % 2)] * 4,
        ["both have the shape [9, 8, 10]", "image[..., None]", "labels='multi'"],
    ),
    "three values in a dataset's tuples": (
        lambda: tf.data.Dataset.from_tensors((*pair(0), 1)),
        ["tuples of 3", "dataset.map("],
    ),
    "a class": (lambda: Listed, ["This is the class itself: pass an object of it, data=Listed(…)"]),
    "other keys": (
        lambda: {"images": np.zeros((4, 8, 8, 3)), "labels": np.zeros((4, 8, 8))},
        ["Rename 'images' to 'image', 'labels' to 'label'."],
    ),
    "triples": (
        lambda: [(*pair(n), 1) for n in range(30)],
        ["30 examples alike: data[0], data[1], data[2], …", "The first: data[0] is a tuple of 3"],
    ),
    "an empty dataset": (lambda: stream().take(0), ["data is empty"]),
    "an endless validation": (
        lambda: {"train": stream(), "validation": stream().repeat()},
        ["never ends", ".take(NUMBER)"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_before_the_first_step(name):
    make, says = WRONG[name]
    with pytest.raises(DataError) as caught:
        open_data(config_of(), make())
    for words in says:
        assert words in str(caught.value), str(caught.value)
    assert "Traceback" not in str(caught.value)


def raises_at_three(number):
    if number == 3:
        raise KeyError("no such record")
    return example(number)


def test_all_wrong_examples_are_named_at_once_and_can_be_skipped():
    with pytest.raises(DataError) as caught:
        open_data(config_of(), Listed(make=lambda n: raises_at_three(n) if n != 5 else (1, 2)))
    text = str(caught.value)
    assert "2 problems" in text and "data[5]['image'] is one int64" in text
    assert "data[3]: reading it raised KeyError" in text and "test_objects.py:" in text and "raise KeyError" in text
    data = open_data(config_of(bad_files="skip"), {"train": Listed(make=raises_at_three), "validation": None})
    indices = np.concatenate([b["index"] for b in batches(data.train, config_of(bad_files="skip"), 0, 6)])
    assert 3 not in indices and list(data.train.skipped) == ["train[3]"]


def test_a_label_outside_the_classes_ends_training_with_its_example():
    late = np.ones(SIZE, np.uint8) * 7
    data = Listed(500, make=lambda n: (example(0)["image"], late if n == 3 else pair(n)[1]))
    config = config_of(validation_fraction=0.002)
    train = open_data(config, data).train
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        batches(train, config, 0, 130)
    text = str(data_error_from(caught.value))
    assert "data[3]['label']: 768 pixels have values that are no class: 7 (768 pixels). Classes are 0 … 2" in text


def forgets(example, random):
    example["image"] = example["image"] * 2


def shrinks(example, random):
    return {**example, "image": example["image"][:-1]}


def fails(example, random):
    return example["nothing"]


def half_way(example, random):
    return {**example, "label": example["label"] * 0.5}


def drops(example, random):
    return {"image": example["image"], "labels": example["label"]}


def outside(example, random):
    return {**example, "label": np.full_like(example["label"], 9)}


def unsteady(example, random):
    example["image"] += np.random.normal(size=example["image"].shape).astype("float32")
    return example


def test_an_augmentation_that_draws_elsewhere_is_noted():
    notes = [open_data(config_of(), Listed(make=pair), augment=[function]).notes for function in (add_noise, unsteady)]
    warnings = [[note for note in found if "draw from its argument `random` alone" in note] for found in notes]
    assert not warnings[0] and len(warnings[1]) == 1 and "test_objects:unsteady gives another example" in warnings[1][0]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (forgets, "gave nothing; does it end in `return example`?"),
        (shrinks, "changed the shape of 'image' from [16, 16, 3] to [15, 16, 3]"),
        (fails, "raised KeyError: 'nothing'\n  in "),
        (half_way, "made fractions (0.5) of 'label'"),
        (drops, "label is missing; 'labels' is new"),
        (outside, "put the value 9 into 256 pixels of 'label'; class ids are 0 … 2"),
    ],
)
def test_an_augmentation_that_is_wrong_is_named_with_its_example(function, says):
    config = config_of()
    train = open_data(config, Listed(make=pair), augment=[function]).train
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        batches(train, config, 0, 1)
    text = str(data_error_from(caught.value))
    assert says in text and name_of(function) in text and text.startswith("data["), text


def test_augmentations_are_named_in_the_config_or_handed_over_and_do_not_touch_what_is_kept():
    config = config_of(augment={"functions": (f"{__name__}:add_noise",)})
    kept = Listed(make=lambda n: {k: example(n)[k] for k in ("image", "label", "weight")})
    named, given = open_data(config, kept), open_data(config_of(), kept, [add_noise])
    first = batches(named.train, config, 0, 6)
    assert_same(first, batches(given.train, config_of(), 0, 6))
    assert_same(first, batches(named.train, config, 0, 6))
    plain = batches(open_data(config_of(), kept).train, config_of(), 0, 1)
    assert not np.array_equal(first[0]["image"], plain[0]["image"])


def test_a_dataset_of_batches_is_taken_apart_and_one_that_changes_is_noted():
    config = config_of()
    plain = open_data(config, stream())
    batched = open_data(config, stream().batch(5))
    assert_same(batches(plain.train, config, 0, 3), batches(batched.train, config, 0, 3))
    assert any("taken apart" in note for note in batched.notes)
    shuffled = open_data(config, stream().shuffle(COUNT))
    assert any("give its shuffle a seed" in note for note in shuffled.notes)
    assert not any("shuffle" in note for note in plain.notes)
    random = open_data(config, Listed(make=lambda n: (np.random.default_rng().random((24, 32, 1)), pair(n)[1])))
    assert any("is not the same each time it is read" in note for note in random.notes)


def test_a_dataset_of_unknown_length_needs_a_length_in_steps():
    endless = stream().repeat()
    assert open_data(config_of(), endless).train.length is None
    assert batches(open_data(config_of(), endless).train, config_of(), 4, 1)[0]["index"].tolist() == [16, 17, 18, 19]
    with pytest.raises(DataError, match=r'(?s)train.length="3 epochs": the length of an epoch.*assert_cardinality'):
        open_data(config_of(length="3 epochs"), endless)
    assert open_data(config_of(length="3 epochs"), stream()).train.length == COUNT


def own_source(data):
    return {"train": Listed(int(data.path)), "validation": Listed(2)}


def broken_source(data):
    return [][0]


def test_a_source_of_ones_own_is_a_function_of_the_section():
    config = config_of(source=f"{__name__}:own_source", path="8")
    data = open_data(config)
    assert (len(data.train), len(data.validation), data.title) == (8, 2, f"{__name__}:own_source")
    with pytest.raises(DataError, match="(?s)the function raised IndexError: list index.*test_objects.py"):
        open_data(config_of(source=f"{__name__}:broken_source"))


def test_batches_of_grey_images_without_channels_are_taken_apart_and_one_hot_labels_are_not():
    images, labels = np.zeros((12, 8, 8), np.uint8), np.tile(np.eye(8, dtype=np.uint8), (12, 1, 1))
    grey = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
    data = open_data(Config(), {"train": grey, "validation": None})
    assert data.channels == 1 and any("taken apart" in note for note in data.notes)
    image = next(iter(training_batches(data.train, config_of(), start_step=0, steps=1)))["image"]
    assert image.shape[1:] == (*config_of().augment.crop, 1)
    planes = tf.data.Dataset.from_tensor_slices((np.zeros((12, 8, 8, 2), np.uint8), np.eye(2, dtype=np.uint8)[labels]))
    data = open_data(Config(), {"train": planes, "validation": None})
    assert data.train.length == 12 and data.channels == 2 and len(data.classes) == 2


def test_planes_that_overlap_are_classes_of_their_own():
    def make(number):
        image, label = pair(number)
        return image, np.dstack([label > 0, label > -1, label == 2]).astype(np.uint8)

    data = open_data(Config(augment=Augment(crop=(16, 16))), Listed(make=make))
    assert data.config.data.multi_label and data.classes == ("class_0", "class_1", "class_2")
    assert "of the pixels are of several classes" in data.notes[0]
    index = int(re.search(r"\d+", data.train.names[0]).group())
    np.testing.assert_array_equal(data.train.load(0).label, make(index)[1])
    named = Config(data=Data(classes=("a", "b"), labels="multi"))
    with pytest.raises(DataError, match="have 3 planes, and data.classes names 2"):
        open_data(named, Listed(make=make))
    full = open_data(Config(), Listed(make=lambda n: (pair(n)[0], 255 * make(n)[1])))
    assert set(np.unique(full.train.load(0).label)) <= {0, 1}

"""Evaluation of whole data sets: every image once, at its own size, alike on any number of replicas, tiled or whole."""

import json
import math
import os
import socket
import subprocess
import sys
import types

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from configs.schema import Config, Data, Evaluate, Model
from trainer.data import open_data
from trainer.distribution.strategy import Devices
from trainer.errors import UserError
from trainer.evaluation import evaluator as evaluate_module
from trainer.evaluation import pictures as pictures_module
from trainer.evaluation.evaluator import make_evaluator
from trainer.evaluation.own_metrics import build_metrics
from trainer.evaluation.pictures import ranks
from trainer.prediction.paths import predict_paths
from trainer.prediction.tiling import mirrored_index, tile_starts, tiled_logits
from trainer.prediction.windows import logits_function
from trainer.reporting.records import jsonable
from trainer.stepping.objective import Objective
from trainer.stepping.segmentation import Segmentation

CLASSES = ("background", "cell", "wall")
VOID = 255
SIZES = [(37, 50), (64, 64), (33, 91), (70, 41), (40, 40), (96, 32), (55, 57)]


class Images:
    """Seven images of seven sizes, noise whose brightness tells the class; the second image has void."""

    def __init__(self):
        random = np.random.default_rng(5)
        self.names = [f"image_{n}" for n in range(len(SIZES))]
        self.labels = [random.integers(0, 3, size).astype(np.int32) for size in SIZES]
        self.labels[1][:20] = VOID
        self.labels[4][:] = 0
        self.images = [
            np.clip(label[..., None] * 80.0 + random.normal(40, 30, (*label.shape, 1)), 0, 255).astype(np.float32)
            for label in (np.where(label == VOID, 0, label) for label in self.labels)
        ]

    def __len__(self):
        return len(self.names)


def batches_of(source, config, *, multiple, shard_index=0, shard_count=1, parts=1):
    """The interface of `trainer.data.evaluation_examples` over arrays in memory."""
    strides = shard_count * parts
    rounds = -(-len(source) // strides)

    def generate():
        for turn in range(rounds):
            for part in range(parts):
                index = turn * strides + shard_index * parts + part
                valid = index < len(source)
                image, label = source.images[index if valid else 0], source.labels[index if valid else 0]
                height, width = label.shape
                bottom, right = -height % multiple, -width % multiple
                yield {
                    "image": np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="edge")[None],
                    "label": np.pad(label, ((0, bottom), (0, right)), constant_values=VOID)[None],
                    "index": np.array([index if valid else 0], np.int64),
                    "valid": np.array([valid], np.float32),
                    "size": np.array([[height, width]], np.int32),
                }

    return tf.data.Dataset.from_generator(
        generate,
        output_signature={
            "image": tf.TensorSpec([1, None, None, 1], tf.float32),
            "label": tf.TensorSpec([1, None, None], tf.int32),
            "index": tf.TensorSpec([1], tf.int64),
            "valid": tf.TensorSpec([1], tf.float32),
            "size": tf.TensorSpec([1, 2], tf.int32),
        },
    )


def example_of(source, config, index):
    """The interface of `trainer.data.evaluation_example`, likewise."""
    label = source.labels[index]
    return {
        "image": source.images[index][None],
        "label": label[None],
        "index": np.array([index], np.int64),
        "valid": np.ones(1, np.float32),
        "size": np.array([label.shape], np.int32),
    }


def without_losses(evaluation):
    """Losses are sums of floats, whose order may differ."""
    content = evaluation.to_dict()
    return content | {"loss": None, "by_image": {k: v for k, v in content["by_image"].items() if k != "loss"}}


def data_sets():
    return types.SimpleNamespace(validation=Images(), classes=CLASSES, void_id=VOID)


@pytest.fixture
def images(monkeypatch):
    monkeypatch.setattr(evaluate_module, "evaluation_batches", batches_of)
    return data_sets()


def config_with(**evaluate):
    return Config(data=Data(classes=CLASSES, channels=1), model=Model(depth=3), evaluate=Evaluate(panels=2, **evaluate))


def pointwise_model():
    """Logits from each pixel alone: what a tile sees around it cannot matter."""
    image = keras.Input([None, None, 1])
    weights = [np.array([[[[-0.02, 0.0, 0.02]]]], np.float32), np.array([1.6, 0.0, -2.4], np.float32)]
    layer = keras.layers.Conv2D(3, 1)
    logits = layer(image)
    layer.set_weights([weights[0], weights[1]])
    return keras.Model(image, logits)


def evaluator_of(model, data, config, strategy=None, *, function=None, metrics=()):
    """An evaluator of a segmentation by this model; `function` is the objective's."""

    def sizes(labels, logits, batch, all_reduce):
        return {"size": tf.cast(tf.size(labels), tf.float32)}

    objective = Objective("of a test", function or sizes, batchwide=False)
    task = Segmentation(model, objective, config, data.classes, (1,))
    return make_evaluator(task, data, config, strategy, metrics=metrics)


def reference(source):
    """Mean Dice by class, by NumPy alone, from the pointwise model's arithmetic."""
    by_class = {name: [] for name in CLASSES}
    for image, label in zip(source.images, source.labels, strict=True):
        logits = image * np.array([-0.02, 0.0, 0.02]) + np.array([1.6, 0.0, -2.4])
        prediction, counted = logits.argmax(-1), label != VOID
        for number, name in enumerate(CLASSES):
            a, b = (label == number) & counted, (prediction == number) & counted
            if a.sum() + b.sum():
                by_class[name].append(2 * (a & b).sum() / (a.sum() + b.sum()))
    return {name: float(np.mean(values)) for name, values in by_class.items()}


def test_every_image_is_scored_at_its_own_size(images):
    evaluation, pictures = evaluator_of(pointwise_model(), images, config_with())()
    assert evaluation.images == len(SIZES)
    assert dict(evaluation.dice) == pytest.approx(reference(images.validation), abs=1e-12)
    pixels = sum(int((label != VOID).sum()) for label in images.validation.labels)
    assert sum(map(sum, evaluation.confusion)) == pixels
    by_image = evaluation.by_image
    assert by_image["name"] == images.validation.names
    assert [np.nanmean(by_image["dice"][name]) for name in CLASSES] == pytest.approx(list(evaluation.dice.values()))
    # The two worst, two in the middle, the two best: each is the image that it says it is.
    shown = [(p.kind, p.rank, p.dice) for p in pictures]
    order = sorted(by_image["mean_dice"])
    assert shown == [(k, r, order[n]) for k, r, n in ranks(len(SIZES), 2)]
    assert [n for _, _, n in ranks(len(SIZES), 2)] == [0, 1, 3, 4, 6, 5]
    for picture in pictures:
        place = images.validation.names.index(picture.name)
        assert picture.dice == by_image["mean_dice"][place]
        assert (picture.panel.label == images.validation.labels[place]).all()


def test_pictures_of_a_large_split_are_predicted_again(images, monkeypatch):
    """The same pictures as those of a small one, which are kept; on replicas, too."""
    _, kept = evaluator_of(pointwise_model(), images, config_with())()
    monkeypatch.setattr(pictures_module, "_MOST_KEPT", 0)
    monkeypatch.setattr(evaluate_module, "evaluation_example", example_of)
    strategy = tf.distribute.MirroredStrategy([d.name for d in tf.config.list_logical_devices("CPU")[:2]])
    for where in (None, strategy):
        with (where or tf.distribute.get_strategy()).scope():
            model = pointwise_model()
        evaluator = evaluator_of(model, images, config_with(), where)
        _, again = evaluator()
        assert [(p.kind, p.name, p.dice) for p in again] == [(p.kind, p.name, p.dice) for p in kept]
        assert all((a.panel.grid() == b.panel.grid()).all() for a, b in zip(again, kept, strict=True))
        assert evaluator.trace_count() == 1
    assert ranks(0, 4) == [] and [n for _, _, n in ranks(1, 4)] == [0] and [n for _, _, n in ranks(3, 4)] == [0, 1, 2]


def test_images_of_all_sizes_share_one_trace(images):
    evaluator = evaluator_of(pointwise_model(), images, config_with())
    evaluator()
    evaluator()
    assert evaluator.trace_count() == 1


def test_the_loss_is_the_mean_over_images(images):
    evaluation, _ = evaluator_of(pointwise_model(), images, config_with())()
    assert evaluation.loss == pytest.approx(np.mean([h * w for h, w in SIZES]))


def test_metrics_of_ones_own_are_of_an_image_or_of_all_counts(images):
    """One of an image, by what else it names, with images that do not count; one of the confusion counts."""

    def share_of_walls(label, prediction, image, classes, probabilities):
        assert image.shape == (*label.shape, 1) and probabilities.shape == (*label.shape, 3)
        wall = classes.index("wall")
        return (prediction == wall).mean() if (label == wall).any() else math.nan

    def sensitivity(confusion):
        return confusion[1, 1] / confusion[1].sum()

    metrics = build_metrics({"share_of_walls": share_of_walls, "sensitivity": sensitivity})
    evaluation, _ = evaluator_of(pointwise_model(), images, config_with(), metrics=metrics)()
    predictions = [
        (image * np.array([-0.02, 0.0, 0.02]) + np.array([1.6, 0.0, -2.4])).argmax(-1)
        for image in images.validation.images
    ]
    pairs = list(zip(images.validation.labels, predictions, strict=True))
    expected = np.mean([(p == 2).mean() for label, p in pairs if (label == 2).any()])
    assert evaluation.metrics["share_of_walls"] == pytest.approx(expected) == evaluation.score("share_of_walls")
    assert evaluation.metrics["sensitivity"] == pytest.approx(
        sum(((label == 1) & (p == 1)).sum() for label, p in pairs) / sum((label == 1).sum() for label, _ in pairs)
    )
    assert evaluation.scalars("eval/")["eval/share_of_walls"] == evaluation.metrics["share_of_walls"]
    assert "sensitivity" in evaluation.table()


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (lambda: 1.0, "takes no argument"),
        ("keras.metrics:MeanIoU", "is a Keras metric"),
        (3, "cannot be called"),
        (lambda label, prediction, weights: 1.0, "takes weights"),
        (lambda label, prediction: np.zeros(3), r"returned ndarray\(3,\)"),
        (
            lambda label, prediction: label / {},
            r"(?s)The metric mine raised TypeError.*in .*test_evaluator.py:\d+.*called with int32 \[\d+, \d+\], int32",
        ),
    ],
)
def test_what_is_no_metric_is_refused_in_words(images, metric, words):
    with pytest.raises(UserError, match=words):
        evaluator_of(pointwise_model(), images, config_with(), metrics=build_metrics({"mine": metric}))()


def test_embedded_images_score_as_their_predicted_files_do(tmp_path):
    """The real pipeline: evaluation, and the Dice of the mask files that prediction writes, are the same number."""
    config = Config(model=Model(outputs="sigmoid"), evaluate=Evaluate(panels=1))
    data = open_data(config)
    config = data.config
    image = keras.Input([None, None, 3])
    # Each pixel against the mean of its block of 16: the last blocks hold padding, so that padding matters.
    blocks = keras.layers.UpSampling2D(16)(keras.layers.AveragePooling2D(16)(image))
    model = keras.Model(image, keras.ops.mean(image - 0.8 * blocks, axis=-1, keepdims=True) - 10.0)
    evaluation, panels = evaluator_of(model, data, config)()
    assert evaluation.images == len(data.validation) == len(dict.fromkeys(data.validation.names))
    assert len(panels) == 5

    examples = [data.validation.load(i) for i in range(len(data.validation))]
    for number, example in enumerate(examples):
        PIL.Image.fromarray(example.image).save(tmp_path / f"{number}.png")
    assert predict_paths(model, [str(tmp_path)], str(tmp_path / "out"), config) == []
    scores = []
    for number, example in enumerate(examples):
        mask, label = np.asarray(PIL.Image.open(tmp_path / "out" / "masks" / f"{number}.png")), example.label
        common, sizes = ((mask == 1) & (label == 1)).sum(), ((mask == 1) & (label != VOID)).sum() + (label == 1).sum()
        scores += [2 * common / sizes] if sizes else []
    assert 0.3 < np.mean(scores) < 1.0
    assert evaluation.mean_dice == pytest.approx(np.mean(scores), abs=1e-12)


@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_count_every_image_once_and_alike(images, logical_devices, replicas):
    alone, _ = evaluator_of(pointwise_model(), images, config_with())()
    strategy = tf.distribute.MirroredStrategy(logical_devices[:replicas])
    with strategy.scope():
        model = pointwise_model()
    evaluator = evaluator_of(model, images, config_with(), strategy)
    together, panels = evaluator()
    assert without_losses(together) == without_losses(alone)
    assert len(panels) == 6
    assert evaluator.trace_count() == 1


@pytest.mark.slow
def test_workers_count_every_image_once_and_agree_and_share_what_is_predicted(images, tmp_path):
    """Five files and one that is none: each worker writes its share, and both know of all."""
    random = np.random.default_rng(0)
    pictures = {f"{n}.png": random.integers(0, 256, (20 + n, 30), np.uint8) for n in range(5)}
    (tmp_path / "in").mkdir()
    for name, pixels in pictures.items():
        PIL.Image.fromarray(pixels).save(tmp_path / "in" / name)
    (tmp_path / "in" / "3x.png").write_text("no image", encoding="utf-8")
    alone, _ = evaluator_of(pointwise_model(), images, config_with())()
    expected = json.loads(json.dumps(jsonable(alone.to_dict())))
    sockets = [socket.socket() for _ in range(2)]
    for listener in sockets:
        listener.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in sockets]
    for listener in sockets:
        listener.close()
    workers = []
    for number in range(2):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}
        environment = os.environ | {"TF_CONFIG": json.dumps(cluster), "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "tests.evaluation.test_evaluator", str(tmp_path)]
        workers.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    try:
        for worker in workers:
            output, errors = worker.communicate(timeout=120)
            assert worker.returncode == 0, errors.decode()[-3000:]
            evaluation, lines, failures = map(json.loads, output.splitlines()[-3:])
            assert evaluation == expected
            assert len([line for line in lines if "->" in line]) == (2 if worker is workers[0] else 3)
            assert lines[-1].startswith("5 of 6 done") and "3x.png: is not an image" in lines[-2]
            assert len(failures) == 1 and "3x.png" in failures[0]
    finally:
        for worker in workers:
            worker.kill()
    predict_paths(pointwise_model(), [str(tmp_path / "in")], str(tmp_path / "alone"), config_with())
    assert len(os.listdir(tmp_path / "out" / "masks")) == 5
    for name in pictures:
        masks = (PIL.Image.open(tmp_path / folder / "masks" / name) for folder in ("out", "alone"))
        np.testing.assert_array_equal(*masks)


def evaluate_as_worker():
    """What each worker of the test above runs: two evaluations, of which it prints the second, and a prediction."""
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    evaluate_module.evaluation_batches = batches_of
    evaluate_module.evaluation_example = example_of
    with strategy.scope():
        model = pointwise_model()
    evaluator = evaluator_of(model, data_sets(), config_with(), strategy)
    evaluator()
    evaluation, panels = evaluator()
    assert len(panels) == 6
    print(json.dumps(jsonable(evaluation.to_dict())), flush=True)
    number, lines = strategy.cluster_resolver.task_id, []
    devices = Devices(strategy, replicas=2, workers=2, worker=number, reason="")
    folder = sys.argv[1]
    inputs, output = [os.path.join(folder, "in")], os.path.join(folder, "out")
    failures = predict_paths(model, inputs, output, config_with(), devices=devices, report=lines.append)
    print(json.dumps(lines), json.dumps([str(failure) for failure in failures]), sep="\n", flush=True)


def test_an_image_served_twice_is_an_error(images, monkeypatch):
    def twice(source, config, **options):
        return batches_of(source, config, **options).map(lambda batch: batch | {"index": batch["index"] * 0})

    monkeypatch.setattr(evaluate_module, "evaluation_batches", twice)
    with pytest.raises(RuntimeError, match="1 validation images were counted more than once: image_0"):
        evaluator_of(pointwise_model(), images, config_with())()


@pytest.mark.parametrize(("tile", "overlap"), [((32, 32), 8), ((32, 48), 0), ((64, 32), 31), ((128, 128), 32)])
def test_tiles_of_a_pointwise_model_are_the_whole(images, tile, overlap):
    whole, _ = evaluator_of(pointwise_model(), images, config_with())()
    tiled, _ = evaluator_of(pointwise_model(), images, config_with(tile=tile, tile_overlap=overlap))()
    # A probability at the edge of a bin may fall to either side.
    measured = ("confusion", "dice", "iou", "dice_pooled", "counted", "worst", "objects")
    assert [getattr(tiled, name) for name in measured] == [getattr(whole, name) for name in measured]


def test_tiled_logits_are_in_their_place():
    image = tf.random.stateless_uniform([1, 75, 101, 2], [1, 2], 0, 255)
    for tile, overlap in [((32, 40), 8), ((16, 16), 12), ((80, 32), 3)]:

        @tf.function
        def compiled(image, tile=tile, overlap=overlap):
            return tiled_logits(lambda part: part * 0.5 - 3.0, image, tile, overlap, 2)

        np.testing.assert_allclose(compiled(image), image * 0.5 - 3.0, rtol=3e-6, atol=1e-5)


def test_overlapping_tiles_are_blended_without_a_seam():
    """A model whose logits depend on the place in the tile: the blend must change by small steps."""
    ramp = tf.range(32, dtype=tf.float32)[None, None, :, None]
    logits = tiled_logits(lambda part: tf.zeros_like(part) + ramp, tf.zeros([1, 32, 96, 1]), (32, 32), 16, 1)
    assert np.abs(np.diff(logits[0, 0, :, 0])).max() < 2.5


@pytest.mark.parametrize(
    ("length", "tile", "overlap", "starts"),
    [(32, 32, 8, [0]), (33, 32, 8, [0, 1]), (56, 32, 8, [0, 24]), (100, 32, 0, [0, 32, 64, 68])],
)
def test_tiles_cover_the_axis_and_end_with_it(length, tile, overlap, starts):
    assert tile_starts(tf.constant(length), tile, overlap).numpy().tolist() == starts


@pytest.mark.parametrize("length", [1, 2, 5])
def test_mirrored_index_repeats_no_edge(length):
    expected = np.pad(np.arange(length), (0, 12 - length), mode="reflect" if length > 1 else "edge")
    assert mirrored_index(tf.constant(length), 12).numpy().tolist() == expected.tolist()


@pytest.mark.parametrize("tile", [(0, 0), (32, 32)])
def test_a_convolutional_model_keeps_the_size(tile):
    """Down and up again by 8: odd sizes come back as they were, also smaller than a tile or the multiple."""
    image = keras.Input([None, None, 1])
    deep = keras.layers.AveragePooling2D(8)(image)
    model = keras.Model(image, keras.layers.Conv2D(3, 1)(keras.layers.UpSampling2D(8)(deep)))
    logits_of = tf.function(logits_function(model, config_with(tile=tile, tile_overlap=8)), reduce_retracing=True)
    for height, width in [(1, 1), (7, 9), (31, 33), (65, 40)]:
        assert logits_of({"image": tf.zeros([1, height, width, 1])}).shape == (1, height, width, 3)


if __name__ == "__main__":
    evaluate_as_worker()

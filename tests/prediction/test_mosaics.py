"""Pictures side by side in one image: found, and each seen as it is alone, in prediction and evaluation alike."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from configs.schema import Augment, Config, Data, Evaluate, Model, Predict
from trainer import Run
from trainer.models.input_scaling import StandardizeImage
from trainer.prediction import mosaics
from trainer.prediction.arrays import predict_arrays
from trainer.prediction.mosaics import Part, bands, parts, places
from trainer.prediction.network import Network
from trainer.prediction.paths import predict_paths
from trainer.prediction.windows import Ways, logits_function
from trainer.stepping.segmentation import Segmentation

CROP = (32, 32)
CONFIG = Config(
    data=Data(classes=("dark", "bright")),
    model=Model(outputs="softmax", depth=2),
    augment=Augment(crop=CROP),
    predict=Predict(overlays=False, probabilities="float16"),
)


def picture(height, width, brightness, seed):
    """Smooth blobs and a little noise, as under a microscope."""
    random = np.random.default_rng(seed)
    blobs = np.asarray(Image.fromarray(random.normal(size=(7, 7)).astype(np.float32)).resize((width, height), 3))
    values = brightness * (1.5 + blobs[..., None]) + random.normal(0, 1, (height, width, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def mosaic():
    """Rows of 48 and 40, the first of three pictures, the second of two: the image, and where each lies."""
    where = [Part(0, 0, 48, 40), Part(0, 40, 48, 60), Part(0, 100, 48, 44), Part(48, 0, 40, 80), Part(48, 80, 40, 64)]
    image = np.empty([88, 144, 3], np.uint8)
    for number, part in enumerate(where):
        image[part.place] = picture(part.height, part.width, (8, 60, 20, 90, 12)[number], number)
    return image, where


@pytest.fixture(scope="module")
def model():
    """Two classes by brightness, against the mean of the image."""
    images = keras.Input([None, None, 3])
    scaled = StandardizeImage()(images)
    layer = keras.layers.Conv2D(2, 1)
    logits = layer(scaled)
    layer.set_weights([np.array([[[[0.0, 1.0]]] * 3]).reshape(1, 1, 3, 2), np.zeros(2)])
    made = keras.Model(images, logits)
    made.size_multiples = (1, 1)  # sides padded to the usual 32 would have other means
    return made


def alone(model, pixels):
    return model(pixels[None].astype(np.float32)).numpy()[0]


def test_the_pictures_of_a_mosaic_are_found(mosaic):
    image, where = mosaic
    assert parts(image, CROP) == where
    assert parts(image.astype(np.float32), CROP) == where
    assert parts(image[..., :1] / 3, CROP) == where
    assert bands(where) == [where[:3], where[3:]]
    turned = [Part(part.left, part.top, part.width, part.height) for part in where]
    assert parts(image.transpose(1, 0, 2), CROP) == sorted(turned)


def test_one_picture_is_left_alone(mosaic):
    image, where = mosaic
    lamp = picture(200, 300, 60, 7)
    # A thing with a straight edge that ends somewhere, and a ramp of light.
    edged = lamp.copy()
    edged[:120, 150:] //= 2
    ramp = (lamp * np.linspace(0.2, 1, 300)[None, :, None]).astype(np.uint8)
    for whole in (lamp, edged, ramp, np.zeros([200, 300, 3], np.uint8)):
        assert parts(whole, CROP) == [Part(0, 0, 200, 300)]
    # An image of fewer than four training crops, and pictures of less than half of one.
    assert len(parts(image, (64, 64))) == 1
    assert len(parts(image[:, :50], CROP)) == 2 and len(parts(image[:60, :50], CROP)) == 1


def test_places_put_parts_back(mosaic):
    image, where = mosaic
    row = np.concatenate([image[part.place].reshape(-1, 3) for part in where])
    np.testing.assert_array_equal(row[places(where, 88, 144)], image)


def test_each_picture_gets_what_it_gets_alone(tmp_path, model, mosaic):
    image, where = mosaic
    expected = np.empty([88, 144], np.int32)
    logits = np.empty([88, 144, 2], np.float32)
    for part in where:
        logits[part.place] = alone(model, image[part.place])
        expected[part.place] = logits[part.place].argmax(axis=-1)
    assert (expected != alone(model, image).argmax(axis=-1)).mean() > 0.1

    # Evaluation.
    batch = {"image": tf.constant(image[None], tf.float32)}
    options = Ways.of(model, CONFIG).options([batch["image"]])
    assert options == {"large": False, "apart": True}
    function = logits_function(model, CONFIG, **options)
    signature = [{"image": tf.TensorSpec([1, None, None, 3])}]
    made = tf.function(function, input_signature=signature)(batch)
    np.testing.assert_allclose(made[0], logits, atol=1e-5)
    small = function({"image": batch["image"][:, :28, :28]})
    np.testing.assert_allclose(small[0], alone(model, image[:28, :28]), atol=1e-5)

    # Files, and arrays.
    (tmp_path / "in").mkdir()
    Image.fromarray(image).save(tmp_path / "in" / "mosaic.png")
    lines = []
    assert not predict_paths(model, [str(tmp_path / "in")], str(tmp_path / "out"), CONFIG, report=lines.append)
    assert "taken apart at its seams, 5 pictures" in lines[0]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "masks" / "mosaic.png")), expected)
    shares = np.load(tmp_path / "out" / "probabilities" / "mosaic.npy")
    np.testing.assert_allclose(shares, tf.nn.softmax(logits), atol=2e-3)
    task = Segmentation(model, None, CONFIG, CONFIG.data.classes, [1])
    found = predict_arrays(task, [image[:28, :28], image, image], dataclasses.replace(CONFIG, predict=Predict()))
    np.testing.assert_array_equal(found[1], expected)
    np.testing.assert_array_equal(found[2], expected)
    np.testing.assert_array_equal(found[0], alone(model, image[:28, :28]).argmax(axis=-1))


def test_evaluation_says_once_that_it_takes_images_apart(model, mosaic, capsys):
    image, where = mosaic
    label = np.zeros([88, 144], np.int32)
    for part in where:
        label[part.place] = alone(model, image[part.place]).argmax(axis=-1)
    data = {
        "train": ([image], [label]),
        "validation": ([image[:28, :28], image, image], [label[:28, :28], label, label]),
    }
    scores = Run(CONFIG, model=model, data=data).evaluate(checkpoint=None)
    assert scores.score("pixel_accuracy") > 0.9
    output = " ".join(capsys.readouterr().out.split())
    assert (
        output.count("is taken apart at its seams, and each is seen by itself (Evaluate(seams=False) leaves it whole)")
        == 1
    )
    assert "A large image is cut" not in output


def test_it_is_asked_for_and_only_where_statistics_are_of_the_image(model, mosaic):
    image, _ = mosaic
    off = dataclasses.replace(CONFIG, evaluate=Evaluate(seams=False))
    images = keras.Input([None, None, 3])
    without = keras.Model(images, keras.layers.Conv2D(2, 1)(images))
    for network, config in ((model, off), (without, CONFIG)):
        assert Network(network, config).pictures(image) == [Part(0, 0, 88, 144)]
        assert not Ways.of(network, config).options([tf.constant(image[None], tf.float32)])["apart"]
    assert len(Network(model, CONFIG).pictures(image)) == 5
    assert mosaics.may_have(64, 64, CROP) and not mosaics.may_have(64, 63, CROP)

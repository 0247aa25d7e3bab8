"""Event files, read back as TensorBoard reads them; panels, opened and looked at pixel by pixel."""

import io
import types
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import event_pb2
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2 as hparams_pb2
from tensorboard.util import tensor_util

from configs.reading.fields import all_fields
from configs.schema import Config, Optimizer
from trainer.actions.gradients import by_layer
from trainer.evaluation.details import Details
from trainer.evaluation.metrics import evaluation_of
from trainer.evaluation.pictures import Picture
from trainer.reporting.panels import (
    CONFUSED,
    INVENTED,
    MISSED,
    Panel,
    background_ids,
    class_colors,
    colored,
    overlay,
    shrunk,
    stretch,
)
from trainer.reporting.tensorboard.confusion_picture import confusion_picture
from trainer.reporting.tensorboard.graph import model_graph
from trainer.reporting.tensorboard.summaries import Writer, config_markdown

TWO = ("background", "cell")
THREE = ("background", "cell", "wall")


def read(workdir):
    events = EventAccumulator(str(workdir), size_guidance={"tensors": 0})
    events.Reload()
    return events


def curve(events, tag):
    return [(event.step, float(tensor_util.make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)]


def test_scalars(tmp_path):
    writer = Writer(str(tmp_path))
    writer.scalars(10, {"train/loss": 0.5, "train/learning_rate": 1e-3})
    writer.scalars(20, {"train/loss": np.float32(0.25)})
    writer.close()
    events = read(tmp_path)
    assert curve(events, "train/loss") == [(10, 0.5), (20, 0.25)]
    assert events.SummaryMetadata("train/loss").plugin_data.plugin_name == "scalars"


def test_going_on_after_a_kill_leaves_one_curve(tmp_path):
    first = Writer(str(tmp_path))
    for step in (10, 20, 30, 40):
        first.scalars(step, {"train/loss": 1.0})
    # And then the process is killed, its last checkpoint being of step 20.
    second = Writer(str(tmp_path), restored_step=20)
    for step in (30, 40, 50):
        second.scalars(step, {"train/loss": 2.0})
    second.close()
    first.close()
    assert curve(read(tmp_path), "train/loss") == [(10, 1.0), (20, 1.0), (30, 2.0), (40, 2.0), (50, 2.0)]


def test_orphaned_steps_are_gone_before_the_new_ones_arrive(tmp_path):
    first = Writer(str(tmp_path))
    first.scalars(20, {"train/loss": 1.0})
    first.scalars(40, {"train/loss": 1.0, "eval/mean_dice": 0.5})
    first.close()
    Writer(str(tmp_path), restored_step=20).close()
    events = read(tmp_path)
    assert curve(events, "train/loss") == [(20, 1.0)]
    assert "eval/mean_dice" not in events.Tags()["tensors"]


def test_a_record_cut_off_by_a_kill_costs_no_other(tmp_path):
    first = Writer(str(tmp_path))
    for step in (10, 20):
        first.scalars(step, {"train/loss": 1.0})
    first.close()
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    second = Writer(str(tmp_path), restored_step=20)
    second.scalars(30, {"train/loss": 2.0})
    second.close()
    assert curve(read(tmp_path), "train/loss") == [(10, 1.0), (30, 2.0)]
    assert all(".tfevents." in path.name for path in tmp_path.iterdir())


def test_a_new_run_in_the_same_place_starts_anew(tmp_path):
    first = Writer(str(tmp_path))
    first.scalars(10, {"train/loss": 1.0})
    first.close()
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    Writer(str(tmp_path)).close()
    assert "train/loss" not in read(tmp_path).Tags()["tensors"]
    assert (tmp_path / "config.json").exists()


def test_a_running_tensorboard_is_told(tmp_path):
    """A session start makes it drop what it has read from that step on: the first that is done again."""
    Writer(str(tmp_path), restored_step=20).close()
    (path,) = tmp_path.iterdir()
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    events = [event_pb2.Event.FromString(record) for record in records]
    (start,) = [event for event in events if event.HasField("session_log")]
    assert (start.step, start.session_log.status) == (21, event_pb2.SessionLog.START)


def test_panels_are_png_images_of_their_size(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 9, 3)).astype(np.uint8)
    writer = Writer(str(tmp_path))
    writer.images(3, {"panels/a b.png": picture})
    writer.close()
    events = read(tmp_path)
    (event,) = events.Tensors("panels/a b.png")
    width, height, png = tensor_util.make_ndarray(event.tensor_proto)
    assert (event.step, int(width), int(height)) == (3, 9, 5)
    assert (np.asarray(Image.open(io.BytesIO(png))) == picture).all()
    assert events.SummaryMetadata("panels/a b.png").plugin_data.plugin_name == "images"


def test_settings_are_a_row_of_hparams_and_charts_join_curves(tmp_path):
    """Every field, so that a table of several runs has no gaps; read as TensorBoard's plugins read them."""
    writer = Writer(str(tmp_path / "a"))
    writer.settings(Config(optimizer=Optimizer(learning_rate=0.5)), TWO)
    writer.ended(True)
    writer.close()
    events = read(tmp_path / "a")
    metadata = {tag: events.SummaryMetadata(tag).plugin_data for tag in events.Tags()["tensors"]}
    start = hparams_pb2.HParamsPluginData.FromString(metadata["_hparams_/session_start_info"].content)
    fields = start.session_start_info.hparams
    assert fields["optimizer.learning_rate"].number_value == 0.5 and fields["model.name"].string_value == "unet"
    assert len(fields) == len(all_fields()) and start.session_start_info.group_name == f"{tmp_path.name}/a"
    end = hparams_pb2.HParamsPluginData.FromString(metadata["_hparams_/session_end_info"].content)
    assert end.session_end_info.status == 1  # STATUS_SUCCESS
    layout = layout_pb2.Layout.FromString(
        tensor_util.make_ndarray(events.Tensors("custom_scalars__config__")[0].tensor_proto).item()
    )
    charts = {chart.title: list(chart.multiline.tag) for category in layout.category for chart in category.chart}
    assert charts["Loss: training and validation"] == ["train/loss$", "eval/loss$"]


def test_an_evaluation_has_precision_recall_curves_and_a_confusion_matrix(tmp_path):
    details = Details(1, TWO, 255)
    # Of class 1: 6 pixels at 0.9 and 2 at 0.2; of the other class 1 pixel at 0.9 and 3 at 0.2.
    details.by_class[1, 1, [90, 20]], details.by_class[1, 0, [90, 20]] = (6, 2), (1, 3)
    counts = np.array([[[3, 4, 5], [6, 8, 7]]])
    scores = evaluation_of(counts, np.array([[3, 1], [2, 6]]), TWO, names=["x"], more=details.to_dict())
    writer = Writer(str(tmp_path))
    writer.evaluation(5, scores)
    writer.close()
    events = read(tmp_path)
    tag = "precision_recall/cell/pr_curves"
    tp, fp, tn, fn, precision, recall = tensor_util.make_ndarray(events.Tensors(tag)[0].tensor_proto)
    assert (tp[50], fp[50], tn[50], fn[50]) == (6, 1, 3, 2)
    assert (precision[50], recall[50]) == (pytest.approx(6 / 7), 0.75)
    assert (precision[0], recall[0]) == (pytest.approx(8 / 12), 1.0) and tp.shape == (101,) and recall[100] == 0
    assert events.SummaryMetadata(tag).plugin_data.plugin_name == "pr_curves"
    assert events.SummaryMetadata("confusion").plugin_data.plugin_name == "images"
    # No pixel of the background is in a label here: it has no curve.
    assert "precision_recall/background/pr_curves" not in events.Tags()["tensors"]


def test_norms_of_variables_are_shown_by_layer(tmp_path):
    norms = by_layer(np.array([[3.0, 4.0, 1.0]] * 5, np.float32), ["a/conv/kernel", "a/conv/bias", "b/kernel"])
    assert list(norms) == ["a/conv", "b"] and norms["a/conv"].tolist() == [5.0] * 5
    other = by_layer(np.array([[-1.0, -1], [-1, 2], [3, 2], [np.inf, 2]], np.float32), ["every_third/k", "every/k"])
    assert {layer: values.tolist() for layer, values in other.items()} == {"every_third": [3.0], "every": [2.0] * 3}
    writer = Writer(str(tmp_path))
    writer.layer_norms(7, norms)
    writer.close()
    events = read(tmp_path)
    buckets = tensor_util.make_ndarray(events.Tensors("gradient_norm_by_layer/a/conv")[0].tensor_proto)
    assert buckets[:, 2].sum() == 5
    assert events.SummaryMetadata("gradient_norm_by_layer/a/conv").plugin_data.plugin_name == "histograms"


def test_text_and_graph(tmp_path):
    image = keras.Input([None, None, 3], name="pixels")
    model = keras.Model(image, keras.layers.Conv2D(2, 3, padding="same", name="the_layer")(image))
    writer = Writer(str(tmp_path))
    writer.config_text(Config(name="mine"))
    writer.graph(types.SimpleNamespace(models=lambda: {"model": model}), 3)
    writer.close()
    events = read(tmp_path)
    text = tensor_util.make_ndarray(events.Tensors("config")[0].tensor_proto).item().decode()
    assert "| **name** | **mine** | nuclei |" in text
    nodes = {node.name: node for node in events.Graph().node}
    assert list(nodes["the_layer"].input) == ["pixels"] and nodes["the_layer"].op == "Conv2D"
    assert nodes["the_layer"].attr["parameters"].i == 3 * 9 * 2 + 2


def test_the_graph_of_a_model_without_layers_is_of_its_operations():
    class Own(keras.Model):
        def call(self, image):
            with tf.name_scope("the_part"):
                return tf.nn.relu(image - 1.0)

    names = [node.name for node in model_graph(Own(), 3).node]
    assert "the_part/Relu" in names, names


def test_layers_are_grouped_by_what_their_names_begin_with():
    image = keras.Input([None, None, 3], name="image")
    x = image
    for name in ("down0_conv", "down0_relu", "down1_conv"):
        x = keras.layers.Conv2D(2, 1, name=name)(x)
    nodes = {node.name: list(node.input) for node in model_graph(keras.Model(image, x), 3).node}
    assert nodes == {
        "image": [],
        "down0/down0_conv": ["image"],
        "down0/down0_relu": ["down0/down0_conv"],
        "down1_conv": ["down0/down0_relu"],
    }


def test_workers_other_than_the_chief_write_nothing(tmp_path):
    writer = Writer(str(tmp_path), chief=False)
    writer.scalars(1, {"a": 1.0})
    writer.images(1, {"b": np.zeros((2, 2, 3), np.uint8)})
    writer.config_text(Config())
    writer.graph(None, 3)
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_config_shows_changes_first():
    lines = config_markdown(Config(optimizer=Optimizer(learning_rate=1.0))).splitlines()
    assert lines[2] == "| **optimizer.learning_rate** | **1.0** | 0.003 |"
    assert "| data.void_id | 255 | |" in lines


def test_colours_differ_and_the_background_is_black():
    for classes in [("background", "cell"), ("a", "b", "c"), ("pet", "background", "border")]:
        colors = [tuple(color) for color in class_colors(classes).tolist()]
        assert len(set(colors)) == 256
        black = [class_id for class_id, color in enumerate(colors) if color == (0, 0, 0)]
        assert black == list(background_ids(classes))


def panel_of(image, label, prediction, classes, **options):
    return Panel(**shrunk(image, label, prediction, **options), classes=classes, void_id=255)


def test_panel_shows_image_label_prediction_and_difference():
    label = np.zeros((20, 30), np.int32)
    label[:10] = 1
    label[:, 20:] = 255
    grid = panel_of(np.full((20, 30, 1), 77.0, np.float32), label, np.full((20, 30), 2), THREE).grid()
    colors = class_colors(THREE)
    assert grid.shape == (44, 64, 3)
    assert (grid[:20, :30] == 77).all()
    assert (grid[:10, 34:54] == colors[1]).all() and (grid[10:20, 34:54] == colors[0]).all()
    assert set(np.unique(grid[:20, 54:])) == {96, 160}
    assert (grid[24:, :30] == colors[2]).all()
    assert (grid[24:34, 34:54] == CONFUSED).all() and (grid[34:, 34:54] == INVENTED).all()
    assert set(np.unique(grid[24:, 54:])) == {96, 160}


def test_classes_that_overlap_have_a_panel_too():
    label = np.zeros((4, 6, 2), np.int32)
    label[0, :2] = 1
    prediction = np.zeros((4, 6, 2), np.int32)
    prediction[0, 0, 0] = prediction[3, 3, 1] = 1
    panel = panel_of(np.zeros((4, 6, 3)), label, prediction, TWO)
    difference = panel.difference()
    assert tuple(difference[0, 0]) == tuple(difference[0, 1]) == MISSED and tuple(difference[3, 3]) == INVENTED
    assert panel.grid().shape == (12, 16, 3)
    assert [text for text, _ in panel.legend()] == ["background", "cell", "missed", "invented"]
    assert confusion_picture(np.full((2, 2, 2), 5), TWO).shape[1] == 350


def test_the_legend_says_what_is_seen_and_nothing_else():
    label, prediction = np.zeros((4, 4), np.int32), np.zeros((4, 4), np.int32)
    label[0, 0] = 1
    panel = panel_of(np.zeros((4, 4, 3)), label, prediction, TWO)
    assert tuple(panel.difference()[0, 0]) == MISSED
    assert [text for text, _ in panel.legend()] == ["background", "cell", "missed"]
    assert [text for text, _ in panel_of(np.zeros((4, 4, 3)), label, label, TWO).legend()] == ["background", "cell"]


def test_a_large_panel_is_scaled_without_new_colours():
    label = np.random.default_rng(1).choice([0, 1, 255], (500, 1000)).astype(np.int32)
    panel = panel_of(np.zeros((500, 1000, 3)), label, label, TWO, side=100)
    assert panel.grid().shape == (104, 204, 3)
    masks = {tuple(color) for color in panel.grid()[:50, 104:].reshape(-1, 3).tolist()}
    assert masks == {(0, 0, 0), (230, 159, 0), (96, 96, 96), (160, 160, 160)}


def test_a_dark_image_is_stretched_and_says_so():
    dark = np.random.default_rng(0).uniform(3, 40, (50, 50, 1)).astype(np.float32)
    shown, low, high = stretch(dark)
    assert (shown.min(), shown.max()) == (0, 255) and 3 <= low < 4 and 39 < high <= 40
    bright = np.random.default_rng(0).uniform(0, 255, (50, 50, 3)).astype(np.float32)
    assert stretch(bright)[1:] == (0.0, 255.0) and (stretch(bright)[0] == np.rint(bright)).all()
    flat, low, high = stretch(np.full((5, 5, 3), 9.0))
    assert (flat == 9).all() and (low, high) == (0.0, 255.0)


@pytest.mark.parametrize("classes", [1, 60])
def test_a_picture_has_name_legend_and_the_width_of_a_card(classes):
    names = [f"класс {n}" for n in range(classes)]
    label = np.random.default_rng(0).integers(0, classes, (300, 200)).astype(np.int32)
    panel = panel_of(np.zeros((300, 200, 3)), label, label.T.reshape(300, 200), tuple(names))
    picture = Picture(kind="worst", rank=1, name="a/" + "long name " * 20, dice=0.5, panel=panel).titled()
    assert picture.shape[1] == 350 and picture.shape[0] > panel.grid().shape[0] * 0.7
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of names that leave the matrix no room
        long = [f"{name} of a very long name" * 3 for name in names]
        assert confusion_picture(np.eye(classes, dtype=int), long).shape[1] in (350, 700)


def test_void_and_unknown_ids_are_striped():
    assert set(np.unique(colored(np.array([[255] * 8, [-1] * 8, [9] * 8]), THREE, 255))) == {96, 160}


@pytest.mark.parametrize(
    ("classes", "ids"),
    [(("background", "cell"), (0,)), (("sky", "ground"), (0,)), (("a", "b", "c"), ()), (("pet", "Background"), (1,))],
)
def test_background_is_left_unpainted(classes, ids):
    assert background_ids(classes) == ids


def test_overlay_keeps_the_background_and_tints_the_rest():
    mask = np.zeros((9, 9), np.int32)
    mask[3:, 3:] = 1
    picture = overlay(np.full((9, 9, 3), 100), mask, classes=TWO, opacity=0.5)
    assert (picture[:3] == 100).all()
    assert picture[6, 6].tolist() == [165, 130, 50]
    assert picture[3, 6].tolist() == [230, 159, 0]

"""Event files, read back as TensorBoard reads them; panels, opened and looked at pixel by pixel."""

import io
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import event_pb2
from tensorboard.util import tensor_util

from configs.schema import Config, Optimizer
from trainer.reporting.panels import background_ids, class_colors, colored, overlay, panel
from trainer.reporting.summaries import Writer, config_markdown

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
    (tmp_path / "config.json").write_text("{}")
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
    writer.panels(3, {"panels/a b.png": picture})
    writer.close()
    events = read(tmp_path)
    (event,) = events.Tensors("panels/a b.png")
    width, height, png = tensor_util.make_ndarray(event.tensor_proto)
    assert (event.step, int(width), int(height)) == (3, 9, 5)
    assert (np.asarray(Image.open(io.BytesIO(png))) == picture).all()
    assert events.SummaryMetadata("panels/a b.png").plugin_data.plugin_name == "images"


def test_text_and_graph(tmp_path):
    image = keras.Input([None, None, 3])
    model = keras.Model(image, keras.layers.Conv2D(2, 3, padding="same", name="the_layer")(image))
    writer = Writer(str(tmp_path))
    writer.config_text(Config(name="mine"))
    writer.graph(types.SimpleNamespace(models=lambda: {"model": model}), 3)
    writer.close()
    events = read(tmp_path)
    text = tensor_util.make_ndarray(events.Tensors("config")[0].tensor_proto).item().decode()
    assert "| **name** | **mine** | nuclei |" in text
    assert any("the_layer" in node.name for node in events.Graph().node)


def test_workers_other_than_the_chief_write_nothing(tmp_path):
    writer = Writer(str(tmp_path), chief=False)
    writer.scalars(1, {"a": 1.0})
    writer.panels(1, {"b": np.zeros((2, 2, 3), np.uint8)})
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


def test_panel_shows_image_label_and_prediction():
    image = np.full((20, 30, 1), 77.0, np.float32)
    label = np.zeros((20, 30), np.int32)
    label[:10] = 1
    label[:, 20:] = 255
    strip = panel(image, label, np.full((20, 30), 2), classes=THREE, void_id=255)
    colors = class_colors(THREE)
    assert strip.shape == (20, 98, 3)
    assert (strip[:, :30] == 77).all()
    assert (strip[:10, 34:54] == colors[1]).all() and (strip[10:, 34:54] == colors[0]).all()
    assert set(np.unique(strip[:, 54:64])) == {96, 160}
    assert (strip[:, 68:] == colors[2]).all()


def test_a_large_panel_is_scaled_without_new_colours():
    label = np.random.default_rng(1).choice([0, 1, 255], (500, 1000)).astype(np.int32)
    strip = panel(np.zeros((500, 1000, 3)), label, label, classes=TWO, void_id=255, side=100)
    assert strip.shape == (50, 308, 3)
    masks = {tuple(color) for color in strip[:, 104:204].reshape(-1, 3).tolist()}
    assert masks == {(0, 0, 0), (230, 159, 0), (96, 96, 96), (160, 160, 160)}


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

"""Volumes as files: kinds, layouts, places in space, what is wrong with them; prepared, kept and cut into patches."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from configs.schema import Augment, Config, Data, Model, Train
from tests.data.volumes_made import AFFINE, SHAPE, case, nnunet, save
from trainer.data import DataError, open_data, training_batches
from trainer.data.augment.patches import draw_patch
from trainer.data.augment.warp import Warp, rotation, warped
from trainer.data.volumes import cases, intensities, resampling
from trainer.data.volumes.files import read_header, read_volume, write_like, written_suffix
from trainer.data.volumes.orientation import Orientation

nibabel = pytest.importorskip("nibabel")


def config_of(root, *, data=None, augment=None, **changes) -> Config:
    quiet = dict(scale=(1.0, 1.0), brightness=0.0, contrast=0.0)
    return Config(
        data=Data(source="volumes", path=str(root), **(data or {})),
        augment=Augment(**{"crop": (8, 8, 8), **quiet, **(augment or {})}),
        model=Model(width=2, depth=1, input_scaling="none"),
        train=Train(length="4 steps", batch_size=2),
        **changes,
    )


def test_every_kind_of_file_comes_out_where_it_lies_and_goes_back(tmp_path):
    itk = pytest.importorskip("SimpleITK")
    tifffile = pytest.importorskip("tifffile")
    image, label = case(0)
    save(f"{tmp_path}/a.nii.gz", image[..., 0])
    save(f"{tmp_path}/b.nii", np.concatenate([image, image + 1], axis=3))
    made = itk.GetImageFromArray(image[..., 0].transpose(2, 1, 0))
    made.SetSpacing((1.0, 1.5, 2.0))
    made.SetOrigin((-40.0, -30.0, -20.0))
    made.SetDirection((0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    for suffix in (".nrrd", ".mha"):
        itk.WriteImage(made, f"{tmp_path}/c{suffix}")
    shutil.copy(f"{tmp_path}/c.mha", f"{tmp_path}/d.MHA")
    tifffile.imwrite(
        f"{tmp_path}/d.tif",
        image[..., 0].transpose(2, 1, 0),
        imagej=True,
        resolution=(1.0, 1 / 1.5),
        metadata={"axes": "ZYX", "spacing": 2.0, "unit": "mm"},
    )
    for name in ("a.nii.gz", "b.nii", "c.nrrd", "c.mha", "d.MHA", "d.tif"):
        volume = read_volume(f"{tmp_path}/{name}")
        header = read_header(f"{tmp_path}/{name}")
        assert header.shape == SHAPE and header.channels == (2 if name == "b.nii" else 1)
        np.testing.assert_array_equal(volume.array[..., 0], image[..., 0])
        if name != "d.tif":
            np.testing.assert_allclose(header.affine, AFFINE, atol=1e-6)
        assert sorted(Orientation.of(header.affine).spacing) == pytest.approx([1.0, 1.5, 2.0])
        path = f"{tmp_path}/out/{name.partition('.')[0]}{written_suffix(header)}"
        write_like(path, label, header)
        back = read_volume(path)
        np.testing.assert_array_equal(back.array[..., 0], label)
        np.testing.assert_allclose(back.header.affine, header.affine, atol=1e-5)
        assert cases.elsewhere(back.header, header, "label") == ""


def test_a_dicom_series_is_a_volume(tmp_path):
    itk = pytest.importorskip("SimpleITK")
    values = np.arange(4 * 6 * 5, dtype=np.int16).reshape(4, 6, 5)
    writer = itk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    os.makedirs(tmp_path / "series")
    for number, plane in enumerate(values):
        slice_ = itk.GetImageFromArray(plane)
        slice_.SetSpacing((0.5, 0.75))
        tags = {
            "0008|0060": "CT",
            "0020|000e": "1.2.826.0.1.3680043.2.1125.1",
            "0020|0032": f"0\\0\\{number * 3}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0020|0013": str(number),
        }
        for tag, value in tags.items():
            slice_.SetMetaData(tag, value)
        writer.SetFileName(f"{tmp_path}/series/{number}.dcm")
        writer.Execute(slice_)
    volume = read_volume(f"{tmp_path}/series")
    assert volume.header.shape == (5, 6, 4) and written_suffix(volume.header) == ".nii.gz"
    np.testing.assert_array_equal(volume.array[..., 0], values.transpose(2, 1, 0))
    assert Orientation.of(volume.header.affine).spacing == pytest.approx((3.0, 0.75, 0.5))


def test_volumes_stand_upright_and_turn_back():
    oriented = Orientation.of(AFFINE)
    assert oriented.spacing == (1.5, 1.0, 2.0)
    image, _ = case(1)
    turned = oriented.turned(image)
    # y runs to the head, x from the face backwards, z from right to left.
    np.testing.assert_array_equal(turned[..., 0], image[::-1, :, ::-1, 0].transpose(1, 0, 2))
    np.testing.assert_array_equal(oriented.back(turned), image)


def test_nnunet_and_the_decathlon_give_the_same_data(tmp_path):
    nnunet(tmp_path / "a", channels=2, labels={"background": 0, "liver": 1, "ignore": 2})
    for number in range(6):
        image, label = case(number, channels=2)
        save(f"{tmp_path}/b/imagesTr/case_{number:02}.nii.gz", image)
        save(f"{tmp_path}/b/labelsTr/case_{number:02}.nii.gz", label)
    listed = [{"image": f"./imagesTr/case_{n:02}.nii.gz", "label": f"./labelsTr/case_{n:02}.nii.gz"} for n in range(6)]
    about = {"modality": {"0": "T1", "1": "T2"}, "labels": {"0": "background", "1": "liver"}, "training": listed}
    with open(tmp_path / "b" / "dataset.json", "w", encoding="utf-8") as file:
        json.dump(about, file)
    both = [open_data(config_of(tmp_path / "a")), open_data(config_of(tmp_path / "b", data={"void_id": 2}))]
    for data in both:
        assert data.classes == ("background", "liver") and data.channels == 2 and data.void_id == 2
        assert data.config.data.spacing == (1.5, 1.0, 2.0) and data.config.data.normalize == ("z_score", "z_score")
    assert both[0].train.names == both[1].train.names and len(both[0].validation) == 1
    one, other = (data.train.load_compact(0) for data in both)
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.label, other.label)
    np.testing.assert_allclose(one.image.mean(axis=(0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(one.image.std(axis=(0, 1, 2)), 1, atol=1e-3)


def test_what_is_wrong_with_files_is_said_by_name_before_anything_is_decoded(tmp_path):
    root = nnunet(tmp_path, cases=7)
    save(f"{root}/labelsTr/case_01.nii.gz", np.zeros((14, 16, 9), np.uint8))
    moved = AFFINE.copy()
    moved[0, 3] += 5
    save(f"{root}/labelsTr/case_02.nii.gz", np.zeros(SHAPE, np.uint8), moved)
    os.remove(f"{root}/labelsTr/case_03.nii.gz")
    with open(f"{root}/imagesTr/case_04_0000.nii.gz", "wb") as file:
        file.write(b"no volume")
    for name, numbers in (("train", (1, 2, 3, 4, 5)), ("val", (0, 6))):
        with open(f"{root}/{name}.txt", "w", encoding="utf-8") as file:
            file.writelines(f"case_{number:02}\n" for number in numbers)
    with pytest.raises(DataError) as raised:
        open_data(config_of(root))
    text = str(raised.value)
    for words in (
        "4 problems",
        "case_01.nii.gz: the label has 14 x 16 x 9 voxels, its image",
        "14 x 16 x 10",
        "case_02.nii.gz: the label has another affine than its image",
        "up to 5 mm away",
        "case_03_0000.nii.gz: has no label",
        "case_04_0000.nii.gz: cannot be read",
        "--config.data.bad_files=skip",
    ):
        assert words in text
    skipping = open_data(config_of(root, data={"bad_files": "skip"}))
    assert skipping.train.names == ("case_05",) and skipping.validation.names == ("case_00", "case_06")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda image, label: (image, label + np.float32(0.5)), ["holds fractions", "0.5", "nearest voxel"]),
        (lambda image, label: (image, label * 3), ["holds 3 (", "6 (", "no class", "mask_ids"]),
        (lambda image, label: (np.where(image > 100, np.nan, image), label), ["NaN or infinite"]),
    ],
)
def test_what_is_wrong_with_voxels_stops_before_the_first_step_or_is_skipped(tmp_path, spoil, words):
    root = nnunet(tmp_path, cases=3)
    with open(tmp_path / "train.txt", "w", encoding="utf-8") as file:
        file.write("case_00\ncase_02\n")
    image, label = spoil(*case(2))
    save(f"{root}/imagesTr/case_02_0000.nii.gz", image.astype(np.float32)[..., 0])
    save(f"{root}/labelsTr/case_02.nii.gz", label)
    with pytest.raises(DataError) as raised:
        config = config_of(root)
        training_batches(open_data(config).train, config, start_step=0, steps=1)
    assert "case_02" in str(raised.value) and all(word in str(raised.value) for word in words)
    config = config_of(root, data={"bad_files": "skip"})
    source = open_data(config).train
    batch = next(iter(training_batches(source, config, start_step=0, steps=1)))
    assert set(batch["index"].numpy()) == {0} and set(source.skipped) == {"case_02"}


def test_folds_of_volumes_hold_out_each_case_once(tmp_path):
    root, held = nnunet(tmp_path, cases=4), []
    for fold in (0, 1):
        data = open_data(config_of(root, data=dict(folds=2, fold=fold)))
        assert len(data.train) == len(data.validation) == 2 and hasattr(data.validation, "reader")
        held += data.validation.names
    assert sorted(held) == [f"case_{number:02}" for number in range(4)]


def test_regions_are_learnt_by_the_classes_they_unite(tmp_path):
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    data = open_data(config_of(nnunet(tmp_path, cases=3, labels=labels)))
    assert data.classes == ("background", "whole", "whole+core")
    assert data.train.regions == {"whole": (1, 2), "core": (2,)}
    assert any("whole = 1, 2; core = 2" in note for note in data.notes)


def test_resampling_is_scipys_spline_and_makes_no_classes():
    from scipy import ndimage

    image = np.random.default_rng(0).normal(size=(9, 12, 7)).astype("float32")
    shape = (14, 8, 7)
    zoom = [after / before for after, before in zip(shape, image.shape, strict=True)]
    for order in (1, 3):
        wanted = ndimage.zoom(image.astype("float64"), zoom, order=order, mode="nearest", grid_mode=True)
        np.testing.assert_allclose(resampling.resample(image, shape, (order,) * 3), wanted, atol=2e-5)
    # A cubic spline along a thick axis would ring.
    assert resampling.orders((5.0, 1.0, 1.0), (1.0, 1.0, 1.0), 3) == (1, 3, 3)
    label = np.zeros((6, 6, 6), np.uint8)
    label[:3], label[3:] = 1, 7
    finer = resampling.resample_labels(label, (13, 6, 9))
    assert set(np.unique(finer)) == {1, 7} and (finer[:6] == 1).all() and (finer[7:] == 7).all()


def test_scales_of_intensities():
    image = np.full((4, 4, 4, 2), -1000.0, np.float32)
    image[1:3, 1:4, 2:3, 0] = [[[50]], [[150]]]
    box = intensities.filled_box(image)
    assert box == (slice(1, 3), slice(1, 4), slice(2, 3))
    empty = intensities.empty_values(image)
    scaled = intensities.normalized(image, ("z_score", "none"), (), empty)
    assert scaled[1, 1, 2, 0] == pytest.approx(-1) and scaled[2, 1, 2, 0] == pytest.approx(1)
    assert (scaled[..., 1] == -1000).all()
    clipped = intensities.normalized(image, ("ct", "none"), ((0.0, 100.0, 50.0, 25.0),) * 2, empty)
    assert clipped[0, 0, 0, 0] == -2 and clipped[2, 1, 2, 0] == 2
    assert intensities.kinds(("auto",), ("CT", "T1", "noNorm")) == ("ct", "z_score", "none")


def test_ct_is_clipped_by_the_foreground_of_the_training_volumes_and_the_config_keeps_it(tmp_path):
    root = nnunet(tmp_path, cases=4, channel_names={"0": "CT"})
    opened = open_data(config_of(root))
    (low, high, mean, deviation), *more = opened.config.data.intensities
    assert not more and low < 160 < mean + deviation and 160 < high < 300 and opened.config.data.normalize == ("ct",)
    again = open_data(dataclasses.replace(opened.config))
    assert again.config.data == opened.config.data
    image = opened.train.load_compact(0).image
    assert image.min() >= (low - mean) / deviation - 1e-4 and image.max() <= (high - mean) / deviation + 1e-4


VARIED = dict(
    rotate=30.0, elastic=2.0, gamma=0.5, noise=0.2, blur=1.0, coarsen=2.0, share=0.6, scale=(0.7, 1.4), foreground=0.5
)


def test_patches_are_a_function_of_seed_and_step_wherever_the_volumes_are_kept(tmp_path):
    root = nnunet(tmp_path / "data", cases=4)
    mapped = dict(cache_mib=0, cache_path=str(tmp_path / "kept"))
    made = []
    for data in ({}, mapped, mapped):
        config = config_of(root, data=data, augment=VARIED)
        source = open_data(config).train
        steps = list(training_batches(source, config, start_step=0, steps=4))
        later = next(iter(training_batches(source, config, start_step=3, steps=1)))
        for key in later:
            np.testing.assert_array_equal(later[key], steps[3][key])
        kept = source.load_compact(0)
        assert isinstance(kept.image, np.memmap) == bool(data)
        made.append(steps)
    assert len(os.listdir(tmp_path / "kept")) == 3
    for others in made[1:]:
        for one, other in zip(made[0], others, strict=True):
            for key in one:
                np.testing.assert_array_equal(one[key], other[key])
    labels = np.stack([step["label"] for step in made[0]])
    assert np.isfinite(np.stack([step["image"] for step in made[0]])).all()
    assert set(np.unique(labels)) <= {0, 1, 2, 255} and labels.dtype == np.int32
    assert (np.stack([s["image"] for s in made[0]])[0] != np.stack([s["image"] for s in made[0]])[1]).any()


def test_a_share_of_the_patches_holds_each_class_in_turn():
    positions = np.array([[1, 2, 3, 4], [1, 30, 3, 4], [2, 20, 20, 20]], np.int32)
    augment = Augment(crop=(4, 4, 4), foreground=1.0, scale=(1.0, 1.0), quarter_turns=False)
    met = []
    for number in range(40):
        warp = draw_patch(augment, 0, number, (40, 40, 40), (1.0, 1.0, 1.0), positions)
        low = np.array(warp.centre) - 1.5
        assert (low >= 0).all() and (low <= 36).all() and (low == np.round(low)).all()
        inside = ((positions[:, 1:] >= low) & (positions[:, 1:] < low + 4)).all(axis=1)
        met.append(set(positions[inside, 0]))
    assert all((1 + number % 2) in classes for number, classes in enumerate(met))


def test_a_warp_takes_image_and_label_alike_and_turns_in_millimetres():
    label = np.zeros((20, 20, 20), np.uint8)
    label[4:16, 4:16, 4:16] = 1
    image = label[..., None].astype("float32") * 100
    warp = Warp((16, 16, 16), (9.5, 9.5, 9.5), rotation([0.3, -0.2, 0.4], (1.0,) * 3), (1.0,) * 3, (0, 5))
    moved, ids = warped(image, warp, order=1, outside=None), warped(label[..., None], warp, order=0, outside=9)
    assert set(np.unique(ids)) <= {0, 1, 9}
    sure = (moved[..., 0] > 80) | (moved[..., 0] < 20)
    np.testing.assert_array_equal(ids[..., 0][sure] == 1, moved[..., 0][sure] > 50)
    # A quarter turn by angle is one by index; in voxels of 1 x 2 mm a turn keeps lengths in mm.
    quarter = Warp((19, 19), (9.0, 9.0), rotation([np.pi / 2], (1.0, 1.0)))
    picture = np.random.default_rng(0).normal(size=(19, 19, 1)).astype("float32")
    np.testing.assert_allclose(warped(picture, quarter, order=1, outside=None), np.rot90(picture, -1), atol=1e-4)
    sides = np.diag([1.0, 2.0])
    turned = sides @ rotation([0.7], (1.0, 2.0)) @ np.linalg.inv(sides)
    np.testing.assert_allclose(turned @ turned.T, np.eye(2), atol=1e-12)


def test_images_are_turned_and_bent_too():
    from trainer.data.augment.placement import Placement, draw_warp

    augment = Augment(crop=(16, 16), rotate=20.0, elastic=2.0, share=1.0)
    warp = draw_warp(augment, 0, 3, Placement(4.0, 2.0, 16.0, 16.0))
    crop = warped(np.full((32, 32, 3), 7, np.uint8), warp, order=1, outside=None)
    assert crop.shape == (16, 16, 3) and np.allclose(crop, 7) and warp.bend == (2.0, 2.0)
    assert draw_warp(Augment(crop=(16, 16)), 0, 3, Placement(4.0, 2.0, 16.0, 16.0)) is None


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    import sys

    save(f"{tmp_path}/a.nii.gz", case(0)[0])
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(DataError, match="NIfTI files are read by nibabel, which is not installed: pip install nibabel"):
        read_header(f"{tmp_path}/a.nii.gz")

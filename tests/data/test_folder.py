"""Layouts, lists and splits of a user's folder."""

from __future__ import annotations

import importlib
import os
import pathlib
import shutil

import pytest

from configs.schema import Config
from tests.data.making import changed, config_for, make_folder, picture, save
from trainer.data import DataError, open_data
from trainer.data.sources.nuclei import NUCLEI


def names(config: Config) -> tuple[list[str], list[str]]:
    data = open_data(config)
    return list(data.train.names), list(data.validation.names)


def test_a_fraction_is_held_out_for_good(tmp_path):
    config = config_for(make_folder(tmp_path, 20), validation_fraction=0.25)
    train, validation = names(config)
    assert (len(train), len(validation)) == (15, 5)
    assert set(train) | set(validation) == {f"images/{n:03}.png" for n in range(20)}
    assert names(config) == (train, validation)
    assert names(changed(config, split_seed=1)) != (train, validation)


def test_files_added_later_leave_the_others_where_they_are(tmp_path):
    config = config_for(make_folder(tmp_path, 40), validation_fraction=0.5)
    before = set(names(config)[1])
    make_folder(tmp_path, 44)
    after = set(names(config)[1])
    # Two more are held out, and no more than they can take another's place.
    assert len(before - after) <= 2


def test_both_splits_have_one_at_least(tmp_path):
    config = config_for(make_folder(tmp_path, 2), validation_fraction=0.01)
    assert [len(part) for part in names(config)] == [1, 1]
    assert [len(part) for part in names(changed(config, validation_fraction=0.99))] == [1, 1]


def test_suffixes_may_differ_and_be_upper_case(tmp_path):
    for number, (image_suffix, mask_suffix) in enumerate([("JPG", "png"), ("jpeg", "PNG"), ("tif", "gif")]):
        image, mask = picture(number)
        save(tmp_path / "images" / f"a.{number}.{image_suffix}", image)
        save(tmp_path / "masks" / f"a.{number}.{mask_suffix}", mask)
    train, validation = names(config_for(tmp_path))
    assert sorted(train + validation) == ["images/a.0.JPG", "images/a.1.jpeg", "images/a.2.tif"]


@pytest.mark.parametrize("depth", ["Tile 1", "Tile 2/deep/er", "images of mine"])
def test_images_and_masks_may_lie_deeper_and_in_many_folders(tmp_path, depth):
    make_folder(tmp_path, 2, place="first")
    make_folder(tmp_path, 2, place=depth)
    train, validation = names(config_for(tmp_path))
    assert sorted(train + validation) == sorted(
        f"{place}/images/{n:03}.png" for place in ("first", depth) for n in range(2)
    )


def test_folders_inside_images_pair_by_their_path(tmp_path):
    for cell in ("a", "b"):
        image, mask = picture(ord(cell))
        save(tmp_path / "images" / cell / "1.png", image)
        save(tmp_path / "masks" / cell / "1.png", mask)
    data = open_data(config_for(tmp_path))
    assert sorted([*data.train.names, *data.validation.names]) == ["images/a/1.png", "images/b/1.png"]


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_folders_named_train_and_val_are_the_splits(tmp_path, validation):
    make_folder(tmp_path, 3, place="train")
    make_folder(tmp_path, 2, place=validation)
    train, held_out = names(config_for(tmp_path, validation_fraction=0.9))
    assert len(train) == 3 and all(name.startswith("train/") for name in train)
    assert len(held_out) == 2 and all(name.startswith(validation + "/") for name in held_out)


@pytest.mark.parametrize(
    "line",
    [
        "{n:03}",
        "{n:03}.png",
        "images/{n:03}.png",
        "images/{n:03}",
        "./images/{n:03}.png",
        "images/{n:03}.png\tmasks/{n:03}.png",
        " images/{n:03}.png \t masks/{n:03}.png",
    ],
    ids=["stem", "file", "path", "path without suffix", "dot", "pair", "pair with blanks"],
)
def test_a_line_of_a_list_may_be_written_in_many_ways(tmp_path, line):
    make_folder(tmp_path, 4)
    for file, numbers in (("train.txt", (2, 0)), ("val.txt", (3,))):
        (tmp_path / file).write_text("\n".join(line.format(n=n) for n in numbers), encoding="utf-8")
    assert names(config_for(tmp_path)) == (["images/002.png", "images/000.png"], ["images/003.png"])
    assert "1 pair stands in neither train.txt nor val.txt" in open_data(config_for(tmp_path)).notes[0]


def test_lists_may_come_from_windows_and_end_in_empty_lines(tmp_path):
    make_folder(tmp_path, 2)
    (tmp_path / "train.txt").write_bytes(b"\xef\xbb\xbf000\r\n\r\n")
    (tmp_path / "val.txt").write_bytes(b"001\r\n  \r\n")
    assert names(config_for(tmp_path)) == (["images/000.png"], ["images/001.png"])


def test_pairs_with_paths_need_no_folder_of_a_certain_name(tmp_path):
    for number in range(2):
        image, mask = picture(number)
        save(tmp_path / "raw data" / f"{number}.png", image)
        save(tmp_path / "truth" / f"{number}_label.png", mask)
    (tmp_path / "train.txt").write_text("raw data/0.png\ttruth/0_label.png\n", encoding="utf-8")
    (tmp_path / "val.txt").write_text("raw data/1.png\ttruth/1_label.png\n", encoding="utf-8")
    assert names(config_for(tmp_path)) == (["raw data/0.png"], ["raw data/1.png"])


def test_files_on_no_list_may_be_broken(tmp_path):
    make_folder(tmp_path, 3)
    (tmp_path / "images" / "002.png").write_bytes(b"")
    save(tmp_path / "images" / "alone.png", picture(1)[0])
    (tmp_path / "train.txt").write_text("000\n", encoding="utf-8")
    (tmp_path / "val.txt").write_text("001\n", encoding="utf-8")
    assert names(config_for(tmp_path)) == (["images/000.png"], ["images/001.png"])


def test_names_may_be_odd(tmp_path):
    odd = ["ü ñ 木", "semi;colon", "per%cent", "#hash", "[bracket]*?", "quote'\"", "-dash", "dots..."]
    odd.append(os.fsdecode(b"\xff"))
    for number, stem in enumerate(odd):
        image, mask = picture(number)
        save(tmp_path / "images" / f"{stem}.png", image)
        save(tmp_path / "masks" / f"{stem}.png", mask)
    data = open_data(config_for(tmp_path, validation_fraction=0.5))
    assert len(data.train) + len(data.validation) == len(odd)
    for source in (data.train, data.validation):
        for index, name in enumerate(source.names):
            assert source.load(index).name == name
            name.encode("utf-8")


def test_hidden_files_and_strangers_are_passed_over_and_noted(tmp_path):
    make_folder(tmp_path, 3)
    for stranger in (".DS_Store", "Thumbs.db", "notes.txt"):
        (tmp_path / "images" / stranger).write_bytes(b"x")
    (tmp_path / "images" / ".hidden.png").write_bytes(b"x")
    data = open_data(config_for(tmp_path))
    assert data.notes == ("1 file without an image's suffix is ignored: images/notes.txt",)


def test_a_home_folder_and_links_are_followed(tmp_path, monkeypatch):
    make_folder(tmp_path / "real", 3)
    os.symlink(tmp_path / "real" / "images", tmp_path / "images")
    os.symlink(tmp_path / "real" / "masks", tmp_path / "masks")
    os.symlink(tmp_path, tmp_path / "real" / "loop")
    monkeypatch.setenv("HOME", str(tmp_path))
    data = open_data(config_for("~"))
    assert len(data.train) + len(data.validation) >= 3


def test_skipping_leaves_bad_pairs_to_be_passed_over(tmp_path):
    make_folder(tmp_path, 6)
    os.remove(tmp_path / "masks" / "001.png")
    (tmp_path / "images" / "002.png").write_bytes(b"")
    with pytest.raises(DataError, match="2 problems"):
        open_data(config_for(tmp_path))
    data = open_data(config_for(tmp_path, bad_files="skip"))
    assert len(data.train) + len(data.validation) == 5
    assert [note.split(":")[0].rsplit("/", 1)[1] for note in data.problems] == ["001.png", "002.png"]


def test_the_embedded_nuclei_are_whole_and_small():
    data = open_data(Config())
    assert (len(data.train), len(data.validation), data.notes) == (150, 40, ())
    assert data.classes == ("background", "nucleus") and data.void_id == 255 and data.channels == 3
    files = [path for path in pathlib.Path(NUCLEI).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8 * 10**6
    assert "CC0" in (pathlib.Path(NUCLEI) / "README.md").read_text(encoding="utf-8")
    shares = [
        sum(source.load(i).label.sum() for i in range(len(source)))
        / sum(source.load(i).label.size for i in range(len(source)))
        for source in (data.train, data.validation)
    ]
    assert shares == pytest.approx([0.149, 0.157], abs=5e-4)


def test_the_nuclei_refuse_another_encoding():
    with pytest.raises(DataError, match=r"masks of 0 and 255 and two classes.*Received: mask_encoding='ids'"):
        open_data(changed(Config(), mask_encoding="ids"))


def test_a_copy_of_the_nuclei_is_a_folder_like_any(tmp_path):
    here = tmp_path / "copy"
    shutil.copytree(NUCLEI, here)
    copied = open_data(changed(Config(), source="folder", path=str(here)))
    assert copied.train.names == open_data(Config()).train.names


def test_every_named_source_has_its_function():
    from trainer.data.sources import SOURCES

    for path in SOURCES.values():
        module, _, function = path.partition(":")
        assert callable(getattr(importlib.import_module(module), function)), path


def test_masks_of_another_size_on_request(tmp_path):
    folder = make_folder(tmp_path, 4, size=(24, 32))
    for number, size in enumerate(((12, 16), (48, 64), (7, 10))):
        save(tmp_path / "masks" / f"{number:03}.png", picture(number, size)[1])
    with pytest.raises(DataError, match="of the same proportions: --config.data.resize_masks"):
        open_data(config_for(folder))
    data = open_data(config_for(folder, resize_masks=True))
    for source in (data.train, data.validation):
        for index, name in enumerate(source.names):
            number, label = int(name[-7:-4]), source.load(index).label
            assert label.shape == (24, 32)
            if number == 0:
                assert (label[::2, ::2] == picture(0, (12, 16))[1] // 255).all() and (label[1::2] == label[::2]).all()
            if number == 1:
                assert (label == picture(1, (48, 64))[1][1::2, 1::2] // 255).all()
    save(tmp_path / "masks" / "003.png", picture(3, (24, 16))[1])
    with pytest.raises(
        DataError, match=r"003.png: the mask is 16 x 24 pixels, its image .* is 32 x 24 \(width x height\)\.\n"
    ):
        open_data(config_for(folder, resize_masks=True))

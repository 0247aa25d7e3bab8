"""TIFF files of any depth, number of bands and pages: nothing is lost without a word."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.making import config_for, picture, save
from trainer.data import DataError, check_data, open_data

tifffile = pytest.importorskip("tifffile")

COUNT, SIZE = 6, (24, 32)


def folder_of(root, image, mask=None) -> str:
    for number in range(COUNT):
        made, truth = picture(number, SIZE)
        for kind, array in (("images", image(made)), ("masks", (mask or (lambda m: m))(truth))):
            path = root / kind / f"{number}.tif"
            if isinstance(array, dict):
                path.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(path, **array)
            else:
                save(path.with_suffix(".png"), array)
    return str(root)


def loaded(config):
    data = open_data(config)
    return data, data.train.load(0), picture(int(data.train.names[0].split("/")[1].split(".")[0]), SIZE)


def test_a_small_range_of_16_bits_fills_the_range_that_the_model_sees(tmp_path):
    config = config_for(folder_of(tmp_path, lambda image: 100 + 2 * image[:, :, 0].astype(np.uint16)), channels=1)
    data, example, (image, _) = loaded(config)
    ((low, high),) = data.config.data.value_range
    assert any("more than 8 bits" in note for note in data.notes) and 100 <= low < 110 and 300 < high <= 610
    wanted = (100 + 2.0 * image[:, :, 0] - low) * 255 / (high - low)
    np.testing.assert_allclose(example.image[:, :, 0], wanted, atol=1e-3)
    assert len(np.unique(example.image)) == len(np.unique(image[:, :, 0]))
    # The range is the run's: another look at the data does not change it.
    again = open_data(data.config)
    np.testing.assert_array_equal(again.train.load(0).image, example.image)
    assert again.config == data.config


BANDS = {
    "two of 8": (np.uint8, 2, 1),
    "near infrared": (np.uint8, 4, 1),
    "four of 16": (np.uint16, 4, 1),
    "colour of 16": (np.uint16, 3, 2),
    "twelve": (np.uint16, 12, 1),
    "fractions": (np.float32, 5, 1),
}


@pytest.mark.parametrize("kind", BANDS)
def test_every_band_is_read(kind, tmp_path):
    dtype, bands, _ = BANDS[kind]

    def banded(image):
        array = np.stack([image[:, :, b % 3].astype(dtype) * dtype(1 + b) for b in range(bands)], axis=-1)
        return {"data": array, "photometric": "rgb" if bands == 3 else "minisblack", "planarconfig": "contig"}

    folder = folder_of(tmp_path, banded)
    data, example, (image, _) = loaded(config_for(folder, channels=0))
    assert data.channels == data.config.data.channels == bands and example.image.shape == (*SIZE, bands)
    for band in range(bands):
        seen = example.image[:, :, band].astype(np.float64).ravel()
        drawn = (image[:, :, band % 3].astype(dtype) * dtype(1 + band)).astype(np.float64).ravel()
        assert np.corrcoef(seen, drawn)[0, 1] > 0.999
    if bands != 3:
        with pytest.raises(DataError, match=f"--config.data.channels={bands}"):
            open_data(config_for(folder)).train.load(0)


def test_pages_are_objects_channels_or_refused(tmp_path):
    def objects(mask):
        left, right = mask.copy(), mask.copy()
        left[:, 14:], right[:, :14] = 0, 0
        return {"data": np.stack([left, right]), "photometric": "minisblack"}

    folder = folder_of(tmp_path, lambda image: image, objects)
    _, example, (_, mask) = loaded(config_for(folder, pages="objects"))
    np.testing.assert_array_equal(example.label, mask // 255)
    text = check_data(config_for(folder)).text()
    choices = ("pages=slices", "pages=objects", "mask_encoding=planes", "pages=first")
    assert "has 2 pages. Say what they are:" in text and all(f"--config.data.{choice} " in text for choice in choices)
    stacks = folder_of(tmp_path / "s", lambda image: {"data": np.moveaxis(image, 2, 0), "photometric": "minisblack"})
    data, example, (image, _) = loaded(config_for(stacks, pages="channels"))
    np.testing.assert_array_equal(example.image, image)
    with pytest.raises(DataError, match=r"(?s)has 3 pages. Say what they are:.*--config.data.pages=channels "):
        open_data(config_for(stacks)).train.load(0)


def test_pages_are_slices(tmp_path):
    for number in range(3):
        pages = [picture(10 * number + page, SIZE) for page in range(2 + number)]
        for kind, arrays in zip(("images", "masks"), zip(*pages, strict=True), strict=True):
            path = tmp_path / kind / f"{number}.tif"
            path.parent.mkdir(exist_ok=True)
            tifffile.imwrite(path, np.stack(arrays), photometric="rgb" if kind == "images" else "minisblack")
    data = open_data(config_for(tmp_path, pages="slices"))
    names = (*data.train.names, *data.validation.names)
    assert sorted(names) == [f"images/{number}.tif[{page}]" for number in range(3) for page in range(2 + number)]
    # All slices of a file are in one split.
    assert not {name[:9] for name in data.train.names} & {name[:9] for name in data.validation.names}
    for source in (data.train, data.validation):
        for index, name in enumerate(source.names):
            image, mask = picture(10 * int(name[7]) + int(name[-2]), SIZE)
            np.testing.assert_array_equal(source.load(index).image, image)
            np.testing.assert_array_equal(source.load(index).label, mask // 255)
    tifffile.imwrite(tmp_path / "masks" / "1.tif", np.stack(arrays[:2]), photometric="minisblack")
    with pytest.raises(DataError, match=r"masks/1.tif: has 2 pages, and its image images/1.tif 3: slices have a page"):
        open_data(config_for(tmp_path, pages="slices"))


def test_a_deep_mask_of_several_channels_is_not_read_as_empty(tmp_path):
    how = {"photometric": "minisblack", "planarconfig": "contig"}
    folder = folder_of(tmp_path, lambda image: image, lambda m: {"data": np.dstack([m.astype(np.uint16)] * 2), **how})
    with pytest.raises(DataError, match="the mask has 2 channels. If each is a class.*mask_encoding=planes"):
        open_data(config_for(folder, mask_encoding="binary")).train.load(0)
    data = open_data(config_for(folder, mask_encoding="planes"))
    _, mask = picture(int(data.train.names[0][7]), SIZE)
    np.testing.assert_array_equal(data.train.load(0).label, np.dstack([mask // 255] * 2))


def test_bands_have_names_and_may_be_left_out(tmp_path):
    def banded(image):
        array = np.dstack([image[:, :, k % 3].astype(np.uint16) + 1000 * k for k in range(4)])
        return {"data": array, "photometric": "minisblack", "planarconfig": "contig"}

    folder = folder_of(tmp_path, banded)
    config = config_for(folder, bands=("blue", "-", "red", "nir"))
    data, example, (image, _) = loaded(config)
    assert data.channels == 3 and len(data.config.data.value_range) == 3
    low, high = data.config.data.value_range[2]
    np.testing.assert_allclose(example.image[:, :, 2], (image[:, :, 0] + 3000.0 - low) * 255 / (high - low), atol=0.1)
    assert "mean of each channel: blue" not in check_data(config).text()  # three are shown as a picture
    four = config_for(folder, bands=("b", "g", "r", "nir"))
    assert "mean of each channel: b " in check_data(four).text()
    with pytest.raises(DataError, match=r"has 4 bands, and data.bands names 2 \(a, b\)"):
        open_data(config_for(folder, bands=("a", "b"))).train.load(0)

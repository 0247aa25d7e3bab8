"""What masks hold is found out, and taken where it means one thing; else each reading is listed with a flag."""

from __future__ import annotations

import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from configs.schema import Data
from tests.data.making import config_for, picture, save
from trainer.data import DataError, check_data, open_data
from trainer.data.masks.class_ids import label_from
from trainer.data.masks.recognition import recognise_masks
from trainer.data.masks.values import decode_values

TRUTH = [picture(number, (48, 64))[1] > 0 for number in range(8)]


def folder_of(root, make) -> str:
    for number, truth in enumerate(TRUTH):
        save(root / "images" / f"{number}.png", picture(number, (48, 64))[0])
        made = make(truth.astype(np.uint8), number)
        made = made if isinstance(made, Image.Image) else Image.fromarray(made)
        (root / "masks").mkdir(exist_ok=True)
        made.save(root / "masks" / f"{number}.png")
    return str(root)


def labels(config):
    data = open_data(config)
    found = {}
    for source in (data.train, data.validation):
        for index, name in enumerate(source.names):
            found[int(name[7:-4])] = source.load(index).label
    return data, [found[number] for number in range(len(TRUTH))]


def jpeg_again(mask, number):
    file = io.BytesIO()
    Image.fromarray(mask * 255).save(file, "JPEG", quality=75)
    return Image.open(file)


def resized(mask, number):
    picture = Image.fromarray(mask * 255)
    return picture.resize((128, 96), Image.BICUBIC).resize((64, 48), Image.LANCZOS)


def voc(mask, number):
    picture = Image.fromarray(mask)
    outer, inner = (np.asarray(picture.filter(f(3))) for f in (ImageFilter.MaxFilter, ImageFilter.MinFilter))
    border = outer != inner
    made = Image.fromarray(np.where(border, 255, mask).astype(np.uint8)).convert("P")
    made.putpalette([0, 0, 0, 128, 0, 0] + [0] * 759 + [224, 224, 192])
    return made


def alpha_of(colors):
    return lambda mask, number: Image.fromarray(np.dstack([colors(mask, number), mask * 255]), "RGBA")


GREY = np.full((48, 64), 255, np.uint8)
WHITE = np.full((48, 64, 3), 255, np.uint8)
READ = {
    "0 and 255": (lambda mask, n: mask * 255, 1.0),
    "0 and 1": (lambda mask, n: mask, 1.0),
    "0 and 128": (lambda mask, n: mask * 128, 1.0),
    "1 and 2": (lambda mask, n: mask + np.uint8(1), 1.0),
    "jpeg": (jpeg_again, 0.99),
    "resized": (resized, 0.99),
    "blurred": (lambda mask, n: Image.fromarray(mask * 255).filter(ImageFilter.GaussianBlur(2)), 0.98),
    "white with alpha": (alpha_of(lambda mask, n: WHITE), 1.0),
    "photo with alpha": (alpha_of(lambda mask, n: picture(n, (48, 64))[0]), 1.0),
    "painted": (alpha_of(lambda mask, n: np.repeat(mask[:, :, None], 3, 2) * np.uint8(200)), 1.0),
    "grey with alpha": (lambda mask, n: Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(mask * 255)]), 1.0),
    "red on black": (lambda mask, n: mask[:, :, None] * np.array([200, 10, 0], np.uint8), 1.0),
}


@pytest.mark.parametrize("kind", READ)
def test_one_class_on_a_background_is_read_right(kind, tmp_path):
    make, least = READ[kind]
    data, found = labels(config_for(folder_of(tmp_path, make), classes=()))
    assert data.classes in (("background", "foreground"), ("class_0", "class_1"))
    assert np.mean([(label == truth).mean() for label, truth in zip(found, TRUTH, strict=True)]) >= least
    # What was found stands in the config, and a run that is resumed finds it there.
    again, same = labels(data.config)
    assert again.config == data.config
    np.testing.assert_array_equal(found[3], same[3])


def test_a_border_of_255_is_void(tmp_path):
    folder = folder_of(tmp_path, voc)
    data, found = labels(config_for(folder, classes=("background", "person")))
    assert any("% of the pixels of the masks are 255, void" in note for note in data.notes)
    for label, truth in zip(found, TRUTH, strict=True):
        np.testing.assert_array_equal(label[label != 255], truth[label != 255])
        assert 0.01 < (label == 255).mean() < 0.2
    with pytest.raises(DataError, match=r"0 \(.*\), 1 \(.*\), 255 \(.*Say which:") as caught:
        open_data(config_for(folder, mask_encoding="binary"))
    assert "--config.data.mask_encoding=binary --config.data.void_values=255   # 255 is void" in str(caught.value)
    _, by_hand = labels(config_for(folder, mask_encoding="binary", void_values=(255,)))
    np.testing.assert_array_equal(by_hand[0], found[0])


def test_the_pixels_between_are_counted(tmp_path):
    data, _ = labels(config_for(folder_of(tmp_path, resized)))
    assert any("values between them" in note and "divided at 128" in note for note in data.notes)
    assert data.config.data.mask_threshold == 128 and data.config.data.mask_encoding == "binary"


def test_colours_become_classes_and_named_ones_are_asked_about(tmp_path):
    table = np.array([[0, 0, 0], [0, 200, 0], [0, 0, 200], [224, 224, 192]], np.uint8)

    def three(mask, number):
        ids = mask.copy()
        ids[:5], ids[-2:] = 2, 3
        return table[ids]

    folder = folder_of(tmp_path, three)
    data, found = labels(config_for(folder, classes=()))
    assert data.classes[0] == "background" and set(data.classes[1:]) == {"color_00c800", "color_0000c8"}
    assert set(np.unique(found[0])) == {0, 1, 2, 255}
    with pytest.raises(DataError, match="data.classes names 4") as caught:
        open_data(config_for(folder, classes=("a", "b", "c", "d")))
    assert "--config.data.mask_colors='((0, 0, 0, …)" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda mask, n: mask * 0, ["All masks hold the value 0 alone"]),
        (lambda mask, n: picture(n, (48, 64))[0], ["the masks have", "colours", "photograph"]),
        (lambda mask, n: mask * 128 + (mask[::-1] * 127), ["values, which could mean", "Say which:"]),
        (lambda mask, n: np.arange(3072, dtype=np.uint16).reshape(48, 64), ["different values up to"]),
    ],
)
def test_what_means_several_things_or_none_is_asked(make, says, tmp_path):
    config = config_for(folder_of(tmp_path, make), classes=())
    for text in (str(pytest.raises(DataError, open_data, config).value), check_data(config).text()):
        for words in says:
            assert words in text


def compressed(quality: int, form: str = "JPEG", smooth: bool = False):
    """Masks of black, red and a deep blue, saved as JPEG, or as PNG after that."""
    made = []
    for number in range(4):
        picture = Image.new("RGB", (64, 64))
        ImageDraw.Draw(picture).ellipse([8 + number, 8, 40, 40], fill=(230, 20, 20))
        ImageDraw.Draw(picture).rectangle([36, 44, 60, 60], fill=(20, 20, 200))
        if smooth:
            picture = picture.resize((90, 90), Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, subsampling=0)
        if form != "JPEG":
            reread, buffer = Image.open(io.BytesIO(buffer.getvalue())), io.BytesIO()
            reread.save(buffer, form)
        made.append((f"m{number}.png", decode_values(buffer.getvalue(), 10**6)))
    return made


@pytest.mark.parametrize(("quality", "form"), [(100, "JPEG"), (100, "PNG"), (90, "JPEG"), (60, "PNG")])
def test_colours_that_compression_makes_are_no_classes(quality, form):
    masks = compressed(quality, form)
    try:
        found = recognise_masks(masks, Data())
    except DataError as error:
        # Mixtures along edges: the painted colours are named, and a flag that takes the nearest.
        assert "3 that were painted" in str(error) and "--config.data.color_tolerance=255" in str(error)
        assert quality < 100
    else:
        assert len(found.fields["classes"]) == 3 and "as JPEG leaves them" in found.notes[0]
        label = label_from(masks[0][1], dataclasses.replace(Data(), **found.fields), "m0")
        assert (label == 1).mean() > 0.1 and set(np.unique(label)) == {0, 1, 2}


def test_the_nearest_painted_colour_on_request():
    masks = compressed(80, smooth=True)
    with pytest.raises(DataError, match="color_tolerance=255") as error:
        recognise_masks(masks, Data())
    rows = re.search(r"mask_colors='\((.*)\)'", str(error.value)).group(1)
    table = tuple(tuple(map(int, row.split(", "))) for row in re.findall(r"\(([^)]*)\)", rows))
    data = Data(mask_encoding="colors", color_tolerance=255, mask_colors=table, classes=("background", "a", "b"))
    label = label_from(masks[0][1], data, "m0")
    assert label.shape == (90, 90) and 0.12 < (label == 1).mean() < 0.22 and 0.05 < (label == 2).mean() < 0.15


def test_red_on_black_as_jpeg_is_two_classes_divided_at_half():
    picture = Image.new("RGB", (64, 64))
    ImageDraw.Draw(picture).rectangle([16, 16, 39, 39], fill=(254, 0, 0))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=98, subsampling=0)
    mask = decode_values(buffer.getvalue(), 10**6)
    found = recognise_masks([("a", mask)], Data())
    label = label_from(mask, dataclasses.replace(Data(), **found.fields), "a")
    assert found.fields["mask_encoding"] == "binary" and abs(int(label.sum()) - 24 * 24) <= 12

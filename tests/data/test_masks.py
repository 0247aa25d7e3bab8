"""The three encodings, in every mode a mask comes in, and the messages where a pixel is no class."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from configs.schema import Data
from tests.data.making import png_grey
from trainer.data.errors import DataError
from trainer.data.masks.class_ids import decode_mask, label_type

IDS = np.array([[0, 1, 2], [2, 1, 255]], np.uint8)
THREE = ("sky", "land", "sea")
COLORS = ((60, 16, 152, 0), (132, 41, 246, 1), (110, 193, 228, 2), (155, 155, 155, 255), (0, 0, 0, 255))


def encoded(picture: Image.Image, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def painted(ids: np.ndarray) -> np.ndarray:
    return np.array([COLORS[3 if i == 255 else i][:3] for i in ids.ravel()], np.uint8).reshape(*ids.shape, 3)


def palette_picture(ids: np.ndarray, colors) -> Image.Image:
    picture = Image.frombytes("P", ids.shape[::-1], ids.tobytes())
    picture.putpalette([value for color in colors for value in color])
    return picture


def three(**fields) -> Data:
    return Data(classes=THREE, **fields)


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(Image.fromarray(IDS), id="L"),
        pytest.param(Image.fromarray(IDS.astype(np.uint16)), id="16 bit"),
        pytest.param(Image.fromarray(np.dstack([IDS] * 3)), id="RGB, all the same"),
        pytest.param(Image.fromarray(np.dstack([IDS] * 3 + [np.full_like(IDS, 9)])), id="RGBA"),
        pytest.param(Image.fromarray(np.dstack([IDS, np.full_like(IDS, 9)])), id="LA"),
        pytest.param(palette_picture(IDS, np.random.default_rng(0).integers(0, 256, (256, 3)).tolist()), id="palette"),
    ],
)
def test_ids_are_the_pixel_values(picture):
    label = decode_mask(encoded(picture), three(mask_encoding="ids"))
    np.testing.assert_array_equal(label, IDS)
    assert label.dtype == np.uint8


@pytest.mark.parametrize("form", ["TIFF", "GIF", "BMP", "WEBP"])
def test_ids_in_other_formats(form):
    options = {"lossless": True} if form == "WEBP" else {}
    content = encoded(Image.fromarray(IDS), form, **options)
    np.testing.assert_array_equal(decode_mask(content, three(mask_encoding="ids")), IDS)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_ids_of_few_bits_are_not_stretched(bits):
    ids = (np.arange(21).reshape(3, 7) % 2**bits).astype(np.uint8)
    data = Data(classes=tuple("abcdefghijklmnopqrstu"), mask_encoding="ids")
    np.testing.assert_array_equal(decode_mask(png_grey(ids, bits), data), ids)


def test_whole_numbers_stored_as_fractions_are_ids():
    content = encoded(Image.fromarray(np.array([[0, 2, 1]], np.float32)), "TIFF")
    assert decode_mask(content, three(mask_encoding="ids")).tolist() == [[0, 2, 1]]
    with pytest.raises(DataError, match=r"m\.tif: the mask holds numbers that are no class ids: 0\.5 and others, 1 "):
        decode_mask(encoded(Image.fromarray(np.array([[0.5, 2]], np.float32)), "TIFF"), three(), name="m.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_table_maps_values_to_ids(dtype):
    trimap = np.array([[1, 2, 3]], dtype)
    data = three(mask_encoding="ids", mask_ids=((3, 255), (1, 1), (2, 0)))
    assert decode_mask(encoded(Image.fromarray(trimap)), data).tolist() == [[1, 0, 255]]


def test_a_table_can_map_values_beyond_eight_bits():
    data = three(mask_encoding="ids", mask_ids=((1000, 1), (40000, 2), (0, 0)))
    assert decode_mask(encoded(Image.fromarray(np.array([[40000, 0, 1000]], np.uint16))), data).tolist() == [[2, 0, 1]]


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(Image.fromarray(np.array([[0, 255]], np.uint8)), id="0 and 255"),
        pytest.param(Image.fromarray(np.array([[0, 1]], np.uint8)), id="0 and 1"),
        pytest.param(Image.fromarray(np.array([[False, True]])), id="1 bit"),
        pytest.param(Image.fromarray(np.array([[0, 65535]], np.uint16)), id="16 bit"),
        pytest.param(Image.fromarray(np.array([[[0, 0, 0], [0, 0, 7]]], np.uint8)), id="RGB"),
        pytest.param(palette_picture(np.array([[0, 1]], np.uint8), [(0, 0, 0), (255, 255, 255)]), id="black is 0"),
        pytest.param(palette_picture(np.array([[1, 0]], np.uint8), [(255, 255, 255), (0, 0, 0)]), id="black is 1"),
        pytest.param(palette_picture(np.array([[0, 1]], np.uint8), [(68, 1, 84), (253, 231, 37)]), id="no black"),
    ],
)
def test_binary_is_zero_or_not(picture):
    assert decode_mask(encoded(picture), Data()).tolist() == [[0, 1]]


def test_binary_jpeg_takes_the_nearer_of_black_and_white():
    mask = np.zeros((16, 16), np.uint8)
    mask[3:9, 5:12] = 255
    content = encoded(Image.fromarray(mask), "JPEG", quality=60)
    assert ((np.asarray(Image.open(io.BytesIO(content))) != 0) != (mask != 0)).any(), "this JPEG has no smear to test"
    np.testing.assert_array_equal(decode_mask(content, Data()), mask // 255)


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(Image.fromarray(painted(IDS)), id="RGB"),
        pytest.param(Image.fromarray(painted(IDS)).convert("RGBA"), id="RGBA"),
        pytest.param(palette_picture(IDS % 252, [row[:3] for row in COLORS[:3]] + [(155, 155, 155)]), id="palette"),
    ],
)
def test_colours_are_looked_up(picture):
    label = decode_mask(encoded(picture), three(mask_encoding="colors", mask_colors=COLORS))
    np.testing.assert_array_equal(label, IDS)


def test_grey_masks_have_colours_too():
    data = three(mask_encoding="colors", mask_colors=((0, 0, 0, 0), (128, 128, 128, 1)))
    assert decode_mask(encoded(Image.fromarray(np.array([[0, 128]], np.uint8))), data).tolist() == [[0, 1]]


def test_a_mask_can_be_turned_by_exif_like_its_image():
    exif = Image.Exif()
    exif[0x0112] = 8
    label = decode_mask(encoded(Image.fromarray(IDS), exif=exif), three(mask_encoding="ids"))
    np.testing.assert_array_equal(label, np.rot90(IDS, 1))


def test_every_unknown_value_is_named_and_counted():
    mask = np.array([[0, 3, 3, 7, 255]], np.uint8)
    with pytest.raises(DataError) as caught:
        decode_mask(encoded(Image.fromarray(mask)), three(mask_encoding="ids"), name="masks/a.png")
    text = str(caught.value)
    assert "masks/a.png: 3 pixels have values that are no class: 3 (2 pixels), 7 (1 pixels)" in text
    assert "Classes are 0 … 2 (sky, land, sea), and 255 is void" in text
    assert "(3, 255), (7, 255)" in text and "binary" not in text


def test_two_classes_are_offered_the_binary_encoding():
    with pytest.raises(DataError, match="mask_encoding='binary'   # 0 is background, anything else nucleus"):
        decode_mask(
            encoded(Image.fromarray(np.array([[0, 200]], np.uint8))),
            Data(mask_encoding="ids", classes=("background", "nucleus")),
        )


def test_every_unknown_colour_is_named_and_counted():
    colors = np.array([[[60, 16, 152], [1, 2, 3], [1, 2, 3]]], np.uint8)
    with pytest.raises(DataError, match=r"c\.png: 2 pixels have colours .*: \(1, 2, 3\) \(2 pixels\)") as caught:
        data = three(mask_encoding="colors", mask_colors=COLORS)
        decode_mask(encoded(Image.fromarray(colors)), data, name="c.png")
    assert "mask_colors=(…, (1, 2, 3, 255))" in str(caught.value)


def test_a_colour_image_is_no_mask_of_ids():
    with pytest.raises(DataError, match=r"c\.png: is a colour image.*mask_encoding='ids'"):
        decode_mask(encoded(Image.fromarray(painted(IDS))), three(mask_encoding="ids"), name="c.png")


@pytest.mark.parametrize("encoding", ["ids", "colors"])
def test_a_jpeg_mask_is_told_to_be_the_reason(encoding):
    smeared = np.zeros((16, 16, 3), np.uint8)
    smeared[4:12, 4:12] = 255
    content = encoded(Image.fromarray(smeared), "JPEG", quality=30, subsampling=0)
    data = three(mask_encoding=encoding, mask_colors=((0, 0, 0, 0), (255, 255, 255, 1)))
    with pytest.raises(DataError, match=r"m\.jpg: .*(?s:.*)The mask is a JPEG"):
        decode_mask(content, data, name="m.jpg")


@pytest.mark.parametrize(
    ("classes", "void_id", "expected"),
    [(2, 255, np.uint8), (300, 255, np.uint16), (2, 65535, np.uint16), (2, -1, np.int16)],
)
def test_labels_take_the_smallest_type(classes, void_id, expected):
    data = Data(classes=tuple(map(str, range(classes))), void_id=void_id)
    assert label_type(data) == expected


def test_a_negative_void_id_survives():
    data = three(mask_encoding="ids", mask_ids=((0, 0), (1, 1), (2, 2), (255, -1)), void_id=-1)
    expected = np.where(IDS == 255, -1, IDS.astype(int))
    np.testing.assert_array_equal(decode_mask(encoded(Image.fromarray(IDS)), data), expected)

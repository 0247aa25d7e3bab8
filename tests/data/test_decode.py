"""Every mode, depth and format becomes uint8 [height, width, channels]; every damage becomes an error with the name."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from configs.schema import Data
from tests.data.making import png_file
from trainer.data.errors import DataError
from trainer.data.images.decode import decode_image, deep_values
from trainer.data.masks.values import decode_values

MANY = 10**6
RED = np.full((4, 6, 3), (200, 30, 60), np.uint8)


def encoded(picture: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def red(mode: str) -> Image.Image:
    return Image.fromarray(RED).convert(mode)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP", "PPM"])
def test_lossless_formats_keep_every_value(form):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    options = {"lossless": True} if form == "WEBP" else {}
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(image), form, **options), 3, MANY), image)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encoded(red("RGB"), "JPEG", quality=95), id="JPEG"),
        pytest.param(encoded(red("CMYK"), "JPEG", quality=95), id="CMYK JPEG"),
        pytest.param(encoded(red("CMYK"), "TIFF"), id="CMYK TIFF"),
        pytest.param(encoded(red("YCbCr"), "TIFF"), id="YCbCr TIFF"),
        pytest.param(encoded(red("RGB").quantize(4), "GIF"), id="GIF"),
        pytest.param(encoded(red("RGB").quantize(4), "PNG"), id="palette PNG"),
        pytest.param(encoded(red("RGB").quantize(4), "PNG", transparency=0), id="palette PNG, transparent"),
        pytest.param(encoded(red("RGBA"), "PNG"), id="RGBA"),
    ],
)
def test_colour_is_colour_in_every_mode(content):
    image = decode_image(content, 3, MANY)
    assert image.shape == (4, 6, 3) and image.dtype == np.uint8
    np.testing.assert_allclose(image.astype(int), RED, atol=12)


@pytest.mark.parametrize(
    ("picture", "form"),
    [
        (Image.new("L", (6, 4), 200), "PNG"),
        (Image.new("LA", (6, 4), (200, 7)), "PNG"),
        (Image.new("L", (6, 4), 200), "JPEG"),
        (Image.new("L", (6, 4), 200), "PPM"),
        (Image.fromarray(np.full((4, 6), 200 * 257, np.uint16)), "PNG"),
        (Image.fromarray(np.full((4, 6), 200 * 257, np.uint16)), "TIFF"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_is_repeated_and_16_bits_are_scaled(picture, form, channels):
    image = decode_image(encoded(picture, form), channels, MANY)
    np.testing.assert_array_equal(image, np.full((4, 6, channels), 200))


def test_16_bits_use_the_full_range():
    values = np.array([[0, 257, 65535, 128]], np.uint16)
    image = decode_image(encoded(Image.fromarray(values), "PNG"), 1, MANY)
    assert image[0, :, 0].tolist() == [0, 1, 255, 0]


def test_one_bit_is_black_and_white():
    image = decode_image(encoded(Image.fromarray(np.array([[True, False]])), "PNG"), 3, MANY)
    assert image.tolist() == [[[255] * 3, [0] * 3]]


def test_alpha_is_dropped_not_blended():
    picture = Image.new("RGBA", (3, 2), (10, 20, 30, 0))
    np.testing.assert_array_equal(decode_image(encoded(picture, "PNG"), 3, MANY), np.full((2, 3, 3), (10, 20, 30)))


def test_colour_becomes_luma_for_one_channel():
    grey = decode_image(encoded(Image.fromarray(RED), "PNG"), 1, MANY)
    assert grey.shape == (4, 6, 1)
    np.testing.assert_allclose(grey.astype(float), 0.299 * 200 + 0.587 * 30 + 0.114 * 60, atol=1)


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (4, 4), color) for color in ("#ff0000", "#00ff00")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_image(content, 3, MANY)[0, 0], (255, 0, 0))


def test_bytes_decide_and_not_the_suffix(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(Image.fromarray(RED), "PNG"))
    np.testing.assert_array_equal(decode_image(path, 3, MANY), RED)


def test_exif_orientation_is_applied_as_viewers_do():
    image = np.arange(24, dtype=np.uint8).reshape(4, 6)
    exif = Image.Exif()
    exif[0x0112] = 6  # The row 0 of the file is shown at the right.
    content = encoded(Image.fromarray(image), "PNG", exif=exif)
    np.testing.assert_array_equal(decode_image(content, 1, MANY)[:, :, 0], np.rot90(image, -1))
    np.testing.assert_array_equal(decode_image(content, 1, MANY, upright=False)[:, :, 0], image)


def test_a_bomb_is_refused_before_it_is_decoded():
    bomb = png_file(struct.pack(">IIBBBBB", 60_000, 50_000, 1, 0, 0, 0, 0), zlib.compress(bytes(10**6)))
    with pytest.raises(DataError, match=r"bomb\.png: 60000 x 50000 = 3,000,000,000 pixels .* at most 1,000,000 are"):
        decode_image(bomb, 3, MANY, name="bomb.png")


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_truncated_file_never_passes_for_a_whole_one(form):
    image = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    content = encoded(Image.fromarray(image), form)
    whole = decode_image(content, 3, MANY)
    refused = 0
    for length in range(len(content)):
        try:
            part = decode_image(content[:length], 3, MANY, name="cut.img")
        except DataError as error:
            assert "cut.img" in str(error)
            refused += 1
        else:
            np.testing.assert_array_equal(part, whole)
    assert refused > 0.95 * len(content)


def test_a_flipped_bit_anywhere_in_a_png_is_found():
    image = np.random.default_rng(2).integers(0, 256, (8, 8, 3), np.uint8)
    content = encoded(Image.fromarray(image), "PNG")
    for position in range(8, len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        with pytest.raises(DataError, match="flipped.png"):
            decode_image(bytes(damaged), 3, MANY, name="flipped.png")


@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize("form", ["JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_random_damage_ends_in_an_image_or_a_data_error(form):
    random = np.random.default_rng(3)
    content = np.frombuffer(encoded(Image.fromarray(RED.repeat(4, 0).repeat(4, 1)), form), np.uint8)
    for _ in range(60):
        damaged = content.copy()
        damaged[random.integers(0, len(content), 4)] = random.integers(0, 256, 4)
        try:
            assert decode_image(damaged.tobytes(), 3, MANY, name="noise").dtype in (np.uint8, np.float32)
        except DataError as error:
            assert "noise" in str(error)


def deep_png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits with 2, 3 or 4 channels, which Pillow does not write."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    color_type = {2: 4, 3: 2, 4: 6}[channels]
    return png_file(struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0), zlib.compress(rows))


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colours_of_16_bits_keep_their_levels(channels):
    values = (107 + np.arange(6 * 8 * channels).reshape(6, 8, channels)).astype(np.uint16)
    content, data = deep_png(values), Data(channels=1 if channels == 2 else 3)
    kept = values[:, :, : data.channels]
    np.testing.assert_array_equal(deep_values(content, data), kept)
    seen = decode_image(content, data.channels, 10**6, value_range=((107.0, 362.0),))
    np.testing.assert_allclose(seen, kept - 107.0, atol=1e-3)
    whole = decode_image(content, data.channels, 10**6)
    np.testing.assert_allclose(whole, kept / 257.0, atol=1e-3)


def test_ids_in_colours_of_16_bits_are_not_lost():
    ids = np.array([[0, 1, 2], [300, 1, 0]], np.uint16)
    mask = decode_values(deep_png(np.repeat(ids[:, :, None], 3, axis=2)), 10**6)
    np.testing.assert_array_equal(mask.values, ids)
    with pytest.raises(DataError, match="16-bit colours"):
        decode_values(deep_png(np.dstack([ids, ids, ids * 0])), 10**6)

"""What can be wrong with files and folders: each case spoils a good folder of six pairs in one way."""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
import shutil
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.data.making import picture, png_file, png_grey, save


@dataclasses.dataclass(frozen=True)
class Case:
    """`spoil(root)` does the damage; the message has to hold each text of `says`. `fields` go into the data section."""

    name: str
    spoil: Callable[[pathlib.Path], None]
    says: tuple[str, ...]
    fields: dict = dataclasses.field(default_factory=dict)


CASES: list[Case] = []
IDS = {"mask_encoding": "ids", "mask_ids": ((0, 0), (255, 1))}
COLORS = {"mask_encoding": "colors", "mask_colors": ((0, 0, 0, 0), (255, 255, 255, 1))}


def case(*says: str, **fields):
    def register(spoil):
        CASES.append(Case(spoil.__name__, spoil, says, fields))
        return spoil

    return register


def encoded(picture_: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture_.save(buffer, form, **options)
    return buffer.getvalue()


def with_content(name: str, where: str, content: bytes | Callable[[bytes], bytes], *says: str, **fields) -> None:
    """A case in which one file has other content."""

    def spoil(root: pathlib.Path) -> None:
        path = root / where
        path.write_bytes(content(path.read_bytes()) if callable(content) else content)

    CASES.append(Case(name, spoil, (where, *says), fields))


# 900 million pixels by its header; what follows does not matter, since nothing may decode it.
BOMB = png_file(struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0), zlib.compress(bytes(10**6)))
IMAGE, MASK = "images/002.png", "masks/002.png"
NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
JPEG = encoded(Image.fromarray(NOISE), "JPEG")


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


# Content that is no image, or no longer one.
with_content("image of zero bytes", IMAGE, b"", "is empty (0 bytes)")
with_content("mask of zero bytes", MASK, b"", "is empty (0 bytes)")
with_content("image of text", IMAGE, b"hello world", "is not an image", "hello wo")
with_content("mask of text", MASK, b"0 1 0 1", "is not an image")
with_content("image of nothing but zeros", IMAGE, bytes(5000), "is not an image", "zero bytes")
with_content("Git LFS pointer", IMAGE, b"version https://git-lfs.github.com/spec/v1\noid 1", "git lfs pull")
with_content("web page saved as an image", IMAGE, b"<!DOCTYPE html><html>404</html>", "it is a web page")
with_content("SVG", IMAGE, b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is an SVG drawing")
with_content("PDF", IMAGE, b"%PDF-1.4 ...", "it is a PDF")
with_content("ZIP archive", IMAGE, b"PK\x03\x04" + bytes(40), "it is a ZIP archive")
with_content("gzip archive", MASK, b"\x1f\x8b\x08" + bytes(40), "it is a gzip archive")
with_content("NumPy array", MASK, b"\x93NUMPY\x01\x00v\x00{'descr'", "it is a NumPy array")
with_content("HEIC photograph", IMAGE, b"\0\0\0\x18ftypheic" + bytes(40), "HEIC or AVIF")
with_content("EPS, which would start a program", IMAGE, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an")
with_content("PNG signature and no more", IMAGE, b"\x89PNG\r\n\x1a\n", "images/002.png")
with_content("truncated PNG image", IMAGE, cut, "does not decode", "truncated")
with_content("truncated PNG mask", MASK, cut, "does not decode", "truncated")
with_content("PNG without its last byte", IMAGE, lambda content: content[:-1], "truncated")
with_content("truncated JPEG under a PNG's name", IMAGE, JPEG[:-200], "does not decode", "truncated")
with_content("JPEG header without pixels", IMAGE, JPEG[:30], "images/002.png")
with_content("truncated GIF", IMAGE, cut(encoded(Image.fromarray(NOISE).quantize(64), "GIF")), "does not decode")
with_content("truncated BMP", IMAGE, cut(encoded(Image.fromarray(NOISE), "BMP")), "does not decode", "truncated")
with_content("truncated TIFF", IMAGE, cut(encoded(Image.fromarray(NOISE), "TIFF")), "images/002.png")
with_content("truncated WEBP", IMAGE, cut(encoded(Image.fromarray(NOISE), "WEBP")), "images/002.png")
with_content("flipped bit in an image", IMAGE, flipped, "does not decode", "checksum")
with_content("flipped bit in a mask", MASK, flipped, "does not decode", "checksum")
with_content(
    "PNG whose pixels are no zlib stream",
    IMAGE,
    png_file(struct.pack(">IIBBBBB", 32, 24, 8, 2, 0, 0, 0), b"not compressed"),
    "does not decode",
)
with_content(
    "PNG whose pixels stop early under right checksums",
    IMAGE,
    png_file(struct.pack(">IIBBBBB", 32, 24, 8, 0, 0, 0, 0), zlib.compress(NOISE[:, :, 0].tobytes())[:400]),
    "does not decode",
)
with_content(
    "PNG of no width", IMAGE, png_file(struct.pack(">IIBBBBB", 0, 24, 8, 0, 0, 0, 0), zlib.compress(b"")), "images/002"
)
with_content(
    "decompression bomb",
    IMAGE,
    BOMB,
    "30000 x 30000 = 900,000,000 pixels",
    "--config.data.max_pixels=900000000",
)
with_content("bomb for a mask", MASK, BOMB, "900,000,000 pixels")
with_content("image above the limit set", IMAGE, encoded(Image.new("L", (600, 500)), "PNG"), "300,000", max_pixels=2000)
with_content("image of 32-bit fractions", IMAGE, encoded(Image.new("F", (32, 24), 0.5), "TIFF"), "32-bit fractions")
with_content(
    "image of 32-bit integers",
    IMAGE,
    encoded(Image.fromarray(np.full((24, 32), 10**6, np.int32)), "TIFF"),
    "32-bit",
    "1000000",
)

# Sizes.
with_content("mask of another size", MASK, encoded(Image.new("L", (31, 24)), "PNG"), "31 x 24", "32 x 24", IMAGE)
with_content("mask turned by 90 degrees", MASK, encoded(Image.new("L", (24, 32)), "PNG"), "24 x 32", "32 x 24")
EXIF = Image.Exif()
EXIF[0x0112] = 6
with_content(
    "mask drawn on an unturned photograph",
    IMAGE,
    encoded(Image.fromarray(NOISE), "JPEG", exif=EXIF),
    "EXIF orientation 6",
    "24 x 32",
)

# Labels.
VALUES = np.zeros((24, 32), np.uint8)
VALUES[3, 4:9] = 7
with_content("value outside the table", MASK, encoded(Image.fromarray(VALUES), "PNG"), "7 (5 pixels)", **IDS)
with_content(
    "16-bit value outside the table",
    MASK,
    encoded(Image.fromarray(VALUES.astype(np.uint16) * 999), "PNG"),
    "6993 (5 pixels)",
    **IDS,
)
with_content("4-bit value outside the table", MASK, png_grey(VALUES, 4), "7 (5 pixels)", **IDS)
with_content(
    "palette index outside the table", MASK, encoded(Image.fromarray(NOISE).quantize(9), "PNG"), "no class", **IDS
)
with_content("colour image for ids", MASK, encoded(Image.fromarray(NOISE), "PNG"), "is a colour image", **IDS)
with_content(
    "colour outside the table",
    MASK,
    encoded(Image.new("RGB", (32, 24), (1, 2, 3)), "PNG"),
    "(1, 2, 3) (768 pixels)",
    **COLORS,
)
with_content(
    "palette colour outside the table",
    MASK,
    encoded(Image.new("RGB", (32, 24), (9, 8, 7)).quantize(2), "PNG"),
    "(9, 8, 7)",
    **COLORS,
)
with_content(
    "16-bit mask for colours",
    MASK,
    encoded(Image.fromarray(VALUES.astype(np.uint16) * 999), "PNG"),
    "not colours",
    **COLORS,
)
with_content("JPEG mask for ids", MASK, encoded(Image.fromarray(NOISE[:, :, 0]), "JPEG"), "is a JPEG", **IDS)
with_content("JPEG mask for colours", MASK, JPEG, "is a JPEG", **COLORS)
with_content("mask of fractions", MASK, encoded(Image.new("F", (32, 24), 0.5), "TIFF"), "no class ids", **IDS)
with_content("mask with nan", MASK, encoded(Image.new("F", (32, 24), float("nan")), "TIFF"), "no class ids", **IDS)


# Files that are missing, doubled or not files.
@case("images/002.png", "an image without a mask", "masks/ has no '002'")
def image_without_mask(root):
    os.remove(root / MASK)


@case("masks/002.png", "a mask without an image", "images/ has no '002'")
def mask_without_image(root):
    os.remove(root / IMAGE)


@case("images/002.png", "an image without a mask", "(there is masks/002_other.png)")
def mask_with_another_stem(root):
    os.rename(root / MASK, root / "masks" / "002_other.png")


@case("images/002.png", "masks/002.npy has no image's suffix")
def mask_with_a_suffix_of_no_image(root):
    os.rename(root / MASK, root / "masks" / "002.npy")


@case("images/002.png", "has the same stem as images/002.jpg")
def two_images_of_one_stem(root):
    save(root / "images" / "002.jpg", NOISE)


@case("masks/002.tif", "has the same stem as masks/002.png")
def two_masks_of_one_stem(root):
    save(root / "masks" / "002.tif", VALUES)


@case("images/002.png", "is not a regular file (a link to /nowhere/a.png, which is not there)")
def dangling_link(root):
    os.remove(root / IMAGE)
    os.symlink("/nowhere/a.png", root / IMAGE)


@case("images/002.png", "is not a regular file")
def pipe_that_would_be_waited_for(root):
    os.remove(root / IMAGE)
    os.mkfifo(root / IMAGE)


@case("new\\nline\\x1b[31m.png", "is empty (0 bytes)")
def control_characters_in_a_name(root):
    (root / "images" / "new\nline\x1b[31m.png").write_bytes(b"")
    save(root / "masks" / "new\nline\x1b[31m.png", VALUES)


@case("bytes\\xff.png", "an image without a mask")
def name_that_is_not_unicode(root):
    save(os.path.join(root, "images", os.fsdecode(b"bytes\xff.png")), NOISE)


# Folders.
@case("does not exist (config.data.path)")
def no_folder(root):
    shutil.rmtree(root)


@case("is a file, not a folder")
def file_for_a_folder(root):
    shutil.rmtree(root)
    root.write_bytes(b"")


@case("has no images/ and masks/", "it is empty")
def empty_folder(root):
    shutil.rmtree(root)
    root.mkdir()


@case("has no images/ and masks/", "it holds first, second")
def folders_of_other_names(root):
    os.rename(root / "images", root / "first")
    os.rename(root / "masks", root / "second")


@case("no pair of an image and a mask", "masks/ does not exist")
def no_masks_at_all(root):
    shutil.rmtree(root / "masks")


@case("no pair of an image and a mask", "images/ holds no image", "masks/ holds no image")
def empty_images_and_masks(root):
    for kind in ("images", "masks"):
        shutil.rmtree(root / kind)
        (root / kind).mkdir()


@case("no pair of an image and a mask", "no image and mask have the same stem")
def no_stem_in_common(root):
    for path in (root / "masks").iterdir():
        path.rename(path.with_name("m" + path.name))


@case("holds 1 pair", "one is needed to train on and another to evaluate")
def a_single_pair(root):
    for path in [*root.glob("*/*")]:
        if path.stem != "002":
            path.unlink()


@case("has val/ but no train/")
def validation_folder_alone(root):
    (root / "val").mkdir()
    for kind in ("images", "masks"):
        os.rename(root / kind, root / "val" / kind)


# Lists.
def lists(root: pathlib.Path, train: str | bytes | None, val: str | bytes | None) -> None:
    for name, content in (("train.txt", train), ("val.txt", val)):
        if content is not None:
            (root / name).write_bytes(content.encode() if isinstance(content, str) else content)


@case("train.txt: the train split is empty")
def empty_training_list(root):
    lists(root, "", "001\n")


@case("val.txt: the validation split is empty")
def empty_validation_list(root):
    lists(root, "001\n", "\n \n")


@case("val.txt: does not exist, but train.txt does")
def one_list_alone(root):
    lists(root, "001\n", None)


@case("train.txt:2: no image '0002'", "Did you mean '002'?")
def listed_file_that_is_not_there(root):
    lists(root, "001\n0002\n", "003\n")


@case("val.txt:2: images/001.png stands in train.txt:1 already", "what is trained on cannot be held out")
def image_in_both_lists(root):
    lists(root, "001\n", "003\n001\n")


@case("train.txt:2: images/001.png stands in train.txt:1 already")
def image_twice_in_a_list(root):
    lists(root, "001\nimages/001.png\n", "003\n")


@case("train.txt:1: the mask 'masks/gone.png' does not exist")
def listed_mask_that_is_not_there(root):
    lists(root, "images/001.png\tmasks/gone.png\n", "003\n")


@case("train.txt:1: has 3 fields", "one TAB and a mask's path")
def line_with_three_fields(root):
    lists(root, "images/001.png\tmasks/001.png\t1\n", "003\n")


@case("train.txt:1:", "an image without a mask")
def listed_image_without_a_mask(root):
    os.remove(root / "masks" / "001.png")
    lists(root, "001\n002\n", "003\n")


@case("train.txt:1: '1' could be", "images/1.png", "more/images/1.png", "write its path")
def stem_that_means_two_images(root):
    for place in (root, root / "more"):
        image, mask = picture(1)
        save(place / "images" / "1.png", image)
        save(place / "masks" / "1.png", mask)
    lists(root, "1\n", "003\n")


@case("train.txt: is not a text file in UTF-8")
def list_in_utf_16(root):
    lists(root, "001\n002\n".encode("utf-16"), "003\n")


@case("train.txt: does not exist, but val.txt does")
def list_that_is_a_folder(root):
    (root / "train.txt").mkdir()
    lists(root, None, "003\n")

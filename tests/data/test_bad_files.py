"""Whatever is wrong with a folder, one message names the file and the reason: in training and in the check."""

from __future__ import annotations

import pytest

from tests.data.bad_cases import CASES
from tests.data.making import config_for, make_folder
from trainer.data import DataError, check_data, data_error_from, open_data, training_batches


def first_error(config) -> str:
    """The error of a training run: at its start, or when it reads the file in its first epoch."""
    try:
        train = open_data(config).train
        validation = open_data(config).validation
        for index in range(len(validation)):
            validation.load(index)
    except DataError as error:
        return str(error)
    with pytest.raises(Exception) as caught:
        for _ in training_batches(train, config, start_step=0, steps=len(train)):
            pass
    found = data_error_from(caught.value)
    assert found is not None, f"no DataError behind {caught.value!r}"
    return str(found)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_message_names_the_file_and_the_reason(case, tmp_path):
    root = tmp_path / "data"
    make_folder(root)
    config = config_for(root, **case.fields)
    assert check_data(config).ok, "the folder has to be good before it is spoilt"
    case.spoil(root)
    report = check_data(config)
    assert not report.ok
    for text in (first_error(config), report.text()):
        for words in case.says:
            assert words in text, f"{words!r} is not in: {text}"
        assert "Traceback" not in text and "\x1b" not in text
        text.encode("utf-8")


def test_there_are_sixty_cases_and_no_two_alike():
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


def test_all_bad_files_are_named_at_once(tmp_path):
    make_folder(tmp_path, 8)
    (tmp_path / "images" / "001.png").write_bytes(b"")
    (tmp_path / "masks" / "001.png").write_bytes(b"text")
    (tmp_path / "images" / "003.png").unlink()
    path = tmp_path / "masks" / "005.png"
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(DataError) as caught:
        open_data(config_for(tmp_path))
    for name in ("images/001.png: is empty", "masks/001.png: is not an image", "masks/003.png: a mask without"):
        assert name in str(caught.value)
    report = check_data(config_for(tmp_path))
    assert len(report.problems) == 4
    assert "masks/005.png: is not an image: it begins as a PNG" in report.text() and "4 problems:" in report.text()


def test_a_thousand_bad_files_do_not_flood_the_terminal(tmp_path):
    make_folder(tmp_path, 2)
    for number in range(1000):
        (tmp_path / "images" / f"x{number}.png").write_bytes(b"")
    with pytest.raises(DataError, match="1000 images without masks") as caught:
        open_data(config_for(tmp_path))
    assert str(caught.value).count("\n") < 10

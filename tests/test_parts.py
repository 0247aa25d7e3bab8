"""A part by name or as an object; what a wrong name is answered with."""

import importlib
import sys

import pytest

import trainer
from trainer.errors import UserError
from trainer.parts import name_of, resolve

BUILT_IN = {"dice": 1, "tversky": 2}


def test_a_name_an_object_and_a_reference():
    marker = object()
    assert resolve("dice", "loss", BUILT_IN) == 1
    assert resolve(marker, "loss", BUILT_IN) is marker
    assert resolve("json:dumps", "loss", BUILT_IN)({}) == "{}"


def test_a_wrong_name_lists_what_there_is():
    with pytest.raises(UserError, match=r"loss='dise': .*Did you mean 'dice'\? Built in: dice, tversky\. .*package"):
        resolve("dise", "loss", BUILT_IN)
    with pytest.raises(UserError, match="Did you mean json:dump"):
        resolve("json:dump5", "loss")


@pytest.mark.parametrize("module", ["losses", "trainer", "configs"])
def test_a_file_in_the_current_directory_is_not_shadowed_by_a_package_of_ours(tmp_path, monkeypatch, module):
    (tmp_path / f"{module}.py").write_text("def mine():\n    return 'the user\\'s'\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert resolve(f"{module}:mine", "loss")() == "the user's"
    import losses

    assert hasattr(losses, "build")  # ours is still ours


def test_a_folder_in_the_current_directory_is_the_users_with_what_it_imports(tmp_path, monkeypatch):
    (tmp_path / "losses").mkdir()
    (tmp_path / "losses" / "dice.py").write_text("def overlap():\n    return 'mine'\n", encoding="utf-8")
    (tmp_path / "losses" / "sums.py").write_text(
        "from .dice import overlap\n\n\nclass Sum:\n    @staticmethod\n    def of():\n        return overlap()\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    assert resolve("losses.sums:Sum.of", "loss")() == "mine"
    with pytest.raises(UserError, match="'Sum.off' does not exist in .*sums.py"):
        resolve("losses.sums:Sum.off", "loss")
    assert resolve("losses.overlap:dice", "loss").__module__ == "losses.overlap"  # ours, where the user has none


def test_objects_go_by_where_they_are_defined():
    assert name_of("unet") == "unet"
    assert name_of(resolve) == "trainer.parts:resolve"
    assert name_of(UserError("x")) == "trainer.errors:UserError"


def test_a_package_of_ours_imported_in_place_of_the_users_file_is_named(tmp_path, monkeypatch):
    (tmp_path / "losses.py").write_text("def mine():\n    pass\n", encoding="utf-8")
    (tmp_path / "own_nets.py").write_text("from losses import mine\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="'losses' is a package of Gradline's: write `from . import losses`"):
        resolve("own_nets:net", "model")


def test_files_beside_a_script_are_not_taken_for_packages_of_ours(tmp_path, monkeypatch):
    (tmp_path / "losses.py").write_text("def mine():\n    pass\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "losses")
    assert trainer.UserError is UserError
    assert sys.modules["losses"].__path__  # the package, though the file is found first
    monkeypatch.delitem(sys.modules, "losses")
    importlib.import_module("losses")
    with pytest.raises(ImportError, match=r"losses\.py has been imported as 'losses'.*my_losses.*'losses:NAME'"):
        trainer.Run  # noqa: B018

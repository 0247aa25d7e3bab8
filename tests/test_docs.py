"""The documentation's programs run, and its commands are commands."""

from __future__ import annotations

import pathlib
import re
import shlex

import pytest

import main
from configs.reading import serialization
from configs.schema import Config

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
HOW_TO = sorted((ROOT / "docs" / "howto").glob("*.md"))


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_the_programs_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = "\n".join(
        re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    )
    path = tmp_path / "program.py"
    path.write_text(program, encoding="utf-8")
    exec(compile(program, str(path), "exec"), {"__name__": "program"})


def commands(page: pathlib.Path) -> list[list[str]]:
    """The arguments of each `python main.py …` that is written out: no "…" and no alternatives in it."""
    found = re.findall(r"python main\.py([^`\n]*)", page.read_text(encoding="utf-8"))
    words = [shlex.split(text, comments=True) for text in found if not re.search("[…|<>&]", text)]
    return [arguments for arguments in words if not {"--help", "--helpfull", "--flags"} & {*arguments}]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_are_read(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Modules of the reader's own that the pages speak of.
    for module in ("my_models", "my_losses", "my_module"):
        pathlib.Path(f"{module}.py").write_text("", encoding="utf-8")
    for arguments in commands(page):
        for argument in arguments:
            name, _, value = argument.partition("=")
            if name in ("--workdir", "--runs", "--ensemble"):
                pathlib.Path(value).mkdir(parents=True, exist_ok=True)
                pathlib.Path(value, "config.json").write_text(serialization.to_json(Config()), encoding="utf-8")
            elif name in ("--input", "--config.data.path", "--config.checkpoint.warm_start", "--checkpoint"):
                if value not in ("best", "latest"):
                    pathlib.Path(value).mkdir(parents=True, exist_ok=True)
            elif name == "--config" and not (ROOT / value).is_file():
                pathlib.Path(value).parent.mkdir(parents=True, exist_ok=True)
                pathlib.Path(value).write_text(
                    (ROOT / "configs" / "nuclei.py").read_text(encoding="utf-8"), encoding="utf-8"
                )
            elif name == "--config":
                arguments = [f"--config={ROOT / value}" if a == argument else a for a in arguments]
        main.read(arguments)

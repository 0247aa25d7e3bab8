"""Reads a run's folder: the contents of its files, and in words which are missing or cannot be read."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from configs.reading import fields
from configs.reading.migration import KEY
from configs.schema import Config
from trainer.reporting.evaluation_record import CROPS_FILE, PICTURES
from trainer.reporting.records import (
    BAD_FILES_FILE,
    CONFIG_FILE,
    EVALUATION_FILE,
    GUARD_FILE,
    METRICS_FILE,
    RUN_FILE,
    jsonable,
    read_metrics,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder:
    """The contents of a run's folder.

    Attributes:
      path: the folder, as given.
      config: field -> value, as in config.json; fields may be absent in a run of an earlier version.
      description: run.json; empty if there is none.
      train, evaluations: the lines of metrics.jsonl of either kind.
      evaluation: evaluation.json; empty if nothing was evaluated.
      guard: the lines of guard.jsonl.
      bad_files: split -> name -> why it was left out.
      problems: what could not be read, in words.
    """

    path: str
    config: Mapping[str, Any]
    description: Mapping[str, Any]
    train: tuple[Mapping[str, Any], ...]
    evaluations: tuple[Mapping[str, Any], ...]
    evaluation: Mapping[str, Any]
    guard: tuple[Mapping[str, Any], ...]
    bad_files: Mapping[str, Mapping[str, str]]
    problems: tuple[str, ...]

    @property
    def name(self) -> str:
        return str(self.description.get("name") or self.config.get("name") or os.path.basename(self.path))

    def changed(self) -> list[tuple[str, Any, Any]]:
        """(field, value, default) of the settings that differ from the defaults."""
        default = default_settings()
        return [
            (field, value, default.get(field))
            for field, value in self.config.items()
            if field not in default or value != default[field]
        ]

    def picture(self, file: str) -> str:
        """A picture as a data URI; empty if it does not exist, or is outside this folder."""
        path = os.path.join(self.path, file)
        inside = os.path.realpath(path).startswith(os.path.realpath(self.path) + os.sep)
        if not file.endswith(".webp") or not inside or not os.path.isfile(path):
            return ""
        with open(path, "rb") as opened:
            return "data:image/webp;base64," + base64.b64encode(opened.read()).decode()

    def crops(self) -> str:
        """The picture of training crops as a data URI, or empty."""
        return self.picture(f"{PICTURES}/{CROPS_FILE}")


def read_folder(path: str) -> Folder:
    """Reads whatever exists; see `Folder`."""
    problems: list[str] = []

    def content(name: str) -> dict:
        try:
            with open(os.path.join(path, name), encoding="utf-8") as file:
                found = json.load(file)
            if isinstance(found, dict):
                return found
            problems.append(f"{name} holds no JSON object.")
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            problems.append(f"{name} cannot be read: {error}.")
        return {}

    def lines(name: str) -> list[dict]:
        try:
            return read_metrics(os.path.join(path, name))
        except OSError as error:
            problems.append(f"{name} cannot be read: {error.strerror}.")
            return []

    metrics = lines(METRICS_FILE)
    return Folder(
        path=path,
        config=leaves(content(CONFIG_FILE)),
        description=content(RUN_FILE),
        train=tuple(record for record in metrics if record.get("kind") == "train"),
        evaluations=tuple(record for record in metrics if record.get("kind") == "eval"),
        evaluation=content(EVALUATION_FILE),
        guard=tuple(lines(GUARD_FILE)),
        bad_files={k: v for k, v in content(BAD_FILES_FILE).items() if isinstance(v, dict) and v},
        problems=tuple(problems),
    )


def leaves(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Field -> value of a config.json, without its entries besides the config."""
    found: dict[str, Any] = {}
    sections = fields.sections()
    for name, value in tree.items():
        if name in sections and isinstance(value, dict):
            found |= {f"{name}.{inner}": inner_value for inner, inner_value in value.items()}
        elif not isinstance(value, dict) and name != KEY:
            found[name] = value
    return found


def default_settings() -> dict[str, Any]:
    """Field -> default, in JSON's types."""
    return leaves(jsonable(dataclasses.asdict(Config())))

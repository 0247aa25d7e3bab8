"""nnU-Net's dataset.json: channels, labels with the one that is ignored, and how files end. In 2-D and in 3-D alike."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.files import read_json

FILE = "dataset.json"


@dataclasses.dataclass(frozen=True)
class Description:
    """What dataset.json says.

    channels: a name for each, in the order of the files' numbers: CASE_0000, CASE_0001.
    labels: name -> id, without the ignored one.
    ignore: the id that counts nowhere; None where there is none.
    file_ending: ".png", ".nii.gz", …; "" where it is not said, as in nnU-Net's first version.
    regions: name -> the ids that it unites, where labels are regions that overlap; empty otherwise.
    cases: (image, label) as the first version lists them, relative to the folder; empty where files say it.
    """

    channels: tuple[str, ...]
    labels: Mapping[str, int]
    ignore: int | None = None
    file_ending: str = ""
    regions: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    cases: tuple[tuple[str, str], ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names by id; an id between them that no name has is "class_3"."""
        by_id = {number: name for name, number in self.labels.items()}
        return tuple(by_id.get(number, f"class_{number}") for number in range(max(by_id, default=-1) + 1))


def read_description(folder: str) -> Description:
    """Reads FOLDER/dataset.json, of nnU-Net's second version (channel_names, labels by name) or first (modality).

    Raises:
      DataError: it is missing, no JSON, or says something else; names file and field.
    """
    path = os.path.join(folder, FILE)
    content, at = read_json(path), shown(path)
    if not isinstance(content, Mapping):
        raise DataError(f"{at}: is not nnU-Net's: it has no channel_names and labels.")
    channels = content.get("channel_names", content.get("modality"))
    if isinstance(channels, list):
        channels = dict(enumerate(channels))
    if not isinstance(channels, Mapping) or not channels:
        raise DataError(f'{at}: has no "channel_names", as {{"0": "red"}}. Received: {str(channels)[:60]}')
    order = {}
    for key, name in channels.items():
        if not str(key).isdigit():
            raise DataError(f"{at}: channel_names: {key!r} is no number of a channel.")
        order[int(key)] = str(name)
    labels, regions, ignore = {}, {}, None
    given = content.get("labels")
    if not isinstance(given, Mapping) or not given:
        raise DataError(f'{at}: has no "labels", as {{"background": 0, "cell": 1}}. Received: {str(given)[:60]}')
    for key, value in given.items():
        name, number = (str(value), key) if str(key).isdigit() and isinstance(value, str) else (str(key), value)
        if isinstance(number, (list, tuple)):
            regions[name] = tuple(_whole(one, f"{at}: labels: {name!r}") for one in number)
            continue
        number = _whole(number, f"{at}: labels: {name!r}")
        if name.lower() == "ignore":
            ignore = number
        elif number in labels.values():
            twin = next(other for other, id_ in labels.items() if id_ == number)
            raise DataError(f"{at}: labels: {name!r} and {twin!r} are both {number}.")
        else:
            labels[name] = number
    ending = content.get("file_ending", "")
    if not isinstance(ending, str):
        raise DataError(f'{at}: file_ending has to be text, as ".png". Received: {ending!r}')
    cases = []
    for item in content.get("training") or []:
        if isinstance(item, Mapping) and isinstance(item.get("image"), str) and isinstance(item.get("label"), str):
            cases.append((os.path.normpath(item["image"]), os.path.normpath(item["label"])))
    ordered = tuple(order[number] for number in sorted(order))
    return Description(ordered, labels, ignore, ending, regions, tuple(cases))


def _whole(value, at: str) -> int:
    try:
        number = int(value)
        if number != float(value) or number < 0 or isinstance(value, bool):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise DataError(f"{at}: its id has to be a whole number from 0. Received: {value!r}") from error
    return number

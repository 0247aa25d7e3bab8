"""nnU-Net's dataset.json, in 2-D and in 3-D: channels, labels with the ignored one, and the ending of files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.descriptions import read_json

FILE = "dataset.json"


@dataclasses.dataclass(frozen=True)
class Description:
    """The contents of dataset.json.

    channels: a name for each, in the order of the files' numbers: CASE_0000, CASE_0001.
    labels: name -> id, without the ignored one.
    ignore: the id that is not counted; None if there is none.
    file_ending: ".png", ".nii.gz", …; "" if unknown, as in nnU-Net's first version.
    regions: name -> the ids that it unites, where labels are regions that overlap; empty otherwise.
    order: names of regions and labels except the background, in the file's order.
    region_values: the values for predictions, one for each of `order` (regions_class_order); empty if not given.
    cases: (image, label) as listed in the first version, relative to the folder; empty where files decide.
    """

    channels: tuple[str, ...]
    labels: Mapping[str, int]
    ignore: int | None = None
    file_ending: str = ""
    regions: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    cases: tuple[tuple[str, str], ...] = ()
    order: tuple[str, ...] = ()
    region_values: tuple[int, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names by id; an id between them without a name is "class_3"."""
        by_id = {number: name for name, number in self.labels.items()}
        return tuple(by_id.get(number, f"class_{number}") for number in range(max(by_id, default=-1) + 1))


def read_description(folder: str) -> Description:
    """Reads FOLDER/dataset.json, of nnU-Net's second version (channel_names, labels by name) or first (modality).

    Raises:
      DataError: it is missing, not JSON, or has other contents; names file and field.
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
    names = {}
    for key, name in channels.items():
        if not str(key).isdigit():
            raise DataError(f"{at}: channel_names: {key!r} is no number of a channel.")
        names[int(key)] = str(name)
    labels, regions, order, ignore = {}, {}, [], None
    given = content.get("labels")
    if not isinstance(given, Mapping) or not given:
        raise DataError(f'{at}: has no "labels", as {{"background": 0, "cell": 1}}. Received: {str(given)[:60]}')
    # As in nnU-Net: lists of a single id each are plain labels.
    united = any(isinstance(value, list) and len(value) > 1 for value in given.values())
    for key, value in given.items():
        if isinstance(value, list) and len(value) == 1 and (not united or key.lower() == "ignore" or value == [0]):
            value = value[0]
        name, number = (str(value), key) if str(key).isdigit() and isinstance(value, str) else (str(key), value)
        if isinstance(number, (list, tuple)):
            if not number or name.lower() == "ignore":
                raise DataError(f"{at}: labels: {name!r} has to be {'one id' if number else 'an id, or several'}.")
            regions[name] = tuple(dict.fromkeys(_whole(part, f"{at}: labels: {name!r}") for part in number))
            order.append(name)
            continue
        number = _whole(number, f"{at}: labels: {name!r}")
        if name.lower() == "ignore":
            ignore = number
        elif number in labels.values():
            twin = next(other for other, id_ in labels.items() if id_ == number)
            raise DataError(f"{at}: labels: {name!r} and {twin!r} are both {number}.")
        else:
            labels[name] = number
            order += [name] if number else []
    ending = content.get("file_ending", "")
    if not isinstance(ending, str):
        raise DataError(f'{at}: file_ending has to be text, as ".png". Received: {ending!r}')
    cases = []
    for item in content.get("training") or []:
        if isinstance(item, Mapping) and isinstance(item.get("image"), str) and isinstance(item.get("label"), str):
            cases.append((os.path.normpath(item["image"]), os.path.normpath(item["label"])))
    ordered = tuple(names[number] for number in sorted(names))
    values = _region_values(content.get("regions_class_order"), order, at) if regions else ()
    return Description(ordered, labels, ignore, ending, regions, tuple(cases), tuple(order), values)


def _region_values(given, order: list[str], at: str) -> tuple[int, ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) != len(order):
        raise DataError(
            f"{at}: regions_class_order has to have an id for each of {', '.join(order)}. Received: {str(given)[:60]}"
        )
    return tuple(_whole(part, f"{at}: regions_class_order") for part in given)


def _whole(value, at: str) -> int:
    try:
        number = int(value)
        if number != float(value) or number < 0 or isinstance(value, bool):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise DataError(f"{at}: its id has to be a whole number from 0. Received: {value!r}") from error
    return number

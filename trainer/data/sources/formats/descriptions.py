"""Reads JSON, XML, YAML and CSV files that describe data, with the file and the line in every message."""

from __future__ import annotations

import csv
import json
import os
import xml.etree.ElementTree
from typing import Any

from trainer.data.errors import DataError, shown


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read: {error.strerror or error}.") from error
    if not content.strip():
        raise DataError(f"{shown(path)}: is empty ({len(content)} bytes).")
    return content


def read_text(path: str, otherwise: str = "") -> str:
    """Reads a text file in UTF-8, with or without a byte order mark, or in UTF-16 with one; line ends become \\n.

    Args:
      path: the file.
      otherwise: the encoding of files that are not UTF-8: a release may be older than its general use.

    Raises:
      DataError: it cannot be read, is empty, or is in another encoding.
    """
    content = _content(path)
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if not otherwise:
            raise DataError(f"{shown(path)}: is not text in UTF-8 (byte {error.start}).") from error
        text = content.decode(otherwise)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: str, otherwise: str = "") -> Any:
    """The content of a JSON file; `otherwise` as in `read_text`.

    Raises:
      DataError: it cannot be read, or is not JSON; names the line.
    """
    try:
        return json.loads(read_text(path, otherwise))
    except json.JSONDecodeError as error:
        raise DataError(f"{shown(path)}: is not JSON: line {error.lineno}: {error.msg}.") from error
    except RecursionError as error:
        raise DataError(f"{shown(path)}: is not JSON: nested too deeply.") from error


def read_xml(path: str) -> xml.etree.ElementTree.Element:
    """The root of an XML file. Document types, which may define entities that grow without end, are refused.

    Raises:
      DataError: it cannot be read, or is not XML; names the line.
    """
    content = _content(path)
    if b"<!ENTITY" in content:
        raise DataError(f"{shown(path)}: defines entities, which are not read.")
    try:
        return xml.etree.ElementTree.fromstring(content.lstrip())
    except (xml.etree.ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError(f"{shown(path)}: is not XML: {error}.") from error


def read_yaml(path: str) -> Any:
    """The content of a YAML file.

    Raises:
      DataError: it cannot be read, or is not YAML, or the package is missing.
    """
    text = read_text(path)
    try:
        import yaml
    except ImportError as error:
        raise DataError(f"{shown(path)}: YAML files are read by PyYAML: pip install pyyaml") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise DataError(f"{shown(path)}: is not YAML: {where}{getattr(error, 'problem', None) or error}.") from error


def read_rows(path: str) -> list[tuple[int, list[str]]]:
    """(line number, fields) of a CSV file with commas, semicolons or tabs; empty lines are left out."""
    lines = read_text(path).split("\n")
    first = next((line for line in lines if line.strip()), "")
    separator = max(",;\t", key=first.count)
    rows = []
    for number, fields in enumerate(csv.reader(lines, delimiter=separator), start=1):
        fields = [field.strip() for field in fields]
        if any(fields):
            rows.append((number, fields))
    return rows


def stem_of(path: str) -> str:
    """The file's name without folder and suffix."""
    return os.path.splitext(os.path.basename(path))[0]

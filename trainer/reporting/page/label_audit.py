"""audit.html: labels that are probably wrong, with pictures, made from audit.json."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any

from trainer.reporting.page.rendering import MOST_BYTES, render
from trainer.reporting.records import write_whole

PAGE_FILE = "audit.html"
# Images in the table; audit.csv has all.
_MOST_IMAGES = 200
# Claims under a picture.
_MOST_CLAIMS = 8


def write_page(workdir: str, content: Mapping[str, Any]) -> None:
    """Writes audit.html.

    Raises:
      OSError: a picture cannot be read, or the page cannot be written.
    """
    pictures = []
    by_name = {image["name"]: image for image in content["images"]}
    for each in content["pictures"]:
        with open(os.path.join(workdir, each["file"]), "rb") as file:
            source = "data:image/webp;base64," + base64.b64encode(file.read()).decode()
        pictures.append({**each, "source": source, "image": by_name[each["name"]]})
    claimed = [image for image in content["images"] if image["claims"]]

    def page() -> str:
        return render(
            "audit.html",
            title=os.path.basename(os.path.normpath(workdir)),
            content=content,
            claimed=claimed[:_MOST_IMAGES],
            left_out=max(0, len(claimed) - _MOST_IMAGES),
            pictures=pictures,
            most=_MOST_CLAIMS,
        )

    text = page()
    while len(text.encode()) > MOST_BYTES and pictures:
        pictures.pop()
        text = page()
    write_whole(os.path.join(workdir, PAGE_FILE), text.encode())

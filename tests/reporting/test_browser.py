"""The page in a real browser: it fits a phone, and is dark where the reader's screen is."""

import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from tests.reporting.test_report_page import folder  # noqa: F401 - a fixture

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")


def browse(tmp_path, *flags):
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", *flags]
    return subprocess.run(command, capture_output=True, timeout=120, check=True).stdout.decode()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, 0), (1280, 1)])
def test_the_page_fits_its_screen_in_the_colours_of_it(folder, tmp_path, width, scheme):  # noqa: F811
    """What it measures is said by a script that is added here, for the page has none."""
    with open(f"{folder}/report.html", encoding="utf-8") as file:
        text = file.read()
    before, policy, after = text.partition("default-src 'none'")
    assert policy
    measure = (
        "<script>addEventListener('load', () => { document.querySelectorAll('details').forEach(d => d.open = true);"
        "document.title = [innerWidth, document.documentElement.scrollWidth,"
        "[...document.images].filter(i => !i.naturalWidth).length,"
        "[...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().width < 250).length].join(' ')"
        "})</script>"
    )
    measured = before + "default-src 'none'; script-src 'unsafe-inline'" + after.replace("</body>", f"{measure}</body>")
    path = tmp_path / "page.html"
    # Headless Chromium has windows of 500 pixels at least: the page is put into a narrower frame.
    path.write_text(measured.replace("<body>", f'<body style="width: {width}px">', 1), encoding="utf-8")
    window = f"--window-size={max(width, 500)},1600"
    colors = f"--blink-settings=preferredColorScheme={scheme}"
    title = browse(tmp_path, window, colors, "--dump-dom", path.as_uri()).partition("<title>")[2].partition("<")[0]
    inner, whole, broken_pictures, small_drawings = map(int, title.split())
    assert whole <= inner and broken_pictures == 0 and small_drawings == 0, title
    picture = tmp_path / "page.png"
    browse(tmp_path, window, colors, f"--screenshot={picture}", path.as_uri())
    pixels = np.asarray(Image.open(picture).convert("L"))
    assert (np.median(pixels) < 60) == (scheme == 0) and pixels.std() > 10

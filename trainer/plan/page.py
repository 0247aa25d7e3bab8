"""plan.html: the data and the choices made for them, as a page in one file that loads nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from configs.reading import fields
from configs.schema import Data
from trainer.data.errors import DataError
from trainer.data.example import Example
from trainer.plan.choice import size
from trainer.plan.fingerprint import Fingerprint, example_of
from trainer.reporting.page import figures
from trainer.reporting.page.rendering import render
from trainer.reporting.panels import class_colors, overlay, stretch
from trainer.reporting.volume_panels import volume_overlay

PAGE_FILE = "plan.html"
_SIDE = 224
_UNUSUAL, _USUAL = 6, 2
_BINS = 48


def pictures(found: Fingerprint, reader, section: Data) -> list[dict]:
    """The most unusual examples, and two of the most usual to compare them with: name, why, and the picture.

    Args:
      found: the fingerprint.
      reader: that of the training split.
      section: the data section by which it is read.
    """
    wanted = [*found.unusual(_UNUSUAL), *((name, "as most are") for name in found.usual(_USUAL))]
    places, out = {name: number for number, name in enumerate(reader.names)}, []
    for name, why in dict(reversed(wanted)).items():
        try:
            example = example_of(reader, places[name], section)
        except DataError:
            continue  # It is one of those that could not be read.
        out.insert(0, {"name": name, "why": why, "source": _uri(_picture(example, _painted(found)))})
    return out


def _painted(found: Fingerprint) -> list[str]:
    """Names by which classes get their colours: the ground gets none, whatever its name."""
    return [name if number in found.foreground else "background" for number, name in enumerate(found.classes)]


def _picture(example: Example, classes: Sequence[str]) -> np.ndarray:
    """An image beside itself with its label over it, or three planes of a volume with its label: RGB uint8."""
    if example.label.ndim == 3:
        spacing = tuple(getattr(example, "spacing", ())) or (1.0,) * 3
        return volume_overlay(example.image, example.label, spacing=spacing, box=None, classes=classes, side=_SIDE)
    shown, _, _ = stretch(example.image)
    scale = min(1.0, _SIDE / max(example.size))
    to = tuple(max(1, round(side * scale)) for side in reversed(example.size))
    both = (shown, overlay(shown, example.label, classes=classes))
    return np.concatenate([np.asarray(Image.fromarray(picture).resize(to)) for picture in both], axis=1)


def _uri(picture: np.ndarray) -> str:
    text = io.BytesIO()
    Image.fromarray(picture).save(text, "webp", quality=85)
    return "data:image/webp;base64," + base64.b64encode(text.getvalue()).decode()


def page(made, command: str) -> str:
    """The page's HTML.

    Args:
      made: the `Plan`.
      command: the command that trains it.
    """
    found = made.fingerprint
    diagrams = [_sizes(found), *_intensities(found, made.config.data), _shares(found), *_parts(found)]
    return render(
        "plan.html",
        name=made.config.name,
        found=found,
        classes=_classes(found),
        sizes=size(found.median_size),
        spacing=size(np.median(found.spacings, axis=0)) if found.rank == 3 else "",
        diagrams=[{"title": title, "svg": svg, "note": note} for title, svg, note in diagrams],
        pictures=made.pictures,
        notes=made.notes,
        choices=[(choice.field, fields.get(made.config, choice.field), choice.reason) for choice in made.choices],
        measured=made.measured,
        command=command,
    )


def _classes(found: Fingerprint) -> list[dict]:
    rows = []
    for number, name in enumerate(found.classes):
        diameters = found.diameters(number)
        rows.append(
            {
                "name": name,
                "share": float(found.shares[number]),
                "present": int(found.present[number]),
                "parts": len(diameters),
                "diameter": float(np.median(diameters)) if len(diameters) else None,
            }
        )
    return rows


def _sizes(found: Fingerprint) -> tuple[str, str, str]:
    names = ("depth", "height", "width")[-found.rank :]

    def draw(axes):
        low, high = found.sizes.min(), found.sizes.max()
        bins = np.linspace(low - 0.5, high + 0.5, min(_BINS, int(high - low) + 1) + 1)
        for name, sides in zip(names, found.sizes.T, strict=True):
            axes.hist(sides, bins=bins, histtype="step", linewidth=1.5, label=name)
        axes.set_xlabel(found.pixels)
        axes.set_ylabel(found.images)
        axes.legend()

    return "Sizes", figures.svg(draw, "Sizes of the examples"), ""


def _intensities(found: Fingerprint, data: Data) -> list[tuple[str, str, str]]:
    """Foreground and background of each channel, the first four, at the scale that the network sees."""
    names = [name for name in data.bands if name != "-"]
    out = []
    for channel in range(min(found.channels, 4)):
        scaled = data.normalize[min(channel, len(data.normalize) - 1)] == "z_score" and found.rank == 3
        kinds = ([], [])
        for case in found.cases:
            both = np.concatenate([part[:, channel] for part in case.values])
            # Judged by a sample of the volume.
            mean, spread = (both.mean(), max(float(both.std()), 1e-6)) if scaled and len(both) else (0.0, 1.0)
            for kind, part in zip(kinds, case.values, strict=True):
                kind.append((part[:, channel] - mean) / spread)
        inside, outside = (np.concatenate(kind) for kind in kinds)
        low, high = np.percentile(np.concatenate([inside, outside]), (0.5, 99.5))

        def draw(axes, inside=inside, outside=outside, low=low, high=high, scaled=scaled):
            bins = np.linspace(low, max(high, low + 1e-6), _BINS + 1)
            for name, values in (("foreground", inside), ("background", outside)):
                if len(values):
                    weights = np.full(len(values), 1 / len(values))
                    axes.hist(values, bins=bins, weights=weights, histtype="step", linewidth=1.5, label=name)
            axes.set_xlabel("deviations of its volume" if scaled else "value")
            axes.set_ylabel("share")
            axes.legend()

        name = names[channel] if channel < len(names) else f"channel {channel}" if found.channels > 1 else ""
        title = f"Intensities{', ' if name else ''}{name}"
        out.append((title, figures.svg(draw, title), "Each volume by its own mean and deviation." if scaled else ""))
    return out


def _shares(found: Fingerprint) -> tuple[str, str, str]:
    shares = [
        *zip(found.classes, found.shares, strict=False),
        *([("void", found.shares[-1])] if found.shares[-1] else []),
    ]
    shares = sorted(shares, key=lambda pair: -pair[1])[:20][::-1]
    rgb = class_colors(_painted(found))[: len(found.classes)] / 255
    colors = dict(zip(found.classes, map(tuple, rgb.tolist()), strict=True))

    def draw(axes):
        bars = axes.barh([name for name, _ in shares], [share for _, share in shares], height=0.6)
        for bar, (name, share) in zip(bars, shares, strict=True):
            # Black, the background's colour, would be invisible on a dark page.
            color = colors.get(name, (0.5,) * 3)
            bar.set_color(color if any(color) else (0.5,) * 3)
            axes.annotate(f" {share:.2%}", (share, bar.get_y() + bar.get_height() / 2), va="center", fontsize=8)
        axes.set_xlim(0, 1.15)
        axes.set_xlabel(f"share of the {found.pixels}")

    return "Classes", figures.svg(draw, "Share of each class", size=(4.1, 0.8 + 0.3 * max(2, len(shares)))), ""


def _parts(found: Fingerprint) -> list[tuple[str, str, str]]:
    """The sizes of the classes' parts, for the classes with the most."""
    parts = {found.classes[number]: found.diameters(number) for number in found.foreground}
    shown = sorted((name for name in parts if len(parts[name])), key=lambda name: -len(parts[name]))[:6]
    if not shown:
        return []
    unit = "pixels" if found.rank == 2 else "mm"

    def draw(axes):
        every = np.concatenate([parts[name] for name in shown])
        bins = np.geomspace(max(every.min(), 0.5), max(every.max(), 1.0) * 1.01, 25)
        for name in shown:
            axes.hist(parts[name], bins=bins, histtype="step", linewidth=1.5, label=f"\u200b{name}")
        axes.set_xscale("log")
        figures.plain_numbers(axes.xaxis)
        axes.set_xlabel(f"diameter of a connected part, {unit}")
        axes.set_ylabel("parts")
        axes.legend()

    note = "Of the circle or ball of the same size." + (" The six classes with the most." if len(shown) == 6 else "")
    return [("Parts", figures.svg(draw, "Sizes of connected parts"), note)]

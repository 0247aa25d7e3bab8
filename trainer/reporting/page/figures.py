"""Diagrams as SVG that takes its colours from the page: light or dark, and sharp at every size."""

from __future__ import annotations

import dataclasses
import io
import math
import re
import zlib
from collections.abc import Callable, Sequence

# matplotlib writes these; the page's style sheet defines them.
_INK, _FAINT = "#010203", "#040506"
_SERIES = ("#3987d1", "#d97a06", "#0f9d78", "#c2559b", "#8b6fd1", "#8a8d00", "#c8553d", "#5b8aa6")
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
# More lines than this in one diagram cannot be distinguished.
MOST_LINES = 12
_SIZE = (4.1, 2.6)


@dataclasses.dataclass(frozen=True)
class Line:
    """Points of a curve; a value that is None or not finite is a gap. `marks` draws each point."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    marks: bool = False


def svg(draw: Callable, label: str, *, size: tuple[float, float] = _SIZE) -> str:
    """A diagram as an `<svg>` element without a size of its own.

    Args:
      draw: called with matplotlib's axes.
      label: a description, for screen readers.
      size: inches; a browser scales it.
    """
    # Imported here: it takes half a second, which a run without a page should not spend.
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": label,
        "font.size": 9,
        "font.family": "sans-serif",
        "text.color": _INK,
        "axes.edgecolor": _FAINT,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": _FAINT,
        "grid.alpha": 0.4,
        "grid.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": matplotlib.cycler(color=_SERIES),
        "lines.linewidth": 1.6,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "path.simplify": True,
        # A "$" in a class's name is not a formula, and a minus is a minus.
        "text.parse_math": False,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Title": label})
    return _themed(text.getvalue(), label)


def _themed(text: str, label: str) -> str:
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = text.replace(_INK, "var(--ink)").replace(_FAINT, "var(--faint)")
    # A page has several diagrams: ids must not refer to those of another diagram.
    prefix = f"d{zlib.crc32(label.encode()):08x}-"
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}\1"', text)
    # The page's fonts: matplotlib lists fonts that few readers have.
    text = re.sub(r"font: ((?:[\d.]+px|\d+ [\d.]+px)) [^;\"]*", r"font: \1 system-ui, sans-serif", text)
    return text.replace("<svg ", '<svg role="img" ', 1)


def plain_numbers(axis, subs: Sequence[int] = (1, 2, 5)) -> None:
    """Plain numbers on a logarithmic axis: matplotlib writes powers as formulas, which are not parsed here."""
    from matplotlib.ticker import LogLocator

    axis.set_major_locator(LogLocator(subs=subs, numticks=6))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(lambda value, _: "")


def _shown(name: str) -> str:
    """A name for the legend, from which matplotlib leaves out names that begin with an underscore."""
    return f"\u200b{name}" if name.startswith("_") else name


def curves(lines: Sequence[Line], *, x: str, y: str = "", label: str, log: bool = False, unit_range=False) -> str:
    """Curves over steps.

    Args:
      lines: at most `MOST_LINES`.
      x, y: names of the axes.
      label: a description.
      log: whether the vertical axis is logarithmic, if all values allow it.
      unit_range: whether the vertical axis ends at 1 at most.
    """

    def draw(axes):
        values = []
        for number, line in enumerate(lines):
            points = [math.nan if v is None else float(v) for v in line.y]
            values += [v for v in points if math.isfinite(v)]
            axes.plot(
                line.x,
                points,
                label=_shown(line.name),
                linestyle=_DASHES[number // len(_SERIES) % len(_DASHES)],
                marker="o" if line.marks or len(points) == 1 else None,
                markersize=3.5,
            )
        if log and values and min(values) > 0 and max(values) > 3 * min(values):
            axes.set_yscale("log", subs=[2, 5])
            plain_numbers(axes.yaxis)
        elif unit_range and values:
            low = min(values)
            axes.set_ylim(max(0.0, low - 0.05) if low > 0.2 else 0.0, 1.0 if max(values) <= 1.0 else None)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.margins(x=0.02)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(lines) > 1:
            outside = len(lines) > 6
            axes.legend(
                ncols=3 if outside else 1 if len(lines) < 4 else 2,
                loc="upper center" if outside else "best",
                bbox_to_anchor=(0.5, -0.22) if outside else None,
            )

    return svg(draw, label, size=(_SIZE[0], _SIZE[1] + (0.9 if len(lines) > 6 else 0.0)))


def histogram(values: Sequence[float], *, x: str, label: str) -> str:
    """A histogram of values in twentieths of 0..1."""

    def draw(axes):
        axes.hist(values, bins=[n / 20 for n in range(21)], color=_SERIES[0], edgecolor="none", rwidth=0.92)
        axes.set_xlim(0, 1)
        axes.set_xlabel(x)
        axes.set_ylabel("images")
        axes.yaxis.get_major_locator().set_params(integer=True)

    return svg(draw, label)


def reliability(bins: Sequence[dict], *, label: str) -> str:
    """Accuracy over confidence, with a bar below for the pixels of each bin."""

    def draw(axes):
        used = [each for each in bins if each["pixels"]]
        total = sum(each["pixels"] for each in used) or 1
        middle = [(each["from"] + each["to"]) / 2 for each in used]
        shares = [each["pixels"] / total for each in used]
        axes.bar(middle, shares, width=0.09, color=_FAINT, alpha=0.45, label="share of the pixels")
        axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=(0, (3, 3)), label="as sure as right")
        axes.plot(
            [each["confidence"] for each in used],
            [each["accuracy"] for each in used],
            marker="o",
            markersize=4,
            color=_SERIES[0],
            label="share that is right",
        )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("probability of the predicted class")
        axes.legend(loc="upper left")

    return svg(draw, label)


def objects_by_size(classes: dict[str, Sequence[dict]], *, label: str) -> str:
    """The mean IoU of objects over their size, with a line for each class."""

    def draw(axes):
        for number, (name, rows) in enumerate(classes.items()):
            middle = [math.sqrt(row["from_pixels"] * row["below_pixels"]) for row in rows]
            axes.plot(
                middle,
                [row["mean_iou"] for row in rows],
                marker="o",
                markersize=3.5,
                label=_shown(name),
                linestyle=_DASHES[number // len(_SERIES) % len(_DASHES)],
            )
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("pixels of the object")
        axes.set_ylabel("mean IoU")
        if len(classes) > 1:
            axes.legend(ncols=2)

    return svg(draw, label)


def shares(parts: Sequence[tuple[str, float]], *, label: str, x: str = "seconds") -> str:
    """Numbers as bars, the first on top; `x` names them."""

    def draw(axes):
        names, seconds = [name for name, _ in parts][::-1], [value for _, value in parts][::-1]
        axes.barh(names, seconds, color=_SERIES[0], height=0.6)
        axes.set_xlabel(x)
        axes.grid(False, axis="y")

    return svg(draw, label, size=(_SIZE[0], 0.7 + 0.3 * max(2, len(parts))))


def intervals(rows: Sequence[tuple[str, float, float, float]], *, x: str, label: str) -> str:
    """Rows (name, low, value, high) as points with intervals, and a line at 0."""

    def draw(axes):
        names = [row[0] for row in rows][::-1]
        places = range(len(names))
        lows, values, highs = ([row[n] for row in rows][::-1] for n in (1, 2, 3))
        errors = [
            [value - low for value, low in zip(values, lows, strict=True)],
            [high - value for value, high in zip(values, highs, strict=True)],
        ]
        axes.axvline(0.0, color=_INK, linewidth=0.8)
        axes.errorbar(values, places, xerr=errors, fmt="o", capsize=3, color=_SERIES[0])
        axes.set_yticks(list(places), names)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlabel(x)

    return svg(draw, label, size=(_SIZE[0], 0.8 + 0.32 * max(2, len(rows))))


def many_curves(named: Sequence[Line], others: Sequence[Line], *, x: str, y: str, label: str) -> str:
    """Curves, some with a name and a colour, over all others, which are faint."""

    def draw(axes):
        for line in others:
            axes.plot(
                line.x, line.y, color=_FAINT, linewidth=0.9, marker="o" if len(line.x) == 1 else None, markersize=3
            )
        for line in named:
            axes.plot(line.x, line.y, label=_shown(line.name), marker="o", markersize=3)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if named:
            axes.legend(ncols=2, loc="best")

    return svg(draw, label)


def points(
    x: Sequence[float | str], y: Sequence[float], *, marked: int | None, names: tuple[str, str], log: bool, label: str
) -> str:
    """A point for each trial.

    Args:
      x, y: those of the points; texts become positions side by side.
      marked: the point that is drawn larger.
      names: those of the axes.
      log: whether the horizontal axis is logarithmic.
      label: a description.
    """

    def draw(axes):
        axes.scatter(x, y, s=18, color=_SERIES[0], alpha=0.75, linewidths=0)
        if marked is not None:
            axes.scatter([x[marked]], [y[marked]], s=70, facecolors="none", edgecolors=_SERIES[1], linewidths=1.6)
        if log:
            axes.set_xscale("log")
            plain_numbers(axes.xaxis, (1, 2, 5) if max(x) < 100 * min(x) else (1,))
        axes.set_xlabel(names[0])
        axes.set_ylabel(names[1])

    return svg(draw, label)


def parallel(
    columns: Sequence[tuple[str, Sequence[float], str, str]], bright: Sequence[bool], *, marked: int | None, label: str
) -> str:
    """A line for each trial through an axis for each setting.

    Args:
      columns: name, each trial's position in 0..1, and the values at 0 and 1.
      bright: which trials have a colour; the others are faint.
      marked: the trial whose line is thick.
      label: a description.
    """

    def draw(axes):
        places = range(len(columns))
        for trial in sorted(range(len(bright)), key=lambda n: (bright[n], n == marked)):
            axes.plot(
                places,
                [column[1][trial] for column in columns],
                color=_SERIES[1] if trial == marked else _SERIES[0] if bright[trial] else _FAINT,
                linewidth=2.4 if trial == marked else 1.4 if bright[trial] else 0.9,
            )
        for place, (_, _, low, high) in enumerate(columns):
            axes.axvline(place, color=_FAINT, linewidth=0.8)
            axes.annotate(low, (place, 0), (0, -4), textcoords="offset points", ha="center", va="top", fontsize=7)
            axes.annotate(high, (place, 1), (0, 4), textcoords="offset points", ha="center", va="bottom", fontsize=7)
        axes.set_xticks(list(places), [column[0] for column in columns], rotation=20, ha="right")
        axes.tick_params(axis="x", pad=12, length=0)
        axes.set_yticks([])
        axes.set_ylim(-0.05, 1.05)
        axes.grid(False)
        axes.spines[["left", "bottom"]].set_visible(False)

    return svg(draw, label, size=(max(_SIZE[0], 1.1 * len(columns) + 0.8), 3.0))

"""`docs/benchmarks.svg` and `docs/benchmarks-sizes.svg`: as wide as a phone, and scaled from there.

A colour never says anything alone. The colours are variables, so that a page can set its own.
Without a page they follow the reader's scheme.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from harness.cases import (
    CROWDS,
    MESSAGE_SIZES,
    MULTIPROCESSING,
    OURS,
    POSIX_IPC,
    SEGMENT_SIZES,
    SPARSE,
    C,
    size_text,
)
from harness.headline import headlines, times_text
from harness.results import TIMES, Result, Results
from harness.tables import time_text

_WIDTH = 3.6  # inches; on a phone a point of it is a pixel and a quarter

# Matplotlib wants colours: each stands for a variable of the style below.
_TEXT, _LINE, _OURS, _SLOWER, _FASTER = (f"#00000{number}" for number in range(1, 6))
_POSIX_IPC, _MULTIPROCESSING, _SPARSE = (f"#00000{number}" for number in range(6, 9))
_VARIABLES = {
    _TEXT: "--md-typeset-color, var(--plot-text)",
    _LINE: "--diagram-line, var(--plot-line)",
    _OURS: "--diagram-warn, var(--plot-ours)",
    _SLOWER: "--diagram-ours, var(--plot-slower)",
    _FASTER: "--diagram-warn, var(--plot-ours)",
    _POSIX_IPC: "--diagram-ours, var(--plot-slower)",
    _MULTIPROCESSING: "--plot-third",
    _SPARSE: "--plot-fourth",
}
_CSS = """
  .plot-drawing { --plot-text: #263238; --plot-line: #51666e; --plot-ours: #a5471c;
    --plot-slower: #0d6277; --plot-third: #2f7d3b; --plot-fourth: #8a6100; }
  @media (prefers-color-scheme: dark) { .plot-drawing { --plot-text: #dfe7ea; --plot-line: #9db2ba;
    --plot-ours: #f0a35e; --plot-slower: #6cc4d8; --plot-third: #8fd19a; --plot-fourth: #e3c46b; } }
  [data-md-color-scheme="default"] .plot-drawing { --plot-third: #2f7d3b; --plot-fourth: #8a6100; }
  [data-md-color-scheme="slate"] .plot-drawing { --plot-third: #8fd19a; --plot-fourth: #e3c46b; }
"""
_STYLE: Any = {
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": _LINE,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _TEXT,
    "ytick.labelcolor": _TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "font.size": 9,
    "font.family": "sans-serif",
    "legend.frameon": False,
    "hatch.linewidth": 1,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "nob.ipc",  # the same results, the same file
}
_STYLES = {  # colour, marker, dashes
    OURS: (_OURS, "o", "-"),
    SPARSE: (_SPARSE, "D", "--"),
    POSIX_IPC: (_POSIX_IPC, "s", "-."),
    MULTIPROCESSING: (_MULTIPROCESSING, "^", "--"),
    C: (_LINE, "x", ":"),
}


def _save(figure: Figure, path: Path) -> None:
    """The drawing alone, as a page can contain it: no prologue, no names, a style of its own."""
    keep_out = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(path, transparent=True, metadata=keep_out)
    plt.close(figure)
    text = path.read_text(encoding="utf-8")
    text = text[text.index("<svg") :].replace("<svg", '<svg class="plot-drawing"', 1)
    text = text.replace("*{", ".plot-drawing *{", 1).replace("</style>", f"{_CSS}</style>", 1)
    text = re.sub(r' id="[A-Za-z.\d]+_\d+"', "", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    path.write_text(re.sub(r" +$", "", text, flags=re.MULTILINE), encoding="utf-8")


def _bars(results: Results, path: Path) -> None:
    """How many times as long as ours the others take: ours is the line at 1."""
    rows = list(headlines(results))
    if not rows:
        return
    title, bar, gap = 14, 13, 8  # points
    height = sum(title + bar * len(row.times) + gap for row in rows)
    most = max(max(row.times.values()) for row in rows)
    least = min(min(row.times.values()) for row in rows)
    above, below = 34, 22
    whole = above + height + below
    figure = plt.figure(figsize=(_WIDTH, whole / 72))
    axes = figure.add_axes((0.02, below / whole, 0.96, height / whole))
    axes.set_xscale("log")
    # The longest bar takes half of the width: the other half is for the words beside it.
    left = min(least, 1) / 1.5
    axes.set_xlim(left, left * (most / left) ** 2)
    axes.set_ylim(height, 0)
    place = 0.0
    for row in rows:
        start, end = axes.get_xlim()
        axes.text(start, place + title / 2, row.title, weight="bold", va="center", ha="left")
        axes.text(end, place + title / 2, time_text(row.ns), va="center", ha="right")
        place += title
        first = place
        for other, times in row.times.items():
            slower = times >= 1
            axes.barh(
                place + bar / 2,
                times - 1,
                bar * 0.72,
                left=1,
                color=_SLOWER if slower else "none",
                edgecolor=_SLOWER if slower else _FASTER,
                hatch=None if slower else "////",
                linewidth=0.8,
                zorder=2,
            )
            axes.annotate(
                f"{other} {times_text(times)}",
                (max(times, 1), place + bar / 2),
                xytext=(4, 0),
                textcoords="offset points",
                ha="left",
                va="center",
            )
            place += bar
        axes.vlines(1, first, place, color=_OURS, linewidth=1.6, zorder=3)
        place += gap
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    ticks = [tick for tick in (1, 10, 100, 1000) if tick <= most * 2]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} {TIMES}"))
    head = "Time of the others, as a multiple of ours"
    figure.text(0.02, 1 - 9 / whole, head, weight="bold", va="center")
    figure.text(
        0.02, 1 - 22 / whole, "at the right: our time; hatched: less than ours", va="center"
    )
    _save(figure, path)


def _lines(
    axes: Axes,
    results: Sequence[Result],
    points: Sequence[int],
    scale: float,
    invert: bool = False,
) -> None:
    for label, (colour, marker, dashes) in _STYLES.items():
        xs, ys = [], []
        for point, result in zip(points, results, strict=False):
            timing = result.timing(label)
            if timing:
                xs.append(point)
                ys.append(scale / timing.ns.median if invert else timing.ns.median / scale)
        if xs:
            width = 2.2 if label == OURS else 1.3
            style = {"marker": marker, "linestyle": dashes, "color": colour, "markersize": 4.5}
            axes.plot(xs, ys, linewidth=width, **style)
    axes.set_xscale("log", base=2)
    axes.grid(axis="y", color=_LINE, alpha=0.25, linewidth=0.6)
    axes.xaxis.set_minor_locator(NullLocator())


def _sizes(axes: Axes, sizes: Sequence[int]) -> None:
    axes.set_xticks(sizes, [size_text(size) for size in sizes])


def _by_size(results: Results, path: Path) -> None:
    """Three plots, one below the other."""
    figure = plt.figure(figsize=(_WIDTH, 7.6), layout="constrained")
    messages, segments, crowds = figure.subplots(3, 1)

    _lines(messages, results.group("messages"), MESSAGE_SIZES, 1e3)
    _sizes(messages, MESSAGE_SIZES)
    messages.set_ylim(bottom=0)
    messages.set_title("queue: send, receive; µs by message")

    _lines(segments, results.group("segments"), SEGMENT_SIZES, 1e6)
    _sizes(segments, SEGMENT_SIZES[: len(results.group("segments"))])
    segments.set_yscale("log")
    segments.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    segments.set_title("segment: create, use, remove; ms by size")

    _lines(crowds, results.group("crowds"), CROWDS, 1e3, invert=True)
    crowds.set_xticks(CROWDS, [str(count) for count in CROWDS])
    crowds.set_ylim(bottom=0)
    crowds.set_title("semaphore: millions/s by processes")

    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle=dashes, markersize=4.5, label=label)
        for label, (colour, marker, dashes) in _STYLES.items()
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, handlelength=3)
    _save(figure, path)


def write(results: Results, directory: Path) -> None:
    with plt.rc_context(_STYLE):
        _bars(results, directory / "benchmarks.svg")
        _by_size(results, directory / "benchmarks-sizes.svg")

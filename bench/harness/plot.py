"""`docs/benchmarks.svg`. Greys and colours that read on a light and on a dark page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from harness.cases import (
    CROWDS,
    MESSAGE_SIZES,
    MULTIPROCESSING,
    ORIGINAL,
    OURS,
    POSIX_IPC,
    SEGMENT_SIZES,
    SPARSE,
    C,
    size_text,
)
from harness.results import TIMES, Result, Results

_GREY = "#848d97"
_COLOURS = {
    OURS: "#e8590c",
    SPARSE: "#f2a65a",
    POSIX_IPC: "#3b82c4",
    MULTIPROCESSING: "#3a9d5d",
    ORIGINAL: "#9467bd",
    C: _GREY,
}
_STYLE: Any = {
    "text.color": _GREY,
    "axes.labelcolor": _GREY,
    "axes.edgecolor": _GREY,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "font.size": 9,
    "legend.frameon": False,
    "svg.hashsalt": "nob.ipc",  # the same results, the same file
}
_BAR = 0.2  # of a row
_AGAINST = (POSIX_IPC, MULTIPROCESSING, ORIGINAL, C)
_SHORT = {
    "acquire_release": "acquire + release",
    "with": "with sem: pass",
    "lock": "lock: acquire + release",
    "bounded": "bounded semaphore: acquire + release",
    "send_receive": "send + receive, 64 B",
    "send_receive_8k": "send + receive, 8 KiB",
    "batch": "batch of ten, 64 B",
    "segment_create": "segment: create … unlink",
    "segment_attach": "segment: attach",
    "semaphores_two": "semaphores: there and back, two processors",
    "queues_two": "queues: there and back, two processors",
    "semaphores_one": "semaphores: there and back, one processor",
    "queues_one": "queues: there and back, one processor",
    "import": "import",
}


def _times(value: float) -> str:
    digits = 2 if value < 2 else 1 if value < 10 else 0
    return f"{value:.{digits}f}{TIMES}"


def _speed_up(axes: Axes, results: Sequence[Result]) -> None:
    """How many times the time of ours the others take: a bar each, ours is the line at 1."""
    shown = [result for result in results if result.key in _SHORT and result.comparisons]
    for row, result in enumerate(shown):
        ratios = {it.against: it.value.median for it in result.comparisons if it.unit == TIMES}
        present = [label for label in _AGAINST if label in ratios]
        for place, label in enumerate(present):
            times = 1 / ratios[label]
            y = row + (place - (len(present) - 1) / 2) * _BAR
            axes.barh(y, times - 1, _BAR * 0.9, left=1, color=_COLOURS[label], zorder=2)
            right = times >= 1
            axes.annotate(
                _times(times),
                (times, y),
                xytext=(4 if right else -4, 0),
                textcoords="offset points",
                ha="left" if right else "right",
                va="center",
                fontsize=7,
            )
    axes.axvline(1, color=_COLOURS[OURS], linewidth=2, zorder=3)
    axes.set_xscale("log")
    axes.set_yticks(range(len(shown)), [_SHORT[result.key] for result in shown])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{TIMES}"))
    axes.margins(x=0.08)
    axes.set_title("Time of the others, as a multiple of ours (right of the line: ours is faster)")


def _lines(
    axes: Axes,
    results: Sequence[Result],
    points: Sequence[int],
    scale: float,
    invert: bool = False,
) -> None:
    for label, colour in _COLOURS.items():
        xs, ys = [], []
        for point, result in zip(points, results, strict=False):
            timing = result.timing(label)
            if timing:
                xs.append(point)
                ys.append(scale / timing.ns.median if invert else timing.ns.median / scale)
        if xs:
            width = 2.2 if label == OURS else 1.3
            axes.plot(xs, ys, "o-", color=colour, linewidth=width, markersize=3.5)
    axes.set_xscale("log", base=2)
    axes.grid(axis="y", color=_GREY, alpha=0.25, linewidth=0.6)
    axes.xaxis.set_minor_locator(NullLocator())


def _sizes(axes: Axes, sizes: Sequence[int]) -> None:
    axes.set_xticks(sizes, [size_text(size) for size in sizes], rotation=40)


def write(results: Results, path: Path) -> None:
    with plt.rc_context(_STYLE):
        figure = plt.figure(figsize=(11, 10.5), layout="constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=(2, 1))
        _speed_up(parts[0].subplots(), results.results)
        messages, segments, crowds = parts[1].subplots(1, 3)

        _lines(messages, results.group("messages"), MESSAGE_SIZES, 1e3)
        _sizes(messages, MESSAGE_SIZES)
        messages.set_ylim(bottom=0)
        messages.set_title("send + receive, µs, by message")

        _lines(segments, results.group("segments"), SEGMENT_SIZES, 1e6)
        _sizes(segments, SEGMENT_SIZES[: len(results.group("segments"))])
        segments.set_yscale("log")
        segments.set_title("create … unlink, ms, by segment")

        _lines(crowds, results.group("crowds"), CROWDS, 1e3, invert=True)
        crowds.set_xticks(CROWDS, [str(count) for count in CROWDS])
        crowds.set_ylim(bottom=0)
        crowds.set_title("acquire + release, M/s, by process count")

        handles = [
            Line2D([], [], color=colour, linewidth=4, label=label)
            for label, colour in _COLOURS.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        figure.savefig(path, transparent=True, metadata={"Date": None})
        plt.close(figure)

"""Batch normalization to play with: batches of real values, training and inference, running averages."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

from yolov3_lib.plots import COLORS
from yolov3_lib.widgets.base import Widget, build, element, fixed, number, reading, text
from yolov3_lib.widgets.pictures import in_book_style, rendered

CHANNELS = 3
BATCHES = 120
LARGEST_BATCH = 16
EPSILON = 1e-5
_LETTERS = "ABC"
_BINS = 32
_OUT = 6.0  # y is drawn from −6 to 6; what lies beyond counts in the outermost bin, of x as well
_WIDE, _HIGH, _LEFT, _RIGHT = 480, 470, 40, 470
# Top and bottom of the three drawings: x, y, and the batches' means.
_ROWS = ((26, 126), (186, 286), (346, 436))


@dataclass(frozen=True)
class Setting:
    """What the controls say.

    Attributes:
        mode: by which statistics the batch is normalized: its own, or the running averages.
        size: images in a batch, 1 to `LARGEST_BATCH`.
        batch: how many batches have passed; the last of them is shown. 1 to `BATCHES`.
        momentum: weight of a new batch in the running averages, above 0.
        channel: the one that is looked at, 0 to 2.
        gamma: one number a channel.
        beta: one number a channel.
    """

    mode: Literal["training", "inference"] = "training"
    size: int = 4
    batch: int = 40
    momentum: float = 0.1
    channel: int = 0
    gamma: tuple[float, float, float] = (1.0, 1.0, 1.0)
    beta: tuple[float, float, float] = (0.0, 0.0, 0.0)


class Channel(NamedTuple):
    """One channel's numbers at a setting.

    Attributes:
        x: the shown batch's values, the followed one first.
        y: the same normalized, scaled and shifted.
        mean: of the shown batch.
        variance: of the shown batch, biased.
        running_mean: after the shown batch.
        running_variance: after the shown batch.
        means: every batch's mean.
        running_means: the running mean after every batch.
        followed: what the followed value becomes in training, in every batch.
    """

    x: list[float]
    y: list[float]
    mean: float
    variance: float
    running_mean: float
    running_variance: float
    means: list[float]
    running_means: list[float]
    followed: list[float]


def batch_norm_explorer(
    values: ArrayLike, setting: Setting | None = None, *, alt: str | None = None
) -> Widget:
    """Three channels of a batch before and after batch normalization, and the running mean of one of them.

    The first image is in every batch. Its first value is followed: in training its y depends on the others.

    Args:
        values: (images, 3, V), what a convolution gives; V values a channel of each image. Rounded to
            hundredths. At least `LARGEST_BATCH` images.
        setting: what the figure starts with.
        alt: what the figure shows, instead of a sentence made from the numbers.

    Raises:
        ValueError: another shape, too few images, or values that aren't finite.
    """
    rows = _checked(values)
    setting = setting or Setting()
    found = [measure(rows, setting, c) for c in range(CHANNELS)]
    said = readout(found[setting.channel], setting)
    if alt is None:
        alt = (
            f"Histograms of three channels before and after batch normalization in {setting.mode}, batches "
            f"of {setting.size}. Channel {_LETTERS[setting.channel]}: mean {said['mean']} and deviation "
            f"{said['deviation']} in this batch, {said['running_mean']} and {said['running_deviation']} "
            f"running. The followed value {said['x']} becomes {said['y']}."
        )
    state = {
        "values": rows, "setting": asdict(setting), "range": _range(rows), "bins": _BINS, "out": _OUT,
        "batches": BATCHES, "epsilon": EPSILON, "left": _LEFT, "right": _RIGHT, "rows": _ROWS,
    }  # fmt: skip
    body = _modes(setting) + element(
        "div",
        element("div", _drawing(rows, found, setting, alt), class_="yv-scene")
        + element("div", _panel(setting, said), class_="yv-panel"),
        class_="yv-columns",
    )
    return build(
        "batch_norm", body, state, _picture(found, setting, said), alt=alt,
        description=f"Batch-norm explorer: {setting.mode}, batches of {setting.size}, y = {said['y']}",
    )  # fmt: skip


def _checked(values: ArrayLike) -> list[list[list[float]]]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 3 or array.shape[1] != CHANNELS or array.shape[2] < 1:
        raise ValueError(f"values: expected (images, {CHANNELS}, V), got {array.shape}")
    if len(array) < LARGEST_BATCH:
        raise ValueError(f"values: expected at least {LARGEST_BATCH} images, got {len(array)}")
    if not np.isfinite(array).all():
        raise ValueError("values: some are NaN or infinite; look for the layer that they come from")
    return array.round(2).tolist()


# The numbers; batch_norm.js does the same, in the same order.


def members(images: int, size: int, batch: int) -> list[int]:
    """Which images form a batch: the first, and the next ``size`` − 1 of the others, round and round."""
    company = size - 1
    return [0, *(1 + ((batch - 1) * company + i) % (images - 1) for i in range(company))]


def measure(rows: list[list[list[float]]], setting: Setting, channel: int) -> Channel:
    """One channel's numbers: statistics of every batch, running averages, and y of the shown batch."""
    gamma, beta, m = setting.gamma[channel], setting.beta[channel], setting.momentum
    running_mean, running_variance = 0.0, 1.0
    shown: tuple = ()
    means, running_means, followed = [], [], []
    for batch in range(1, BATCHES + 1):
        x = [value for i in members(len(rows), setting.size, batch) for value in rows[i][channel]]
        mean, variance = _statistics(x)
        unbiased = variance * len(x) / (len(x) - 1) if len(x) > 1 else variance
        running_mean = (1 - m) * running_mean + m * mean
        running_variance = (1 - m) * running_variance + m * unbiased
        means.append(mean)
        running_means.append(running_mean)
        followed.append(gamma * (x[0] - mean) / math.sqrt(variance + EPSILON) + beta)
        if batch == setting.batch:
            shown = (x, mean, variance, running_mean, running_variance)
    x, mean, variance, running_mean, running_variance = shown
    used = (mean, variance) if setting.mode == "training" else (running_mean, running_variance)
    y = [gamma * (value - used[0]) / math.sqrt(used[1] + EPSILON) + beta for value in x]
    return Channel(x, y, mean, variance, running_mean, running_variance, means, running_means, followed)


def _statistics(x: Sequence[float]) -> tuple[float, float]:
    # Plain loops: `sum` may carry more digits than the script does.
    total = 0.0
    for value in x:
        total += value
    mean = total / len(x)
    squares = 0.0
    for value in x:
        squares += (value - mean) * (value - mean)
    return mean, squares / len(x)


def readout(found: Channel, setting: Setting) -> dict[str, str]:
    """What the panel says, by the name of each place; the script says the same."""
    return {
        "mean": fixed(found.mean, 2),
        "deviation": fixed(math.sqrt(found.variance), 2),
        "running_mean": fixed(found.running_mean, 2),
        "running_deviation": fixed(math.sqrt(found.running_variance), 2),
        "used": "this batch" if setting.mode == "training" else "the running averages",
        "x": fixed(found.x[0], 2),
        "y": fixed(found.y[0], 2),
        "followed": f"{fixed(min(found.followed), 2)} to {fixed(max(found.followed), 2)}",
    }


# Markup.


def _range(rows: list[list[list[float]]]) -> list[int]:
    # A few values far out would press all the others into two or three bins.
    low, high = np.percentile(rows, (2, 98))
    return [math.floor(low / 10) * 10, math.ceil(high / 10) * 10 or 10]


def _across(value: float, low: float, high: float) -> float:
    share = (min(max(value, low), high) - low) / (high - low)
    return _LEFT + (_RIGHT - _LEFT) * share


def _counts(values: Sequence[float], low: float, high: float) -> list[int]:
    counts = [0] * _BINS
    for value in values:
        place = math.floor((value - low) / (high - low) * _BINS)
        counts[min(max(place, 0), _BINS - 1)] += 1
    return counts


def _steps(counts: Sequence[int], largest: int, top: float, bottom: float) -> str:
    wide = (_RIGHT - _LEFT) / _BINS
    path = f"M{_LEFT} {bottom}"
    for i, count in enumerate(counts):
        path += f"V{number(bottom - (bottom - top) * count / largest, 1)}H{number(_LEFT + wide * (i + 1), 1)}"
    return path + f"V{bottom}"


def _histograms(found: list[Channel], which: str, low: float, high: float, row: int, chosen: int) -> str:
    top, bottom = _ROWS[row]
    counts = [_counts(getattr(each, which), low, high) for each in found]
    largest = max(max(each) for each in counts)
    parts = ""
    for c, each in enumerate(counts):
        picked = "" if c == chosen else None
        path = _steps(each, largest, top, bottom)
        parts += element("path", class_=f"yv-bars yv-c{c}", data_of=f"{which}{c}", data_chosen=picked, d=path)
    for c, each in enumerate(found):
        picked = "" if c == chosen else None
        x = number(_across(getattr(each, which)[0], low, high), 1)
        parts += element(
            "circle",
            class_=f"yv-dot yv-c{c}",
            data_at=f"{which}{c}",
            data_chosen=picked,
            cx=x,
            cy=bottom,
            r=5,
        )
    return parts


def _axis(row: int, marks: Sequence[float], low: float, high: float, title: str) -> str:
    top, bottom = _ROWS[row]
    line = element("path", class_="yv-line", d=f"M{_LEFT} {bottom}H{_RIGHT}")
    for mark in marks:
        line += element("text", number(mark, 0), class_="yv-tick", x=number(_across(mark, low, high), 1),
                        y=bottom + 20, text_anchor="middle")  # fmt: skip
    return line + element("text", text(title), class_="yv-title", x=_LEFT, y=top - 10)


def scale_of(means: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest mean of the lower drawing: all batches' and the start, 0, with some room."""
    low, high = min(0.0, *means), max(0.0, *means)
    room = 0.1 * (high - low) or 1.0
    return low - room, high + room


def _batch_points(found: Channel) -> tuple[str, str, str]:
    """Paths: every batch's mean, the running mean, and both scale labels' numbers, joined by a space."""
    top, bottom = _ROWS[2]
    low, high = scale_of(found.means)

    def place(i: int, mean: float) -> str:
        x = _LEFT + (_RIGHT - _LEFT) * (i + 1) / BATCHES
        return f"{number(x, 1)} {number(bottom - (bottom - top) * (mean - low) / (high - low), 1)}"

    dots = "".join(f"M{place(i, mean)}h0" for i, mean in enumerate(found.means))
    line = "M" + "L".join(place(i, mean) for i, mean in enumerate(found.running_means))
    return dots, line, f"{fixed(low, 1)} {fixed(high, 1)}"


def _drawing(rows: list, found: list[Channel], setting: Setting, alt: str) -> str:
    low, high = _range(rows)
    chosen = setting.channel
    dots, line, labels = _batch_points(found[chosen])
    least, most = labels.split()
    top, bottom = _ROWS[2]
    at = number(_LEFT + (_RIGHT - _LEFT) * setting.batch / BATCHES, 1)
    parts = (
        _axis(0, [low, 0, high] if low < 0 < high else [low, high], low, high, "x: the batch's values"),
        _histograms(found, "x", low, high, 0, chosen),
        _axis(1, [-6, -3, 0, 3, 6], -_OUT, _OUT, "y: normalized, times γ, plus β"),
        _histograms(found, "y", -_OUT, _OUT, 1, chosen),
        _axis(2, [], 0, 1, f"mean of channel {_LETTERS[chosen]}, batch after batch"),
        element("text", least, class_="yv-tick yv-least", x=_LEFT - 4, y=bottom, text_anchor="end"),
        element("text", most, class_="yv-tick yv-most", x=_LEFT - 4, y=top + 8, text_anchor="end"),
        element("path", class_="yv-means", d=dots),
        element("path", class_="yv-running", d=line),
        element("path", class_="yv-now", d=f"M{at} {top}V{bottom}"),
        element("text", "batch 1", class_="yv-tick", x=_LEFT, y=bottom + 20),
        element("text", f"batch {BATCHES}", class_="yv-tick", x=_RIGHT, y=bottom + 20, text_anchor="end"),
    )
    return element("svg", "".join(parts), viewBox=f"0 0 {_WIDE} {_HIGH}", role="img", aria_label=alt)


def _modes(setting: Setting) -> str:
    buttons = "".join(
        element("button", mode.capitalize(), type="button", data_mode=mode,
                aria_pressed=str(mode == setting.mode).lower())
        for mode in ("training", "inference")
    )  # fmt: skip
    return element("div", buttons, class_="yv-bar yv-live", role="group", aria_label="Mode")


_SLIDERS = (
    ("size", "images in a batch", 1, LARGEST_BATCH, 1),
    ("batch", "batches so far", 1, BATCHES, 1),
    ("momentum", "momentum", 0.01, 1, 0.01),
    ("gamma", "γ of the channel", -2, 3, 0.1),
    ("beta", "β of the channel", -4, 4, 0.1),
)


def _panel(setting: Setting, said: dict[str, str]) -> str:
    options = "".join(
        element("option", f"channel {letter}", value=c, selected="selected" if c == setting.channel else None)
        for c, letter in enumerate(_LETTERS)
    )
    controls = element("label", "look at " + element("select", options), class_="yv-field")
    for name, label, low, high, step in _SLIDERS:
        value = getattr(setting, name)
        value = value[setting.channel] if isinstance(value, tuple) else value
        slider = element("input", type="range", min=low, max=high, step=step, value=value, data_name=name,
                         aria_label=label)  # fmt: skip
        output = element("output", number(value), data_value=name)
        controls += element("label", f"{label} {output}{slider}", class_="yv-field")
    facts = (
        ("mean in this batch", "mean"), ("deviation in this batch", "deviation"),
        ("running mean", "running_mean"), ("running deviation", "running_deviation"),
        ("normalized by", "used"), ("the dot's x", "x"), ("the dot's y", "y"),
        ("its y in training, all batches", "followed"),
    )  # fmt: skip
    lines = "".join(
        element("div", element("span", label) + reading(said, key), class_="yv-fact") for label, key in facts
    )
    return (
        lines + element("div", controls, class_="yv-live") + element("p", class_="yv-unseen", role="status")
    )


# The still picture.


@in_book_style
def _picture(found: list[Channel], setting: Setting, said: dict[str, str]) -> Image.Image:
    figure = Figure(figsize=(6.6, 4.6), dpi=200, layout="constrained")
    (upper, lower) = figure.subplots(2, 1, height_ratios=(2, 1.3))
    pair = upper.get_subplotspec().subgridspec(1, 2)
    upper.remove()
    panels = [figure.add_subplot(part) for part in pair]
    styles = (("a", "solid"), ("b", "dashed"), ("kept", "dotted"))
    for ax, which, title in zip(panels, "xy", ("x", f"y, {setting.mode}"), strict=True):
        shown = [getattr(each, which) for each in found]
        bins = np.linspace(np.min(shown), np.max(shown) + 1e-6, 33)
        for letter, values, (color, style) in zip(_LETTERS, shown, styles, strict=True):
            ax.hist(values, bins=bins, histtype="step", color=COLORS[color], linestyle=style,
                    linewidth=1.6, label=f"channel {letter}")  # fmt: skip
        ax.set(title=title, yticks=[])
    panels[0].legend(fontsize=8)
    chosen = found[setting.channel]
    batches = range(1, BATCHES + 1)
    lower.plot(batches, chosen.means, ".", color=COLORS["grid"], label="mean of a batch")
    lower.plot(batches, chosen.running_means, color=COLORS["a"], label="running mean")
    lower.axvline(setting.batch, color=COLORS["b"], linestyle="dashed", linewidth=1, label="the batch above")
    lower.set(xlabel="batch", ylabel="mean")
    lower.set_title(f"channel {_LETTERS[setting.channel]}: x = {said['x']} becomes y = {said['y']}", size=10)
    lower.legend(fontsize=8)
    return rendered(figure)

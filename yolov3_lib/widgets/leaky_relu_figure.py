"""A network of twelve hinges in training, step by step, and which of its neurons fall silent: chapter 6."""

import math
from dataclasses import asdict, dataclass
from itertools import repeat

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from yolov3_lib.foundations import leaky_relu as lr
from yolov3_lib.plots import COLORS
from yolov3_lib.widgets.base import Widget, build, case_buttons, element, fixed, number, reading
from yolov3_lib.widgets.pictures import in_book_style, rendered

NEURONS, POINTS, SEED, LAST = 12, 21, 5, 3000
TOO_LARGE = 1e6  # a loss above this has diverged
RATES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
# The steps that can be looked at: close together at first, where most happens.
STOPS = (*range(20), *range(20, 100, 5), *range(100, 500, 20), *range(500, LAST + 1, 100))
NAMES = {"relu": "ReLU", "leaky": "leaky ReLU", "prelu": "PReLU", "silu": "SiLU", "mish": "Mish"}
_LEAK = ("leaky", "prelu")  # whose slope the slider sets

_WIDE, _HIGH, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 330, 34, 626, 10, 290
_REACH, _TALL, _MARKS = 1.25, 1.7, 302  # x and y that are shown, and the height of the kinks' marks
_FINE, _COARSE = 120, 24  # pieces of the network's line, and of a neuron's
_LOSS_HIGH, _LOSS_TOP, _LOSS_BOTTOM, _LOSS_RANGE = 104, 10, 78, (-4, 1)  # powers of 10


@dataclass(frozen=True)
class Setting:
    """What is trained, and which step is looked at.

    Attributes:
        activation: one of `leaky_relu.ACTIVATIONS`.
        slope: the leak, or where PReLU starts; the others ignore it.
        rate: learning rate, one of `RATES`.
        shift: taken off every bias at the start.
        at: the step that is looked at, one of `STOPS`.
    """

    activation: str = "leaky"
    slope: float = 0.1
    rate: float = 0.05
    shift: float = 0.0
    at: int = 0


CASES = {
    "Well started": Setting("relu", 0.1, 0.05, 0.0, 500),
    "Shifted down": Setting("relu", 0.1, 0.05, 1.5, 3000),
    "Shifted, with a leak": Setting("leaky", 0.1, 0.05, 1.5, 3000),
    "Too fast": Setting("relu", 0.1, 0.5, 0.0, 500),
    "Far away, smooth": Setting("silu", 0.1, 0.05, 6.0, 3000),
}


def neuron_explorer(start: str = "Shifted, with a leak") -> Widget:
    """Twelve hinges fitted to a wave by gradient descent, to be set up with sliders and watched step by step.

    Args:
        start: one of `CASES`.

    Raises:
        ValueError: no such case.
    """
    if start not in CASES:
        raise ValueError(f"start: expected one of {', '.join(CASES)}, got {start!r}")
    setting = CASES[start]
    history = train(setting)
    said = readout(setting, history)
    alt = (
        f"A network of {NEURONS} hinges fitted to a wave with {NAMES[setting.activation]}. After "
        f"{said['step']} the loss is {said['loss']}; {said['silent']} neurons are silent and "
        f"{said['bends']} bend the line within the data."
    )
    first = lr.start(NEURONS, seed=SEED)
    state = {
        "setting": asdict(setting), "cases": {name: asdict(case) for name, case in CASES.items()},
        "weight": first.weight[0].tolist(), "bias": first.bias[0].tolist(), "out": first.out[0].tolist(),
        "x": _inputs().tolist(), "target": _targets().tolist(), "stops": STOPS, "rates": RATES,
        "names": NAMES, "tooLarge": TOO_LARGE, "frame": [_LEFT, _RIGHT, _TOP, _BOTTOM, _REACH, _TALL, _MARKS],
        "lossFrame": [_LOSS_TOP, _LOSS_BOTTOM, *_LOSS_RANGE],
    }  # fmt: skip
    scene = _drawing(setting, history, alt) + _loss_drawing(setting, history) + _walk(setting)
    body = case_buttons(CASES, "Notable cases") + element(
        "div",
        element("div", scene, class_="yv-scene")
        + element("div", _panel(setting, history, said), class_="yv-panel"),
        class_="yv-columns",
    )
    return build(
        "leaky_relu", body, state, _picture(setting, history), alt=alt,
        description=f"Neuron explorer: {NAMES[setting.activation]}, {said['silent']} silent",
    )  # fmt: skip


# What is computed; ``leaky_relu.js`` does the same.

History = list[tuple[float, lr.Network]]


def _inputs() -> Tensor:
    return torch.linspace(-1, 1, POINTS, dtype=torch.float64)


def _targets() -> Tensor:
    return torch.sin(4 * _inputs())


def train(setting: Setting) -> History:
    """Loss and network at each step, until the last one or, where training diverges, just before that."""
    slope = setting.slope if setting.activation in _LEAK else 0.0
    network = lr.Network(*(part[0] for part in lr.start(NEURONS, slope, shift=setting.shift, seed=SEED)))
    history: History = []
    steps = lr.train(network, _inputs(), _targets(), setting.activation, repeat(setting.rate, LAST))
    for loss, network in steps:
        if not loss <= TOO_LARGE:
            break
        history.append((loss.item(), network))
    return history


def states(network: lr.Network, activation: str) -> list[str]:
    """What each neuron is: "silent", "bends" the line within the data, or "straight" there."""
    z, _, _ = lr.hidden(network, _inputs(), activation)
    bends = network.kinks.abs() < 1
    named = zip(lr.silent(z).tolist(), bends.tolist(), strict=True)
    return ["silent" if quiet else "bends" if bend else "straight" for quiet, bend in named]


def readout(setting: Setting, history: History) -> dict[str, str]:
    """What the figure says, by the name of each place."""
    over = setting.at >= len(history)
    loss, network = history[-1] if over else history[setting.at]
    _, _, slopes = lr.hidden(network, _inputs(), setting.activation)
    found = states(network, setting.activation)
    flat = (slopes.abs() < 0.01).double().mean().item()
    return {
        "step": f"step {setting.at}",
        "loss": f"diverged at step {len(history)}" if over else fixed(loss, 4),
        "silent": f"{found.count('silent')} of {NEURONS}",
        "bends": str(found.count("bends")),
        "flat": f"{fixed(100 * flat, 0)} %",
    }


# Markup.


def _x(value: float) -> float:
    return (_LEFT + _RIGHT) / 2 + (_RIGHT - _LEFT) / 2 * max(-_REACH, min(_REACH, value)) / _REACH


def _y(value: float) -> float:
    return (_TOP + _BOTTOM) / 2 - (_BOTTOM - _TOP) / 2 * value / _TALL


def _path(xs: list[float], values: list[float]) -> str:
    """A line through points; it pauses where it leaves the frame."""
    parts, pen = [], "M"
    for x, value in zip(xs, values, strict=True):
        if abs(value) > _TALL:
            pen = "M"
            continue
        parts.append(f"{pen}{number(_x(x), 1)} {number(_y(value), 1)}".replace("−", "-"))
        pen = "L"
    return "".join(parts) or "M0 0"


Curve = tuple[list[float], list[float]]


def _curves(network: lr.Network, activation: str) -> tuple[list[Curve], Curve]:
    """Each neuron's term, and their sum with the offset, over the width of the drawing; kinks are hit."""

    def curve(pieces: int, kinks: list[float], neurons: slice, offset: float) -> Curve:
        grid = [_REACH * (2 * i / pieces - 1) for i in range(pieces + 1)]
        xs = sorted([*grid, *(kink for kink in kinks if abs(kink) < _REACH)])
        _, active, _ = lr.hidden(network, torch.tensor(xs, dtype=torch.float64), activation)
        return xs, ((network.out[:, None] * active)[neurons].sum(dim=0) + offset).tolist()

    kinks = network.kinks.tolist()
    terms = [curve(_COARSE, [kink], slice(j, j + 1), 0.0) for j, kink in enumerate(kinks)]
    return terms, curve(_FINE, kinks, slice(None), network.offset.item())


def _mark(kink: float, kind: str) -> str:
    """The mark at a kink: a cross for a silent neuron, a triangle for one that isn't."""
    at, y = _x(kink if math.isfinite(kink) else _REACH), _MARKS
    if kind == "silent":
        d = f"M{at - 5:.1f} {y - 5}L{at + 5:.1f} {y + 5}M{at - 5:.1f} {y + 5}L{at + 5:.1f} {y - 5}"
    else:
        d = f"M{at:.1f} {y - 6}L{at + 6:.1f} {y + 5}L{at - 6:.1f} {y + 5}Z"
    return element("path", class_=f"yv-kink yv-{kind}", d=d)


def _shown(setting: Setting, history: History) -> lr.Network:
    return history[min(setting.at, len(history) - 1)][1]


def _drawing(setting: Setting, history: History, alt: str) -> str:
    network = _shown(setting, history)
    found = states(network, setting.activation)
    terms, total = _curves(network, setting.activation)
    sides = "".join(f"M{_x(side):.1f} {_TOP}V{_BOTTOM}" for side in (-1, 1))
    ticks = "".join(
        element("text", number(v, 1), class_="yv-tick", x=f"{_x(v):.1f}", y=_HIGH - 4, text_anchor="middle")
        for v in (-1, -0.5, 0, 0.5, 1)
    ) + "".join(
        element("text", number(v, 0), class_="yv-tick", x=_LEFT - 6, y=f"{_y(v) + 4:.1f}", text_anchor="end")
        for v in (-1, 0, 1)
    )
    parts = (
        element("path", class_="yv-axis", d=f"M{_LEFT} {_y(0):.1f}H{_RIGHT}{sides}"),
        ticks,
        "".join(
            element("path", class_=f"yv-term yv-{kind}", d=_path(*term))
            for term, kind in zip(terms, found, strict=True)
        ),
        "".join(
            element("circle", class_="yv-dot", cx=f"{_x(x):.1f}", cy=f"{_y(t):.1f}", r=4)
            for x, t in zip(_inputs().tolist(), _targets().tolist(), strict=True)
        ),
        element("path", class_="yv-fit", d=_path(*total)),
        element(
            "g",
            "".join(_mark(kink, kind) for kink, kind in zip(network.kinks.tolist(), found, strict=True)),
            class_="yv-marks",
        ),
    )
    return element("svg", "".join(parts), viewBox=f"0 0 {_WIDE} {_HIGH}", role="img", aria_label=alt)


def _loss_path(history: History) -> str:
    low, high = _LOSS_RANGE
    points = []
    for i, stop in enumerate(STOPS):
        if stop >= len(history):
            break
        power = max(low, min(high, math.log10(max(history[stop][0], 1e-9))))
        y = _LOSS_BOTTOM - (_LOSS_BOTTOM - _LOSS_TOP) * (power - low) / (high - low)
        points.append(f"{_stop_x(i):.1f} {y:.1f}")
    return "M" + "L".join(points)


def _stop_x(index: int) -> float:
    return _LEFT + (_RIGHT - _LEFT) * index / (len(STOPS) - 1)


def _loss_drawing(setting: Setting, history: History) -> str:
    def level(power: int) -> str:
        y = _LOSS_BOTTOM - (_LOSS_BOTTOM - _LOSS_TOP) * (power + 4) / 5
        label = {-4: "10⁻⁴", -2: "10⁻²", 0: "1"}[power]
        return element("path", class_="yv-axis", d=f"M{_LEFT} {y:.1f}H{_RIGHT}") + element(
            "text", label, class_="yv-tick", x=_LEFT - 4, y=f"{y + 4:.1f}", text_anchor="end"
        )

    cursor = _stop_x(STOPS.index(setting.at))
    named = "".join(
        element("text", stop, class_="yv-tick", x=f"{_stop_x(STOPS.index(stop)):.1f}", y=_LOSS_HIGH - 8,
                text_anchor="middle")
        for stop in (0, 10, 100, 500)
    )  # fmt: skip
    parts = (
        "".join(map(level, (-4, -2, 0))), named,
        element("text", "loss by step", class_="yv-tick", x=_RIGHT, y=_LOSS_HIGH - 8, text_anchor="end"),
        element("path", class_="yv-loss", d=_loss_path(history)),
        element("path", class_="yv-cursor", d=f"M{cursor:.1f} {_LOSS_TOP}V{_LOSS_BOTTOM}"),
    )  # fmt: skip
    return element(
        "svg", "".join(parts), viewBox=f"0 0 {_WIDE} {_LOSS_HIGH}", role="img",
        aria_label="The loss over the steps, on a logarithmic scale.",
    )  # fmt: skip


def _walk(setting: Setting) -> str:
    slider = element(
        "input", type="range", min=0, max=len(STOPS) - 1, step=1, value=STOPS.index(setting.at),
        data_name="at", aria_label="Step", aria_valuetext=f"step {setting.at}",
    )  # fmt: skip
    buttons = "".join(
        element("button", name, type="button", data_walk=name.lower()) for name in ("Back", "Next", "Play")
    )
    return element("div", slider + buttons, class_="yv-walk yv-live")


def _panel(setting: Setting, history: History, said: dict[str, str]) -> str:
    rows = "".join(
        element("div", element("span", label) + reading(said, key), class_="yv-fact")
        for label, key in (
            ("now at", "step"), ("loss", "loss"), ("silent neurons (×)", "silent"),
            ("bends within the data (▲)", "bends"), ("pairs with |f′| < .01", "flat"),
        )
    )  # fmt: skip
    options = "".join(
        element("option", name, value=key, selected="selected" if key == setting.activation else None)
        for key, name in NAMES.items()
    )
    controls = element("label", "activation " + element("select", options), class_="yv-field")
    sliders = (
        ("slope", "leak a", 0, 1, 0.01, setting.slope, number(setting.slope, 2)),
        ("rate", "learning rate", 0, len(RATES) - 1, 1, RATES.index(setting.rate), number(setting.rate, 3)),
        ("shift", "biases lower by", 0, 6, 0.25, setting.shift, number(setting.shift, 2)),
    )
    for name, label, low, high, step, value, shown in sliders:
        off = "disabled" if name == "slope" and setting.activation not in _LEAK else None
        slider = element(
            "input", type="range", min=low, max=high, step=step, value=value, data_name=name,
            aria_label=label, aria_valuetext=shown, disabled=off,
        )  # fmt: skip
        controls += element(
            "label", f"{label} {element('output', shown, data_value=name)}{slider}", class_="yv-field"
        )
    legend = element(
        "p",
        "Dots: the wave. Thick: the network. Thin: each neuron’s term, gray where it is silent. Below: the "
        "kinks; those outside the frame stand at its edge. A hollow triangle bends nothing within the data.",
        class_="yv-hint",
    )
    status = element("p", class_="yv-unseen", role="status")
    return rows + element("div", controls, class_="yv-live") + legend + status


# The still picture.


@in_book_style
def _picture(setting: Setting, history: History) -> Image.Image:
    network = _shown(setting, history)
    found, (terms, total) = states(network, setting.activation), _curves(network, setting.activation)
    figure = Figure(figsize=(6.6, 3.2), dpi=200, layout="constrained")
    axes = figure.subplots()
    for term, kind in zip(terms, found, strict=True):
        color = COLORS["suppressed"] if kind == "silent" else COLORS["overlap"]
        axes.plot(*term, color=color, linewidth=0.8, linestyle="--" if kind == "silent" else "-")
    axes.plot(*total, color=COLORS["prediction"], linewidth=2.4)
    axes.plot(_inputs().tolist(), _targets().tolist(), ".", color=COLORS["truth"])
    inside = [k for k, kind in zip(network.kinks.tolist(), found, strict=True) if kind == "bends"]
    axes.plot(inside, [-_TALL] * len(inside), "^", color=COLORS["text"], clip_on=False)
    axes.set(xlim=(-_REACH, _REACH), ylim=(-_TALL, _TALL), xlabel="x")
    said = readout(setting, history)
    axes.set_title(
        f"{NAMES[setting.activation]}, {said['step']}: loss {said['loss']}, {said['silent']} silent", size=10
    )
    return rendered(figure)

"""Two optimizers from the same start, on a map of a valley, a saddle, a noisy bowl or two hollows. Built for
chapter 7; the landscapes are those of `yolov3_lib.foundations.landscapes`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from contourpy import contour_generator
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from yolov3_lib.foundations.landscapes import LANDSCAPES, trace
from yolov3_lib.foundations.optimizers import Adam, GradientDescent, Momentum, RMSprop
from yolov3_lib.plots import COLORS
from yolov3_lib.widgets.base import Widget, build, element, fixed, number, reading, text
from yolov3_lib.widgets.pictures import in_book_style, rendered

STEPS = 60
REACH = 50.0  # whoever gets farther than this from the origin has left
RATES = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.11, 0.15, 0.2, 0.25,
    0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0,
)  # fmt: skip
MEMORIES = (0.0, 0.2, 0.44, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)
_ARRIVED = 0.01  # of the height between the start and the lowest place
_WIDE, _HIGH = 520, 330
_LEVELS = 11


@dataclass(frozen=True)
class RuleOnShow:
    """A rule as the figure offers it.

    Attributes:
        make: builds the optimizer from the learning rate and the one number of memory.
        memory: that number's letter; empty where there is none.
        lr, beta: what it starts with, positions in `RATES` and `MEMORIES`.
    """

    make: Callable[[float, float], Callable[[list[Tensor]], torch.optim.Optimizer]]
    memory: str
    lr: int
    beta: int


def _descent(lr: float, beta: float) -> partial:
    return partial(GradientDescent, lr=lr)


def _momentum(lr: float, beta: float) -> partial:
    return partial(Momentum, lr=lr, momentum=beta)


def _rmsprop(lr: float, beta: float) -> partial:
    return partial(RMSprop, lr=lr, beta=beta)


def _adam(lr: float, beta: float) -> partial:
    return partial(Adam, lr=lr, betas=(beta, 0.999))


def _documents_adam(lr: float, beta: float) -> partial:
    return partial(Adam, lr=lr, betas=(beta, 0.999), correction="constant")


_NINE = MEMORIES.index(0.9)
RULES = {
    "gradient descent": RuleOnShow(_descent, "", RATES.index(0.07), _NINE),
    "momentum": RuleOnShow(_momentum, "μ", RATES.index(0.04), MEMORIES.index(0.8)),
    "RMSprop": RuleOnShow(_rmsprop, "β", RATES.index(0.1), _NINE),
    "Adam": RuleOnShow(_adam, "β₁", RATES.index(0.3), _NINE),
    "Adam, the document's": RuleOnShow(_documents_adam, "β₁", RATES.index(0.3), _NINE),
}


@dataclass(frozen=True)
class Runner:
    """One of the two.

    Attributes:
        rule: a key of `RULES`.
        lr: position of its learning rate in `RATES`.
        beta: position of its memory in `MEMORIES`.
    """

    rule: str
    lr: int
    beta: int

    @classmethod
    def of(cls, rule: str) -> "Runner":
        """With the numbers that the figure starts with."""
        return cls(rule, RULES[rule].lr, RULES[rule].beta)

    def walk(self, place: str, start: tuple[float, float]) -> list[tuple[float, float]]:
        """Where it stands after 0 to `STEPS` steps, as the library's optimizer goes."""
        make = RULES[self.rule].make(RATES[self.lr], MEMORIES[self.beta])
        return [tuple(point) for point in trace(make, LANDSCAPES[place], STEPS, start, REACH).tolist()]


@dataclass(frozen=True)
class Race:
    """What the figure shows.

    Attributes:
        place: a key of `LANDSCAPES`.
        start: of both, (x, y).
        runners: the two.
        step: the step that is looked at.
    """

    place: str
    start: tuple[float, float]
    runners: tuple[Runner, Runner]
    step: int

    @classmethod
    def begin(cls, place: str, first: str, second: str, step: int) -> "Race":
        """At the landscape's own start, each rule with its first numbers."""
        return cls(place, LANDSCAPES[place].start, (Runner.of(first), Runner.of(second)), step)

    def height(self, point: tuple[float, float]) -> float:
        return float(LANDSCAPES[self.place].height(torch.tensor(point, dtype=torch.float64)))


def readout(race: Race) -> dict[str, str]:
    """What the figure says, by the name of each place; ``optimizers.js`` says the same."""
    said = {
        "step": f"{race.step} of {STEPS}",
        "start": _point(race.start),
    }
    heights = []
    top, bottom = race.height(race.start), race.height(LANDSCAPES[race.place].lowest[0])
    for side, runner in zip("ab", race.runners, strict=True):
        walk = runner.walk(race.place, race.start)
        here, before = walk[race.step], walk[max(0, race.step - 1)]
        left = _left(here)
        heights.append(math.inf if left else race.height(here))
        enough = bottom + _ARRIVED * (top - bottom)
        arrived = next((t for t, p in enumerate(walk) if not _left(p) and race.height(p) <= enough), None)
        said |= {
            f"{side}_lr": number(RATES[runner.lr], 3),
            f"{side}_beta": number(MEMORIES[runner.beta], 2) if RULES[runner.rule].memory else "none",
            f"{side}_at": "has left" if left else _point(here),
            f"{side}_height": "none" if left else fixed(heights[-1]),
            f"{side}_length": "none" if left else fixed(math.hypot(here[0] - before[0], here[1] - before[1])),
            f"{side}_arrived": "not in 60 steps" if arrived is None else f"after {arrived}",
        }
    return said | {"verdict": _verdict(heights)}


def _left(point: tuple[float, float]) -> bool:
    return max(abs(point[0]), abs(point[1])) > REACH


def _point(point: tuple[float, float]) -> str:
    return f"({fixed(point[0], 2)}, {fixed(point[1], 2)})"


def _verdict(heights: list[float]) -> str:
    first, second = heights
    if math.isinf(first) and math.isinf(second):
        return "Both have left: their rates are too large here."
    if abs(first - second) < 5e-4:
        return "Both are equally low."
    return f"The {'first' if first < second else 'second'} is lower."


def optimizers_explorer(
    place: str = "valley",
    first: str = "gradient descent",
    second: str = "momentum",
    step: int = 20,
    alt: str | None = None,
) -> Widget:
    """Two optimizers walk from one start; rules, their numbers, start and step are the reader's to choose.

    Args:
        place: a key of `LANDSCAPES`.
        first, second: keys of `RULES`; they may be the same.
        step: the step that it opens at, from 0 to 60.
        alt: what the figure shows, instead of a sentence made from the numbers.

    Raises:
        ValueError: no such landscape or rule, or a step out of range.
    """
    for name, value, known in (
        ("place", place, LANDSCAPES),
        ("first", first, RULES),
        ("second", second, RULES),
    ):
        if value not in known:
            raise ValueError(f"{name}: expected one of {'; '.join(known)}, got {value!r}")
    if not 0 <= step <= STEPS:
        raise ValueError(f"step: expected a whole number from 0 to {STEPS}, got {step}")
    race = Race.begin(place, first, second, step)
    said = readout(race)
    alt = alt or (
        f"A map with the contours of the landscape “{place}” and two walks from {said['start']}. After "
        f"{step} steps {first} is at {said['a_at']}, height {said['a_height']}; {second} at {said['b_at']}, "
        f"height {said['b_height']}."
    )
    state = {
        "place": place, "start": race.start, "step": step,
        "steps": STEPS, "reach": REACH, "arrived": _ARRIVED,
        "runners": [[runner.rule, runner.lr, runner.beta] for runner in race.runners],
        "rates": RATES, "memories": MEMORIES, "size": (_WIDE, _HIGH),
        "rules": {name: [rule.memory, rule.lr, rule.beta] for name, rule in RULES.items()},
        "places": {
            name: {"start": each.start, "lowest": each.lowest[0], "window": each.window}
            for name, each in LANDSCAPES.items()
        },
        "pulls": LANDSCAPES["noisy bowl"].pulls.tolist(),
    }  # fmt: skip
    columns = "".join(_panel(side, runner, said) for side, runner in zip("ab", race.runners, strict=True))
    body = (
        _controls(race, said)
        + element("div", _map(race, alt), class_="yv-map")
        + element("p", text(said["verdict"]), class_="yv-verdict", data_out="verdict")
        + element("div", columns, class_="yv-columns")
        + _start_sliders(race, said)
        + element("p", class_="yv-unseen", role="status")
    )
    return build(
        "optimizers", body, state, _picture(race, said), alt=alt,
        description=f"Optimizers explorer: {place}, {first} at {said['a_at']}, {second} at {said['b_at']}",
    )  # fmt: skip


# Markup.


def _at(place: str, point: tuple[float, float]) -> tuple[float, float]:
    """A point in drawing units; x and y have scales of their own. Far away is far enough."""
    x0, x1, y0, y1 = LANDSCAPES[place].window
    x, y = (point[0] - x0) / (x1 - x0) * _WIDE, (y1 - point[1]) / (y1 - y0) * _HIGH
    return max(-2000.0, min(2000.0, x)), max(-2000.0, min(2000.0, y))


def _written(place: str, points: list[tuple[float, float]]) -> list[str]:
    return [" ".join(_coordinate(value) for value in _at(place, point)) for point in points]


def _coordinate(value: float) -> str:
    return number(value, 1).replace("−", "-")  # SVG knows no true minus


def _line(written: list[str]) -> str:
    return "M" + "L".join(written)


def _dots(written: list[str]) -> str:
    return "".join(f"M{point}h0" for point in written)


def _contours(place: str) -> str:
    x0, x1, y0, y1 = LANDSCAPES[place].window
    x, y = torch.linspace(x0, x1, 81).double(), torch.linspace(y0, y1, 61).double()
    height = LANDSCAPES[place].height(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1))
    generator = contour_generator(x.numpy(), y.numpy(), height.numpy())
    low, span = height.min().item(), (height.max() - height.min()).item()
    lines = []
    for level in range(1, _LEVELS):
        for line in generator.lines(low + span * (level / _LEVELS) ** 2):
            points = [_at(place, tuple(point)) for point in line.tolist()]
            # Corners that the eye can't see are left out: every output carries them.
            apart = min(16.0, sum(map(math.dist, points, points[1:])) / 32)
            kept = [points[0]]
            for point in points[1:-1]:
                if math.dist(point, kept[-1]) > apart:
                    kept.append(point)
            lines.append("M" + "L".join(f"{a:.0f} {b:.0f}" for a, b in (*kept, points[-1])))
    return "".join(lines)


def _map(race: Race, alt: str) -> str:
    parts = ""
    for name, landscape in LANDSCAPES.items():
        goals = "".join(
            element("circle", class_="yv-goal", cx=_coordinate(x), cy=_coordinate(y), r=4 if i == 0 else 2.5)
            for i, (x, y) in enumerate(_at(name, point) for point in landscape.lowest)
        )
        hidden = None if name == race.place else "display:none"
        contours = element("path", class_="yv-contours", d=_contours(name))
        parts += element("g", contours + goals, data_place=name, style=hidden)
    for side, runner in zip("ab", race.runners, strict=True):
        written = _written(race.place, runner.walk(race.place, race.start))
        done = written[: race.step + 1]
        x, y = done[-1].split(" ")
        parts += element(
            "g",
            element("path", class_="yv-later", d=_line(written))
            + element("path", class_="yv-walked", d=_line(done))
            + element("path", class_="yv-dots", d=_dots(done))
            + element("circle", class_="yv-here", cx=x, cy=y, r=6.5),
            class_=f"yv-side-{side}",
        )
    x, y = _written(race.place, [race.start])[0].split(" ")
    parts += element("circle", class_="yv-start", cx=x, cy=y, r=4)
    return element("svg", parts, viewBox=f"0 0 {_WIDE} {_HIGH}", role="img", aria_label=alt)


def _options(names: list[str], chosen: str) -> str:
    return "".join(
        element("option", text(name), value=name, selected="selected" if name == chosen else None)
        for name in names
    )


def _controls(race: Race, said: dict[str, str]) -> str:
    select = element(
        "select", _options(list(LANDSCAPES), race.place), data_do="place", aria_label="Landscape"
    )
    slider = element(
        "input", type="range", min=0, max=STEPS, step=1, value=race.step, data_do="step", aria_label="Step",
        aria_valuetext=said["step"],
    )  # fmt: skip
    label = element("span", "step " + reading(said, "step"), class_="yv-number")
    return element("div", element("label", "landscape " + select), class_="yv-bar yv-live") + element(
        "div", label + slider, class_="yv-slide yv-live"
    )


_ROWS = (("at", "at"), ("height", "height"), ("last step's length", "length"), ("99 % of the way", "arrived"))


def _panel(side: str, runner: Runner, said: dict[str, str]) -> str:
    order = "First" if side == "a" else "Second"
    memory = RULES[runner.rule].memory
    sliders = ""
    for key, label, values, value in (
        ("lr", "η", RATES, runner.lr), ("beta", memory, MEMORIES, runner.beta),
    ):  # fmt: skip
        name = "learning rate" if key == "lr" else "memory"
        off = "disabled" if key == "beta" and not memory else None
        slider = element(
            "input", type="range", min=0, max=len(values) - 1, step=1, value=value, disabled=off,
            data_do=f"{side}_{key}", aria_label=f"{order} rule: {name}", aria_valuetext=said[f"{side}_{key}"],
        )  # fmt: skip
        letter = element("span", label or "memory", data_letter=f"{side}_{key}")
        sliders += element("div", letter + slider + reading(said, f"{side}_{key}"), class_="yv-slide")
    select = element(
        "select", _options(list(RULES), runner.rule), data_do=f"{side}_rule", aria_label=f"{order} rule"
    )
    rows = "".join(
        element(
            "div",
            element("span", label) + element("b", text(said[f"{side}_{key}"]), data_out=f"{side}_{key}"),
        )
        for label, key in _ROWS
    )
    swatch = element("span", class_="yv-swatch", aria_hidden="true")
    head = element("div", swatch + select, class_="yv-bar")
    return element(
        "div",
        # Where no script runs there are no controls, and so no name.
        element("b", text(runner.rule), class_="yv-name")
        + element("div", head + sliders, class_="yv-live")
        + element("div", rows, class_="yv-rows yv-number"),
        class_=f"yv-panel yv-side-{side}",
        role="group",
        aria_label=f"{order} rule",
    )


def _start_sliders(race: Race, said: dict[str, str]) -> str:
    x0, x1, y0, y1 = LANDSCAPES[race.place].window
    parts = element("span", "start " + reading(said, "start"), class_="yv-number")
    for axis, low, high, value in (("x", x0, x1, race.start[0]), ("y", y0, y1, race.start[1])):
        # In hundredths: whole numbers are the same in Python and in the page.
        parts += element(
            "input", type="range", min=round(100 * low), max=round(100 * high), step=1,
            value=round(100 * value), data_do=f"start_{axis}", aria_label=f"Start, {axis}",
            aria_valuetext=fixed(value, 2),
        )  # fmt: skip
    hint = element("p", "Or press on the map to start from there.", class_="yv-hint")
    return element("div", element("div", parts, class_="yv-begin") + hint, class_="yv-live")


# The still picture.


@in_book_style
def _picture(race: Race, said: dict[str, str]) -> Image.Image:
    figure = Figure(figsize=(6.0, 3.8), dpi=140, layout="constrained")
    axes = figure.subplots()
    x0, x1, y0, y1 = LANDSCAPES[race.place].window
    x, y = torch.linspace(x0, x1, 81).double(), torch.linspace(y0, y1, 61).double()
    height = LANDSCAPES[race.place].height(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1))
    low, span = height.min().item(), (height.max() - height.min()).item()
    levels = [low + span * (level / _LEVELS) ** 2 for level in range(2, _LEVELS, 2)]
    axes.contour(x, y, height, levels, colors=COLORS["grid"], linewidths=0.8, linestyles="solid")
    for side, runner, style in zip("ab", race.runners, ("o-", "s--"), strict=True):
        walk = runner.walk(race.place, race.start)[: race.step + 1]
        label = f"{runner.rule}, η = {said[f'{side}_lr']}"
        axes.plot(*zip(*walk, strict=True), style, color=COLORS[side], ms=3, lw=1.5, label=label)
    axes.set(xlim=(x0, x1), ylim=(y0, y1), xlabel="x", ylabel="y", title=f"{race.place}, {race.step} steps")
    axes.legend(loc="upper right", frameon=True, framealpha=1, edgecolor="none")
    return rendered(figure)

"""A learning-rate schedule to set up: warm-up, steps or a cosine, and how far the steps reach."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from matplotlib.figure import Figure
from PIL import Image

from yolov3_lib.plots import COLORS
from yolov3_lib.training.config import TrainConfig
from yolov3_lib.training.optimizer import learning_rate
from yolov3_lib.widgets.base import Widget, build, case_buttons, element, fixed, number, reading
from yolov3_lib.widgets.pictures import in_book_style, rendered

TOTAL = 1000
LOWEST = 1e-3  # of the logarithmic scale
_WIDE, _HIGH, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 270, 50, 626, 16, 228
_EVERY = 4  # steps from one point of the curve to the next


@dataclass(frozen=True)
class Schedule:
    """A schedule over `TOTAL` steps whose highest learning rate is 1.

    Attributes:
        kind: ``"step"``, ``"cosine"`` or ``"constant"``.
        warmup: steps until the full rate.
        power: the warm-up grows like the share of it that is done, to this power.
        milestone: "step": the step at which the rate falls to a tenth; it does so again half way from there
            to the end.
        final: "cosine": percent of the rate that is left at the end.
        at: the step that is looked at.
        log: draw the rate on a logarithmic scale.
    """

    kind: str = "step"
    warmup: int = 20
    power: int = 4
    milestone: int = 800
    final: int = 1
    at: int = 500
    log: bool = False

    def rates(self) -> list[float]:
        """The learning rate of every step, as the library computes it, as a share of the highest."""
        first = self.milestone / TOTAL
        config = TrainConfig(
            schedule=self.kind, learning_rate=1.0, warmup_steps=self.warmup, warmup_power=self.power,
            milestones=(first, (first + 1) / 2), final_fraction=self.final / 100,
        )  # fmt: skip
        return [learning_rate(config, step, TOTAL) for step in range(TOTAL)]


CASES = {
    "Darknet": Schedule("step", 20, 4, 797),
    "Cosine": Schedule("cosine", 40, 1, 800, 1),
    "Constant": Schedule("constant", 0, 1),
    "This chapter's": Schedule("cosine", 160, 1, 800, 1),
}
"""Darknet's 1,000 iterations of burn-in are a fiftieth of its 50,200."""


def schedule_explorer(start: str = "Darknet", *, alt: str | None = None) -> Widget:
    """The learning rate over a run, to be set up with sliders; beside it what it is at one step, and how
    much of the way lies behind.

    "The way" is the sum of the learning rates: how far the weights could get if every step's direction had
    length 1 and all were the same.

    Args:
        start: one of `CASES`.
        alt: what the figure shows, instead of a sentence made from the schedule.

    Raises:
        ValueError: no such case.
    """
    if start not in CASES:
        raise ValueError(f"start: expected one of {', '.join(CASES)}, got {start!r}")
    schedule = CASES[start]
    said = readout(schedule)
    if alt is None:
        alt = (
            f"The learning rate over a run of {TOTAL} steps, schedule “{schedule.kind}”, warm-up of "
            f"{schedule.warmup} steps. At step {schedule.at} it is {said['rate']} of its highest value, "
            f"with {said['behind']} of the way behind."
        )
    state = {
        "schedule": asdict(schedule), "cases": {name: asdict(case) for name, case in CASES.items()},
        "total": TOTAL, "every": _EVERY, "lowest": LOWEST,
        "frame": [_LEFT, _RIGHT, _TOP, _BOTTOM],
    }  # fmt: skip
    body = case_buttons(CASES, "Known schedules") + element(
        "div",
        element("div", _drawing(schedule, alt), class_="yv-scene")
        + element("div", _panel(schedule, said), class_="yv-panel"),
        class_="yv-columns",
    )
    return build(
        "schedule", body, state, _picture(schedule, said), alt=alt,
        description=f"Schedule explorer: {schedule.kind}, rate {said['rate']} at step {schedule.at}",
    )  # fmt: skip


def readout(schedule: Schedule) -> dict[str, str]:
    """What the panel says, by the name of each place; ``schedule.js`` says the same."""
    rates = schedule.rates()
    whole = sum(rates)
    behind = sum(rates[: schedule.at + 1])
    last = sum(rates[TOTAL - TOTAL // 10 :])
    return {
        "at": f"step {schedule.at} of {TOTAL}",
        "rate": fixed(rates[schedule.at], 4),
        "behind": f"{fixed(100 * behind / whole, 1)} %",
        "last": f"{fixed(100 * last / whole, 1)} %",
        "mean": fixed(whole / TOTAL, 3),
    }


# Markup.


def _x(step: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * step / TOTAL


def _y(rate: float, log: bool) -> float:
    height = 1 - math.log10(max(rate, LOWEST)) / math.log10(LOWEST) if log else rate
    return _BOTTOM - (_BOTTOM - _TOP) * height


def _curve(schedule: Schedule) -> str:
    rates = schedule.rates()
    points = [*range(0, TOTAL, _EVERY), TOTAL - 1]
    return "M" + "L".join(
        f"{number(_x(step), 1)} {number(_y(rates[step], schedule.log), 1)}" for step in points
    )


def _area(schedule: Schedule) -> str:
    rates = schedule.rates()
    points = [step for step in range(0, TOTAL, _EVERY) if step < schedule.at] + [schedule.at]
    line = "L".join(f"{number(_x(step), 1)} {number(_y(rates[step], schedule.log), 1)}" for step in points)
    return f"M{number(_x(0), 1)} {_BOTTOM}L{line}L{number(_x(schedule.at), 1)} {_BOTTOM}Z"


def _drawing(schedule: Schedule, alt: str) -> str:
    ticks = "".join(
        element("text", number(share, 2), class_="yv-tick", x=number(_x(share * TOTAL), 1), y=_BOTTOM + 18,
                text_anchor="middle")
        for share in (0, 0.25, 0.5, 0.75, 1)
    )  # fmt: skip
    levels = ((0, "0"), (0.5, "0.5"), (1, "1")), ((1e-3, "0.001"), (1e-2, "0.01"), (1e-1, "0.1"), (1, "1"))
    scales = ""
    for log, marks in zip((False, True), levels, strict=True):
        parts = "".join(
            element("path", class_="yv-line", d=f"M{_LEFT} {number(_y(rate, log), 1)}H{_RIGHT}")
            + element("text", label, class_="yv-tick", x=_LEFT - 6, y=number(_y(rate, log) + 4, 1),
                      text_anchor="end")
            for rate, label in marks
        )  # fmt: skip
        scales += element(
            "g",
            parts,
            class_="yv-levels",
            data_log=int(log),
            style=None if log == schedule.log else "display:none",
        )
    at, rate = _x(schedule.at), schedule.rates()[schedule.at]
    parts = (
        scales,
        ticks,
        element("text", "share of the run", class_="yv-tick", x=(_LEFT + _RIGHT) // 2, y=_BOTTOM + 36,
                text_anchor="middle"),
        element("path", class_="yv-area", d=_area(schedule)),
        element("path", class_="yv-curve", d=_curve(schedule)),
        element("path", class_="yv-cursor", d=f"M{number(at, 1)} {_TOP}V{_BOTTOM}"),
        element("circle", class_="yv-dot", cx=number(at, 1), cy=number(_y(rate, schedule.log), 1), r=5),
    )  # fmt: skip
    return element("svg", "".join(parts), viewBox=f"0 0 {_WIDE} {_HIGH}", role="img", aria_label=alt)


_SLIDERS = (
    ("at", "look at step", 0, TOTAL - 1, 1),
    ("warmup", "warm-up, steps", 0, 200, 5),
    ("power", "power of the warm-up", 1, 4, 1),
    ("milestone", "first milestone, step", 300, 950, 1),
    ("final", "left at the end, percent", 0, 50, 1),
)
# Which sliders a kind of schedule doesn't ask.
_UNUSED = {"step": ("final",), "cosine": ("milestone",), "constant": ("milestone", "final")}


def _panel(schedule: Schedule, said: dict[str, str]) -> str:
    options = "".join(
        element("option", kind, value=kind, selected="selected" if kind == schedule.kind else None)
        for kind in ("step", "cosine", "constant")
    )
    controls = element("label", "after the warm-up " + element("select", options), class_="yv-field")
    for name, label, low, high, step in _SLIDERS:
        value = getattr(schedule, name)
        off = "disabled" if name in _UNUSED[schedule.kind] else None
        slider = element("input", type="range", min=low, max=high, step=step, value=value, data_name=name,
                         aria_label=label, disabled=off)  # fmt: skip
        controls += element(
            "label", f"{label} {element('output', value, data_value=name)}{slider}", class_="yv-field"
        )
    checked = "checked" if schedule.log else None
    controls += element(
        "label", element("input", type="checkbox", checked=checked) + "logarithmic scale", class_="yv-check"
    )
    facts = (
        ("", "at"), ("learning rate / highest", "rate"), ("of the way behind", "behind"),
        ("of the way in the last tenth", "last"), ("mean rate / highest", "mean"),
    )  # fmt: skip
    rows = "".join(
        element("div", element("span", label) + reading(said, key), class_="yv-fact") for label, key in facts
    )
    return rows + element("div", controls, class_="yv-live") + element("p", class_="yv-unseen", role="status")


# The still picture.


@in_book_style
def _picture(schedule: Schedule, said: dict[str, str]) -> Image.Image:
    figure = Figure(figsize=(6.6, 2.8), dpi=200, layout="constrained")
    axes = figure.subplots()
    shares = [step / TOTAL for step in range(TOTAL)]
    curves: Sequence[tuple[str, Schedule, str]] = (
        (f"{schedule.kind}, power {schedule.power}", schedule, "solid"),
        ("cosine", replace(CASES["Cosine"]), "dashed"),
    )
    for (label, each, style), color in zip(curves, ("a", "b"), strict=True):
        axes.plot(shares, each.rates(), color=COLORS[color], linestyle=style, label=label)
    axes.set(xlabel="share of the run", ylabel="rate / highest", ylim=(0, 1.05))
    axes.set_title(f"{said['at']}: {said['rate']}, {said['behind']} of the way behind", size=10)
    axes.legend(loc="lower left")
    return rendered(figure)

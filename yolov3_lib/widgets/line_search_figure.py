"""One step of gradient descent, its length in the reader's hand: the contours beside the function along the
line. Built for chapter 17, on f(x) = ½(x₁² + κ x₂²).
"""

import math
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.figure import Figure
from PIL import Image

from yolov3_lib.plots import COLORS
from yolov3_lib.widgets.base import Widget, build, element, fixed, number, text
from yolov3_lib.widgets.pictures import in_book_style, rendered

KAPPAS = (2, 5, 10, 30)
LONGEST = 220  # of the slider, in hundredths of the exact step
C1 = 0.25
_LEVELS = (0.02, 0.1, 0.25, 0.5, 1.0, 1.8)  # of the start's value
# The map: units that it shows, and drawing units to one of them.
_WEST, _EAST, _NORTH, _UNIT = -1.2, 5.4, 2.8, 60
_PLOT = (300, 336, 34, 26)  # width, height, margins at the left and below
_ROOF = 1.5  # of the value at 0: how far up the plot reaches

Place = tuple[float, float]


@dataclass(frozen=True)
class Walk:
    """A path on the quadratic, and the step that is being tried.

    Attributes:
        kappa: the condition number.
        points: the path so far, the start first.
        share: the step that is tried, in hundredths of the exact one.
    """

    kappa: float
    points: tuple[Place, ...]
    share: int = 40

    @classmethod
    def begin(cls, kappa: float, share: int = 40) -> "Walk":
        """From the start where exact search is at its slowest."""
        return cls(kappa, ((5.0, 5.0 / kappa),), share)

    def take(self) -> "Walk":
        """The walk after the step that is tried."""
        return Walk(self.kappa, (*self.points, self.trial), self.share)

    def value(self, x: Place) -> float:
        return (x[0] * x[0] + self.kappa * x[1] * x[1]) / 2

    def gradient(self, x: Place) -> Place:
        return x[0], self.kappa * x[1]

    @property
    def exact(self) -> float:
        """The step length that is best along the line, g·g / g·Ag; 0 at the minimum."""
        g = self.gradient(self.points[-1])
        bend = g[0] * g[0] + self.kappa * g[1] * g[1]
        return (g[0] * g[0] + g[1] * g[1]) / bend if bend > 1e-12 else 0.0

    @property
    def alpha(self) -> float:
        return self.exact * self.share / 100

    @property
    def trial(self) -> Place:
        x, g = self.points[-1], self.gradient(self.points[-1])
        return x[0] - self.alpha * g[0], x[1] - self.alpha * g[1]


def readout(walk: Walk) -> dict[str, str]:
    """Every number that the figure shows, as it's written there; the script computes the same."""
    here, trial = walk.points[-1], walk.trial
    g, new = walk.gradient(here), walk.gradient(trial)
    dot = g[0] * new[0] + g[1] * new[1]
    lengths = math.hypot(*g) * math.hypot(*new)
    angle = math.degrees(math.acos(max(-1.0, min(1.0, dot / lengths)))) if lengths > 1e-12 else None
    before, after = walk.value(here), walk.value(trial)
    last = walk.value(walk.points[-2]) if len(walk.points) > 1 else None
    return {
        "alpha": fixed(walk.alpha),
        "after": fixed(after),
        "before": fixed(before),
        "slope": fixed(-dot, 2),
        "angle": "none" if angle is None else f"{fixed(angle, 0)}°",
        "armijo": "holds" if after <= before - C1 * walk.alpha * (g[0] * g[0] + g[1] * g[1]) else "fails",
        "steps": str(len(walk.points) - 1),
        "ratio": "none yet" if not last else fixed(before / last),
        "bound": fixed(((walk.kappa - 1) / (walk.kappa + 1)) ** 2),
        "verdict": _verdict(walk),
    }


def _verdict(walk: Walk) -> str:
    if not walk.exact:
        return "This is the minimum: no direction leads down."
    if walk.share == 100:
        return "The lowest point on the line: the new gradient stands at a right angle to the old one."
    if walk.share < 100:
        return "Still going down: the new gradient has a part along the old one."
    if walk.share < 200:
        return "Past the lowest point, though still below the start."
    return "As high as the start, or higher: too long."


def line_search_explorer(kappa: int = 5, share: int = 40, alt: str | None = None) -> Widget:
    """A step of gradient descent to be lengthened, shortened and taken, on contours and along its line.

    Args:
        kappa: the condition number that it starts with, one of `KAPPAS`.
        share: the first step, in hundredths of the exact one, from 0 to 220.
        alt: what the figure shows, instead of a sentence made from the numbers.

    Raises:
        ValueError: another condition number, or a step out of range.
    """
    if kappa not in KAPPAS:
        raise ValueError(f"kappa is {kappa}: choose from {', '.join(map(str, KAPPAS))}")
    if not 0 <= share <= LONGEST:
        raise ValueError(f"share is {share}: choose a whole number from 0 to {LONGEST}")
    walk = Walk.begin(kappa, int(share))
    said = readout(walk)
    alt = alt or (
        f"Elliptic contours of a quadratic with condition number {kappa}. From a point at the right a line "
        f"runs along the negative gradient; a step of length {said['alpha']} ends on it. Beside it the "
        f"function along this line, a parabola that falls from {said['before']}; at the step it is "
        f"{said['after']}."
    )
    parts = _map(walk, alt) + _plot(walk)
    body = _controls(walk, said) + element("div", parts, class_="yv-columns") + _panel(said)
    state = {
        "kappa": kappa, "share": walk.share, "levels": _LEVELS, "c1": C1, "roof": _ROOF,
        "map": [_WEST, _EAST, _NORTH, _UNIT], "plot": _PLOT, "longest": LONGEST,
    }  # fmt: skip
    return build(
        "line_search",
        body,
        state,
        _picture(walk),
        alt=alt,
        description=f"Line search explorer: κ = {kappa}, step {said['alpha']}, φ {said['after']}",
    )


# Markup.


def _at(x: Place) -> tuple[float, float]:
    """A place on the map in drawing units."""
    return round((x[0] - _WEST) * _UNIT, 2), round((_NORTH - x[1]) * _UNIT, 2)


def _map(walk: Walk, alt: str) -> str:
    cx, cy = _at((0, 0))
    ellipses = "".join(element("ellipse", cx=cx, cy=cy, **radii) for radii in _contours(walk))
    (x, y), (tx, ty) = _at(walk.points[-1]), _at(walk.trial)
    parts = (
        element("g", ellipses, class_="yv-contours"),
        element("circle", class_="yv-goal", cx=cx, cy=cy, r=3.5),
        element("path", class_="yv-ray", d=_ray(walk)),
        element("path", class_="yv-path", d=_path(walk)),
        element("circle", class_="yv-here", cx=x, cy=y, r=6),
        element("circle", class_="yv-trial", cx=tx, cy=ty, r=6),
    )
    box = f"0 0 {(_EAST - _WEST) * _UNIT:g} {2 * _NORTH * _UNIT:g}"
    drawing = element("svg", "".join(parts), viewBox=box, role="img", aria_label=alt)
    return element("div", drawing, class_="yv-map")


def _contours(walk: Walk) -> list[dict[str, float]]:
    """Radii of the contours in drawing units."""
    start = walk.value(Walk.begin(walk.kappa).points[0])
    radii = [math.sqrt(2 * level * start) * _UNIT for level in _LEVELS]
    return [{"rx": round(r, 2), "ry": round(r / math.sqrt(walk.kappa), 2)} for r in radii]


def _ray(walk: Walk) -> str:
    x, g = walk.points[-1], walk.gradient(walk.points[-1])
    far = walk.exact * LONGEST / 100
    (x1, y1), (x2, y2) = _at(x), _at((x[0] - far * g[0], x[1] - far * g[1]))
    return f"M{x1:g} {y1:g}L{x2:g} {y2:g}"


def _path(walk: Walk) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in map(_at, walk.points))


def _plot(walk: Walk) -> str:
    width, height, left, below = _PLOT
    bottom, right = height - below, width - 8
    start, slope = (left, _height(1.0)), _slope(walk)
    curve = _along(walk, LONGEST)
    # A parabola is a quadratic Bézier curve; its control point lies on the tangent, half-way.
    half = (left + right) / 2, _height(1 + slope * LONGEST / 200)
    armijo = _height(1 + C1 * slope * LONGEST / 100)
    best, dot = _along(walk, 100), _along(walk, walk.share)
    parts = (
        element("path", class_="yv-axes", d=f"M{left} 6V{bottom}H{right}"),
        element("path", class_="yv-armijo", d=f"M{left} {start[1]:g}L{right} {armijo:g}"),
        element(
            "path",
            class_="yv-curve",
            d=f"M{left} {start[1]:g}Q{half[0]:g} {half[1]:g} {curve[0]:g} {curve[1]:g}",
        ),
        element("path", class_="yv-best", d=f"M{best[0]:g} {best[1]:g}V{bottom}"),
        element("circle", class_="yv-trial", cx=dot[0], cy=dot[1], r=6),
        element("text", "φ(α)", class_="yv-tick", x=left + 8, y=16),
        element("text", "α", class_="yv-tick", x=right - 8, y=bottom + 18),
        element("text", "exact", class_="yv-tick", x=best[0], y=bottom + 18, text_anchor="middle"),
        element("text", "φ(0)", class_="yv-tick", x=left - 4, y=start[1] + 4, text_anchor="end"),
    )
    name = "The function along the line, with the step, the best step and the line of Armijo's rule."
    drawing = element("svg", "".join(parts), viewBox=f"0 0 {width} {height}", role="img", aria_label=name)
    return element("div", drawing, class_="yv-along")


def _slope(walk: Walk) -> float:
    """phi'(0) times the exact step, in units of phi(0)."""
    g = walk.gradient(walk.points[-1])
    value = walk.value(walk.points[-1])
    return -walk.exact * (g[0] * g[0] + g[1] * g[1]) / value if value else 0.0


def _along(walk: Walk, share: float) -> tuple[float, float]:
    """The point of the plot for a step, in hundredths of the exact one."""
    width, _, left, _ = _PLOT
    t, slope = share / 100, _slope(walk)
    x = left + (width - 8 - left) * share / LONGEST
    return round(x, 2), _height(1 + slope * t - slope * t * t / 2)


def _height(value: float) -> float:
    _, height, _, below = _PLOT
    return round((height - below) * (1 - value / _ROOF), 2)


def _controls(walk: Walk, said: dict[str, str]) -> str:
    options = "".join(
        element("option", text(k), value=k, selected="selected" if k == walk.kappa else None) for k in KAPPAS
    )
    select = element("label", "κ " + element("select", options, aria_label="Condition number κ"))
    names = {"exact": "Exact", "halve": "Halve", "take": "Take the step", "restart": "Start again"}
    buttons = "".join(element("button", label, type="button", data_do=name) for name, label in names.items())
    slider = element(
        "input", type="range", min=0, max=LONGEST, step=1, value=walk.share, aria_label="Step length α",
        aria_valuetext=said["alpha"],
    )  # fmt: skip
    row = element("div", element("span", "α", aria_hidden="true") + slider, class_="yv-slide")
    return element("div", select + buttons, class_="yv-bar yv-live") + element("div", row, class_="yv-live")


_ROWS = (
    ("step α", "alpha"), ("φ(0)", "before"), ("φ(α)", "after"), ("slope φ′(α)", "slope"),
    ("angle of the gradients", "angle"), (f"Armijo, c₁ = {number(C1)}", "armijo"), ("steps taken", "steps"),
    ("last step: f after / before", "ratio"), ("bound ((κ−1)/(κ+1))²", "bound"),
)  # fmt: skip


def _panel(said: dict[str, str]) -> str:
    rows = "".join(
        element("div", element("span", text(name)) + element("b", text(said[key]), data_out=key))
        for name, key in _ROWS
    )
    verdict = element("p", text(said["verdict"]), class_="yv-verdict", data_out="verdict")
    return (
        element("div", rows, class_="yv-rows yv-number")
        + verdict
        + element("p", class_="yv-unseen", role="status")
    )


# The still picture.


@in_book_style
def _picture(walk: Walk) -> Image.Image:
    figure = Figure(figsize=(8.4, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    turns = [i * math.pi / 100 for i in range(201)]
    for radii in _contours(walk):
        rx, ry = radii["rx"] / _UNIT, radii["ry"] / _UNIT
        left.plot(
            [rx * math.cos(t) for t in turns], [ry * math.sin(t) for t in turns], color=COLORS["grid"], lw=1
        )
    for a, b in pairwise((*walk.points, walk.trial)):
        left.plot(*zip(a, b, strict=True), color=COLORS["a"])
    left.plot(*walk.points[-1], "o", color=COLORS["a"])
    left.plot(*walk.trial, "o", color=COLORS["b"])
    left.set(xlim=(_WEST, _EAST), ylim=(-_NORTH, _NORTH), aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    shares = [s * LONGEST / 100 for s in range(101)]
    unit, value = walk.exact / 100, walk.value(walk.points[-1])
    slope = _slope(walk)
    phi = [value * (1 + slope * s / 100 - slope * s * s / 20000) for s in shares]
    right.plot([s * unit for s in shares], phi, color=COLORS["a"])
    right.plot(walk.alpha, walk.value(walk.trial), "o", color=COLORS["b"])
    right.axvline(walk.exact, color=COLORS["grid"], ls="dashed")
    right.set(xlabel="α", ylabel="φ(α)", ylim=(0, None))
    return rendered(figure)

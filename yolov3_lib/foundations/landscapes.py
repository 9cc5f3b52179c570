"""Functions of two numbers to watch an optimizer on: a valley, a saddle, a noisy bowl, two hollows.

`trace` walks on them with any optimizer of torch's kind: those of `yolov3_lib.foundations.optimizers`, or
torch's own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Landscape:
    """A function of two numbers to be minimized.

    Attributes:
        name: how it's called.
        height: the function: points (..., 2) → (...).
        start: where the walks begin.
        lowest: its minima, the best first.
        window: (x from, x to, y from, y to), the part worth drawing.
        pulls: (K, 2) what is added to the gradient, one row a step, over and over; None where nothing is.
            Their sum is 0: how far each of K samples' gradients lies from the mean of all.
    """

    name: str
    height: Callable[[Tensor], Tensor]
    start: tuple[float, float]
    lowest: tuple[tuple[float, float], ...]
    window: tuple[float, float, float, float]
    pulls: Tensor | None = None

    def loss(self, point: Tensor, step: int) -> Tensor:
        """What step number ``step``, counted from 0, sees of the function: (2,) → one number."""
        loss = self.height(point)
        if self.pulls is None:
            return loss
        return loss + self.pulls[step % len(self.pulls)].to(point) @ point


def trace(
    make: Callable[[list[Tensor]], torch.optim.Optimizer],
    landscape: Landscape,
    steps: int,
    start: Sequence[float] | None = None,
    reach: float = 50.0,
) -> Tensor:
    """Walk on a landscape.

    Args:
        make: builds an optimizer, ours or torch's, for the list of parameters that it's given.
        landscape: where.
        steps: how many, at least 0.
        start: two numbers; the landscape's own by default.
        reach: a walk that gets farther than this from the origin, in x or in y, stands still from there on.

    Returns:
        (steps + 1, 2) float64, the start first.

    Raises:
        ValueError: a start that isn't two finite numbers, or a negative number of steps.
    """
    point = torch.tensor(landscape.start if start is None else tuple(start), dtype=torch.float64)
    if point.shape != (2,) or not point.isfinite().all():
        raise ValueError(f"start: expected two finite numbers, got {start}")
    if steps < 0:
        raise ValueError(f"steps: expected a whole number, at least 0, got {steps}")
    point.requires_grad_()
    optimizer = make([point])
    points = [point.detach().clone()]
    for step in range(steps):
        if points[-1].abs().max() <= reach:
            optimizer.zero_grad()
            landscape.loss(point, step).backward()
            optimizer.step()
        points.append(point.detach().clone())
    return torch.stack(points)


def _valley(point: Tensor) -> Tensor:
    x, y = point.unbind(-1)
    return (x**2 + 25 * y**2) / 2


def _saddle(point: Tensor) -> Tensor:
    x, y = point.unbind(-1)
    return x**2 / 2 - y**2 / 2 + y**4 / 16


def _hollows(point: Tensor) -> Tensor:
    x, y = point.unbind(-1)
    return (x**2 - 4) ** 2 / 16 + 0.2 * x + y**2 / 2


def _bowl(point: Tensor) -> Tensor:
    x, y = point.unbind(-1)
    return (x**2 + 4 * y**2) / 2


def _drawn(count: int) -> Tensor:
    """Pulls of ``count`` samples, in an order that was drawn once; their sum is 0."""
    pulls = np.random.default_rng(7).normal(size=(count, 2))
    # Whole hundredths: the same on every machine, and short where they are written down.
    pulls = np.round(100 * (pulls - pulls.mean(axis=0)))
    pulls[-1] -= pulls.sum(axis=0)
    return torch.from_numpy(pulls / 100)


_LEFT, _RIGHT = (-2.09336106, 0.0), (1.89129855, 0.0)
LANDSCAPES: dict[str, Landscape] = {
    landscape.name: landscape
    for landscape in (
        Landscape("valley", _valley, (-4.0, 1.0), ((0.0, 0.0),), (-4.6, 2.4, -1.4, 1.4)),
        Landscape("saddle", _saddle, (-3.0, 0.01), ((0.0, 2.0), (0.0, -2.0)), (-3.6, 2.4, -3.0, 3.0)),
        Landscape("noisy bowl", _bowl, (-3.5, 1.5), ((0.0, 0.0),), (-4.2, 2.8, -2.4, 2.4), _drawn(60)),
        Landscape("two hollows", _hollows, (3.6, 1.0), (_LEFT, _RIGHT), (-4.2, 4.2, -2.4, 2.4)),
    )
}
"""A valley 25 times as steep across as along; a saddle, left slowly along y; a bowl seen through samples; and
two hollows, of which the left one is deeper."""

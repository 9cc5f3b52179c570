r"""Gradient descent, momentum, RMSprop, Adam and AdamW, as optimizers of torch.

Write :math:`\theta` for the parameters, :math:`g` for the gradient of the loss there and :math:`\eta` for the
learning rate. Each class here is one rule for the next :math:`\theta`, written like its formula, and takes
the step that its twin in ``torch.optim`` takes: ``SGD``, ``RMSprop``, ``Adam``, ``AdamW``. Options let it go
wrong in the ways that chapter 7 looks at. `yolov3_lib.foundations.landscapes` has places to walk on.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

Correction = Literal["power", "constant", "none"]
CORRECTIONS = ("power", "constant", "none")


class Rule(torch.optim.Optimizer):
    """What the rules share: they go through the parameters and hand each to `move`, with its gradient.

    A parameter whose gradient is None stays where it is, and its memory too.
    """

    def move(self, theta: Tensor, g: Tensor, memory: dict[str, Any], group: dict[str, Any]) -> None:
        """Move one parameter, in place.

        Args:
            theta: the parameter, any shape.
            g: its gradient, of the same shape. The rule may overwrite its own copy, never this.
            memory: what the rule keeps of this parameter from step to step; empty before the first.
            group: learning rate and other numbers.
        """
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Move every parameter once.

        Args:
            closure: computes the loss and its gradients anew; not needed where ``backward`` has been called.

        Returns:
            What the closure gave, or None.

        Raises:
            TypeError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for number, group in enumerate(self.param_groups):
            for place, theta in enumerate(group["params"]):
                if theta.grad is None:
                    continue
                if theta.grad.is_sparse:
                    where = f"params[{place}] of group {number}"
                    raise TypeError(f"{where} has a sparse gradient: use nn.Embedding(sparse=False)")
                self.move(theta, theta.grad, self.state[theta], group)
        return loss


class GradientDescent(Rule):
    r""":math:`\theta \leftarrow \theta - \eta\,g`.

    With the gradient of the loss over all data it is gradient descent, with that of a random sample it is
    stochastic gradient descent: the rule can't tell. Twin: ``torch.optim.SGD``.

    Args:
        params: the parameters, or groups of them, as every optimizer of torch takes them.
        lr: the learning rate :math:`\eta`, at least 0.
        weight_decay: :math:`\lambda \ge 0`; :math:`\lambda\theta` is added to the gradient.

    Raises:
        ValueError: a number out of its range.
    """

    def __init__(self, params: Iterable, lr: float, weight_decay: float = 0.0) -> None:
        _not_negative(lr=lr, weight_decay=weight_decay)
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    def move(self, theta: Tensor, g: Tensor, memory: dict[str, Any], group: dict[str, Any]) -> None:
        theta -= group["lr"] * _decayed(g, theta, group)


SGD = GradientDescent
"""Stochastic gradient descent: the same rule, fed with the gradients of random samples."""


class Momentum(Rule):
    r""":math:`v \leftarrow \mu v + g`, then :math:`\theta \leftarrow \theta - \eta\,v`.

    :math:`v`, the velocity, starts at 0. Source: Polyak 1964. Twin: ``torch.optim.SGD(momentum=...)``. Other
    texts put :math:`\eta` into the velocity, :math:`v \leftarrow \mu v + \eta\,g`: the same walk as long as
    :math:`\eta` doesn't change.

    Args:
        params, lr, weight_decay: as in `GradientDescent`.
        momentum: :math:`\mu`, at least 0 and less than 1.
        nesterov: go along :math:`g + \mu v` instead of :math:`v` (Nesterov 1983, in the form of Sutskever et
            al. 2013).

    Raises:
        ValueError: a number out of its range.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        _not_negative(lr=lr, weight_decay=weight_decay)
        _below_one(momentum=momentum)
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        )

    def move(self, theta: Tensor, g: Tensor, memory: dict[str, Any], group: dict[str, Any]) -> None:
        g = _decayed(g, theta, group)
        mu = group["momentum"]
        v = _kept("v", memory, theta)
        v.mul_(mu).add_(g)
        theta -= group["lr"] * (g + mu * v if group["nesterov"] else v)


class RMSprop(Rule):
    r""":math:`s \leftarrow \beta s + (1 - \beta)\,g^2`, then
    :math:`\theta \leftarrow \theta - \eta\,g / (\sqrt{s} + \varepsilon)`, each entry for itself.

    :math:`s`, the moving mean of the squares, starts at 0, and nothing corrects for that: the first steps are
    long. Source: Tieleman and Hinton 2012. Twin: ``torch.optim.RMSprop``, whose ``alpha`` is our ``beta``.

    Args:
        params, lr, weight_decay: as in `GradientDescent`.
        beta: how much of the old mean stays, at least 0 and less than 1.
        eps: :math:`\varepsilon \ge 0`, keeps the denominator from 0.
        eps_inside: divide by :math:`\sqrt{s + \varepsilon}` instead.

    Raises:
        ValueError: a number out of its range.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 0.01,
        beta: float = 0.9,
        eps: float = 1e-8,
        eps_inside: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        _not_negative(lr=lr, eps=eps, weight_decay=weight_decay)
        _below_one(beta=beta)
        super().__init__(
            params,
            {"lr": lr, "beta": beta, "eps": eps, "eps_inside": eps_inside, "weight_decay": weight_decay},
        )

    def move(self, theta: Tensor, g: Tensor, memory: dict[str, Any], group: dict[str, Any]) -> None:
        g = _decayed(g, theta, group)
        s = _kept("s", memory, theta)
        _average(s, g * g, group["beta"])
        theta -= group["lr"] * g / _root(s, group)


class Adam(Rule):
    r"""Moving means of the gradient and of its square, both corrected for their start at 0:

    .. math::

        m \leftarrow \beta_1 m + (1 - \beta_1)\,g \qquad s \leftarrow \beta_2 s + (1 - \beta_2)\,g^2 \qquad
        \theta \leftarrow \theta - \eta\,\frac{m / (1 - \beta_1^t)}{\sqrt{s / (1 - \beta_2^t)} + \varepsilon}

    where :math:`t` counts the steps from 1. Source: Kingma and Ba 2015, whose :math:`v` is our :math:`s`.
    Twin: ``torch.optim.Adam``.

    Args:
        params, lr, weight_decay: as in `GradientDescent`.
        betas: :math:`\beta_1, \beta_2`, each at least 0 and less than 1.
        eps: :math:`\varepsilon \ge 0`.
        eps_inside: divide by the root of the sum instead of the sum of the root.
        correction: ``"power"`` divides by :math:`1 - \beta^t`; ``"constant"`` by :math:`1 - \beta`, as the
            document has it; ``"none"`` not at all.

    Raises:
        ValueError: a number out of its range, or no such correction.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        eps_inside: bool = False,
        correction: Correction = "power",
        weight_decay: float = 0.0,
    ) -> None:
        _not_negative(lr=lr, eps=eps, weight_decay=weight_decay)
        if len(betas) != 2:
            raise ValueError(f"betas: expected two numbers, β₁ and β₂, got {len(betas)}")
        _below_one(**{"betas[0]": betas[0], "betas[1]": betas[1]})
        if correction not in CORRECTIONS:
            raise ValueError(f"correction: expected one of {', '.join(CORRECTIONS)}, got {correction!r}")
        defaults = {"lr": lr, "betas": tuple(betas), "eps": eps, "eps_inside": eps_inside}
        super().__init__(params, defaults | {"correction": correction, "weight_decay": weight_decay})

    def move(self, theta: Tensor, g: Tensor, memory: dict[str, Any], group: dict[str, Any]) -> None:
        g = self.decay(theta, g, group)
        beta1, beta2 = group["betas"]
        m, s = _kept("m", memory, theta), _kept("s", memory, theta)
        # Each parameter counts for itself: one may have had no gradient in a step in which others had.
        t = memory["t"] = memory.get("t", 0) + 1
        _average(m, g, beta1)
        _average(s, g * g, beta2)
        m_hat = m / bias(beta1, t, group["correction"])
        s_hat = s / bias(beta2, t, group["correction"])
        theta -= group["lr"] * m_hat / _root(s_hat, group)

    def decay(self, theta: Tensor, g: Tensor, group: dict[str, Any]) -> Tensor:
        """The gradient to go on with, after weight decay."""
        return _decayed(g, theta, group)


class AdamW(Adam):
    r"""Adam whose weight decay doesn't pass through the moving means.

    First :math:`\theta \leftarrow (1 - \eta\lambda)\,\theta`, then Adam's step with the gradient as it is.

    Source: Loshchilov and Hutter 2019; theirs isn't multiplied by :math:`\eta` but by the schedule alone;
    torch and this class multiply it. Twin: ``torch.optim.AdamW``.

    Args:
        params, lr, betas, eps, eps_inside, correction: as in `Adam`.
        weight_decay: :math:`\lambda \ge 0`, .01 by default as in torch.

    Raises:
        ValueError: as in `Adam`.
    """

    def __init__(self, params: Iterable, lr: float = 1e-3, *, weight_decay: float = 0.01, **options) -> None:
        super().__init__(params, lr, weight_decay=weight_decay, **options)

    def decay(self, theta: Tensor, g: Tensor, group: dict[str, Any]) -> Tensor:
        theta *= 1 - group["lr"] * group["weight_decay"]
        return g


def bias(beta: float, t: int, correction: Correction = "power") -> float:
    r"""What a moving mean that started at 0 is divided by after ``t`` steps.

    "power": the sum of the weights that it has given out so far, :math:`1 - \beta^t`. "constant" and "none"
    take :math:`1 - \beta` and 1 for it.
    """
    return {"power": 1 - beta**t, "constant": 1 - beta, "none": 1.0}[correction]


def _kept(name: str, memory: dict[str, Any], theta: Tensor) -> Tensor:
    """The tensor of that name in the memory, the parameter's size; zeros the first time."""
    if name not in memory:
        memory[name] = torch.zeros_like(theta)
    return memory[name]


def _average(mean: Tensor, new: Tensor, beta: float) -> None:
    mean.mul_(beta).add_(new, alpha=1 - beta)


def _root(s: Tensor, group: dict[str, Any]) -> Tensor:
    return (s + group["eps"]).sqrt() if group["eps_inside"] else s.sqrt() + group["eps"]


def _decayed(g: Tensor, theta: Tensor, group: dict[str, Any]) -> Tensor:
    return g + group["weight_decay"] * theta if group["weight_decay"] else g


def _not_negative(**numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name}: expected a finite number, at least 0, got {value}")


def _below_one(**numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}: expected a number from 0 to below 1, got {value}")

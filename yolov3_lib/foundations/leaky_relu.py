r"""Leaky ReLU and its relatives, their slopes, and a network small enough to watch its neurons die.

.. math::

    f(z) = \begin{cases} z & z > 0 \\ a z & z \le 0 \end{cases}

with one number a, the slope on the left: 0 is ReLU, .1 is YOLOv3's, a learned one is PReLU. At 0 there is no
derivative; like Darknet and torch, everything here takes a.

A neuron is *silent* on a set of examples if its pre-activation z is above 0 for none of them. A silent neuron
of a ReLU network puts out 0 and gets no gradient: it is *dead*.

The functions take tensors of floats of any shape. The network at the end has one input, one hidden layer and
one output, so that it can be drawn: a sum of H hinges. Its gradients are written out, not left to autograd.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

SLOPE = 0.1  # Darknet's
ACTIVATIONS = ("relu", "leaky", "prelu", "silu", "mish")

# --- The functions and their derivatives ---


def leaky_relu(z: Tensor, slope: float | Tensor = SLOPE) -> Tensor:
    """z above 0, ``slope * z`` elsewhere: (...) to (...).

    The twin of ``torch.nn.functional.leaky_relu`` and, with a tensor of slopes, of ``prelu``.

    Args:
        z: (...) pre-activations.
        slope: one number, or a tensor that fits the shape of ``z`` (one slope a channel: ``(C, 1, 1)``).

    Raises:
        TypeError: ``z`` isn't a tensor of floats.
        ValueError: a number that isn't finite, or slopes of a shape that doesn't fit.

    Source: Maas, Hannun and Ng 2013; He et al. 2015, equation 1.
    """
    return torch.where(z > 0, z, _slopes(z, slope) * z)


def leaky_relu_gradient(z: Tensor, slope: float | Tensor = SLOPE) -> Tensor:
    """Derivative of `leaky_relu` by z: 1 above 0, the slope elsewhere. Arguments and errors as there."""
    return torch.where(z > 0, torch.ones_like(z), _slopes(z, slope))


def gradient_from_output(y: Tensor, slope: float = SLOPE) -> Tensor:
    """The same derivative from the *output* y: (...), so that z needn't be kept.

    This is how an activation can work in place: y is above 0 exactly where z is.

    Args:
        y: (...) outputs of `leaky_relu`.
        slope: one number, at least 0.

    Raises:
        TypeError: ``y`` isn't a tensor of floats.
        ValueError: a negative slope, with which y no longer tells the sign of z, or one that isn't finite.
    """
    if slope < 0:
        raise ValueError(
            f"slope is {slope}: below 0 the output is positive on both sides. Keep z, and take "
            "leaky_relu_gradient"
        )
    return leaky_relu_gradient(y, slope)


def prelu_gradient(z: Tensor) -> Tensor:
    """Derivative of `leaky_relu` by its slope: 0 above 0, z elsewhere, (...). He et al. 2015, equation 3.

    Raises:
        TypeError: ``z`` isn't a tensor of floats.
    """
    _check_floats("z", z)
    return z.clamp(max=0)


def silu(z: Tensor) -> Tensor:
    """z times its own sigmoid: (...). Ramachandran et al. 2017 call it Swish.

    Raises:
        TypeError: ``z`` isn't a tensor of floats.
    """
    _check_floats("z", z)
    return z * z.sigmoid()


def silu_gradient(z: Tensor) -> Tensor:
    """Derivative of `silu`, σ(z)·(1 + z·(1 − σ(z))): (...). Errors as there."""
    _check_floats("z", z)
    # 1 − σ(z) is σ(−z): written so, nothing is lost for large z.
    return z.sigmoid() * (1 + z * (-z).sigmoid())


def mish(z: Tensor) -> Tensor:
    """z · tanh(ln(1 + eᶻ)): (...). Misra 2020.

    Raises:
        TypeError: ``z`` isn't a tensor of floats.
    """
    _check_floats("z", z)
    return z * F.softplus(z).tanh()


def mish_gradient(z: Tensor) -> Tensor:
    """Derivative of `mish`, t + z·(1 − t²)·σ(z) with t = tanh(ln(1 + eᶻ)): (...). Errors as there."""
    _check_floats("z", z)
    squashed = F.softplus(z).tanh()
    return squashed + z * (1 - squashed**2) * z.sigmoid()


def gain(slope: float) -> float:
    """What the standard deviation of initial weights is multiplied by, √(2 / (1 + a²)).

    Weights of mean 0 and standard deviation ``gain / √fan_in`` keep the mean square of the activations from
    layer to layer. The twin of ``torch.nn.init.calculate_gain("leaky_relu", slope)``.

    Raises:
        ValueError: a slope that isn't finite.

    Source: He et al. 2015, equation 15.
    """
    if not math.isfinite(slope):
        raise ValueError(f"slope is {slope}: give a finite number")
    return math.sqrt(2 / (1 + slope**2))


# --- Silent neurons ---


def silent(z: Tensor, dim: int | Sequence[int] = -1) -> Tensor:
    """Which neurons are above 0 on no example: a bool tensor without the dimensions ``dim``.

    Args:
        z: pre-activations.
        dim: the dimensions that hold the examples. For channels of ``(N, C, H, W)``: ``(0, 2, 3)``.

    Raises:
        TypeError: ``z`` isn't a tensor of floats.
        ValueError: no examples or no dimension that holds them, or NaN among the pre-activations.
    """
    _check_floats("z", z)
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if not dims or not all(z.shape[d] for d in dims):
        raise ValueError(
            f"z has shape {tuple(z.shape)}, dim is {dim}: without an example, no neuron is silent or loud"
        )
    if z.isnan().any():
        raise ValueError("z holds NaN: the network has diverged, lower the learning rate")
    return (z <= 0).all(dim=dims[0]) if len(dims) == 1 else z.amax(dim=dims) <= 0


# --- A network to draw ---


class Network(NamedTuple):
    """One input, H hidden neurons, one output: y = Σ out · f(weight · x + bias) + offset.

    Leading dimensions ``(...)`` hold networks side by side that know nothing of each other.

    Attributes:
        weight: (..., H) from the input to each neuron.
        bias: (..., H).
        out: (..., H) from each neuron to the output.
        offset: (...), the output's own bias.
        slope: (..., H), each neuron's slope below 0; SiLU and Mish have none and ignore it.
    """

    weight: Tensor
    bias: Tensor
    out: Tensor
    offset: Tensor
    slope: Tensor

    @property
    def kinks(self) -> Tensor:
        """(..., H): the x at which each neuron's pre-activation is 0."""
        return -self.bias / self.weight


def start(hidden: int, slope: float = SLOPE, networks: int = 1, shift: float = 0.0, seed: int = 0) -> Network:
    """Networks whose kinks lie evenly spread, at random, between −1 and 1. float64.

    Weights are normal with variance 2 / fan_in (He et al. 2015), which is 2 and 2 / H; the offset is 0.

    Args:
        hidden: neurons H.
        slope: of every neuron; 0 for ReLU.
        networks: how many.
        shift: taken off every bias, so that the neurons are silent on more of the examples.
        seed: the same seed gives the same networks, whatever ``slope`` and ``shift``.

    Raises:
        ValueError: no neuron, or no network.
    """
    if hidden < 1 or networks < 1:
        raise ValueError(f"hidden is {hidden} and networks {networks}: both are at least 1")
    draws = torch.Generator().manual_seed(seed)
    shape = (networks, hidden)
    weight = torch.randn(shape, generator=draws, dtype=torch.float64) * math.sqrt(2)
    kinks = torch.rand(shape, generator=draws, dtype=torch.float64) * 2 - 1
    out = torch.randn(shape, generator=draws, dtype=torch.float64) * math.sqrt(2 / hidden)
    return Network(
        weight, -weight * kinks - shift, out, torch.zeros_like(out[:, 0]), torch.full_like(out, slope)
    )


def hidden(network: Network, x: Tensor, activation: str) -> tuple[Tensor, Tensor, Tensor]:
    """Pre-activations, activations and derivatives of the hidden neurons on N inputs, each (..., H, N).

    Args:
        network: H neurons.
        x: (N,) inputs.
        activation: one of `ACTIVATIONS`. The first three differ only in the slope and in who sets it.

    Raises:
        ValueError: another activation.
    """
    z = network.weight[..., None] * x + network.bias[..., None]
    if activation == "silu":
        return z, silu(z), silu_gradient(z)
    if activation == "mish":
        return z, mish(z), mish_gradient(z)
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation is {activation!r}: choose from {', '.join(ACTIVATIONS)}")
    slope = network.slope[..., None]
    return z, leaky_relu(z, slope), leaky_relu_gradient(z, slope)


def predict(network: Network, x: Tensor, activation: str) -> Tensor:
    """The outputs on N inputs: (..., N). Arguments and errors as for `hidden`."""
    _, active, _ = hidden(network, x, activation)
    return (network.out[..., None] * active).sum(dim=-2) + network.offset[..., None]


def gradients(network: Network, x: Tensor, target: Tensor, activation: str) -> tuple[Tensor, Network]:
    """The mean squared error and its derivative by every parameter.

    Args:
        network: H neurons.
        x: (N,) inputs.
        target: (N,) what the outputs should be.
        activation: one of `ACTIVATIONS`; only "prelu" has a gradient by its slopes.

    Returns:
        The errors, (...), and their derivatives, in the places of the parameters.

    Raises:
        ValueError: ``x`` and ``target`` aren't both (N,), or an unknown activation.
    """
    if x.ndim != 1 or x.shape != target.shape:
        raise ValueError(
            f"x has shape {tuple(x.shape)} and target {tuple(target.shape)}: both should be (N,)"
        )
    z, active, slopes = hidden(network, x, activation)
    error = (network.out[..., None] * active).sum(dim=-2) + network.offset[..., None] - target
    by_output = (2 / len(x)) * error  # (..., N): the derivative of the mean square by each output
    by_active = network.out[..., None] * by_output[..., None, :]
    by_z = by_active * slopes  # the chain rule: a neuron's whole gradient passes through its slope
    learned = activation == "prelu"
    by_slope = (by_active * prelu_gradient(z)).sum(dim=-1) if learned else torch.zeros_like(network.slope)
    return error.square().mean(dim=-1), Network(
        weight=(by_z * x).sum(dim=-1),
        bias=by_z.sum(dim=-1),
        out=(active * by_output[..., None, :]).sum(dim=-1),
        offset=by_output.sum(dim=-1),
        slope=by_slope,
    )


def train(
    network: Network, x: Tensor, target: Tensor, activation: str, rates: Iterable[float]
) -> Iterator[tuple[Tensor, Network]]:
    """Gradient descent on all examples at once, one step for each learning rate.

    Yields:
        The mean squared error (...) and the network, before each step and after the last.

    Arguments and errors as for `gradients`.
    """
    for rate in rates:
        loss, slopes = gradients(network, x, target, activation)
        yield loss, network
        network = Network(*(part - rate * slope for part, slope in zip(network, slopes, strict=True)))
    yield gradients(network, x, target, activation)[0], network


# --- Checks ---


def _check_floats(name: str, value: Tensor) -> None:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} is {kind}: expected a tensor of floats, such as {name}.float()")


def _slopes(z: Tensor, slope: float | Tensor) -> Tensor:
    """The slopes as a tensor that broadcasts with z, of its dtype."""
    _check_floats("z", z)
    # Learned slopes may diverge in training: that's for the loss to show.
    if not isinstance(slope, Tensor) and not math.isfinite(slope):
        raise ValueError(f"slope is {slope}: give a finite number")
    slopes = torch.as_tensor(slope, dtype=z.dtype, device=z.device)
    try:
        fits = torch.broadcast_shapes(z.shape, slopes.shape) == z.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"slope has shape {tuple(slopes.shape)}, z {tuple(z.shape)}: give one number, or a shape that "
            "broadcasts to that of z, such as (C, 1, 1) for one slope a channel of (N, C, H, W)"
        )
    return slopes

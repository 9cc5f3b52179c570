r"""Batch normalization of feature maps, forward and backward, with what it becomes at inference.

In training, each channel :math:`c` of a batch :math:`x` of shape (N, C, H, W) is normalized by its own mean
and variance over the batch and all places, then scaled and shifted (Ioffe and Szegedy 2015, algorithm 1):

.. math::

    \hat x_{nchw} = \frac{x_{nchw} - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} \qquad
    y_{nchw} = \gamma_c \hat x_{nchw} + \beta_c

At inference, running averages stand in for :math:`\mu_c` and :math:`\sigma_c^2`. The whole is then one factor
and one summand a channel, and `fold` moves both into the convolution before it.

`BatchNorm` agrees with `torch.nn.BatchNorm2d`, state dict included. It is written to be read; the detector
uses torch's, and `yolov3_lib.models.fold_batch_norm`.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

EPSILON = 1e-5
"""torch's default, and what Darknet's GPU code adds to the variance."""


class Statistics(NamedTuple):
    """What a batch says about its channels.

    Attributes:
        mean: (C,), over batch, height and width.
        variance: (C,), the mean squared distance from it: biased, divided by ``count``.
        count: M = N·H·W, how many values of each channel went into them.
    """

    mean: Tensor
    variance: Tensor
    count: int

    @property
    def unbiased(self) -> Tensor:
        """(C,), the variance divided by ``count`` − 1: what the running average gets."""
        return self.variance * (self.count / (self.count - 1))


class Saved(NamedTuple):
    """What the backward pass needs from the forward pass.

    Attributes:
        normalized: (N, C, H, W), x̂.
        gamma: (C,).
        inverse: (C,), 1 / √(σ² + ε).
    """

    normalized: Tensor
    gamma: Tensor
    inverse: Tensor


class Gradients(NamedTuple):
    """The derivatives of a loss: with respect to x (N, C, H, W), and to gamma and beta (C,)."""

    x: Tensor
    gamma: Tensor
    beta: Tensor


# --- Training ---


def statistics(x: Tensor) -> Statistics:
    """Mean and biased variance of each channel.

    Two passes, mean first: E[x²] − E[x]² would lose the digits of a variance that is small beside the mean.

    Args:
        x: (N, C, H, W) floats, at least two values in each channel.

    Raises:
        ValueError: another shape, or a single value a channel, whose distance from its own mean is always 0.
        TypeError: no floats.
    """
    _check_maps("x", x)
    count = x.numel() // x.shape[1] if x.shape[1] else 0
    if count < 2:
        raise ValueError(
            f"x: {tuple(x.shape)} holds {count} value{'s' * (count != 1)} of each channel, and a variance "
            "takes at least 2; give a larger batch or larger maps, or use running averages (eval mode)"
        )
    mean = x.mean(dim=(0, 2, 3))
    variance = (x - _per_channel(mean)).square().mean(dim=(0, 2, 3))
    return Statistics(mean, variance, count)


def normalize(x: Tensor, mean: Tensor, variance: Tensor, epsilon: float = EPSILON) -> Tensor:
    """x̂ of shape (N, C, H, W): each channel minus its mean, divided by √(variance + ε).

    Args:
        x: (N, C, H, W) floats.
        mean: (C,).
        variance: (C,), not negative.
        epsilon: ε, more than 0, so that a channel that never changes isn't divided by 0.

    Raises:
        ValueError: shapes that don't fit, a negative variance, an ε of 0 or less.
        TypeError: no floats.
    """
    _check_maps("x", x)
    _check_channels(x.shape[1], mean=mean, variance=variance)
    _check_denominator(variance, epsilon)
    return (x - _per_channel(mean)) * _per_channel((variance + epsilon).rsqrt())


def forward(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float = EPSILON) -> tuple[Tensor, Saved]:
    """Normalizes by the batch's own statistics, then scales and shifts.

    Args:
        x: (N, C, H, W) floats, at least two values in each channel.
        gamma: (C,); abs(γ) is the new standard deviation of each channel (for a variance well above ε).
        beta: (C,), the new mean of each channel.
        epsilon: as for `normalize`.

    Returns:
        y of shape (N, C, H, W), and what `backward` needs.

    Raises:
        ValueError: as `statistics` and `normalize`.
        TypeError: no floats.
    """
    mean, variance, _ = statistics(x)
    _check_channels(x.shape[1], gamma=gamma, beta=beta)
    normalized = normalize(x, mean, variance, epsilon)
    y = _per_channel(gamma) * normalized + _per_channel(beta)
    return y, Saved(normalized, gamma, (variance + epsilon).rsqrt())


def backward(grad_y: Tensor, saved: Saved) -> Gradients:
    r"""The derivatives of a loss, from its derivatives with respect to y.

    With g = ∂L/∂y, for each channel, means taken over batch, height and width:

    .. math::

        \frac{\partial L}{\partial x} = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}
        \left(g - \overline{g} - \hat x \, \overline{g \hat x}\right)

    The two means are there because every value of the channel moves μ and σ², and so every other x̂.

    Args:
        grad_y: (N, C, H, W), ∂L/∂y.
        saved: what `forward` gave.

    Raises:
        ValueError: grad_y hasn't the shape of y.
    """
    normalized, gamma, inverse = saved
    if grad_y.shape != normalized.shape:
        raise ValueError(
            f"grad_y: {tuple(grad_y.shape)} isn't the shape of y, {tuple(normalized.shape)}; give the "
            "derivative with respect to what the same call of forward gave"
        )
    grad_beta = grad_y.sum(dim=(0, 2, 3))
    grad_gamma = (grad_y * normalized).sum(dim=(0, 2, 3))
    count = normalized.numel() // len(gamma)
    along_ones, along_normalized = _per_channel(grad_beta / count), _per_channel(grad_gamma / count)
    grad_x = _per_channel(gamma * inverse) * (grad_y - along_ones - normalized * along_normalized)
    return Gradients(grad_x, grad_gamma, grad_beta)


# --- Inference ---


def update_running(
    running_mean: Tensor, running_variance: Tensor, batch: Statistics, momentum: float
) -> tuple[Tensor, Tensor]:
    """The running averages after one more batch: new = (1 − momentum)·old + momentum·batch.

    This is torch's convention: a small momentum is a long memory. Darknet's is .01. The mean is taken as it
    is, the variance unbiased.

    Args:
        running_mean: (C,), before.
        running_variance: (C,), before.
        batch: what `statistics` gave.
        momentum: the weight of the new batch, from 0 to 1.

    Returns:
        Both averages, as new tensors.

    Raises:
        ValueError: shapes that don't fit, or a momentum that isn't from 0 to 1.
    """
    _check_momentum(momentum)
    _check_channels(len(batch.mean), running_mean=running_mean, running_variance=running_variance)
    return running_mean.lerp(batch.mean, momentum), running_variance.lerp(batch.unbiased, momentum)


def scale_and_shift(
    gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor, epsilon: float = EPSILON
) -> tuple[Tensor, Tensor]:
    """With fixed statistics, batch normalization is y = scale·x + shift: both, of shape (C,).

    Raises:
        ValueError: not four (C,) tensors, a negative variance, an ε of 0 or less.
    """
    if gamma.ndim != 1:
        raise ValueError(f"gamma: expected (C,), one number a channel, got {tuple(gamma.shape)}")
    _check_channels(len(gamma), beta=beta, mean=mean, variance=variance)
    _check_denominator(variance, epsilon)
    scale = gamma * (variance + epsilon).rsqrt()
    return scale, beta - scale * mean


def fold(
    weight: Tensor,
    bias: Tensor | None,
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    variance: Tensor,
    epsilon: float = EPSILON,
) -> tuple[Tensor, Tensor]:
    """Weight and bias of one convolution that does what a convolution and its batch normalization do.

    That holds with any padding: what is folded acts on the convolution's output, and leaves its input alone.

    Args:
        weight: (O, C, kh, kw), the convolution before; a group's share of C is fine.
        bias: (O,), or None.
        gamma: (O,), like the next three: batch normalization works on what the convolution gives.
        beta: (O,).
        mean: (O,), the running mean.
        variance: (O,), the running variance, not negative.
        epsilon: ε, the one that the network was trained with.

    Raises:
        ValueError: shapes that don't fit, a negative variance, an ε of 0 or less.
    """
    if weight.ndim != 4:
        raise ValueError(f"weight: expected (O, C, kh, kw), got {tuple(weight.shape)}")
    outputs = len(weight)
    _check_channels(outputs, gamma=gamma, beta=beta, mean=mean, variance=variance)
    if bias is not None:
        _check_channels(outputs, bias=bias)
    scale, shift = scale_and_shift(gamma, beta, mean, variance, epsilon)
    return weight * scale[:, None, None, None], shift if bias is None else shift + scale * bias


# --- As a layer ---


class BatchNorm(nn.Module):
    """Batch normalization as a layer, with this module's own `backward`. Its twin is `torch.nn.BatchNorm2d`.

    In training it normalizes by the batch and updates the running averages; in eval mode it uses them. They
    are buffers: saved with the weights, and moved by no optimizer.

    Args:
        channels: C.
        epsilon: ε, more than 0.
        momentum: the weight of a new batch in the running averages, from 0 to 1.

    Raises:
        ValueError: no channel, or an ε or a momentum out of range.
    """

    def __init__(self, channels: int, epsilon: float = EPSILON, momentum: float = 0.1) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels: expected at least 1, got {channels}")
        _check_denominator(torch.zeros(1), epsilon)
        _check_momentum(momentum)
        self.epsilon, self.momentum = epsilon, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W).

        Raises:
            ValueError: another shape or number of channels; in training, a single value a channel.
            TypeError: no floats.
        """
        _check_maps("x", x, channels=len(self.weight))
        if not self.training:
            scale, shift = scale_and_shift(
                self.weight, self.bias, self.running_mean, self.running_var, self.epsilon
            )
            return _per_channel(scale) * x + _per_channel(shift)
        with torch.no_grad():
            mean, variance = update_running(self.running_mean, self.running_var, statistics(x), self.momentum)
            self.running_mean.copy_(mean)
            self.running_var.copy_(variance)
            self.num_batches_tracked += 1
        return _ByHand.apply(x, self.weight, self.bias, self.epsilon)


class _ByHand(torch.autograd.Function):
    """Tells autograd to use `backward` instead of what it would derive from `forward` itself."""

    @staticmethod
    def forward(ctx, x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> Tensor:
        y, saved = forward(x, gamma, beta, epsilon)
        ctx.save_for_backward(*saved)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        return (*backward(grad_y, Saved(*ctx.saved_tensors)), None)


# --- Shapes and checks ---


def _per_channel(values: Tensor) -> Tensor:
    """(C,) → (C, 1, 1), to be combined with (N, C, H, W)."""
    return values[:, None, None]


def _check_maps(name: str, x: Tensor, channels: int | None = None) -> None:
    if x.ndim != 4:
        raise ValueError(f"{name}: expected (N, C, H, W), got {tuple(x.shape)}; one image is x[None]")
    if not x.is_floating_point():
        raise TypeError(f"{name}: expected floats, got {x.dtype}; try {name}.float()")
    if channels is not None and x.shape[1] != channels:
        raise ValueError(
            f"{name}: {tuple(x.shape)} has {x.shape[1]} channels, this layer has {channels}; channels are "
            "the second dimension"
        )


def _check_channels(channels: int, **vectors: Tensor) -> None:
    for name, vector in vectors.items():
        if vector.shape != (channels,):
            raise ValueError(
                f"{name}: expected ({channels},), one number a channel, got {tuple(vector.shape)}"
            )


def _check_denominator(variance: Tensor, epsilon: float) -> None:
    if not epsilon > 0:
        raise ValueError(
            f"epsilon: expected more than 0, got {epsilon:g}; a channel that never changes would be "
            "divided by 0"
        )
    negative = (variance < 0).nonzero()
    if len(negative):
        channel = int(negative[0])
        raise ValueError(
            f"variance[{channel}]: {float(variance[channel]):g} is negative; is it a variance, and not its "
            "logarithm?"
        )


def _check_momentum(momentum: float) -> None:
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum: expected the weight of the new batch, from 0 to 1, got {momentum:g}")

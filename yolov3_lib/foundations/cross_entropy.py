r"""Cross-entropy: how wrong a probability is, from the numbers that a network puts out.

A network's last numbers are logits t, any real numbers. One logit says how likely a yes is, by the sigmoid;
C of them say which one of C classes it is, by the softmax:

.. math::

    \sigma(t) = \frac{1}{1 + e^{-t}}
    \qquad p_k = \frac{e^{t_k}}{\sum_j e^{t_j}}

Cross-entropy is minus the logarithm of the probability that they give to what happened. With targets y it is

.. math::

    -y \ln \sigma(t) - (1 - y) \ln(1 - \sigma(t))
    \qquad\text{and}\qquad -\sum_k y_k \ln p_k

in nats, and its derivative by a logit is, both times, :math:`p - y`. Everything here is computed from the
logits, in a form that neither overflows nor takes the logarithm of 0; only a loss that is itself beyond the
dtype's range comes out as infinity.

Tensors are of floats, of any shape ``(...)``; where classes compete they lie along the **last** dimension,
``(..., C)`` (torch's own ``cross_entropy`` wants them second). Nothing is averaged: the caller decides over
what. Gradients flow through every function to its logits, and are right at a logit of exactly 0 too; second
derivatives, there alone, are not.
"""

import math

import torch
from torch import Tensor

# --- From logits to probabilities ---


def sigmoid(logits: Tensor) -> Tensor:
    """Probability of a yes, 1 / (1 + e⁻ᵗ): (...) in [0, 1]. 0 and 1 themselves are reached by rounding only.

    Raises:
        TypeError: ``logits`` aren't a tensor of floats.
        ValueError: ``logits`` hold NaN or infinity.
    """
    _check_logits(logits)
    return torch.exp(-_softplus(-logits))


def softmax(logits: Tensor) -> Tensor:
    """Probabilities of C classes of which exactly one is right, (..., C), each C of them with the sum 1.

    Args:
        logits: (..., C). A number added to all C changes nothing.

    Raises:
        TypeError: ``logits`` aren't a tensor of floats.
        ValueError: ``logits`` have no dimension or no class, or hold NaN or infinity.
    """
    return log_softmax(logits).exp()


def log_softmax(logits: Tensor) -> Tensor:
    """Logarithms of `softmax`'s probabilities, (..., C), right also where these are too small to be written.

    Arguments and errors as for `softmax`.
    """
    _check_classes(logits)
    # Relative to the largest first: −1 and −1.31 keep digits that 9,999 and 9,998.69 have no room for.
    relative = logits - _largest(logits)
    return relative - relative.exp().sum(dim=-1, keepdim=True).log()


def log_sum_exp(logits: Tensor) -> Tensor:
    r""":math:`\ln \sum_k e^{t_k}` over the last dimension: (..., C) to (...).

    The largest logit m is taken out first, :math:`m + \ln \sum_k e^{t_k - m}`, so that the largest power is
    e⁰ = 1. Source: Blanchard, Higham and Higham 2021.

    Arguments and errors as for `softmax`.
    """
    _check_classes(logits)
    largest = _largest(logits)
    return largest[..., 0] + (logits - largest).exp().sum(dim=-1).log()


# --- The losses and their gradients ---


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """How wrong each logit is about its own yes or no: (...), at least the target's own entropy.

    The twin of ``torch.nn.functional.binary_cross_entropy_with_logits(..., reduction="none")``.

    Args:
        logits: (...).
        targets: (...), what the probability of a yes should be, from 0 to 1.

    Raises:
        TypeError: ``logits`` aren't a tensor of floats, or ``targets`` no tensor.
        ValueError: another shape, a target outside [0, 1], or ``logits`` hold NaN or infinity.
    """
    _check_logits(logits)
    targets = _check_targets(logits, targets)
    return targets * _softplus(-logits) + (1 - targets) * _softplus(logits)


def binary_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """Derivative of `binary_cross_entropy` by each logit, σ(t) − y: (...). Arguments and errors as there."""
    return sigmoid(logits) - _check_targets(logits, targets)


def categorical_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """How wrong C logits are about which one class it is: (..., C) to (...), at least the target's entropy.

    The twin of ``torch.nn.functional.cross_entropy(..., reduction="none")``, which expects the classes in the
    second dimension.

    Args:
        logits: (..., C).
        targets: (...) class indices of an integer dtype, or (..., C) probabilities that add up to 1.

    Raises:
        TypeError: ``logits`` aren't a tensor of floats, or ``targets`` no tensor.
        ValueError: shapes that don't fit, an index outside 0 to C − 1, targets that are no distribution, or
            ``logits`` hold NaN or infinity.
    """
    distribution = _as_distribution(logits, targets)
    log_p = log_softmax(logits)
    # Logits may differ by more than the dtype holds. A class without a share must not make that 0 · ∞, NaN.
    no_matter = (distribution == 0) & log_p.isinf()
    return -(distribution * log_p.masked_fill(no_matter, 0)).sum(dim=-1)


def categorical_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """Derivative of `categorical_cross_entropy` by each logit, p − y: (..., C). Arguments as there."""
    return softmax(logits) - _as_distribution(logits, targets)


def entropy(probabilities: Tensor) -> Tensor:
    r"""Entropy of distributions, :math:`-\sum_k y_k \ln y_k`: (..., C) to (...), from 0 to ln C.

    The least that cross-entropy with these targets can be.

    Args:
        probabilities: (..., C), each C of them with the sum 1; a 0 contributes nothing.

    Raises:
        TypeError: not a tensor of floats.
        ValueError: they are no distributions.
    """
    _check_floats("probabilities", probabilities)
    _check_distribution("probabilities", probabilities)
    return torch.special.entr(probabilities).sum(dim=-1)


# --- Two changes to it ---


def smooth_labels(targets: Tensor, amount: float, num_classes: int | None = None) -> Tensor:
    """Targets that aren't quite sure, y (1 − ε) + ε / K, where K counts what there is to choose from.

    Args:
        targets: (..., C) probabilities of C classes that exclude each other; or (...) of a yes, each for
            itself, with ``num_classes=2``.
        amount: ε, from 0 (nothing changes) to 1 (all alike).
        num_classes: K; the length of the last dimension by default.

    Returns:
        The shape of ``targets``.

    Raises:
        TypeError: ``targets`` aren't a tensor of floats.
        ValueError: an amount outside [0, 1], fewer than one class, or a target outside [0, 1].

    Source: Szegedy et al. 2016, section 7.
    """
    _check_floats("targets", targets)
    if not 0 <= amount <= 1:
        raise ValueError(f"amount: expected a number from 0 to 1, got {amount}")
    if num_classes is None and targets.ndim == 0:
        raise ValueError("num_classes: a single target doesn't tell it. Give 2 for a yes or no.")
    classes = targets.shape[-1] if num_classes is None else num_classes
    if classes < 1:
        raise ValueError(f"num_classes: expected at least 1, got {classes}")
    _check_range("targets", targets)
    return targets * (1 - amount) + amount / classes


def focal_loss(logits: Tensor, targets: Tensor, gamma: float = 2.0, alpha: float | None = None) -> Tensor:
    r"""Binary cross-entropy that counts less the better the answer: :math:`-(1 - q)^\gamma \ln q`, (...).

    q is the probability given to what is true: σ(t) where the target is 1, 1 − σ(t) where it is 0.

    Args:
        logits: (...).
        targets: (...), 0 or 1.
        gamma: γ, at least 0; with 0 it's `binary_cross_entropy`.
        alpha: weight of the targets 1, from 0 to 1; those of 0 weigh 1 − α. None: all weigh 1.

    Raises:
        TypeError: ``logits`` aren't a tensor of floats, or ``targets`` no tensor.
        ValueError: another shape, a target that is neither 0 nor 1, a gamma or alpha out of range, or
            ``logits`` hold NaN or infinity.

    Source: Lin et al. 2017, equations (4) and (5); γ = 2 and α = .25 are their best.
    """
    _check_logits(logits)
    targets = _check_targets(logits, targets)
    if not ((targets == 0) | (targets == 1)).all():
        raise ValueError("targets: the focal loss is defined for 0 and 1 only. Don't smooth them.")
    if not 0 <= gamma < math.inf:
        raise ValueError(f"gamma: expected a finite number that isn't negative, got {gamma}")
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha: expected a number from 0 to 1, or None; got {alpha}")
    # By its logarithm, for 1 − q itself rounds to 0 where q is nearly 1: q = σ(s) with s = ±t.
    toward_truth = torch.where(targets == 1, logits, -logits)
    log_wrong = -_softplus(toward_truth)
    loss = (gamma * log_wrong).exp() * _softplus(-toward_truth)
    if alpha is None:
        return loss
    return (alpha * targets + (1 - alpha) * (1 - targets)) * loss


# --- Parts ---


def _softplus(t: Tensor) -> Tensor:
    """ln(1 + eᵗ), which is −ln(1 − σ(t)): as max(t, 0) + ln(1 + e^−|t|), whose power is at most 1.

    At t = 0 the maximum of two equal tensors passes half of the gradient to each; ``clamp`` would pass all of
    it to t, and the loss of a head that starts at 0 would have a wrong derivative.
    """
    return torch.maximum(t, torch.zeros_like(t)) + torch.log1p(torch.exp(-t.abs()))


def _largest(logits: Tensor) -> Tensor:
    """The largest logit of each C, (..., 1), as a constant: no result depends on it, so no gradient does."""
    return logits.amax(dim=-1, keepdim=True).detach()


def _as_distribution(logits: Tensor, targets: Tensor) -> Tensor:
    """Class indices (...) or probabilities (..., C) as checked probabilities (..., C)."""
    _check_classes(logits)
    if not isinstance(targets, Tensor):
        raise TypeError(f"targets: expected a tensor, got {type(targets).__name__}")
    if targets.is_floating_point():
        _check_shape("probabilities", targets, logits.shape, "class indices are whole numbers: use .long()")
        _check_distribution("targets", targets)
        return targets.to(logits.dtype)
    _check_shape("class indices", targets, logits.shape[:-1], "probabilities are floats: use .float()")
    count = logits.shape[-1]
    outside = ((targets < 0) | (targets >= count)).nonzero()
    if len(outside):
        place = outside[0].tolist()
        raise ValueError(
            f"targets{place or ''}: class {targets[tuple(place)].item()}, but logits have {count} classes, "
            f"0 to {count - 1}"
        )
    return (targets[..., None] == torch.arange(count, device=logits.device)).to(logits.dtype)


def _check_logits(logits: Tensor) -> None:
    _check_floats("logits", logits)
    _check_places("logits", logits, ~logits.isfinite(), "isn't a finite number: look for what made it")


def _check_classes(logits: Tensor) -> None:
    _check_logits(logits)
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(
            f"logits: expected (..., C), one number for each of C classes, C > 0; got {tuple(logits.shape)}. "
            "For a single yes or no use the binary functions."
        )


def _check_targets(logits: Tensor, targets: Tensor) -> Tensor:
    if not isinstance(targets, Tensor):
        raise TypeError(f"targets: expected a tensor, got {type(targets).__name__}")
    _check_shape("targets", targets, logits.shape, "one target for each logit")
    _check_range("targets", targets)
    return targets.to(logits.dtype)


def _check_floats(name: str, values: Tensor) -> None:
    if not isinstance(values, Tensor) or not values.is_floating_point():
        got = f"dtype {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(f"{name}: expected a tensor of floats, got {got}. Use .float()")


def _check_shape(what: str, targets: Tensor, expected: torch.Size, mend: str) -> None:
    if targets.shape != expected:
        raise ValueError(
            f"targets: {what} are expected in the shape {tuple(expected)}, got {tuple(targets.shape)}; {mend}"
        )


def _check_range(name: str, values: Tensor) -> None:
    outside = ~((values >= 0) & (values <= 1))
    _check_places(name, values, outside, "lies outside [0, 1], and is no probability")


def _check_distribution(name: str, values: Tensor) -> None:
    _check_range(name, values)
    if values.ndim == 0:
        raise ValueError(f"{name}: expected (..., C), got a single number")
    sums = values.sum(dim=-1)
    # Half precision adds up its twenty classes to a thousandth.
    apart = (sums - 1).abs() > max(1e-4, 8 * torch.finfo(values.dtype).eps)
    _check_places(name, sums, apart, "is the sum over the classes, and should be 1. Several may be true? "
                  "Then each is a yes or no of its own: binary_cross_entropy")  # fmt: skip


def _check_places(name: str, values: Tensor, bad: Tensor, problem: str) -> None:
    if bad.any():
        place = bad.nonzero()[0].tolist()
        raise ValueError(f"{name}{place or ''}: {values[tuple(place)].item():g} {problem}")

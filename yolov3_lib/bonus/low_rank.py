r"""Matrices of low rank: the singular value decomposition, what it keeps, and a convolution made of two.

Every real m × n matrix is a sum of r = min(m, n) pieces :math:`\sigma_i u_i v_i^T`, the largest first, with
:math:`u_i` orthonormal columns of m numbers and :math:`v_i` of n. The first k pieces are the nearest matrix
of rank k, in the spectral and in the Frobenius norm (Eckart and Young, 1936; Mirsky, 1960).

Functions of matrices take tensors ``(..., m, n)`` of floats and treat each matrix for itself; the result has
their dtype and device. Photographs are ``(H, W)`` or ``(H, W, 3)`` arrays of uint8.
"""

import copy
import math
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)
Split = Literal["channels", "space"]


class SVD(NamedTuple):
    """The leading part of a singular value decomposition.

    Attributes:
        u: (..., m, k), orthonormal columns, the left singular vectors.
        s: (..., k), the singular values, largest first, none negative.
        vt: (..., k, n), orthonormal **rows**: the right singular vectors are the columns of its transpose.
    """

    u: Tensor
    s: Tensor
    vt: Tensor

    def matrix(self) -> Tensor:
        """The product, (..., m, n)."""
        return (self.u * self.s[..., None, :]) @ self.vt


def svd(matrix: Tensor, rank: int | None = None) -> SVD:
    """The economy decomposition, cut after ``rank`` values.

    A pair (u, v) may be replaced by (−u, −v). Here the number of each v that is largest in size is positive,
    so that the result doesn't depend on the library that computed it; but for a v with two numbers of that
    size, and where singular values are equal or 0, since the vectors themselves are then not settled.

    Args:
        matrix: (..., m, n) floats.
        rank: k, from 0 to min(m, n); None for all.

    Raises:
        TypeError: not a tensor of floats.
        ValueError: fewer than two dimensions, NaN or infinity, or a rank out of range.
    """
    rank = _checked(matrix, rank)
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    return _with_signs(SVD(u[..., :rank], s[..., :rank], vt[..., :rank, :]))


def rank_k(matrix: Tensor, k: int) -> Tensor:
    """The nearest matrix of rank at most k in both norms, (..., m, n). Arguments and errors as for `svd`."""
    return svd(matrix, k).matrix()


def errors(singular_values: Tensor) -> tuple[Tensor, Tensor]:
    r"""How far each best approximation is off, from the singular values alone.

    Args:
        singular_values: (..., r) floats, largest first, all of them.

    Returns:
        Two (..., r + 1): for k = 0, ..., r the spectral norm :math:`\sigma_{k+1}` and the Frobenius norm
        :math:`\sqrt{\sigma_{k+1}^2 + \dots + \sigma_r^2}` of what rank k leaves out; both 0 at k = r.
    """
    spectral = nn.functional.pad(singular_values, (0, 1))
    # In units of the largest, because squares of huge values overflow and those of tiny ones vanish.
    unit = spectral[..., :1].clamp(min=torch.finfo(spectral.dtype).tiny)
    # Summed from the smallest on, so that a tail that is tiny isn't lost in the difference of two big sums.
    frobenius = unit * (spectral / unit).square().flip(-1).cumsum(-1).flip(-1).sqrt()
    return spectral, frobenius


def numbers_kept(rows: int, columns: int, k: int) -> int:
    """How many numbers k pieces take, k (m + n + 1): a column, a row and a value each."""
    return k * (rows + columns + 1)


def largest_paying_rank(rows: int, columns: int) -> int:
    """The largest k whose pieces take fewer numbers than the m n of the matrix: k < m n / (m + n + 1)."""
    return (rows * columns - 1) // (rows + columns + 1)


# --- Photographs ---


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Gray levels as uint8: rounded, and what lies outside [0, 255] clipped to its nearer end.

    ``values.astype("uint8")`` does neither. It cuts decimals off, and C leaves open what becomes of a number
    out of range: on most machines 256 becomes 0 and −1 becomes 255.

    Raises:
        ValueError: NaN.
    """
    values = np.asarray(values)
    if np.isnan(values).any():
        raise ValueError("values holds NaN, which is no gray level")
    return np.rint(values).clip(0, 255).astype(np.uint8)


def approximate_photograph(image: np.ndarray, k: int) -> np.ndarray:
    """A photograph whose rows and columns, channel by channel, are reduced to rank k.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        k: from 0 to min(H, W).

    Returns:
        The same shape, uint8. Rounding and clipping come last, so the rank of these bytes may be larger.

    Raises:
        ValueError: another shape or dtype, or k out of range.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise ValueError(f"image: expected (H, W) or (H, W, 3) uint8, got {image.shape} {image.dtype}")
    channels = torch.from_numpy(np.atleast_3d(image).astype(np.float64)).permute(2, 0, 1)
    return to_bytes(rank_k(channels, k).permute(1, 2, 0).numpy()).reshape(image.shape)


# --- Large matrices ---


def randomized_svd(
    matrix: Tensor,
    rank: int,
    *,
    oversampling: int = 10,
    power_iterations: int = 2,
    generator: torch.Generator | None = None,
) -> SVD:
    r"""The leading part of the decomposition, nearly, without computing the rest.

    The matrix is multiplied by ``rank + oversampling`` random columns. What comes out lies almost in the span
    of the leading left singular vectors, and the more so after each power iteration, which multiplies by
    :math:`A A^T` and so raises the ratios of singular values to the third, fifth, ... power. An orthonormal
    basis Q of that span turns the problem into the small decomposition of :math:`Q^T A`.

    Args:
        matrix: (..., m, n) floats.
        rank: k, from 0 to min(m, n).
        oversampling: more columns than asked for, since chance doesn't hit the best k exactly.
        power_iterations: 0 is enough where the values fall steeply; photographs want 2.
        generator: for the random columns; torch's global one by default.

    Raises:
        TypeError, ValueError: as for `svd`; or a negative number of columns or iterations.

    Source: Halko, Martinsson and Tropp (2011), algorithms 4.4 and 5.1.
    """
    rank = _checked(matrix, rank)
    for name, count in (("oversampling", oversampling), ("power_iterations", power_iterations)):
        if count < 0:
            raise ValueError(f"{name}: expected at least 0, got {count}")
    *batch, rows, columns = matrix.shape
    width = min(rank + oversampling, rows, columns)
    device = generator.device if generator is not None else matrix.device
    directions = torch.randn(*batch, columns, width, dtype=matrix.dtype, device=device, generator=generator)
    basis = _orthonormal(matrix @ directions.to(matrix.device))
    for _ in range(power_iterations):
        # Without the steps between, all columns would turn toward the first singular vector.
        basis = _orthonormal(matrix @ _orthonormal(matrix.mT @ basis))
    small = torch.linalg.svd(basis.mT @ matrix, full_matrices=False)
    return _with_signs(SVD(basis @ small.U[..., :rank], small.S[..., :rank], small.Vh[..., :rank, :]))


def _orthonormal(columns: Tensor) -> Tensor:
    return torch.linalg.qr(columns).Q


# --- Convolutions ---


def kernel_matrix(weight: Tensor, split: Split = "channels") -> Tensor:
    """A convolution's kernel as the matrix whose rank says into which two convolutions it falls apart.

    Args:
        weight: (O, C, kh, kw): outputs, inputs, height, width.
        split: "channels" gives (O, C·kh·kw), a row for each filter: kh × kw into k channels, then 1 × 1.
            "space" gives (C·kh, O·kw): a kh × 1 convolution into k channels, then a 1 × kw.

    Raises:
        ValueError: another shape, or an unknown split.
    """
    if weight.ndim != 4:
        raise ValueError(f"weight: expected (O, C, kh, kw), got {tuple(weight.shape)}")
    outputs, inputs, height, width = weight.shape
    if split == "channels":
        return weight.reshape(outputs, inputs * height * width)
    if split == "space":
        return weight.permute(1, 2, 0, 3).reshape(inputs * height, outputs * width)
    raise ValueError(f'split: expected "channels" or "space", got {split!r}')


@torch.no_grad()
def split_convolution(conv: nn.Conv2d, rank: int, split: Split = "channels") -> nn.Sequential:
    """Two convolutions that together do what one does, but for what its kernel loses at rank k.

    The singular values are shared out, their roots to each side. The second one carries the bias; stride and
    padding go to the one that looks along their axis.

    Args:
        conv: any convolution without groups and dilation, padded with zeros; it stays as it is.
        rank: k, the channels between the two, from 1 to the smaller side of `kernel_matrix`.
        split: as for `kernel_matrix`.

    Raises:
        ValueError: groups, dilation, another padding than zeros, or a rank out of range.
    """
    if conv.groups != 1 or conv.dilation != (1, 1) or conv.padding_mode != "zeros":
        raise ValueError(
            f"{conv}: only convolutions without groups and dilation, padded with zeros, can be split"
        )
    if isinstance(conv.padding, str):
        raise ValueError(f"{conv}: give the padding in numbers, not as {conv.padding!r}")
    if rank < 1:
        raise ValueError(f"rank: expected at least 1, got {rank}")
    left, right = _factors(kernel_matrix(conv.weight, split), rank)
    outputs, inputs, height, width = conv.weight.shape
    if split == "channels":
        first = _convolution(conv, right.reshape(rank, inputs, height, width), conv.stride, conv.padding)
        second = _convolution(conv, left.reshape(outputs, rank, 1, 1), (1, 1), (0, 0), conv.bias)
    else:
        (down, across), (above, beside) = conv.stride, conv.padding
        tall = left.mT.reshape(rank, inputs, height, 1)
        wide = right.reshape(rank, outputs, width).permute(1, 0, 2)[:, :, None]
        first = _convolution(conv, tall, (down, 1), (above, 0))
        second = _convolution(conv, wide, (1, across), (0, beside), conv.bias)
    return nn.Sequential(first, second)


def _factors(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Two factors, (m, k) and (k, n), of the best approximation, without a decomposition of the whole.

    The leading eigenvectors of the smaller of A Aᵀ and Aᵀ A span what is kept, and A is projected onto them.
    The squares cost half the digits, so it's done in float64, which has twice those of a kernel's float32;
    and on the CPU, because not every accelerator has float64.
    """
    rank = _checked(matrix, rank)
    matrix = matrix.cpu().double()
    if len(matrix) > matrix.shape[1]:
        right, left = _factors(matrix.mT, rank)
        return left.mT, right.mT
    basis = torch.linalg.eigh(matrix @ matrix.mT).eigenvectors[:, -rank:].flip(-1)
    kept = basis.mT @ matrix
    roots = torch.linalg.vector_norm(kept, dim=1).sqrt().clamp(min=torch.finfo(torch.float32).tiny)
    return basis * roots, kept / roots[:, None]


def _convolution(
    like: nn.Conv2d,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    bias: Tensor | None = None,
) -> nn.Conv2d:
    outputs, inputs, *size = weight.shape
    made = nn.Conv2d(
        inputs, outputs, tuple(size), stride, padding, bias=bias is not None,
        device=like.weight.device, dtype=like.weight.dtype,
    )  # fmt: skip
    made.weight.copy_(weight)
    if bias is not None:
        made.bias.copy_(bias)
    return made.train(like.training)


def with_low_rank(model: Model, layer: str, rank: int, split: Split = "channels") -> Model:
    """A copy of a network with one convolution split in two.

    Fold batch normalization first (`yolov3_lib.models.fold_batch_norm`): it scales the kernel's rows, and
    with them what counts as a small singular value.

    Args:
        model: any module; it stays as it is.
        layer: the convolution's name in ``model.named_modules()``, such as ``"backbone.conv7.conv"``; a model
            that is itself a convolution is for `split_convolution`.
        rank: as for `split_convolution`.
        split: as for `kernel_matrix`.

    Raises:
        ValueError: no layer of that name, or it isn't a convolution that can be split.
    """
    modules = {name: module for name, module in model.named_modules() if name}  # not the model itself
    if not isinstance(modules.get(layer), nn.Conv2d):
        named = [name for name, module in modules.items() if isinstance(module, nn.Conv2d)]
        raise ValueError(f"layer: {layer!r} is none of the model's convolutions: {', '.join(named)}")
    parent, _, name = layer.rpartition(".")
    halves = split_convolution(modules[layer], rank, split)
    changed = copy.deepcopy(model)
    setattr(changed.get_submodule(parent), name, halves)
    return changed


def multiply_adds(convolutions: nn.Module, height: int, width: int) -> int:
    """Multiply-adds of a convolution, or of several in a row, on a (C, height, width) input; no biases."""
    total = 0
    for conv in convolutions.modules():
        if not isinstance(conv, nn.Conv2d):
            continue
        axes = zip((height, width), conv.kernel_size, conv.dilation, conv.padding, conv.stride, strict=True)
        height, width = (
            (side + 2 * pad - spread * (kernel - 1) - 1) // step + 1
            for side, kernel, spread, pad, step in axes
        )
        total += height * width * math.prod(conv.weight.shape)
    return total


# --- Checks ---


def _checked(matrix: Tensor, rank: int | None) -> int:
    if not isinstance(matrix, Tensor) or not matrix.is_floating_point():
        what = f"dtype {matrix.dtype}" if isinstance(matrix, Tensor) else type(matrix).__name__
        raise TypeError(f"matrix: expected a tensor of floats, got {what}; try matrix.double()")
    if matrix.ndim < 2:
        raise ValueError(f"matrix: expected (..., m, n), got {tuple(matrix.shape)}")
    if not matrix.isfinite().all():
        raise ValueError(f"matrix: {int((~matrix.isfinite()).sum())} of its numbers are NaN or infinite")
    largest = min(matrix.shape[-2:])
    if rank is not None and not 0 <= rank <= largest:
        raise ValueError(
            f"rank: expected 0 to {largest} for a {' × '.join(map(str, matrix.shape))} matrix, got {rank}"
        )
    return largest if rank is None else rank


def _with_signs(parts: SVD) -> SVD:
    if 0 in parts.vt.shape:
        return parts
    largest = parts.vt.abs().argmax(-1, keepdim=True)
    signs = parts.vt.gather(-1, largest)[..., 0].sign()
    signs = torch.where(signs == 0, torch.ones_like(signs), signs)
    return SVD(parts.u * signs[..., None, :], parts.s, parts.vt * signs[..., None])

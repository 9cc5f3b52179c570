r"""Batch normalization folded into the convolution before it: the same function, one pass over memory less.

Once training is over, batch normalization multiplies and shifts each channel by fixed numbers,
:math:`y = s\,(x - \mu) + \beta` with :math:`s = \gamma / \sqrt{\sigma^2 + \epsilon}`. The convolution can do
both itself: its weights become :math:`s\,W`, and its bias :math:`\beta - s\,\mu`.
"""

import copy
from typing import TypeVar

import torch
from torch import nn

from .blocks import ConvBlock

Model = TypeVar("Model", bound=nn.Module)


def fold_batch_norm(model: Model) -> Model:
    """A copy for inference, in eval mode, with every `ConvBlock`'s batch normalization folded in.

    The copy gives the model's eval-mode outputs up to rounding. It can't be trained further as YOLOv3 is, nor
    written as Darknet weights: keep the original for that, which stays as it is.

    Args:
        model: any module made of `ConvBlock`; folded ones are left alone.
    """
    folded = copy.deepcopy(model).eval()
    for block in folded.modules():
        if isinstance(block, ConvBlock) and not block.is_folded:
            block.conv = _folded_convolution(block.conv, block.bn)
            block.bn = nn.Identity()
    return folded


def is_folded(model: nn.Module) -> bool:
    """Whether any `ConvBlock` of ``model`` has its batch normalization folded in."""
    return any(isinstance(block, ConvBlock) and block.is_folded for block in model.modules())


@torch.no_grad()
def _folded_convolution(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution with a bias that does what ``conv`` and then ``bn`` do. In float64, rounded once."""
    # On the CPU, because not every accelerator has float64.
    weight, gamma, beta, mean, variance = (
        tensor.cpu().double() for tensor in (conv.weight, bn.weight, bn.bias, bn.running_mean, bn.running_var)
    )
    scale = gamma / (variance + bn.eps).sqrt()
    folded = nn.Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,
        device=conv.weight.device, dtype=conv.weight.dtype,
    )  # fmt: skip
    folded.weight.copy_(weight * scale[:, None, None, None])
    folded.bias.copy_(beta - mean * scale)
    return folded.to(memory_format=_memory_format(conv.weight))


def _memory_format(weight: torch.Tensor) -> torch.memory_format:
    channels_last = weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    return torch.channels_last if channels_last else torch.contiguous_format

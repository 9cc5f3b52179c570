"""What a network's convolutions cost, and how much of the picture an output of theirs can see.

Source of the receptive field: Araujo, Norris and Sim (2019).
"""

import copy
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Cost(NamedTuple):
    """What a convolutional layer of a network costs, for one picture.

    Attributes:
        name: of the layer, as in ``model.named_modules()``.
        kernel: (kh, kw).
        stride: (down, across).
        output: (O, H', W').
        weights: numbers to learn in the kernel, without bias.
        multiply_adds: products that are computed and summed. Darknet counts two operations for each.
    """

    name: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    output: tuple[int, int, int]
    weights: int
    multiply_adds: int


def costs(model: nn.Module, height: int, width: int, channels: int = 3) -> list[Cost]:
    """The cost of each `torch.nn.Conv2d` of a network on a (channels, height, width) picture, as it is used.

    The network is run on torch's "meta" device, which keeps shapes and computes nothing.
    """
    shapes = copy.deepcopy(model).to("meta").eval()
    found: list[Cost] = []

    def note(name: str) -> Callable:
        def hook(conv: nn.Conv2d, _, y: Tensor) -> None:
            weights = conv.weight.numel()
            places = math.prod(y.shape[2:])
            found.append(
                Cost(name, conv.kernel_size, conv.stride, tuple(y.shape[1:]), weights, weights * places)
            )

        return hook

    for name, module in shapes.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note(name))
    shapes(torch.empty(1, channels, height, width, device="meta"))
    return found


class Window(NamedTuple):
    """A convolution or a pooling along one direction."""

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1


class ReceptiveField(NamedTuple):
    """Which pixels an output can see: number q sees ``size`` pixels, the first of them ``start + q * jump``.

    Attributes:
        size: pixels along one side, from the first to the last. Between them some stay unseen where a
            layer's dilation times the jump before it is larger than the field before it.
        jump: pixels from the field of one output to that of the next: the product of the strides.
        start: the first pixel that output 0 sees; below 0 it lies in the padding.
    """

    size: int
    jump: int
    start: int


def receptive_field(layers: Iterable[Window]) -> ReceptiveField:
    """The receptive field after several layers in a row, the first one first.

    Raises:
        ValueError: a number out of range, with the layer's place in the row.
    """
    size, jump, start = 1, 1, 0
    for number, (kernel, stride, padding, dilation) in enumerate(layers):
        if min(kernel, stride, dilation) < 1 or padding < 0:
            raise ValueError(
                f"layers[{number}]: expected a kernel, stride and dilation of at least 1 and a padding of at "
                f"least 0, got {kernel}, {stride}, {dilation} and {padding}"
            )
        size += dilation * (kernel - 1) * jump
        start -= padding * jump
        jump *= stride
    return ReceptiveField(size, jump, start)

"""The two bricks of Darknet-53: a convolution with batch normalization, and a stage of residual blocks."""

import math

from torch import Tensor, nn


class ConvBlock(nn.Module):
    """Convolution, batch normalization, leaky ReLU: Darknet's "convolutional" layer.

    The convolution has no bias of its own: batch normalization would subtract it again. Padding keeps the
    size at stride 1, and halves an even size at stride 2.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=1e-5, momentum=0.01)
        # In place: the backward pass needs only the output's sign, so one activation map less is kept.
        self.activation = nn.LeakyReLU(0.1, inplace=True)
        initialize(self.conv)

    @property
    def is_folded(self) -> bool:
        """Whether batch normalization now lives in the convolution (see `fold_batch_norm`)."""
        return isinstance(self.bn, nn.Identity)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) → (B, out_channels, H / stride, W / stride)."""
        return self.activation(self.bn(self.conv(x)))


class ResidualBlock(nn.Module):
    """1×1 to half the channels, 3×3 back again, plus the input (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = ConvBlock(channels, channels // 2, 1)
        self.expand = ConvBlock(channels // 2, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        return x + self.expand(self.reduce(x))


class ResidualStage(nn.Module):
    """A 3×3 convolution of stride 2 that doubles the channels, then ``num_blocks`` residual blocks."""

    def __init__(self, in_channels: int, num_blocks: int) -> None:
        super().__init__()
        self.down = ConvBlock(in_channels, 2 * in_channels, 3, stride=2)
        self.blocks = nn.Sequential(*(ResidualBlock(2 * in_channels) for _ in range(num_blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, 2·C, H / 2, W / 2)."""
        return self.blocks(self.down(x))


def initialize(conv: nn.Conv2d) -> None:
    """Normal weights of variance 2 / (k²·in_channels), bias 0: He et al. 2015, eq. 10, as Darknet does."""
    fan_in = conv.in_channels * math.prod(conv.kernel_size)
    nn.init.normal_(conv.weight, std=math.sqrt(2 / fan_in))
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)

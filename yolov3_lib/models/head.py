"""What YOLOv3 and YOLOv3-tiny share: the head of a scale, the way up to the next, and the input checks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from yolov3_lib.anchors import Anchors
from yolov3_lib.decode import decode

from .blocks import ConvBlock, initialize


class Head(nn.Module):
    """A 3×3 convolution, then a 1×1 convolution with a bias that gives the logits of one scale."""

    def __init__(self, in_channels: int, hidden_channels: int, num_anchors: int, num_classes: int) -> None:
        super().__init__()
        self.num_anchors = num_anchors
        self.hidden = ConvBlock(in_channels, hidden_channels, 3)
        self.logits = nn.Conv2d(hidden_channels, num_anchors * (5 + num_classes), 1)
        initialize(self.logits)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) → (B, A, H, W, 5 + C)."""
        # Channels lie anchor by anchor; one prediction's 5 + C values belong on the last axis.
        logits = self.logits(self.hidden(x))
        return logits.unflatten(1, (self.num_anchors, -1)).permute(0, 1, 3, 4, 2)


class UpAndConcatenate(nn.Module):
    """Narrow by a 1×1 convolution, double the size by nearest neighbor, stack on finer features."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.narrow = ConvBlock(in_channels, out_channels, 1)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, in_channels, H, W) and (B, D, 2·H, 2·W) → (B, out_channels + D, 2·H, 2·W)."""
        return torch.cat((self.upsample(self.narrow(coarse)), fine), dim=1)


class GridDetector(nn.Module):
    """Base of the detectors: number of classes, anchors, strides, and decoded predictions.

    Args:
        num_classes: C, at least 1.
        anchors: S scales, coarse first, of A (width, height) pairs each, in pixels of the network's input.
        strides: pixels to a cell's side, one per scale.

    Attributes:
        num_classes: C.
        num_anchors: A, anchors per scale.
        anchors: (S, A, 2) float32 buffer, not in the state dict: a checkpoint keeps anchors as metadata.
        strides: S numbers.
    """

    anchors: Tensor

    def __init__(self, num_classes: int, anchors: Anchors | Tensor, strides: Sequence[int]) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes: expected at least 1, got {num_classes}")
        shapes = torch.as_tensor(anchors, dtype=torch.float32).clone()
        if shapes.ndim != 3 or len(shapes) != len(strides) or shapes.shape[2] != 2 or not (shapes > 0).all():
            raise ValueError(
                f"anchors: expected {len(strides)} scales of (width, height) pairs, all positive, "
                f"got shape {tuple(shapes.shape)}"
            )
        self.num_classes = num_classes
        self.num_anchors = shapes.shape[1]
        self.strides = tuple(strides)
        self.register_buffer("anchors", shapes, persistent=False)

    def predict(self, images: Tensor) -> Tensor:
        """Boxes and probabilities: ``decode(forward(images))``.

        Args:
            images: (B, 3, H, W) RGB in [0, 1], H and W multiples of 32.

        Returns:
            (B, N, 5 + C): x1, y1, x2, y2 in pixels of ``images``, objectness, class probabilities, ordered by
            scale (coarse first), row, column, anchor.
        """
        return decode(self(images), self.anchors, self.strides)


def check_images(images: Tensor, multiple: int = 32) -> None:
    """Refuse what the network would misread or fail on much later.

    Args:
        images: what should be (B, 3, H, W) float, H and W multiples of ``multiple``.

    Raises:
        ValueError: wrong number of axes or channels, or a size that the strides don't divide.
        TypeError: not floating point.
    """
    if images.ndim != 4:
        hint = "; add the batch axis with images[None]" if images.ndim == 3 else ""
        raise ValueError(f"images: expected shape (B, 3, H, W), got {tuple(images.shape)}{hint}")
    if images.shape[1] != 3:
        hint = "; move channels first with images.permute(0, 3, 1, 2)" if images.shape[3] == 3 else ""
        raise ValueError(f"images: expected 3 channels (RGB), got shape {tuple(images.shape)}{hint}")
    for name, size in (("height", images.shape[2]), ("width", images.shape[3])):
        if size == 0 or size % multiple:
            lower, upper = size // multiple * multiple, (size // multiple + 1) * multiple
            nearest = f"{lower} or {upper}" if lower else f"{upper}"
            raise ValueError(f"images: {name} {size} is not a multiple of {multiple}; resize to {nearest}")
    if not images.is_floating_point():
        raise TypeError(f"images: expected floats in [0, 1], got {images.dtype}; use images.float() / 255")

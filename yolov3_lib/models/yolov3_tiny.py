"""YOLOv3-tiny: thirteen convolutions, two scales, for machines without a GPU (``yolov3-tiny.cfg``)."""

from torch import Tensor, nn
from torch.nn import functional as F

from yolov3_lib.anchors import TINY_ANCHORS, Anchors

from .blocks import ConvBlock
from .head import GridDetector, Head, UpAndConcatenate, check_images


class TinyBackbone(nn.Module):
    """Seven 3×3 convolutions with max-pooling between them.

    Sizes for a 416 × 416 image, Darknet's layer numbers on the right:

    ======  =================================  ==============  ======
    module  what it is                         output          layers
    ======  =================================  ==============  ======
    conv1   3×3, 16                            16 × 416 × 416  0
    conv2   2×2 max-pool; 3×3, 32              32 × 208 × 208  1–2
    conv3   2×2 max-pool; 3×3, 64              64 × 104 × 104  3–4
    conv4   2×2 max-pool; 3×3, 128             128 × 52 × 52   5–6
    conv5   2×2 max-pool; 3×3, 256             256 × 26 × 26   7–8
    conv6   2×2 max-pool; 3×3, 512             512 × 13 × 13   9–10
    conv7   2×2 max-pool, stride 1; 3×3, 1024  1024 × 13 × 13  11–12
    ======  =================================  ==============  ======
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvBlock(3, 16, 3)
        self.conv2 = ConvBlock(16, 32, 3)
        self.conv3 = ConvBlock(32, 64, 3)
        self.conv4 = ConvBlock(64, 128, 3)
        self.conv5 = ConvBlock(128, 256, 3)
        self.conv6 = ConvBlock(256, 512, 3)
        self.conv7 = ConvBlock(512, 1024, 3)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) → (B, 256, H/16, W/16) and (B, 1024, H/32, W/32)."""
        x = self.conv1(images)
        for conv in (self.conv2, self.conv3, self.conv4, self.conv5):
            x = conv(F.max_pool2d(x, 2))
        stride16 = x
        x = self.conv6(F.max_pool2d(x, 2))
        return stride16, self.conv7(max_pool_same(x))


def max_pool_same(x: Tensor) -> Tensor:
    """2×2 max-pooling of stride 1 that keeps the size: (B, C, H, W) → (B, C, H, W).

    Darknet pads at the right and at the bottom only: cell (i, j) sees i, i + 1 and j, j + 1.
    """
    return F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float("-inf")), 2, stride=1)


class YOLOv3Tiny(GridDetector):
    """YOLOv3-tiny: 13 convolutions; 8,852,366 parameters for 80 classes.

    Sizes for a 416 × 416 image and 80 classes, Darknet's layer numbers on the right:

    ===========  =======================================  ================  ======
    module       what it is                               output            layers
    ===========  =======================================  ================  ======
    backbone     `TinyBackbone`                           1024 × 13 × 13    0–12
    neck_coarse  1×1, 256                                 256 × 13 × 13     13
    head_coarse  3×3, 512; 1×1, 255                       3 × 13 × 13 × 85  14–15
    up_fine      1×1, 128; upsample; concatenate layer 8  384 × 26 × 26     17–20
    head_fine    3×3, 256; 1×1, 255                       3 × 26 × 26 × 85  21–22
    ===========  =======================================  ================  ======

    Args:
        num_classes: C; COCO has 80, VOC 20.
        anchors: two scales of three (width, height) pairs, coarse first, in pixels of the network's input.
    """

    def __init__(self, num_classes: int = 80, anchors: Anchors | Tensor = TINY_ANCHORS) -> None:
        super().__init__(num_classes, anchors, strides=(32, 16))
        a, c = self.num_anchors, num_classes
        self.backbone = TinyBackbone()
        self.neck_coarse = ConvBlock(1024, 256, 1)
        self.head_coarse = Head(256, 512, a, c)
        self.up_fine = UpAndConcatenate(256, 128)
        self.head_fine = Head(128 + 256, 256, a, c)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the two scales.

        Args:
            images: (B, 3, H, W) RGB in [0, 1], H and W multiples of 32.

        Returns:
            (B, 3, H/32, W/32, 5 + C) and (B, 3, H/16, W/16, 5 + C): t_x, t_y, t_w, t_h, objectness, classes.

        Raises:
            ValueError: wrong shape.
            TypeError: not floating point.
        """
        check_images(images)
        stride16, stride32 = self.backbone(images)
        coarse = self.neck_coarse(stride32)
        fine = self.up_fine(coarse, stride16)
        return self.head_coarse(coarse), self.head_fine(fine)

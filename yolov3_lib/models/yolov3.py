"""YOLOv3 (Redmon and Farhadi 2018): Darknet-53, three scales, feature maps passed from coarse to fine."""

from torch import Tensor, nn

from yolov3_lib.anchors import YOLOV3_ANCHORS, Anchors

from .blocks import ConvBlock
from .darknet53 import Darknet53
from .head import GridDetector, Head, UpAndConcatenate, check_images


def neck(in_channels: int, channels: int) -> nn.Sequential:
    """Five convolutions, 1×1 and 3×3 in turn: (B, in_channels, H, W) → (B, channels, H, W)."""
    return nn.Sequential(
        ConvBlock(in_channels, channels, 1),
        ConvBlock(channels, 2 * channels, 3),
        ConvBlock(2 * channels, channels, 1),
        ConvBlock(channels, 2 * channels, 3),
        ConvBlock(2 * channels, channels, 1),
    )


class YOLOv3(GridDetector):
    """YOLOv3: 75 convolutions; 61,626,049 parameters for 20 classes, 61,949,149 for 80.

    Sizes for a 416 × 416 image and 20 classes, Darknet's layer numbers on the right:

    ===========  ========================================  ==================  =======
    module       what it is                                output              layers
    ===========  ========================================  ==================  =======
    backbone     Darknet-53                                1024 × 13 × 13      0–74
    neck_coarse  5 convolutions, 512 and 1024              512 × 13 × 13       75–79
    head_coarse  3×3, 1024; 1×1, 75                        3 × 13 × 13 × 25    80–81
    up_medium    1×1, 256; upsample; concatenate layer 61  768 × 26 × 26       83–86
    neck_medium  5 convolutions, 256 and 512               256 × 26 × 26       87–91
    head_medium  3×3, 512; 1×1, 75                         3 × 26 × 26 × 25    92–93
    up_fine      1×1, 128; upsample; concatenate layer 36  384 × 52 × 52       95–98
    neck_fine    5 convolutions, 128 and 256               128 × 52 × 52       99–103
    head_fine    3×3, 256; 1×1, 75                         3 × 52 × 52 × 25    104–105
    ===========  ========================================  ==================  =======

    Modules are defined in this order because a Darknet weights file is read in the order of definition.

    Args:
        num_classes: C; VOC has 20, COCO 80.
        anchors: three scales of three (width, height) pairs, coarse first, in pixels of the network's input.
    """

    def __init__(self, num_classes: int = 20, anchors: Anchors | Tensor = YOLOV3_ANCHORS) -> None:
        super().__init__(num_classes, anchors, strides=(32, 16, 8))
        a, c = self.num_anchors, num_classes
        self.backbone = Darknet53()
        self.neck_coarse = neck(1024, 512)
        self.head_coarse = Head(512, 1024, a, c)
        self.up_medium = UpAndConcatenate(512, 256)
        self.neck_medium = neck(256 + 512, 256)
        self.head_medium = Head(256, 512, a, c)
        self.up_fine = UpAndConcatenate(256, 128)
        self.neck_fine = neck(128 + 256, 128)
        self.head_fine = Head(128, 256, a, c)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the three scales.

        Args:
            images: (B, 3, H, W) RGB in [0, 1], H and W multiples of 32.

        Returns:
            (B, 3, H/32, W/32, 5 + C), (B, 3, H/16, W/16, 5 + C) and (B, 3, H/8, W/8, 5 + C): t_x, t_y, t_w,
            t_h, objectness, classes. `yolov3_lib.decode.decode` turns them into boxes.

        Raises:
            ValueError: wrong shape.
            TypeError: not floating point.
        """
        check_images(images)
        stride8, stride16, stride32 = self.backbone(images)
        coarse = self.neck_coarse(stride32)
        medium = self.neck_medium(self.up_medium(coarse, stride16))
        fine = self.neck_fine(self.up_fine(medium, stride8))
        return self.head_coarse(coarse), self.head_medium(medium), self.head_fine(fine)

"""Darknet-53, YOLOv3's backbone (Redmon and Farhadi 2018, table 1)."""

from torch import Tensor, nn

from .blocks import ConvBlock, ResidualStage


class Darknet53(nn.Module):
    """The backbone: 52 convolutions, 40,584,928 parameters.

    Sizes for a 416 × 416 image, Darknet's layer numbers on the right:

    ======  ======================================  ===============  ======
    module  what it is                              output           layers
    ======  ======================================  ===============  ======
    stem    3×3, 32                                 32 × 416 × 416   0
    stage1  3×3, 64, stride 2; 1 × (32, 64)         64 × 208 × 208   1–4
    stage2  3×3, 128, stride 2; 2 × (64, 128)       128 × 104 × 104  5–11
    stage3  3×3, 256, stride 2; 8 × (128, 256)      256 × 52 × 52    12–36
    stage4  3×3, 512, stride 2; 8 × (256, 512)      512 × 26 × 26    37–61
    stage5  3×3, 1024, stride 2; 4 × (512, 1024)    1024 × 13 × 13   62–74
    ======  ======================================  ===============  ======

    The brackets are residual blocks: a 1×1 and a 3×3 convolution with these many channels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBlock(3, 32, 3)
        self.stage1 = ResidualStage(32, num_blocks=1)
        self.stage2 = ResidualStage(64, num_blocks=2)
        self.stage3 = ResidualStage(128, num_blocks=8)
        self.stage4 = ResidualStage(256, num_blocks=8)
        self.stage5 = ResidualStage(512, num_blocks=4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The features that detection uses.

        Args:
            images: (B, 3, H, W) float.

        Returns:
            (B, 256, H/8, W/8), (B, 512, H/16, W/16) and (B, 1024, H/32, W/32).
        """
        x = self.stage2(self.stage1(self.stem(images)))
        stride8 = self.stage3(x)
        stride16 = self.stage4(stride8)
        stride32 = self.stage5(stride16)
        return stride8, stride16, stride32


class Darknet53Classifier(nn.Module):
    """The network that Darknet-53 is named after: the 52 convolutions, a global average, one dense layer.

    It's what the backbone is trained as, on ImageNet, before it learns to detect.

    Args:
        num_classes: how many classes it tells apart; ImageNet's 1000 by default.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.backbone = Darknet53()
        self.classifier = nn.Linear(1024, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Class logits.

        Args:
            images: (B, 3, H, W) float, any H and W; the paper's are 256.

        Returns:
            (B, num_classes) logits.
        """
        *_, features = self.backbone(images)
        return self.classifier(features.mean(dim=(2, 3)))

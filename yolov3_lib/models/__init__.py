"""The networks: Darknet-53, YOLOv3 and YOLOv3-tiny, and their weights in files.

==================  =====================================================================
`blocks`            `ConvBlock`, `ResidualStage`: what all of them are made of
`darknet53`         `Darknet53`, the backbone, and `Darknet53Classifier`
`head`              the head of a scale, the way up to the next, input checks
`yolov3`            `YOLOv3`
`yolov3_tiny`       `YOLOv3Tiny`
`darknet_weights`   Darknet's ``.weights``, read and written
`checkpoint`        safetensors with metadata; `load_model` opens either kind
`fold`              batch normalization folded into convolutions, for inference
==================  =====================================================================
"""

from .blocks import ConvBlock, ResidualBlock, ResidualStage
from .checkpoint import ModelInfo, load_model, save_safetensors
from .darknet53 import Darknet53, Darknet53Classifier
from .darknet_weights import DarknetHeader, read_darknet, write_darknet
from .files import WeightsError
from .fold import fold_batch_norm, is_folded
from .head import GridDetector
from .yolov3 import YOLOv3
from .yolov3_tiny import YOLOv3Tiny

__all__ = [
    "ConvBlock",
    "Darknet53",
    "Darknet53Classifier",
    "DarknetHeader",
    "GridDetector",
    "ModelInfo",
    "ResidualBlock",
    "ResidualStage",
    "WeightsError",
    "YOLOv3",
    "YOLOv3Tiny",
    "fold_batch_norm",
    "is_folded",
    "load_model",
    "read_darknet",
    "save_safetensors",
    "write_darknet",
]

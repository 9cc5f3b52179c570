"""Interactive figures: plain HTML, SVG and a little script in one notebook output, alive without a kernel.

::

    from yolov3_lib.widgets import iou_explorer
    iou_explorer((0, 0, 4, 3), (2, 1, 6, 5))

The library computes a figure when its cell runs, and the figure's script computes it again when a reader
moves something; a test compares the two. Where a host runs no scripts, the first state is there as a picture.
"""

from yolov3_lib.widgets.augment_figure import augment_explorer
from yolov3_lib.widgets.base import Widget
from yolov3_lib.widgets.batch_norm_figure import batch_norm_explorer
from yolov3_lib.widgets.convolution_figure import convolution_explorer
from yolov3_lib.widgets.cross_entropy_figure import entropy_explorer
from yolov3_lib.widgets.iou_figure import iou_explorer
from yolov3_lib.widgets.lagrange_figure import lagrange_explorer
from yolov3_lib.widgets.leaky_relu_figure import neuron_explorer
from yolov3_lib.widgets.line_search_figure import line_search_explorer
from yolov3_lib.widgets.loss_figure import loss_explorer
from yolov3_lib.widgets.nms_figure import nms_explorer
from yolov3_lib.widgets.nms_walk import nms_steps
from yolov3_lib.widgets.optimizers_figure import optimizers_explorer
from yolov3_lib.widgets.rank_figure import rank_explorer
from yolov3_lib.widgets.schedule_figure import schedule_explorer
from yolov3_lib.widgets.steps import stepper
from yolov3_lib.widgets.threshold_figure import threshold_explorer
from yolov3_lib.widgets.upsampling_figure import upsampling_explorer

__all__ = [
    "Widget", "augment_explorer", "batch_norm_explorer", "convolution_explorer", "entropy_explorer",
    "iou_explorer", "lagrange_explorer", "line_search_explorer", "loss_explorer", "neuron_explorer",
    "nms_explorer", "nms_steps", "optimizers_explorer", "rank_explorer", "schedule_explorer", "stepper",
    "threshold_explorer", "upsampling_explorer",
]  # fmt: skip

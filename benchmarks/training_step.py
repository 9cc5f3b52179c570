"""``python training_step.py ours|channels_last|document IMAGES``: two training steps, and their memory.

Row 8 runs this in a process of its own, since a process's peak never falls again. Prints JSON: ``peak``,
bytes above what the imports had taken; ``losses``, of the two steps.
"""

import json
import re
import sys
from pathlib import Path

import torch
from b04_targets import STRIDES
from b05_loss import document_loss
from b06_inference import peer_module
from harness import THREADS
from objects import NET_SIZE, NUM_CLASSES, truths_of

from yolov3_lib.anchors import YOLOV3_ANCHORS
from yolov3_lib.loss import yolo_loss
from yolov3_lib.models import YOLOv3

ANCHORS = torch.tensor(YOLOV3_ANCHORS, dtype=torch.float32)


def main(name: str, images: int) -> dict:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    before = memory("VmRSS")
    pixels, truths = torch.rand(images, 3, NET_SIZE, NET_SIZE), truths_of(images)
    model = (peer_module().YOLOv3 if name == "document" else YOLOv3)(num_classes=NUM_CLASSES).train()
    if name == "channels_last":
        model = model.to(memory_format=torch.channels_last)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    losses = []
    # The second step has the optimizer's momentum in memory as well.
    for _ in range(2):
        optimizer.zero_grad()
        heads = model(pixels)
        if name == "document":
            loss = document_loss(heads, truths, ANCHORS)
        else:
            loss = yolo_loss(heads, truths, ANCHORS, STRIDES).total
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"peak": memory("VmHWM") - before, "losses": losses}


def memory(field: str) -> int:
    """Bytes of ``VmRSS``, in memory now, or ``VmHWM``, the most there ever was: Linux's account."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))

"""Objects for the rows that train: real sizes of Pascal VOC's boxes at random places, from a seed."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SIZES = Path(__file__).parent.parent / "data" / "voc_boxes" / "voc2007_trainval.npz"
NET_SIZE, NUM_CLASSES = 416, 20


def truths_of(images: int, seed: int = 0) -> Tensor:
    """(M, 6) float32: image, x, y, w, h relative to the input, class; as many objects as these images have.

    An image's objects keep their sizes; their centers are drawn anew, so that each lies inside.
    """
    rng = np.random.default_rng(seed)
    # In hundredths of a pixel of an input of 416.
    with np.load(SIZES) as file:
        of_image, sizes = file["image"], file["box_size"] / 100 / NET_SIZE
        asked = ~file["difficult"]  # the others aren't trained on
    chosen = rng.choice(of_image.max() + 1, images, replace=False)
    rows = []
    for number, image in enumerate(chosen):
        size = sizes[(of_image == image) & asked].clip(1 / NET_SIZE, 1)
        center = size / 2 + rng.random(size.shape) * (1 - size)
        label = rng.integers(0, NUM_CLASSES, (len(size), 1))
        rows.append(np.hstack([np.full((len(size), 1), number), center, size, label]))
    return torch.from_numpy(np.concatenate(rows)).float()

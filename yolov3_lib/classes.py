"""Class names: Pascal VOC's twenty, COCO's eighty, and which of the eighty are which of the twenty.

The order is the order of Darknet's ``voc.names`` and ``coco.names``; a class index is a position in it.
"""

VOC_CLASSES: tuple[str, ...] = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip

COCO_CLASSES: tuple[str, ...] = (
    "person", "bicycle", "car", "motorbike", "aeroplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "sofa",
    "pottedplant", "bed", "diningtable", "toilet", "tvmonitor", "laptop", "mouse", "remote", "keyboard",
    "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip


def class_mapping(source: tuple[str, ...], target: tuple[str, ...]) -> dict[int, int]:
    """Index in ``source`` → index in ``target`` for every name that stands in both.

    Darknet's ``coco.names`` spells the twenty VOC classes as VOC does ("tvmonitor", "aeroplane"), so names
    alone decide. Files that use COCO's own spelling ("tv", "airplane", "couch") go through `COCO_ALIASES`.

    >>> class_mapping(COCO_CLASSES, VOC_CLASSES)[16] == VOC_CLASSES.index("dog")
    True
    """
    position = {name: index for index, name in enumerate(target)}
    spelled = [COCO_ALIASES.get(name, name) for name in source]
    return {index: position[name] for index, name in enumerate(spelled) if name in position}


COCO_ALIASES: dict[str, str] = {
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "couch": "sofa",
    "potted plant": "pottedplant",
    "dining table": "diningtable",
    "tv": "tvmonitor",
}

"""Wrong answers to chapter 12."""

from mutants.bank import Mutant

FULL = "a box that fills a square image"
WIDER = "an image wider or higher than a square"
STAYS = "the inputs stay as they are"

TO_YOLO = {
    "forgets that VOC counts from 1": Mutant(FULL, {"x1, y1 = x1 - 1, y1 - 1": "pass"}),
    "subtracts 1 from all four": Mutant(
        FULL, {"x1, y1 = x1 - 1, y1 - 1": "x1, y1, x2, y2 = x1-1, y1-1, x2-1, y2-1"}
    ),
    "adds 1 to the far corner and shifts nothing": Mutant(
        FULL, {"x1, y1 = x1 - 1, y1 - 1": "x2, y2 = x2 + 1, y2 + 1"}
    ),
    "the corner for the center": Mutant(FULL, {"(x1 + x2) / 2 / width": "x1 / width"}),
    "pixels instead of parts": Mutant(FULL, {"(x2 - x1) / width": "x2 - x1"}),
    "half the sides": Mutant(FULL, {"(x2 - x1) / width": "(x2 - x1) / 2 / width"}),
    "w and h exchanged": Mutant(
        "a box in a square image",
        {"(x2 - x1) / width, (y2 - y1) / height": "(y2 - y1) / height, (x2 - x1) / width"},
    ),
    "size read as (height, width)": Mutant(WIDER, {"width, height = size": "height, width = size"}),
    "everything by the width": Mutant(WIDER, {"width, height = size": "width = height = size[0]"}),
    "the first box only": Mutant(
        "several boxes", {"torch.stack(columns, dim=1)": "torch.stack(columns, dim=1)[:1]"}
    ),
    "wants at least one box": Mutant(
        "no boxes at all", {"width, height = size": "width, height = size; corners[0]"}
    ),
    "shifts the caller's boxes": Mutant(
        STAYS, {"width, height = size": "width, height = size\n    corners -= 1\n    corners = corners + 1"}
    ),
    "rounds to whole pixels": Mutant(FULL, {"(x1 + x2) / 2 / width": "((x1 + x2) / 2).floor() / width"}),
}

TO_VOC = {
    "forgets to count from 1": Mutant(FULL, {"left + 1, top + 1": "left, top"}),
    "adds 1 to all four": Mutant(FULL, {"left + w, top + h": "left + w + 1, top + h + 1"}),
    "takes the center for the corner": Mutant(FULL, {"x * width - w / 2": "x * width"}),
    "takes half of the sides for the whole": Mutant(FULL, {"w, h = w * width": "w, h = w * width / 2"}),
    "subtracts 1 instead": Mutant(FULL, {"left + 1, top + 1": "left - 1, top - 1"}),
    "the far corner one pixel short": Mutant(FULL, {"left + w, top + h": "left + w - 1, top + h - 1"}),
    "stays in parts of the image": Mutant(FULL, {"w, h = w * width, h * height": "width = height = 1"}),
    "w and h exchanged": Mutant("a box in a square image", {"x, y, w, h =": "x, y, h, w ="}),
    "size read as (height, width)": Mutant(WIDER, {"width, height = size": "height, width = size"}),
    "the first box only": Mutant("several boxes", {"top + h), dim=1)": "top + h), dim=1)[:1]"}),
    "wants at least one box": Mutant(
        "no boxes at all", {"width, height = size": "width, height = size; relative[0]"}
    ),
    "scales the caller's numbers": Mutant(
        STAYS,
        {"width, height = size": "width, height = size\n    relative *= 2\n    relative = relative / 2"},
    ),
}

CHOSEN = "shape_iou(shapes, anchors).argmax(dim=1)"
STEP = {
    "nearest in pixels": Mutant(
        "close in shape, farther in pixels", {CHOSEN: "torch.cdist(shapes, anchors).argmin(dim=1)"}
    ),
    "nearest in area": Mutant(
        "two anchors",
        {CHOSEN: "(shapes.prod(1)[:, None] / anchors.prod(1)).log().abs().argmin(dim=1)"},
    ),
    "the worst anchor": Mutant("close in shape, farther in pixels", {"argmax": "argmin"}),
    "divides by all shapes": Mutant("close in shape, farther in pixels", {"/ len(own)": "/ len(shapes)"}),
    "the sum": Mutant("one anchor", {" / len(own)": ""}),
    "the largest": Mutant("one anchor", {"own.sum(dim=0) / len(own)": "own.amax(dim=0)"}),
    "all shapes for every anchor": Mutant(
        "close in shape, farther in pixels", {"shapes[chosen == index]": "shapes"}
    ),
    "0/0 where none chose": Mutant("an anchor that no shape chooses", {" if len(own) else anchor": ""}),
    "drops an anchor that none chose": Mutant(
        "an anchor that no shape chooses",
        {
            "rows.append(own.sum(dim=0) / len(own) if len(own) else anchor)": (
                "rows += [own.sum(0) / len(own)] if len(own) else []"
            )
        },
    ),
    "shared among equal anchors": Mutant(
        "two equal anchors",
        """
        def my_kmeans_step(shapes, anchors):
            overlap = shape_iou(shapes, anchors)
            chosen = overlap == overlap.amax(dim=1, keepdim=True)
            rows = [shapes[c].mean(dim=0) if c.any() else a for c, a in zip(chosen.T, anchors)]
            return torch.stack(rows)
        """,
    ),
    "sorted": Mutant("close in shape, farther in pixels", {"torch.stack(rows)": "torch.stack(rows).flip(0)"}),
    "writes into the anchors": Mutant(
        STAYS, {"return torch.stack(rows)": "anchors[:] = torch.stack(rows)\n    return anchors.clone()"}
    ),
}

MIRROR = "torch.stack((width - x2, y1, width - x1, y2), dim=1)"
FLIP = {
    "the one to be mended": Mutant(
        "one box",
        """
        def mended_flip(boxes, width):
            boxes = boxes.clone()
            boxes[:, 0] = width - boxes[:, 2]
            boxes[:, 2] = width - boxes[:, 0]
            return boxes
        """,
    ),
    "edges not exchanged": Mutant(
        "a box in the middle", {"(width - x2, y1, width - x1, y2)": "(width - x1, y1, width - x2, y2)"}
    ),
    "nothing is mirrored": Mutant("one box", {MIRROR: "boxes.clone()"}),
    "upside down": Mutant(
        "a box in the middle", {MIRROR: "torch.stack((x1, width - y2, x2, width - y1), dim=1)"}
    ),
    "one pixel off": Mutant(
        "a box in the middle", {"width - x2, y1, width - x1": "width - 1 - x2, y1, width - 1 - x1"}
    ),
    "the width of the boxes": Mutant(
        "a box in the middle",
        {"x1, y1, x2, y2 =": "width = boxes[:, 2].amax() if len(boxes) else 0\n    x1, y1, x2, y2 ="},
    ),
    "the first box only": Mutant("several boxes", {MIRROR: f"torch.cat(({MIRROR}[:1], boxes[1:]))"}),
    "from right to left": Mutant("several boxes", {MIRROR: f"{MIRROR}.flip(0)"}),
    "wants at least one box": Mutant("no boxes at all", {"x1, y1, x2, y2 =": "boxes[0]; x1, y1, x2, y2 ="}),
    "mirrors the caller's boxes": Mutant(
        STAYS, {f"return {MIRROR}": f"boxes[:] = {MIRROR}\n    return boxes.clone()"}
    ),
}

CLIP = {
    "no clamp": Mutant("boxes outside", {".clamp(min=0)": ""}),
    "keeps what is outside": Mutant("boxes outside", {"(share > 0) & (share >= visibility)": "share >= 0"}),
    "measures after cutting": Mutant(
        "boxes cut by an edge", {"(boxes[:, 2:] - boxes[:, :2]).prod": "(far - corner).prod"}
    ),
    "part of the window": Mutant(
        "boxes inside", {"(boxes[:, 2:] - boxes[:, :2]).prod(dim=1)": "((right - left) * (bottom - top))"}
    ),
    "drops without cutting": Mutant(
        "boxes cut by an edge", {"torch.cat((corner, far), dim=1)[kept]": "boxes[kept]"}
    ),
    "cuts without dropping": Mutant("boxes cut by an edge", {"(share >= visibility)": "(share >= 0)"}),
    "keeps a box without area": Mutant(
        "outside, and a least part of 0", {"(share > 0) & (share >= visibility)": "share >= visibility"}
    ),
    "more than the least part": Mutant("exactly the least part", {">= visibility": "> visibility"}),
    "width alone": Mutant(
        "boxes anywhere",
        {
            "share = sides.prod(dim=1) / (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)": (
                "share = sides[:, 0] / (boxes[:, 2] - boxes[:, 0]) * (sides[:, 1] > 0)"
            )
        },
    ),
    "a window at 0": Mutant(
        "a window that doesn't begin at 0",
        {"left, top, right, bottom = window": "left, top, right, bottom = 0, 0, *window[2:]"},
    ),
    "all classes": Mutant("boxes outside", {"classes[kept]": "classes"}),
    "boxes alone": Mutant("boxes inside", {", classes[kept]": ""}),
    "by the center": Mutant(
        "boxes cut by an edge",
        {
            "(share > 0) & (share >= visibility)": (
                "((boxes[:, :2] + boxes[:, 2:]) / 2 < high).all(dim=1) & (share > 0)"
            )
        },
    ),
    "wants at least one box": Mutant("no boxes at all", {"left, top, right": "boxes[0]; left, top, right"}),
    "cuts the caller's boxes": Mutant(
        STAYS, {"return": "boxes[:, :2], boxes[:, 2:] = corner, far\n    return"}
    ),
}

FIND = {
    "21 classes": Mutant("a class that doesn't exist", {"range(20)": "range(21)"}),
    "rounds the class": Mutant("a class that doesn't exist", {"index not in": "int(index) not in"}),
    "only the width": Mutant("a box without area", {"w <= 0 or h <= 0": "w <= 0"}),
    "zero passes": Mutant("a box without area", {"w <= 0 or h <= 0": "w < 0 or h < 0"}),
    "the center alone": Mutant(
        "a box beyond the image", {" + w / 2 - 0.5": " - 0.5", " + h / 2 - 0.5": " - 0.5"}
    ),
    "one side alone": Mutant(
        "a box beyond the image", {"abs(x - 0.5)": "(x - 0.5)", "abs(y - 0.5)": "(y - 0.5)"}
    ),
    "parts for pixels": Mutant(
        "a box beyond the image", {"- 0.5) * width": "- 0.5)", "- 0.5) * height": "- 0.5)"}
    ),
    "one percent for one pixel": Mutant(
        "a box beyond the image", {"- 0.5) * width": "- 0.5) * 100", "- 0.5) * height": "- 0.5) * 100"}
    ),
    "no slack": Mutant("a box beyond by a rounding", {"reach > 1": "reach > 0"}),
    "a full image is outside": Mutant("nothing wrong", {"reach > 1": "reach >= 0"}),
    "empty images pass": Mutant("an image without objects", {"image not in labels[:, 0]": "False"}),
    "a copy is a leak": Mutant(
        "one photograph twice in one split", {"len(others) > 1": "contents.count(content) > 1"}
    ),
    "the second of the two only": Mutant(
        "one photograph in two splits", {"len(others) > 1": "len(others) > 1 and content in contents[:image]"}
    ),
    "neighbors only": Mutant(
        "one photograph in two splits",
        {
            "others = {split for other, split in zip(contents, splits)": (
                "near = slice(max(image - 1, 0), image + 2)\n"
                "        others = {split for other, split in zip(contents[near], splits[near])"
            )
        },
    ),
    "between train and test only": Mutant(
        "one photograph in two splits", {"len(others) > 1": 'others == {"train", "test"}'}
    ),
    "leaks pass": Mutant("one photograph in two splits", {"len(others) > 1": "False"}),
    "images alone": Mutant(
        "a class that doesn't exist", {"return found": "return {image for image, _ in found}"}
    ),
    "drops the bad rows": Mutant(STAYS, {"return found": "labels[:] = 0\n    return found"}),
}

WRITTEN = {
    "voc_to_yolo": ("12_data", "my_voc_to_yolo", {}),
    "yolo_to_voc": ("12_data", "my_yolo_to_voc", {}),
    "kmeans_step": ("12_data", "my_kmeans_step", {}),
    "flip_boxes": ("12_data", "mended_flip", {}),
    "clip_to_window": ("12_data", "my_clip", {}),
    "find_problems": ("12_data", "my_problems", {}),
}

MUTANTS = {
    "voc_to_yolo": TO_YOLO,
    "yolo_to_voc": TO_VOC,
    "kmeans_step": STEP,
    "flip_boxes": FLIP,
    "clip_to_window": CLIP,
    "find_problems": FIND,
}

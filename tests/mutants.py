"""Wrong answers to the exercises, as students write them: what a checker must not let through.

A mutant is the master's solution with a few words changed, or a function of its own. It names the property
that has to catch it first, because that property's hint is the help that the student gets.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    """A wrong answer: the property that catches it, and what is exchanged in the solution (or its source)."""

    caught_by: str
    changes: dict[str, str] | str


IOU_RETURN = "intersection / union if union > 0 else 0.0"
IOU = {
    "no clamp": Mutant("disjoint boxes", {".clamp(min=0)": ""}),
    "clamps the product": Mutant(
        "disjoint boxes", {".clamp(min=0)": "", "width * height": "(width * height).clamp(min=0)"}
    ),
    "clamps the width only": Mutant(
        "boxes apart along one axis only",
        {".clamp(min=0)": "", "width * height": "width.clamp(min=0) * height"},
    ),
    "absolute value instead of a clamp": Mutant("disjoint boxes", {".clamp(min=0)": ".abs()"}),
    "clamps the coordinates": Mutant(
        "negative coordinates",
        {"a[:2], b[:2])": "a[:2], b[:2]).clamp(min=0)", "a[2:], b[2:])": "a[2:], b[2:]).clamp(min=0)"},
    ),
    "union is the sum": Mutant("overlapping boxes", {"area_b - intersection": "area_b"}),
    "+1 pixel": Mutant(
        "overlapping boxes",
        {
            "bottom_right - top_left)": "bottom_right - top_left + 1)",
            "a[2:] - a[:2])": "a[2:] - a[:2] + 1)",
            "b[2:] - b[:2])": "b[2:] - b[:2] + 1)",
        },
    ),
    "+1 pixel in the overlap alone": Mutant(
        "overlapping boxes", {"bottom_right - top_left)": "bottom_right - top_left + 1)"}
    ),
    "max and min exchanged": Mutant(
        "overlapping boxes",
        {"torch.maximum": "torch.m", "torch.minimum": "torch.maximum", "torch.m(": "torch.minimum("},
    ),
    "takes xyxy for xywh": Mutant("overlapping boxes", {"a[2:], b[2:])": "a[:2] + a[2:], b[:2] + b[2:])"}),
    "width of A times height of B": Mutant(
        "overlapping boxes", {"(a[2:] - a[:2]).prod()": "(a[2] - a[0]) * (b[3] - b[1])"}
    ),
    "over the smaller area": Mutant(
        "overlapping boxes", {"area_a + area_b - intersection": "min(area_a, area_b)"}
    ),
    "Dice": Mutant("overlapping boxes", {IOU_RETURN: "2 * intersection / (area_a + area_b)"}),
    "percent": Mutant("overlapping boxes", {"intersection / union": "100 * intersection / union"}),
    "rounded": Mutant("overlapping boxes", {IOU_RETURN: "round(float(intersection / union), 2)"}),
    "0/0": Mutant("boxes without area", {" if union > 0 else 0.0": ""}),
    "empty boxes agree": Mutant("boxes without area", {"else 0.0": "else 1.0"}),
    "small constant in the denominator": Mutant(
        "tiny boxes, relative to the image", {IOU_RETURN: "intersection / (union + 1e-6)"}
    ),
    "changes its inputs": Mutant(
        "the inputs stay as they are",
        {"intersection = width": "a[2:] -= a[:2]\n    intersection = width", "(a[2:] - a[:2])": "a[2:]"},
    ),
    "no return for disjoint boxes": Mutant(
        "disjoint boxes", {"return": "if intersection > 0 or union == 0:\n        return"}
    ),
}

MATRIX = "intersection / union.masked_fill(union == 0, 1)"
PAIRWISE_IOU = {
    "no clamp": Mutant("disjoint boxes", {".clamp(min=0)": ""}),
    "takes cxcywh for xyxy": Mutant(
        "one box with one box",
        {"[..., :2] - ": "[..., :2] + 0 * ", "[..., :2] + a[..., 2:] / 2": "[..., 2:]"},
    ),
    "takes cxcywh for xywh": Mutant(
        "one box with one box",
        {" - a[..., 2:] / 2": "", " - b[..., 2:] / 2": "", "2:] / 2": "2:]"},
    ),
    "whole width on either side": Mutant("one box with one box", {"2:] / 2": "2:]"}),
    "element by element": Mutant(
        "N boxes with M boxes", {"a[:, None, :], b[None, :, :]": "a[None], b[None]"}
    ),
    "transposed": Mutant("N boxes with M boxes", {"a[:, None, :], b[None, :, :]": "a[None], b[:, None]"}),
    "area of the first box for all": Mutant(
        "N boxes with M boxes", {"= a[..., 2:].prod": "= a[:1, ..., 2:].prod"}
    ),
    "product over the wrong axis": Mutant("one box with one box", {"(min=0).prod(-1)": "(min=0).prod(0)"}),
    "union is the sum": Mutant("one box with one box", {" - intersection": ""}),
    "0/0": Mutant("boxes without area", {".masked_fill(union == 0, 1)": ""}),
    "one empty union empties all": Mutant(
        "some boxes without area among others",
        {MATRIX: "intersection / union if (union > 0).all() else torch.zeros_like(union)"},
    ),
    "no union below 1": Mutant(
        "tiny boxes, relative to the image", {MATRIX: "intersection / union.clamp(min=1)"}
    ),
    "small constant in the denominator": Mutant(
        "tiny boxes, relative to the image", {MATRIX: "intersection / (union + 1e-6)"}
    ),
    "clamps the coordinates": Mutant(
        "negative coordinates", {"b[..., :2] - b[..., 2:] / 2)": "b[..., :2] - b[..., 2:] / 2).clamp(min=0)"}
    ),
    "two loops over lists": Mutant(
        "no loop over the boxes",
        """
        def my_pairwise_iou(a, b):
            rows = [[x - w / 2, y - h / 2, x + w / 2, y + h / 2] for x, y, w, h in a.tolist()]
            columns = [[x - w / 2, y - h / 2, x + w / 2, y + h / 2] for x, y, w, h in b.tolist()]

            def one(p, q):
                width, height = min(p[2], q[2]) - max(p[0], q[0]), min(p[3], q[3]) - max(p[1], q[1])
                shared = max(width, 0) * max(height, 0)
                union = (p[2] - p[0]) * (p[3] - p[1]) + (q[2] - q[0]) * (q[3] - q[1]) - shared
                return shared / union if union else 0.0

            return torch.tensor([[one(p, q) for q in columns] for p in rows])
        """,
    ),
    "one loop over arrays": Mutant(
        "no loop over the boxes",
        """
        def my_pairwise_iou(a, b):
            a, b = a.double().numpy(), b.double().numpy()
            result = torch.zeros(len(a), len(b)).numpy()
            for i, (x, y, w, h) in enumerate(a):
                left, right = b[:, 0] - b[:, 2] / 2, b[:, 0] + b[:, 2] / 2
                top, bottom = b[:, 1] - b[:, 3] / 2, b[:, 1] + b[:, 3] / 2
                width = right.clip(max=x + w / 2) - left.clip(min=x - w / 2)
                height = bottom.clip(max=y + h / 2) - top.clip(min=y - h / 2)
                shared = width.clip(min=0) * height.clip(min=0)
                union = w * h + b[:, 2] * b[:, 3] - shared
                result[i] = shared / (union + (union == 0))
            return torch.from_numpy(result)
        """,
    ),
    "loops, and stops without boxes": Mutant(
        "no loop over the boxes",
        """
        def my_pairwise_iou(a, b):
            return torch.stack([torch.cat([solution(p[None], q[None])[0] for q in b]) for p in a])
        """,
    ),
    "whole numbers": Mutant("one box with one box", {MATRIX: f"({MATRIX}).round().int()"}),
    "two loops": Mutant(
        "no loop over the boxes",
        """
        def my_pairwise_iou(a, b):
            result = torch.zeros(len(a), len(b))
            for i in range(len(a)):
                for j in range(len(b)):
                    result[i, j] = solution(a[i][None], b[j][None])
            return result
        """,
    ),
    "one loop": Mutant(
        "no loop over the boxes",
        """
        def my_pairwise_iou(a, b):
            result = torch.zeros(len(a), len(b))
            for i in range(len(a)):
                result[i] = solution(a[i : i + 1], b)
            return result
        """,
    ),
    "changes its inputs": Mutant(
        "the inputs stay as they are",
        {
            "a, b = a[:, None, :]": "a[:, :2] -= a[:, 2:] / 2\n    a, b = a[:, None, :]",
            "a[..., :2] - a[..., 2:] / 2": "a[..., :2]",
            "a[..., :2] + a[..., 2:] / 2": "a[..., :2] + a[..., 2:]",
        },
    ),
}

GIOU_RETURN = "intersection / union - (enclosing - union) / enclosing"
GIOU = {
    "plain IoU": Mutant("overlapping boxes", {" - (enclosing - union) / enclosing": ""}),
    "over the union": Mutant("overlapping boxes", {"union) / enclosing": "union) / union"}),
    "not divided": Mutant("overlapping boxes", {"(enclosing - union) / enclosing": "(enclosing - union)"}),
    "plus": Mutant("overlapping boxes", {"union - (enclosing": "union + (enclosing"}),
    "intersection in place of the union": Mutant(
        "overlapping boxes", {"(enclosing - union)": "(enclosing - intersection)"}
    ),
    "the overlap as the enclosing box": Mutant(
        "overlapping boxes", {"enclosing = ": "enclosing = width * height  # "}
    ),
    "union is the sum": Mutant("a box and its copy", {"b[:2]).prod() - intersection": "b[:2]).prod()"}),
    "no clamp": Mutant("disjoint boxes", {".clamp(min=0)": ""}),
    "never below 0": Mutant("overlapping boxes", {GIOU_RETURN: f"({GIOU_RETURN}).clamp(min=0)"}),
    "small constant in the denominator": Mutant(
        "tiny boxes, relative to the image", {"intersection / union": "intersection / (union + 1e-6)"}
    ),
    "changes its inputs": Mutant("the inputs stay as they are", {"return": "a.clamp_(min=1)\n    return"}),
}

ALL_COUNTS = "len(taken), len(detections) - len(taken), len(truths) - len(taken)"
COUNT_MATCHES = {
    "counts doubles": Mutant("one object found twice", {"set()": "[]", "taken.add": "taken.append"}),
    "takes the next best truth": Mutant(
        "objects close together",
        {
            "nearest = int(row.argmax())": "free = [t for t in range(len(truths)) if t not in taken] or [0]\n"
            "            nearest = max(free, key=lambda t: row[t])"
        },
    ),
    "asks the truths": Mutant(
        "objects close together",
        """
        def my_count(detections, truths, threshold):
            if len(detections) == 0 or len(truths) == 0:
                return 0, len(detections), len(truths)
            right = int((pairwise_iou(detections, truths) >= threshold).any(dim=0).sum())
            return right, len(detections) - right, len(truths) - right
        """,
    ),
    "more than the threshold": Mutant("an IoU equal to the threshold", {">= threshold": "> threshold"}),
    "tensors in the set": Mutant("one object found twice", {"int(row.argmax())": "row.argmax()"}),
    "stops without truths": Mutant("nothing there", {"if len(truths) > 0:": "if True:"}),
    "stops without detections": Mutant(
        "nothing detected",
        """
        def my_count(detections, truths, threshold):
            best = pairwise_iou(truths, detections).max(dim=1).values
            return solution(detections, truths, threshold)
        """,
    ),
    "wrong and missed exchanged": Mutant(
        "nothing detected",
        {ALL_COUNTS: "len(taken), len(truths) - len(taken), len(detections) - len(taken)"},
    ),
    "no threshold": Mutant("detections a little off", {"row[nearest] >= threshold": "row[nearest] > 0"}),
    "a miss takes the truth too": Mutant(
        "detections a little off",
        {
            "taken = set()": "taken, seen = set(), set()",
            "if row[nearest] >= threshold": "if nearest not in seen and row[nearest] >= threshold",
            "taken.add(nearest)": "taken.add(nearest)\n            seen.add(nearest)",
        },
    ),
    "one number": Mutant("every object found once", {f"return {ALL_COUNTS}": "return len(taken)"}),
    "marks the caller's truths": Mutant(
        "the inputs stay as they are",
        {"taken.add(nearest)": "taken.add(nearest)\n                truths[nearest] += 0.5"},
    ),
}

SORTED = "scores.argsort(descending=True, stable=True)"
NMS = {
    "worst first": Mutant("two boxes", {"descending=True": "descending=False"}),
    "not sorted": Mutant("two boxes", {SORTED: "torch.arange(len(scores))"}),
    "removes nothing": Mutant("two boxes", {"others[overlap <= iou_threshold]": "others"}),
    "removes what doesn't overlap": Mutant("two boxes", {"<= iou_threshold": "> iou_threshold"}),
    "the threshold removes too": Mutant("an IoU equal to the threshold", {"<= iou": "< iou"}),
    "a fixed threshold": Mutant("two boxes", {"<= iou_threshold": "<= 0.45"}),
    "the rule of Fig. 8": Mutant(
        "a chain: neighbors overlap, the ends don't",
        """
        def my_nms(boxes, scores, iou_threshold=0.45):
            order = scores.argsort(descending=True, stable=True)
            overlap = pairwise_iou(boxes[order], boxes[order]).triu(diagonal=1)
            return order[(overlap <= iou_threshold).all(dim=0)].tolist()
        """,
    ),
    "compares with the best alone": Mutant(
        "a chain: neighbors overlap, the ends don't",
        {
            "while len(candidates) > 0:": "for _ in range(min(1, len(candidates))):",
            "return kept": "return kept + candidates.tolist()",
        },
    ),
    "compares neighbors alone": Mutant(
        "several boxes on one spot",
        {
            "others[overlap <= iou_threshold]": "others if (overlap[:1] <= iou_threshold).all() "
            "else others[1:]"
        },
    ),
    "removes from the list that it walks through": Mutant(
        "several boxes on one spot",
        """
        def my_nms(boxes, scores, iou_threshold=0.45):
            candidates = scores.argsort(descending=True, stable=True).tolist()
            kept = []
            while candidates:
                kept.append(candidates.pop(0))
                for other in candidates:
                    if iou(boxes[kept[-1]], boxes[other]) > iou_threshold:
                        candidates.remove(other)
            return kept
        """,
    ),
    "places in the sorted list": Mutant(
        "two boxes", {"return kept": f"return [{SORTED}.tolist().index(i) for i in kept]"}
    ),
    "sorted by index": Mutant("two boxes", {"return kept": "return sorted(kept)"}),
    "returns boxes": Mutant("one box", {"return kept": "return boxes[kept]"}),
    "returns scores": Mutant("one box", {"return kept": "return scores[kept]"}),
    "returns a mask": Mutant("one box", {"return kept": "return torch.arange(len(boxes)) < len(kept)"}),
    "ties the wrong way round": Mutant("equal scores", {SORTED: "scores.argsort(stable=True).flip(0)"}),
    "stops without boxes": Mutant("no boxes at all", {"kept = []": "kept, best = [], candidates[0]"}),
    "erases the scores": Mutant(
        "the inputs stay as they are", {"kept.append(int(best))": "kept.append(int(best)); scores[best] = 0"}
    ),
    "loses the last box": Mutant("one box", {"len(candidates) > 0": "len(candidates) > 1"}),
    "the best goes by its own IoU of 1": Mutant(
        "boxes without area", {"candidates[0], candidates[1:]": "candidates[0], candidates"}
    ),
    "copies always go": Mutant("a threshold of 1", {"<= iou_threshold": "<= min(iou_threshold, 0.99)"}),
    "floats": Mutant("one box", {"return kept": "return [float(index) for index in kept]"}),
    "scores as well": Mutant("one box", {"return kept": "return boxes[kept], scores[kept]"}),
}

SHIFT = "(classes * extent.double())[:, None]"
CLASS_NMS = {
    "ignores the class": Mutant("every box its own class", {SHIFT: "0"}),
    "too small a shift": Mutant("large boxes", {"boxes.max() - boxes.min() + 1": "tensor(1000)"}),
    "a shift for images of 4096 pixels": Mutant(
        "large boxes", {"boxes.max() - boxes.min() + 1": "tensor(4096)"}
    ),
    "a shift for images of 20,000 pixels": Mutant(
        "large boxes", {"boxes.max() - boxes.min() + 1": "tensor(20000)"}
    ),
    "float32 and a huge shift": Mutant(
        "a high class number",
        {
            "boxes.max() - boxes.min() + 1": "tensor(1e6)",
            "boxes.double()": "boxes",
            "extent.double()": "extent",
        },
    ),
    "80 classes": Mutant(
        "a high class number",
        """
        def my_class_nms(boxes, scores, classes, iou_threshold=0.45):
            kept = []
            for c in range(80):
                members = (classes == c).nonzero()[:, 0]
                kept += members[nms(boxes[members], scores[members], iou_threshold)].tolist()
            return sorted(kept, key=lambda i: -scores[i])
        """,
    ),
    "shift from the largest coordinate": Mutant(
        "negative coordinates", {"boxes.max() - boxes.min() + 1": "boxes.max()"}
    ),
    "neighboring classes collide": Mutant("every box its own class", {"(classes *": "(classes // 2 *"}),
    "stops without boxes": Mutant("no boxes at all", {"if len(boxes) == 0:": "if False:"}),
    "shifts the caller's boxes": Mutant(
        "the inputs stay as they are",
        {f"apart = boxes.double() + {SHIFT}": "boxes += (classes * extent)[:, None]\n    apart = boxes"},
    ),
    "class after class": Mutant(
        "every box its own class",
        """
        def my_class_nms(boxes, scores, classes, iou_threshold=0.45):
            kept = []
            for c in classes.unique():
                members = (classes == c).nonzero()[:, 0]
                kept += members[nms(boxes[members], scores[members], iou_threshold)].tolist()
            return kept
        """,
    ),
    "places within the class": Mutant(
        "every box its own class",
        """
        def my_class_nms(boxes, scores, classes, iou_threshold=0.45):
            kept = []
            for c in classes.unique():
                kept += nms(boxes[classes == c], scores[classes == c], iou_threshold).tolist()
            return sorted(kept, key=lambda i: -scores[i])
        """,
    ),
}

DECAY = "scores[overlap >= iou_threshold] *= 1 - overlap[overlap >= iou_threshold]"
CLONED = "scores, candidates = scores.clone()"
SOFT_NMS = {
    "Gaussian": Mutant("two boxes", {DECAY: "scores *= torch.exp(-(overlap**2) / 0.5)"}),
    "no threshold": Mutant("two boxes", {DECAY: "scores *= 1 - overlap"}),
    "the overlap as the factor": Mutant("two boxes", {"1 - overlap[": "overlap["}),
    "deletes": Mutant("two boxes", {"*= 1 - overlap[overlap >= iou_threshold]": "= 0"}),
    "the same factor for all": Mutant("two boxes", {"1 - overlap[overlap >= iou_threshold]": "0.5"}),
    "gives the old scores": Mutant(
        "two boxes", {CLONED: f"before = scores\n    {CLONED}", "float(scores[best])": "float(before[best])"}
    ),
    "order by the old scores": Mutant(
        "a chain: neighbors overlap, the ends don't",
        {CLONED: f"before = scores\n    {CLONED}", "key=lambda i: scores[i]": "key=lambda i: before[i]"},
    ),
    "equal doesn't count": Mutant("an IoU equal to the threshold", {DECAY: DECAY.replace(">=", ">")}),
    "nobody is let go": Mutant("two boxes", {" and scores[i] > 0.001": ""}),
    "weakens the caller's scores": Mutant("the inputs stay as they are", {"scores.clone()": "scores"}),
    "indices alone": Mutant("one box", {"return kept, new_scores": "return kept"}),
    "stops without boxes": Mutant(
        "no boxes at all", {"kept, new_scores = [], []": "kept, new_scores = [], []; boxes[0]"}
    ),
}

MUTANTS: dict[str, dict[str, Mutant]] = {
    "iou": IOU,
    "pairwise_iou": PAIRWISE_IOU,
    "giou": GIOU,
    "count_matches": COUNT_MATCHES,
    "nms": NMS,
    "class_nms": CLASS_NMS,
    "soft_nms": SOFT_NMS,
}

"""Wrong answers to chapter 01."""

from mutants.bank import Mutant

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

WRITTEN = {
    "iou": ("01_iou", "my_iou", {}),
    "pairwise_iou": ("01_iou", "my_pairwise_iou", {"source": "cxcywh"}),
    "giou": ("01_iou", "my_giou", {}),
    "count_matches": ("01_iou", "my_count", {}),
}

MUTANTS = {
    "iou": IOU,
    "pairwise_iou": PAIRWISE_IOU,
    "giou": GIOU,
    "count_matches": COUNT_MATCHES,
}

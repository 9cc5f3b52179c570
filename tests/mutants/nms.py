"""Wrong answers to chapter 02."""

from mutants.bank import Mutant

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

WRITTEN = {
    "nms": ("02_nms", "my_nms", {}),
    "class_nms": ("02_nms", "my_class_nms", {}),
    "soft_nms": ("02_nms", "my_soft_nms", {}),
}

MUTANTS = {
    "nms": NMS,
    "class_nms": CLASS_NMS,
    "soft_nms": SOFT_NMS,
}

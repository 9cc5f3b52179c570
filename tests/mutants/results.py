"""Wrong answers to chapter 14."""

from mutants.bank import Mutant

ENVELOPE = "precision.flip(0).cummax(0).values.flip(0)"
AVERAGE_PRECISION = {
    "divides by what is found": Mutant("objects that nothing finds", {"/ count": "/ right.sum()"}),
    "divides by the detections": Mutant("objects that nothing finds", {"/ count": "/ len(right)"}),
    "no envelope": Mutant("precision that climbs again", {ENVELOPE: "precision"}),
    "the envelope from the left": Mutant(
        "a wrong detection before a right one",
        {ENVELOPE: "precision.flip(0).cummin(0).values.flip(0) * (precision.min() > 0) + 0 * precision"},
    ),
    "the running maximum from the left": Mutant(
        "precision that climbs again", {ENVELOPE: "precision.cummax(0).values"}
    ),
    "wrong ones add too": Mutant("a wrong detection before a right one", {"envelope[right]": "envelope"}),
    "precision of the one before": Mutant(
        "one object, found", {"torch.arange(1, len(right) + 1)": "torch.arange(2, len(right) + 2)"}
    ),
    "the order reversed": Mutant(
        "wrong detections after the last right one", {"right.cumsum(0)": "right.flip(0).cumsum(0)"}
    ),
    "the best F1": Mutant(
        "objects that nothing finds",
        """
        def my_average_precision(right, count):
            found = right.cumsum(0)
            return (2 * found / (torch.arange(1, len(right) + 1) + count)).max()
        """,
    ),
    "eleven points": Mutant(
        "objects that nothing finds",
        """
        def my_average_precision(right, count):
            found = right.cumsum(0)
            precision = found / torch.arange(1, len(right) + 1)
            points = [precision[found * 10 >= k * count] for k in range(11)]
            return sum(float(p.max()) if len(p) else 0.0 for p in points) / 11
        """,
    ),
    "stops without detections": Mutant(
        "no detections at all", {"found = right.cumsum(0)": "found = right.cumsum(0); right[0]"}
    ),
    "writes into the flags": Mutant(
        "the inputs stay as they are",
        {
            "return envelope[right].sum() / count": "area = envelope[right].sum() / count\n"
            "    right[:] = False\n"
            "    return area"
        },
    ),
}

BEST = "int(overlap.argmax()) if len(truths) else None"
VOC_MATCH = {
    "never asks for the IoU": Mutant("a detection of nothing", {"overlap[best] < 0.5": "False"}),
    "any overlap will do": Mutant("a box too far off", {"overlap[best] < 0.5": "overlap[best] <= 0"}),
    "more than one half": Mutant("an IoU of exactly one half", {"< 0.5": "<= 0.5"}),
    "difficult ones are right": Mutant("a difficult object", {"append(-1)": "append(1)"}),
    "difficult ones are wrong": Mutant("a difficult object", {"append(-1)": "append(0)"}),
    "difficult before the IoU": Mutant(
        "a box too far from a difficult object",
        {"overlap[best] < 0.5": "(overlap[best] < 0.5 and not difficult[best])"},
    ),
    "finds again and again": Mutant("an object found twice", {"0 if best in taken else 1": "1"}),
    "forgets at each detection": Mutant(
        "an object found twice", {f"best = {BEST}": f"taken = set()\n        best = {BEST}"}
    ),
    "a second hit on a difficult one is wrong": Mutant(
        "a difficult object, found twice",
        {"verdicts.append(-1)": "verdicts.append(0 if best in taken else -1)\n            taken.add(best)"},
    ),
    "the first that is near enough": Mutant(
        "two objects, one a better fit",
        {
            f"best = {BEST}": "near = (overlap >= 0.5).nonzero()[:, 0].tolist()\n"
            f"        best = near[0] if near else ({BEST})"
        },
    ),
    "an ordinary object before a better-fitting difficult one": Mutant(
        "two objects, one a better fit",
        {
            f"best = {BEST}": "easy = torch.where(difficult | (overlap < 0.5), -1.0, overlap)\n"
            f"        overlap = easy if (easy > 0).any() else overlap\n        best = {BEST}"
        },
    ),
    "takes the next that is free": Mutant(
        "the best fit is taken, another is free",
        {
            f"best = {BEST}": "overlap = overlap.clone()\n        overlap[list(taken)] = 0\n"
            f"        best = {BEST}"
        },
    ),
    "stops without detections": Mutant(
        "no detections", {"verdicts, taken = [], set()": "verdicts, taken = [], set()\n    boxes[0]"}
    ),
    "stops without objects": Mutant("no objects at all", {BEST: "int(overlap.argmax())"}),
    "silent about what is wrong": Mutant(
        "a detection of nothing",
        {"overlap[best] < 0.5:\n            verdicts.append(0)": "overlap[best] < 0.5:\n            pass"},
    ),
    "marks the caller's objects": Mutant(
        "the inputs stay as they are", {"return verdicts": "truths[list(taken)] = 0\n    return verdicts"}
    ),
}

CONFUSION = {
    "rows and columns exchanged": Mutant(
        "each object found once",
        {"matrix[truth_classes[best], classes[i]]": "matrix[classes[i], truth_classes[best]]"},
    ),
    "objects not found are forgotten": Mutant(
        "objects that nothing finds", {"set(range(len(truths))) - taken": "()"}
    ),
    "detections of nothing are forgotten": Mutant(
        "detections of nothing", {"matrix[num_classes, classes[i]] += 1": "pass"}
    ),
    "no row for nothing": Mutant(
        "each object found once",
        {"new_zeros(num_classes + 1, num_classes + 1)": "new_zeros(num_classes, num_classes)"},
    ),
    "any overlap will do": Mutant("boxes too far off", {">= 0.5": "> 0"}),
    "more than one half": Mutant("an IoU of exactly one half", {">= 0.5": "> 0.5"}),
    "an object is taken again and again": Mutant("an object found twice", {"and j not in taken": ""}),
    "the first that is near enough": Mutant(
        "two objects, one a better fit",
        {"max(near, key=lambda j: overlap[i, j], default=None)": "min(near, default=None)"},
    ),
    "its own class first": Mutant(
        "two objects, one a better fit",
        {"lambda j: overlap[i, j]": "lambda j: overlap[i, j] + (truth_classes[j] == classes[i])"},
    ),
    "VOC's rule": Mutant(
        "the best fit is taken, another is free",
        {
            "best = max(near, key=lambda j: overlap[i, j], default=None)": "best = None\n"
            "        if len(truths):\n            best = int(overlap[i].argmax())\n"
            "        best = best if best in near else None"
        },
    ),
    "only within a class": Mutant(
        "each object found once",
        {"and j not in taken": "and j not in taken and truth_classes[j] == classes[i]"},
    ),
    "strikes objects out in place": Mutant(
        "the inputs stay as they are", {"return matrix": "truths[list(taken)] = 0\n    return matrix"}
    ),
}

WRITTEN = {
    "average_precision": ("14_results", "my_average_precision", {}),
    "voc_match": ("14_results", "my_match", {}),
    "confusion": ("14_results", "my_confusion", {}),
}

MUTANTS = {
    "average_precision": AVERAGE_PRECISION,
    "voc_match": VOC_MATCH,
    "confusion": CONFUSION,
}

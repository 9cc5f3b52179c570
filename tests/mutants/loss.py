"""Wrong answers to chapter 11."""

from mutants.bank import Mutant

SHAPE = "an object in the shape of an anchor"
TARGETS = {
    "boxes stay relative": Mutant(SHAPE, {"boxes[:, 2:] * net_size": "boxes[:, 2:]"}),
    "a fixed input of 416": Mutant("another input size", {"boxes[:, 2:] * net_size": "boxes[:, 2:] * 416"}),
    "a fixed grid for 416": Mutant("another input size", {"net_size // strides": "416 // strides"}),
    "the nearest area": Mutant(
        "one object",
        {
            "shape_iou(sizes, anchors).argmax(dim=1)": "(sizes.prod(dim=1)[:, None] - anchors.prod(dim=1))"
            ".abs().argmin(dim=1)"
        },
    ),
    "the worst anchor": Mutant(SHAPE, {"argmax": "argmin"}),
    "row before column": Mutant(SHAPE, {"corners.to(torch.int64)": "corners.flip(1).to(torch.int64)"}),
    "the center isn't taken off": Mutant(SHAPE, {"[centers - corners,": "[centers,"}),
    "ratios without a logarithm": Mutant(SHAPE, {"(sizes / anchors[best]).log()": "sizes / anchors[best]"}),
    "the logarithm to base 10": Mutant("one object", {".log()": ".log10()"}),
    "anchor over size": Mutant("one object", {"sizes / anchors[best]": "anchors[best] / sizes"}),
    "one grid for all": Mutant(
        "several objects", {"strides[best])[:, None]": "strides[best[:1]])[:, None].expand(len(boxes), 1)"}
    ),
    "behind the last cell": Mutant(
        "a center on the right or lower edge",
        {"torch.minimum(centers.floor(), cells - 1.0)": "centers.floor()"},
    ),
    "stops without objects": Mutant("no objects", {"sizes = boxes": "boxes[0]\n    sizes = boxes"}),
    "writes into the boxes": Mutant(
        "the inputs stay as they are",
        {"sizes = boxes[:, 2:] * net_size": "sizes = boxes[:, 2:]\n    sizes *= net_size"},
    ),
    "goals alone": Mutant(
        SHAPE,
        {
            "return places, torch.cat([centers - corners, (sizes / anchors[best]).log()], dim=1)": "return "
            "torch.cat([centers - corners, (sizes / anchors[best]).log()], dim=1)"
        },
    ),
}

ONE = "one prediction, one object, not positive"
COUNTED = {
    "the other way round": Mutant(ONE, {"positive | ~near": "positive | near"}),
    "nobody is ignored": Mutant(ONE, {"positive | ~near.any(dim=1)": "torch.ones_like(positive)"}),
    "a fixed threshold": Mutant(ONE, {"> threshold": "> 0.5"}),
    "positive is forgotten": Mutant("positive predictions", {"positive | ~near": "~near"}),
    "both must hold": Mutant(ONE, {"positive | ~near": "positive & ~near"}),
    "all objects must be near": Mutant("several objects", {"near.any": "near.all"}),
    "the first object alone": Mutant("several objects", {"near.any(dim=1)": "near[:, 0]"}),
    "the mean overlap": Mutant(
        "several objects",
        {
            "near = pairwise_iou(predicted, truths) > threshold": "near = "
            "pairwise_iou(predicted, truths).mean(dim=1, keepdim=True) > threshold"
        },
    ),
    "equal is ignored": Mutant("an IoU equal to the threshold", {"> threshold": ">= threshold"}),
    "stops without objects": Mutant(
        "no objects in the image",
        {
            "near = pairwise_iou(predicted, truths) > threshold": "near = "
            "pairwise_iou(predicted, truths).max(dim=1, keepdim=True).values > threshold"
        },
    ),
    "writes into positive": Mutant(
        "the inputs stay as they are",
        {"return positive | ~near.any(dim=1)": "positive |= ~near.any(dim=1)\n    return positive"},
    ),
    "numbers": Mutant(
        ONE, {"return positive | ~near.any(dim=1)": "return (positive | ~near.any(dim=1)).float()"}
    ),
}

SECOND = "the second call with the same tensors"
MENDED = {
    "careless as before": Mutant(
        SECOND,
        """
        def mended_loss(t, goal, anchor):
            t[:, 0:2] = torch.sigmoid(t[:, 0:2])
            goal[:, 2:4] = torch.log(goal[:, 2:4] / anchor)
            return ((t - goal) ** 2).mean() if len(t) else 0.0
        """,
    ),
    "only the logits are spared": Mutant(
        SECOND,
        """
        def mended_loss(t, goal, anchor):
            says = torch.cat([t[:, 0:2].sigmoid(), t[:, 2:4]], dim=1)
            goal[:, 2:4] = torch.log(goal[:, 2:4] / anchor)
            return ((says - goal) ** 2).sum() / max(1, t.numel())
        """,
    ),
    "only the goals are spared": Mutant(
        SECOND,
        """
        def mended_loss(t, goal, anchor):
            t[:, 0:2] = t[:, 0:2].sigmoid()
            wants = torch.cat([goal[:, 0:2], torch.log(goal[:, 2:4] / anchor)], dim=1)
            return ((t - wants) ** 2).sum() / max(1, t.numel())
        """,
    ),
    "the mean of nothing": Mutant("no objects", {".sum() / max(1, t.numel())": ".mean()"}),
    "no sigmoid": Mutant("the first call", {"t[:, 0:2].sigmoid()": "t[:, 0:2]"}),
    "no logarithm": Mutant("the first call", {"torch.log(goal[:, 2:4] / anchor)": "goal[:, 2:4] / anchor"}),
    "the sum": Mutant("the first call", {" / max(1, t.numel())": ""}),
    "a mean over objects": Mutant("the first call", {"t.numel()": "len(t)"}),
    "a number without gradient": Mutant(
        "the gradient",
        {
            "return ((says - wants) ** 2).sum()": "return float(((says - wants) ** 2).sum())",
        },
    ),
    "a detached copy": Mutant("the gradient", {"t[:, 0:2].sigmoid()": "t[:, 0:2].detach().sigmoid()"}),
    "every NaN is made a number": Mutant(
        "a NaN among the logits", {".sum() / max(1, t.numel())": ".mean().nan_to_num()"}
    ),
    "scratches in the goals": Mutant(
        "the inputs stay as they are", {"return": "anchor[0] = anchor[0] + 0.0001 * anchor[0]\n    return"}
    ),
}

VALUE, PAIR = "one object", "two objects on one cell and anchor"
SCALE = {
    "squares for the center": Mutant(
        VALUE,
        {'bce(t[:2], goal[:2], reduction="sum")': "((t[:2].sigmoid() - goal[:2]) ** 2).sum()"},
    ),
    "whole squares for the size": Mutant(VALUE, {".sum() / 2": ".sum()"}),
    "no weight": Mutant(VALUE, {"weight * box": "box"}),
    "the weight on everything": Mutant(
        VALUE, {"weight * box + bce(t[5:]": "weight * box + weight * bce(t[5:]"}
    ),
    "softmax": Mutant(
        VALUE, {'bce(t[5:], one_hot, reduction="sum")': "-(t[5:].log_softmax(0) * one_hot).sum()"}
    ),
    "no classes": Mutant(VALUE, {' + bce(t[5:], one_hot, reduction="sum")': ""}),
    "a mean over the background": Mutant(
        "nothing in the image", {'counts.float(), reduction="sum")': "counts.float())"}
    ),
    "background counts half": Mutant(
        "nothing in the image", {"weight=counts.float()": "weight=(counts.float() + (target > 0)) / 2"}
    ),
    "no background": Mutant("nothing in the image", {"(target > 0) | ~near": "target > 0"}),
    "only the scale's anchors compete": Mutant(
        "an object that another scale answers for",
        {
            "my_wanted(truth, anchors, mask, net_size, cells)": "my_wanted(truth, anchors[mask], "
            "list(range(len(mask))), net_size, cells)"
        },
    ),
    "nobody is ignored": Mutant(
        "good predictions beside the one that answers", {"(target > 0) | ~near": "torch.ones_like(near)"}
    ),
    "ignored outweighs positive": Mutant(
        "good predictions beside the one that answers", {"(target > 0) | ~near": "~near"}
    ),
    "padding is an object": Mutant(
        "padding among the objects",
        {
            "    for place, (goal": "    truth = truth + (truth[:, 2:3] == 0) * tensor([0, 0, 0.6, 0.5, 0])\n"
            "    for place, (goal"
        },
    ),
    "padding asks for the first anchor": Mutant(
        "padding among the objects",
        """
        def my_loss(head, truth, anchors, mask, net_size):
            tiny = torch.where(truth[:, 2:4] > 0, truth[:, 2:4], 1e-6)
            truth = torch.cat([truth[:, :2], tiny, truth[:, 4:]], dim=1)
            return solution(head, truth, anchors, mask, net_size)
        """,
    ),
    "padding has a logarithm": Mutant(
        "padding among the objects",
        """
        def my_loss(head, truth, anchors, mask, net_size):
            total = solution(head, truth, anchors, mask, net_size)
            for w, h in truth[:, 2:4] * net_size:
                best = shape_iou(torch.stack([w, h])[None], anchors).argmax().item()
                if best in mask:
                    total = total + 0 * (w / anchors[best, 0]).log()
            return total
        """,
    ),
    "stops at padding": Mutant(
        "padding among the objects",
        {"cells, bce =": "truth = truth[: int((truth[:, 2] > 0).long().cumprod(0).sum())]\n    cells, bce ="},
    ),
    "the first owns the box": Mutant(PAIR, {"my_wanted(truth, anchors": "my_wanted(truth.flip(0), anchors"}),
    "each asks for itself": Mutant(
        PAIR,
        {
            "in my_wanted(truth, anchors, mask, net_size, cells).items():": "in [\n"
            "        pair\n"
            "        for row in truth\n"
            "        for pair in my_wanted(row[None], anchors, mask, net_size, cells).items()\n"
            "    ]:"
        },
    ),
    "a number without gradient": Mutant(
        "the gradient",
        {
            'return total + bce(head[..., 4], target, weight=counts.float(), reduction="sum")': "return "
            'float(total + bce(head[..., 4], target, weight=counts.float(), reduction="sum"))'
        },
    ),
    "the center is detached": Mutant("the gradient", {"bce(t[:2], goal": "bce(t[:2].detach(), goal"}),
    "writes into the logits behind autograd's back": Mutant(
        "the gradient",
        """
        def my_loss(head, truth, anchors, mask, net_size):
            total = solution(head, truth, anchors, mask, net_size)
            with torch.no_grad():
                head[..., 4] = head[..., 4].sigmoid()
            return total
        """,
    ),
    "writes into the truth": Mutant(
        "the inputs stay as they are",
        {"counts = (target > 0) | ~near": "counts = (target > 0) | ~near\n    truth[:, :4] *= net_size"},
    ),
}

WRITTEN = {
    "box_targets": ("11_loss", "my_targets", {}),
    "counted": ("11_loss", "my_mask", {}),
    "mended_loss": ("11_loss", "mended_loss", {}),
    "scale_loss": ("11_loss", "my_loss", {}),
}

MUTANTS = {
    "box_targets": TARGETS,
    "counted": COUNTED,
    "mended_loss": MENDED,
    "scale_loss": SCALE,
}

"""yolov3_lib.loss against Darknet's own gradients, against loops, and at its limits."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from yolov3_lib.anchors import TINY_ANCHORS, YOLOV3_ANCHORS
from yolov3_lib.boxes import ciou, iou
from yolov3_lib.decode import decode_scale
from yolov3_lib.loss import LOSSES, LossConfig, LossParts, ignored, yolo_loss
from yolov3_lib.targets import assign

NAMES = tuple(LOSSES)
STRIDES = (32, 16, 8)
CLASSES = 3
NEAR = 1e-4  # an IoU this close to the threshold may fall on either side in single precision


def random_heads(
    net=(96, 64), anchors=TINY_ANCHORS, batch: int = 2, seed: int = 0, classes: int = CLASSES
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, len(row), net[1] // s, net[0] // s, 5 + classes, generator=generator)
        for row, s in zip(anchors, STRIDES, strict=False)
    ]


def with_gradients(heads: list[Tensor], truths: Tensor, config: LossConfig, anchors=TINY_ANCHORS):
    heads = [head.clone().requires_grad_() for head in heads]
    parts = yolo_loss(heads, truths, anchors, STRIDES[: len(heads)], config)
    return parts, torch.autograd.grad(parts.total, heads)


TRUTHS = torch.tensor(
    [
        [0, 0.45, 0.30, 0.80, 0.90, 1],
        [0, 0.47, 0.33, 0.82, 0.95, 2],  # meets the first
        [0, 0.10, 0.80, 0.26, 0.45, 0],
        [1, 0.55, 0.60, 81 / 96, 82 / 64, 0],  # the shape that two scales share
        [0, 0.00, 0.00, 0.00, 0.00, 0],
    ]
)


# Darknet's numbers


@pytest.fixture(scope="module")
def golden(golden_dir) -> dict[str, np.ndarray]:
    with np.load(golden_dir / "darknet_loss.npz") as file:
        return dict(file)


def golden_case(golden: dict[str, np.ndarray], case: int) -> tuple[Tensor, Tensor, Tensor, int, int]:
    """Logits (B, A, S, S, 25), truths (M, 6), delta like the logits, the scale's number, the net's size."""
    logits, delta = (
        torch.tensor(golden[f"{name}_{case}"]).permute(0, 1, 3, 4, 2) for name in ("logits", "delta")
    )
    truth = torch.tensor(golden[f"truth_{case}"])
    image = torch.arange(len(truth)).repeat_interleave(truth.shape[1])
    scale = {6: 0, 3: 1, 0: 2}[int(golden[f"mask_{case}"][0])]
    return (
        logits,
        torch.cat((image[:, None], truth.flatten(0, 1)), dim=1),
        delta,
        scale,
        int(golden[f"net_{case}"]),
    )


@pytest.mark.parametrize("case", range(5))
def test_every_gradient_of_darknets_by_autograd_as_one_of_three_scales(golden, case: int) -> None:
    logits, truths, delta, scale, net = golden_case(golden, case)
    heads = random_heads((net, net), YOLOV3_ANCHORS, len(logits), seed=case, classes=20)
    heads[scale] = logits
    heads = [head.requires_grad_() for head in heads]
    parts = yolo_loss(heads, truths, YOLOV3_ANCHORS, STRIDES)
    gradients = torch.autograd.grad(parts.total * len(logits), heads)
    torch.testing.assert_close(-gradients[scale], delta, rtol=0, atol=1e-6)
    # The case is worth something: objects, background and predictions that are let off.
    assert (delta != 0).any()
    assert (delta[..., 4] == 0).any()


@pytest.mark.parametrize("case", range(5))
def test_every_gradient_of_darknets_by_autograd_for_its_scale_alone(golden, case: int) -> None:
    logits, truths, delta, scale, net = golden_case(golden, case)
    grids = [(net // stride, net // stride) for stride in STRIDES]
    targets = assign(truths, YOLOV3_ANCHORS, grids, (net, net), 20)[scale]
    logits.requires_grad_()
    anchors = torch.tensor(YOLOV3_ANCHORS[scale]).float()
    parts = LOSSES["darknet"](logits, targets, anchors, STRIDES[scale], LossConfig())
    (gradient,) = torch.autograd.grad(parts.total * len(logits), logits)
    torch.testing.assert_close(-gradient, delta, rtol=0, atol=1e-6)


def test_the_golden_cases_hold_what_they_should(golden) -> None:
    met, let_off = 0, 0
    for case in range(5):
        _, truths, delta, scale, net = golden_case(golden, case)
        grids = [(net // stride, net // stride) for stride in STRIDES]
        targets = assign(truths, YOLOV3_ANCHORS, grids, (net, net), 20)[scale]
        met += int((targets.classes[targets.responsible].sum(dim=1) > 1).sum())
        let_off += int((delta[..., 4] == 0).sum())
    assert met >= 1
    assert let_off >= 10


# The definitions once more, prediction by prediction, in double precision


def bce(t: Tensor, target: float) -> Tensor:
    p = t.sigmoid()
    return -(target * p.log() + (1 - target) * (1 - p).log())


def own_anchors(truth: list[float], anchors, net: tuple[int, int]) -> set[tuple[int, int]]:
    """(scale, number) of the anchors that an object trains."""
    overlaps = {}
    for scale, row in enumerate(anchors):
        for number, (w, h) in enumerate(row):
            shared = min(truth[3] * net[0], w) * min(truth[4] * net[1], h)
            union = truth[3] * net[0] * truth[4] * net[1] + w * h - shared
            overlaps[scale, number] = shared / union
    best = max(overlaps.values())
    assume(all(value == best or value < best - NEAR for value in overlaps.values()))
    return {key for key, value in overlaps.items() if value == best}


def slow_loss(heads: list[Tensor], truths: list[list[float]], anchors, config: LossConfig) -> LossParts:
    """The four losses from loops; ``heads`` in float64. Only what is measured once more is the library's:
    the IoU and CIoU of two boxes."""
    net = (heads[0].shape[3] * STRIDES[0], heads[0].shape[2] * STRIDES[0])
    truths = [truth for truth in truths if truth[3] > 0 and truth[4] > 0]
    owners = [own_anchors(truth, anchors, net) for truth in truths]
    corners = [
        torch.tensor([(x - w / 2) * net[0], (y - h / 2) * net[1], (x + w / 2) * net[0], (y + h / 2) * net[1]])
        .double() for _, x, y, w, h, _ in truths
    ]  # fmt: skip
    zero = torch.zeros((), dtype=torch.float64)
    total = LossParts(zero, zero, zero)
    for scale, (head, stride) in enumerate(zip(heads, STRIDES, strict=False)):
        terms = []
        for place in product(*(range(n) for n in head.shape[:4])):
            image, number, row, column = place
            t = head[place]
            center = (t[:2].sigmoid() + torch.tensor([column, row])) * stride
            half = t[2:4].exp() * torch.tensor(anchors[scale][number]).double() / 2
            box = torch.cat((center - half, center + half))
            here = [
                (truth, corner)
                for truth, owner, corner in zip(truths, owners, corners, strict=True)
                if int(truth[0]) == image and (scale, number) in owner
                and (int(truth[2] * net[1] / stride), int(truth[1] * net[0] / stride)) == (row, column)
            ]  # fmt: skip
            overlaps = [
                iou(box, c).item() for truth, c in zip(truths, corners, strict=True) if truth[0] == image
            ]
            assume(all(abs(overlap - config.ignore_threshold) > NEAR for overlap in overlaps))
            off = any(overlap > config.ignore_threshold for overlap in overlaps)
            terms.append(
                prediction_terms(t, box, here, off, (scale, number, row, column), anchors, net, config)
            )
        total = total + combine(terms, len(head), config)
    return total


def prediction_terms(t, box, here, off, place, anchors, net, config) -> tuple[str, dict[str, Tensor]]:
    """What one prediction is ("object", "background", "ignored") and what it costs, before any mean."""
    scale, number, row, column = place
    if not here:
        spared = off and config.name in ("darknet", "ciou")
        weight = config.lambda_noobj if config.name == "figure20" else 1
        return "background", {"objectness": bce(t[4], 0) * (0 if spared else weight)}
    (_, x, y, w, h, _), corner = here[-1]
    stride = STRIDES[scale]
    goal = torch.tensor([x * net[0] / stride - column, y * net[1] / stride - row]).double()
    size = torch.tensor([w * net[0], h * net[1]]).double()
    shape = torch.tensor(anchors[scale][number]).double()
    known = {int(truth[5]) for truth, _ in here}
    scaled = 2 - w * h
    classes = sum(bce(t[5 + c], float(c in known)) for c in range(CLASSES))
    objectness = bce(t[4], 1)
    center_squares = ((t[:2].sigmoid() - goal) ** 2).sum()
    log_squares = ((t[2:4] - (size / shape).log()) ** 2).sum()
    if config.name == "darknet":
        cost = scaled * (bce(t[0], goal[0]) + bce(t[1], goal[1]) + log_squares / 2)
    elif config.name == "ciou":
        cost = config.ciou_weight * scaled * (1 - ciou(box, corner))
    elif config.name == "figure20":
        roots = (t[2:4].exp() * shape / torch.tensor(net)).sqrt() - (size / torch.tensor(net)).sqrt()
        cost = config.lambda_coord * (center_squares + (roots**2).sum())
    else:
        cost = center_squares + log_squares
        objectness = (t[4].sigmoid() - iou(box, corner).detach()) ** 2
        classes = -sum(t[5:].log_softmax(0)[c] for c in known) / len(known)
    return "object", {"box": cost, "objectness": objectness, "classes": classes}


def combine(terms: list[tuple[str, dict[str, Tensor]]], batch: int, config: LossConfig) -> LossParts:
    zero = torch.zeros((), dtype=torch.float64)
    objects = [costs for kind, costs in terms if kind == "object"]
    background = [costs["objectness"] for kind, costs in terms if kind == "background"]

    def added(name: str) -> Tensor:
        return sum((costs[name] for costs in objects), start=zero)

    if config.name == "document":
        count = max(len(objects), 1)
        empty = sum(background, start=zero) / max(len(background), 1)
        return LossParts(
            added("box") / (4 * count), added("objectness") / count + empty, added("classes") / count
        )
    objectness = added("objectness") + sum(background, start=zero)
    return LossParts(added("box"), objectness, added("classes")) / batch


@st.composite
def batches(draw, net: tuple[int, int]) -> Tensor:
    """Objects of two images on a small input: often on one cell, sometimes none, some rows of padding."""
    columns, rows = net[0] // 16, net[1] // 16
    truths = []
    shapes = [shape for row in TINY_ANCHORS for shape in row]
    for _ in range(draw(st.integers(0, 5))):
        center = (
            (draw(st.integers(0, columns - 1)) + draw(st.floats(0.05, 0.95))) / columns,
            (draw(st.integers(0, min(rows - 1, 2))) + draw(st.floats(0.05, 0.95))) / rows,
        )
        w, h = draw(st.sampled_from(shapes))
        size = (w * draw(st.floats(0.5, 1.2)) / net[0], h * draw(st.floats(0.5, 1.2)) / net[1])
        if draw(st.integers(0, 5)) == 0:
            size = (0.0, 0.0)
        truths.append([draw(st.integers(0, 1)), *center, *size, draw(st.integers(0, CLASSES - 1))])
    return torch.tensor(truths).reshape(-1, 6)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12)
@given(truths=batches((96, 64)), seed=st.integers(0, 999), threshold=st.sampled_from((0.2, 0.5)))
def test_values_and_gradients_are_those_of_the_loops(
    name: str, truths: Tensor, seed: int, threshold: float
) -> None:
    config = LossConfig(name, threshold, lambda_coord=3.0, lambda_noobj=0.25, ciou_weight=1.5)
    heads = random_heads(seed=seed)
    double = [head.double().requires_grad_() for head in heads]
    expected = slow_loss(double, truths.double().tolist(), TINY_ANCHORS, config)
    expected_gradients = torch.autograd.grad(expected.total, double)
    parts, gradients = with_gradients(heads, truths, config)
    for part in ("box", "objectness", "classes"):
        assert getattr(parts, part).item() == pytest.approx(
            getattr(expected, part).item(), rel=2e-5, abs=1e-5
        )
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(got.double(), wanted, rtol=1e-4, atol=2e-5)


@settings(max_examples=15)
@given(st.integers(0, 999), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_by_hand_the_gradient_of_one_object_is_what_the_chapter_derives(
    seed: int, x_in_cell: float, y_in_cell: float
) -> None:
    """σ(t) − x̂ and t_w − t̂_w times 2 − w·h, σ(t_o) − 1, σ(t_c) − p̂_c; each read off without autograd."""
    net = (416, 416)
    heads = random_heads(net, YOLOV3_ANCHORS, 1, seed)
    w, h = 100 / 416, 120 / 416  # anchor 116 × 90
    truths = torch.tensor([[0, (4 + x_in_cell) / 13, (7 + y_in_cell) / 13, w, h, 1]])
    heads = [head.requires_grad_() for head in heads]
    total = yolo_loss(heads, truths, YOLOV3_ANCHORS, STRIDES).total
    (gradient,) = torch.autograd.grad(total, heads[0])
    t = heads[0].detach()[0, 0, 7, 4]
    goal = torch.tensor([x_in_cell, y_in_cell, math.log(100 / 116), math.log(120 / 90), 1, 0, 1, 0])
    says = torch.cat((t[:2].sigmoid(), t[2:4], t[4:].sigmoid()))
    weight = torch.tensor([2 - w * h] * 4 + [1] * 4)
    torch.testing.assert_close(gradient[0, 0, 7, 4], weight * (says - goal), rtol=1e-4, atol=1e-5)
    # Nothing else hears of the object's box or class.
    gradient[0, 0, 7, 4] = 0
    gradient[..., 4] = 0
    assert not gradient.any()


# Ignoring


@settings(max_examples=10)
@given(st.integers(0, 999), st.sampled_from((0.0, 0.1, 0.3, 0.5, 0.9)))
def test_ignored_is_the_loop_over_predictions_and_objects(seed: int, threshold: float) -> None:
    head = random_heads(batch=2, seed=seed)[1]
    anchors = torch.tensor(TINY_ANCHORS[1]).float()
    targets = assign(TRUTHS, TINY_ANCHORS, [(2, 3), (4, 6)], (96, 64), CLASSES)[1]
    found = ignored(head, targets, anchors, 16, threshold)
    boxes = decode_scale(head, anchors, 16).view(2, 4, 6, 3, -1)[..., :4].permute(0, 3, 1, 2, 4)
    for place in product(*(range(n) for n in head.shape[:4])):
        overlaps = [
            iou(boxes[place], box).item()
            for box, image in zip(targets.box, targets.image.tolist(), strict=True)
            if image == place[0]
        ]
        if all(abs(overlap - threshold) > NEAR or overlap == threshold == 0 for overlap in overlaps):
            assert found[place].item() == any(overlap > threshold for overlap in overlaps)


def test_a_good_prediction_beside_the_responsible_one_is_neither_asked_for_nor_punished() -> None:
    heads = [torch.full((1, 3, 13, 13, 8), -6.0)]
    anchors = YOLOV3_ANCHORS[:1]
    # Anchor 156 × 198, centers 1 pixel to the right of an edge between two cells.
    truths = torch.tensor([[0, 193 / 416, 200 / 416, 156 / 416, 198 / 416, 0]])
    heads[0][..., 0:4] = 0
    heads[0][0, 1, 6, 5, 0] = 6  # the left neighbor says "at my right edge"
    parts, (gradient,) = with_gradients(heads, truths, LossConfig(), anchors)
    objectness = gradient[0, 1, 6, :, 4]
    assert objectness[6].item() == pytest.approx(torch.sigmoid(torch.tensor(-6.0)).item() - 1)
    assert objectness[5] == 0
    assert objectness[0] > 0
    everyone, (strict,) = with_gradients(heads, truths, LossConfig(ignore_threshold=1.0), anchors)
    assert strict[0, 1, 6, 5, 4] > 0
    assert everyone.objectness > parts.objectness
    assert torch.equal(everyone.box, parts.box)


def test_an_ignored_prediction_of_another_image_is_no_excuse() -> None:
    heads = [torch.zeros(2, 3, 13, 13, 8)]
    truths = torch.tensor([[1, 200 / 416, 200 / 416, 156 / 416, 198 / 416, 0]])
    _, (gradient,) = with_gradients(heads, truths, LossConfig(), YOLOV3_ANCHORS[:1])
    assert (gradient[0, ..., 4] > 0).all()
    assert (gradient[1, ..., 4] == 0).any()


def test_many_objects_are_compared_in_pieces_that_agree() -> None:
    """More objects than are looked at in one go."""
    generator = torch.Generator().manual_seed(3)
    truths = torch.rand(40, 6, generator=generator) * torch.tensor([2, 1, 1, 0.3, 0.3, 3])
    truths[:, [0, 5]] = truths[:, [0, 5]].floor()
    head = random_heads((96, 64), seed=4)[1]
    anchors = torch.tensor(TINY_ANCHORS[1]).float()
    together = torch.zeros(head.shape[:4], dtype=torch.bool)
    for truth in truths:
        targets = assign(truth[None], TINY_ANCHORS, [(2, 3), (4, 6)], (96, 64), CLASSES)[1]
        together |= ignored(head, targets, anchors, 16, 0.3)
    targets = assign(truths, TINY_ANCHORS, [(2, 3), (4, 6)], (96, 64), CLASSES)[1]
    assert torch.equal(ignored(head, targets, anchors, 16, 0.3), together)
    assert together.any()
    assert not together.all()


# Whatever the loss


@pytest.mark.parametrize("name", NAMES)
def test_calling_it_twice_changes_nothing(name: str) -> None:
    heads = random_heads()
    before = [head.clone() for head in heads], TRUTHS.clone()
    anchors = torch.tensor(TINY_ANCHORS).float()
    first, gradients = with_gradients(heads, TRUTHS, LossConfig(name), anchors)
    second, again = with_gradients(heads, TRUTHS, LossConfig(name), anchors)
    assert torch.equal(first.total, second.total)
    assert all(torch.equal(a, b) for a, b in zip(gradients, again, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(heads, before[0], strict=True))
    assert torch.equal(TRUTHS, before[1])
    assert torch.equal(anchors, torch.tensor(TINY_ANCHORS).float())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("truths", [torch.zeros(0, 6), torch.zeros(3, 6)], ids=["none", "padding"])
def test_images_without_objects_cost_only_what_their_background_says(name: str, truths: Tensor) -> None:
    parts, gradients = with_gradients(random_heads(), truths, LossConfig(name))
    assert parts.box == 0
    assert parts.classes == 0
    assert parts.total.isfinite()
    for gradient in gradients:
        assert gradient.isfinite().all()
        assert (gradient[..., 4] > 0).all()
        gradient[..., 4] = 0
        assert not gradient.any()


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name: str) -> None:
    padded = torch.cat((torch.zeros(40, 6), TRUTHS[:2], torch.zeros(300, 6), TRUTHS[2:]))
    plain, gradients = with_gradients(random_heads(), TRUTHS, LossConfig(name))
    other, others = with_gradients(random_heads(), padded, LossConfig(name))
    assert other.total.item() == pytest.approx(plain.total.item(), rel=1e-6)
    for a, b in zip(gradients, others, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [-1e4, -40.0, 20.0, 1e4])
def test_extreme_logits_give_a_finite_loss_and_gradient(name: str, size: float) -> None:
    parts, gradients = with_gradients(
        [torch.full_like(head, size) for head in random_heads()], TRUTHS, LossConfig(name)
    )
    assert parts.total.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_heads_give_a_float32_loss(name: str, dtype: torch.dtype) -> None:
    heads = [head.to(dtype) for head in random_heads()]
    exact, _ = with_gradients([head.float() for head in heads], TRUTHS, LossConfig(name))
    parts, gradients = with_gradients(heads, TRUTHS, LossConfig(name))
    assert all(part.dtype == torch.float32 for part in (parts.box, parts.objectness, parts.classes))
    assert all(gradient.dtype == dtype for gradient in gradients)
    # The same numbers go in, and nothing is computed in half precision on the way.
    assert torch.equal(parts.total, exact.total)


@pytest.mark.parametrize("name", NAMES)
def test_autocast_around_it_changes_nothing(name: str) -> None:
    heads = random_heads()
    plain = yolo_loss(heads, TRUTHS, TINY_ANCHORS, STRIDES[:2], LossConfig(name))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = yolo_loss(heads, TRUTHS, TINY_ANCHORS, STRIDES[:2], LossConfig(name))
    assert torch.equal(plain.total, mixed.total)


@pytest.mark.parametrize("name", ["darknet", "ciou", "figure20"])
def test_the_loss_of_a_batch_is_the_mean_over_its_images(name: str) -> None:
    heads = random_heads()
    together = yolo_loss(heads, TRUTHS, TINY_ANCHORS, STRIDES[:2], LossConfig(name))
    alone = []
    for image in (0, 1):
        mine = TRUTHS[TRUTHS[:, 0] == image].clone()
        mine[:, 0] = 0
        parts = yolo_loss(
            [head[image : image + 1] for head in heads], mine, TINY_ANCHORS, STRIDES[:2], LossConfig(name)
        )
        alone.append(parts.total.item())
    assert together.total.item() == pytest.approx(sum(alone) / 2, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_read_back_from_the_device(name: str) -> None:
    """Tensors without values: a loss that waits for one, or whose shapes depend on one, would raise here."""
    with FakeTensorMode() as mode:
        heads = [mode.from_tensor(head).requires_grad_() for head in random_heads()]
        parts = yolo_loss(heads, mode.from_tensor(TRUTHS), TINY_ANCHORS, STRIDES[:2], LossConfig(name))
        gradients = torch.autograd.grad(parts.total, heads)
        assert [gradient.shape for gradient in gradients] == [head.shape for head in heads]


def test_it_compiles_into_one_graph() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(yolo_loss, fullgraph=True, backend="aot_eager")
    heads = [head.requires_grad_() for head in random_heads()]
    plain = yolo_loss(heads, TRUTHS, TINY_ANCHORS, STRIDES[:2])
    parts = compiled(heads, TRUTHS, TINY_ANCHORS, STRIDES[:2])
    torch.testing.assert_close(parts.total, plain.total)
    for a, b in zip(
        torch.autograd.grad(parts.total, heads), torch.autograd.grad(plain.total, heads), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_a_perfect_prediction_has_no_gradient_worth_mentioning() -> None:
    truths = torch.tensor([[0, 200.5 / 416, 183 / 416, 156 / 416, 198 / 416, 2]])
    targets = assign(truths, YOLOV3_ANCHORS[:1], [(13, 13)], (416, 416), CLASSES)[0]
    for name in ("darknet", "ciou"):
        head = torch.full((1, 3, 13, 13, 5 + CLASSES), -20.0)
        head[..., :4] = 0
        head[targets.cell] = torch.cat(
            (targets.offset.logit(), targets.log_size, torch.tensor([[20.0, -20, -20, 20]])), 1
        )
        parts, (gradient,) = with_gradients([head], truths, LossConfig(name), YOLOV3_ANCHORS[:1])
        assert gradient.abs().max() < 1e-5
        # Cross-entropy against a target that isn't 0 or 1 keeps the target's own entropy.
        if name == "ciou":
            assert parts.total < 1e-4


# The configuration


def test_the_four_losses_have_names_and_other_values() -> None:
    assert NAMES == ("darknet", "ciou", "figure20", "document")
    values = {
        name: yolo_loss(random_heads(), TRUTHS, TINY_ANCHORS, STRIDES[:2], LossConfig(name)).total.item()
        for name in NAMES
    }
    assert len({round(value, 3) for value in values.values()}) == 4
    default = yolo_loss(random_heads(), TRUTHS, TINY_ANCHORS, STRIDES[:2])
    assert default.total.item() == values["darknet"]


def test_weights_weigh_what_they_should() -> None:
    def parts(**options) -> LossParts:
        return yolo_loss(random_heads(), TRUTHS, TINY_ANCHORS, STRIDES[:2], LossConfig(**options))

    one, two = parts(name="ciou", ciou_weight=1.0), parts(name="ciou", ciou_weight=3.0)
    assert two.box.item() == pytest.approx(3 * one.box.item())
    assert torch.equal(one.objectness, two.objectness)
    one, two = parts(name="figure20", lambda_coord=1.0), parts(name="figure20", lambda_coord=5.0)
    assert two.box.item() == pytest.approx(5 * one.box.item())
    empty = [parts(name="figure20", lambda_noobj=weight).objectness.item() for weight in (0.0, 0.5, 1.0)]
    assert empty[1] - empty[0] == pytest.approx(empty[2] - empty[1], rel=1e-5)
    assert empty[0] < empty[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "yolo"}, "loss: expected one of darknet, ciou, figure20, document, got 'yolo'"),
        ({"ignore_threshold": 1.5}, "ignore_threshold: expected a number from 0 to 1, got 1.5"),
        ({"ignore_threshold": math.nan}, "ignore_threshold: expected a number from 0 to 1, got nan"),
        ({"lambda_coord": -1.0}, "lambda_coord: expected a number that isn't negative, got -1.0"),
        ({"lambda_noobj": math.nan}, "lambda_noobj: expected a number that isn't negative, got nan"),
        ({"ciou_weight": -0.1}, "ciou_weight: expected a number that isn't negative"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossConfig(**options)


# Bad input


def test_other_numbers_of_heads_anchors_and_strides_are_refused() -> None:
    heads = random_heads()
    with pytest.raises(ValueError, match="got 2 heads, 3 sets of anchors and 2 strides"):
        yolo_loss(heads, TRUTHS, YOLOV3_ANCHORS, STRIDES[:2])
    with pytest.raises(ValueError, match="got 2 heads, 2 sets of anchors and 3 strides"):
        yolo_loss(heads, TRUTHS, TINY_ANCHORS, STRIDES)
    with pytest.raises(ValueError, match="got 0 heads"):
        yolo_loss([], TRUTHS, [], [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda head: head[:, :2], r"heads\[1\]: expected \(B, 3, H, W, 5 \+ C\), C > 0, got \(2, 2,"),
        (lambda head: head.flatten(2, 3), r"heads\[1\]: expected \(B, 3, H, W, 5 \+ C\)"),
        (lambda head: head[..., :5], r"heads\[1\]: expected \(B, 3, H, W, 5 \+ C\)"),
        (lambda head: head[:, :, :2], r"different inputs or classes: .* at stride 32, \(2, 3, 2, 6, 8\) at"),
        (lambda head: head[:1], "the scales belong to different inputs or classes"),
        (lambda head: head[..., :7], "the scales belong to different inputs or classes"),
    ],
)  # fmt: skip
def test_heads_that_dont_fit_together_are_refused(change, message: str) -> None:
    coarse, fine = random_heads()
    with pytest.raises(ValueError, match=message):
        yolo_loss([coarse, change(fine)], TRUTHS, TINY_ANCHORS, STRIDES[:2])


def test_truths_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"truths: expected \(M, 6\)"):
        yolo_loss(random_heads(), TRUTHS[:, :5], TINY_ANCHORS, STRIDES[:2])

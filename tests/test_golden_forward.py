"""A whole forward pass of YOLOv3 against numbers from the original C implementation (tests/golden/README.md).

On the CPU, Darknet divides by √variance + 1e-6 where PyTorch, and Darknet on a GPU, divide by
√(variance + 1e-5). That is nearly all of the difference between the heads: the fixture ``exact_model`` takes
it away, and what is left is rounding.
"""

import copy
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from yolov3_lib.boxes import Letterbox, convert
from yolov3_lib.decode import decode
from yolov3_lib.models import YOLOv3, fold_batch_norm, load_model, read_darknet, write_darknet
from yolov3_lib.nms import postprocess

Golden = dict[str, np.ndarray]
HEAD_LAYERS = ("layer81", "layer93", "layer105")


def convolutions_of_the_cfg() -> Iterator[tuple[int, int, int]]:
    """(filters, input channels, kernel) down ``yolov3-voc.cfg``, written independently of the model."""
    yield 32, 3, 3
    for channels, repeats in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        yield channels, channels // 2, 3
        for _ in range(repeats):
            yield channels // 2, channels, 1
            yield channels, channels // 2, 3
    for channels, first_in, way_up in ((512, 1024, 0), (256, 256 + 512, 512), (128, 128 + 256, 256)):
        if way_up:
            yield way_up // 2, way_up, 1
        for i in range(3):
            yield channels, first_in if i == 0 else 2 * channels, 1
            yield 2 * channels, channels, 3
        yield 75, 2 * channels, 1


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> Golden:
    with np.load(golden_dir / "darknet_forward.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def weights(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights file that Darknet was run with, drawn again."""
    random = np.random.default_rng(int(golden["seed"]))
    path = tmp_path_factory.mktemp("golden") / "yolov3-voc.weights"
    with open(path, "wb") as file:
        file.write(np.array([0, 2, 0], "<i4").tobytes() + np.array([0], "<i8").tobytes())
        for n, c, k in convolutions_of_the_cfg():
            is_head = n == 75
            if is_head:
                arrays = [0.1 * random.standard_normal(n)]
            else:
                arrays = [
                    0.1 * random.standard_normal(n),
                    0.5 + 0.05 * random.standard_normal(n),
                    0.1 * random.standard_normal(n),
                    random.uniform(0.5, 1.5, n),
                ]
            scale = np.sqrt(2 / (k * k * c)) * (6 if is_head else 1)
            arrays.append(random.standard_normal((n, c, k, k)) * scale)
            for array in arrays:
                file.write(array.astype("<f4").tobytes())
    assert path.stat().st_size == 246_714_648
    assert hashlib.sha256(path.read_bytes()).hexdigest() == str(golden["weights_sha256"])
    return path


@pytest.fixture(scope="module")
def model(weights: Path) -> YOLOv3:
    model = YOLOv3(num_classes=20).eval()
    read_darknet(model, weights)
    return model


@pytest.fixture(scope="module")
def images(golden: Golden) -> Tensor:
    size = int(golden["size"])
    image = np.random.default_rng(int(golden["seed"]) + 1).random((3, size, size)).astype(np.float32)
    return torch.from_numpy(image)[None]


@pytest.fixture(scope="module")
def exact_model(model: YOLOv3) -> YOLOv3:
    """Variances chosen so that √(v' + 1e-5) = √v + 1e-6: Darknet's batch normalization on the CPU."""
    exact = copy.deepcopy(model)
    for module in exact.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.copy_((module.running_var.double().sqrt() + 1e-6) ** 2 - 1e-5)
    return exact


def darknet_layout(head: Tensor) -> Tensor:
    """(1, A, H, W, 5 + C) → (A·(5 + C), H, W)."""
    return head[0].permute(0, 3, 1, 2).flatten(0, 1)


def assert_heads_agree(heads: tuple[Tensor, ...], golden: Golden, tolerance: float) -> None:
    for head, layer in zip(heads, HEAD_LAYERS, strict=True):
        torch.testing.assert_close(
            darknet_layout(head), torch.from_numpy(golden[layer]), rtol=0, atol=tolerance
        )


def relative_boxes(boxes: Tensor, golden: Golden) -> Tensor:
    """xyxy in network pixels → center, width, height relative to the original image."""
    image_size, net_size = tuple(golden["image_wh"].tolist()), int(golden["size"])
    in_image = Letterbox.fit(image_size, net_size).invert(boxes)
    return convert(in_image, "xyxy", "cxcywh") / torch.tensor(2 * image_size)


def assert_detections_agree(predictions: Tensor, golden: Golden, tolerance: float) -> None:
    """Objectness above the threshold, in Darknet's order; boxes relative to the image, letterbox undone."""
    threshold = float(golden["thresh"])
    predictions = predictions[predictions[:, 4] > threshold]
    scores = predictions[:, 4:5] * predictions[:, 5:]
    scores = torch.where(scores > threshold, scores, 0)
    expected = torch.from_numpy(golden["dets_raw"])
    assert len(predictions) == len(expected)
    torch.testing.assert_close(predictions[:, 4], expected[:, 4], rtol=0, atol=tolerance)
    torch.testing.assert_close(scores, expected[:, 5:], rtol=0, atol=tolerance)
    # Some boxes are twenty times the image: an error counts against the box's own size.
    size = expected[:, 2:4].amax(dim=1, keepdim=True).clamp(min=1)
    error = (relative_boxes(predictions[:, :4], golden) - expected[:, :4]).abs() / size
    assert error.max() <= tolerance


@torch.inference_mode()
def test_backbone_routes(model: YOLOv3, exact_model: YOLOv3, images: Tensor, golden: Golden) -> None:
    for network, tolerance in ((model, 3e-5), (exact_model, 1e-7)):
        for features, layer in zip(network.backbone(images), ("layer36", "layer61", "layer74"), strict=True):
            features = features.double()
            assert features.sum().item() == pytest.approx(float(golden[f"{layer}_sum"]), rel=tolerance)
            assert features.abs().sum().item() == pytest.approx(float(golden[f"{layer}_abs"]), rel=tolerance)


@torch.inference_mode()
def test_heads(model: YOLOv3, exact_model: YOLOv3, images: Tensor, golden: Golden) -> None:
    assert_heads_agree(model(images), golden, tolerance=3.5e-5)
    assert_heads_agree(exact_model(images), golden, tolerance=5e-6)


@torch.inference_mode()
def test_heads_of_the_folded_model(model: YOLOv3, images: Tensor, golden: Golden) -> None:
    assert_heads_agree(fold_batch_norm(model)(images), golden, tolerance=3.5e-5)


def test_decoding_darknets_heads_gives_darknets_detections(model: YOLOv3, golden: Golden) -> None:
    heads = [torch.from_numpy(golden[layer]).unflatten(0, (3, 25)) for layer in HEAD_LAYERS]
    heads = [head.permute(0, 2, 3, 1)[None] for head in heads]
    assert_detections_agree(decode(heads, model.anchors, model.strides)[0], golden, tolerance=1e-6)


@torch.inference_mode()
def test_detections(model: YOLOv3, exact_model: YOLOv3, images: Tensor, golden: Golden) -> None:
    assert_detections_agree(model.predict(images)[0], golden, tolerance=3e-5)
    assert_detections_agree(exact_model.predict(images)[0], golden, tolerance=4e-6)


@torch.inference_mode()
def test_nms_keeps_exactly_darknets_set(model: YOLOv3, images: Tensor, golden: Golden) -> None:
    """As a set of (which raw detection, which class)."""
    threshold = float(golden["thresh"])
    predictions = model.predict(images)
    found = postprocess(predictions, score_threshold=threshold, iou_threshold=0.45)[0]
    mine = rows_of(found.boxes, predictions[0, predictions[0, :, 4] > threshold, :4])
    before, after = torch.from_numpy(golden["dets_raw"]), torch.from_numpy(golden["dets_nms"])
    rows, classes = (after[:, 5:] > 0).nonzero(as_tuple=True)
    theirs = rows_of(after[rows, :4], before[:, :4])

    kept = set(zip(mine, found.classes.tolist(), strict=True))
    assert kept == set(zip(theirs, classes.tolist(), strict=True))
    assert 0 < len(kept) < (before[:, 5:] > 0).sum()


def rows_of(boxes: Tensor, raw: Tensor) -> list[int]:
    """For each box, the row of ``raw`` that is the very same box."""
    same = (boxes[:, None] == raw[None]).all(dim=2)
    assert (same.sum(dim=1) == 1).all()
    return same.int().argmax(dim=1).tolist()


def test_written_again_the_file_is_the_same(model: YOLOv3, weights: Path, tmp_path: Path) -> None:
    write_darknet(model, tmp_path / "again.weights")
    assert (tmp_path / "again.weights").read_bytes() == weights.read_bytes()


def test_load_model_tells_the_architecture_from_the_size(weights: Path, model: YOLOv3) -> None:
    loaded, info = load_model(weights)
    assert type(loaded) is YOLOv3
    assert loaded.num_classes == len(info.class_names) == 20
    assert info.class_names[11] == "dog"
    for name, tensor in loaded.state_dict().items():
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=0, atol=0)

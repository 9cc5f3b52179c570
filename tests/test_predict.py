"""From a photograph to boxes in its pixels; with the original YOLOv3-tiny weights where it matters."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional as F

from yolov3_lib.boxes import pairwise_iou
from yolov3_lib.classes import COCO_CLASSES, VOC_CLASSES
from yolov3_lib.data.images import ImageError
from yolov3_lib.data.voc import read_annotation
from yolov3_lib.detections import Detections
from yolov3_lib.models import YOLOv3Tiny
from yolov3_lib.paths import find_data
from yolov3_lib.predict import Detector, list_images, load_predictions, save_predictions


@pytest.fixture(scope="module")
def coco(tiny_weights_path: Path) -> Detector:
    """The original weights."""
    return Detector.load(tiny_weights_path, device="cpu")


@pytest.fixture(scope="module")
def photos(photos_dir: Path) -> list[Path]:
    return [photos_dir / f"{name}.jpg" for name in ("dog", "person", "horses", "eagle")]


def untrained(num_classes: int = 2, **options) -> Detector:
    """A small network with random weights, for what doesn't depend on what is in the picture."""
    torch.manual_seed(0)
    names = [f"class {i}" for i in range(num_classes)]
    return Detector(YOLOv3Tiny(num_classes), names, **{"net_size": 64, "device": "cpu", **options})


def assert_same(a: Detections, b: Detections, tolerance: float = 0.0) -> None:
    assert a.classes.tolist() == b.classes.tolist()
    torch.testing.assert_close(a.scores, b.scores, atol=tolerance, rtol=0)
    torch.testing.assert_close(a.boxes, b.boxes, atol=1000 * tolerance, rtol=0)


# --- Real photographs ---


def found_objects(detector: Detector, photo: Path, class_names: tuple[str, ...] = VOC_CLASSES) -> set[str]:
    """Names of the annotated objects that a detection of their class covers with an IoU of at least .5."""
    truth = read_annotation(photo.with_suffix(".xml"), class_names)
    found = detector.with_classes(class_names)(photo)
    overlap = pairwise_iou(truth.boxes, found.boxes)
    overlap[truth.classes[:, None] != found.classes[None]] = 0
    return {name for name, row in zip(truth.names, overlap, strict=True) if len(row) and row.max() >= 0.5}


def test_the_original_weights_find_dog_bicycle_and_car(coco, photos_dir):
    assert found_objects(coco, photos_dir / "dog.jpg") >= {"dog", "bicycle", "car"}
    names = [row["class"] for row in coco(photos_dir / "dog.jpg").to_dicts(COCO_CLASSES)]
    assert set(names) <= {"dog", "bicycle", "car", "truck"}


def test_the_weights_of_the_course_find_what_the_original_ones_find(coco, photos):
    half = Detector.load(find_data("weights/yolov3-tiny-coco.safetensors"), device="cpu")
    assert half.class_names == COCO_CLASSES
    assert found_objects(half, photos[0]) >= {"dog", "bicycle", "car"}
    for (path, ours), (_, original) in zip(half.detect_many(photos), coco.detect_many(photos), strict=True):
        assert ours.classes.tolist() == original.classes.tolist(), path
        # float16 keeps eleven bits
        torch.testing.assert_close(ours.scores, original.scores, atol=0.01, rtol=0)
        torch.testing.assert_close(ours.boxes, original.boxes, atol=3, rtol=0)


def test_person_dog_and_horse(coco, photos_dir):
    assert found_objects(coco, photos_dir / "person.jpg") >= {"person", "dog", "horse"}


def plain_yolov3_tiny(weights: Path, image: torch.Tensor) -> list[np.ndarray]:
    """The network as a list of layers, from the bytes of the file: no class of the library takes part."""
    stream = np.fromfile(weights, "<f4", offset=20)
    position = 0

    def take(*shape: int) -> torch.Tensor:
        nonlocal position
        count = int(np.prod(shape))
        part = torch.from_numpy(stream[position : position + count].copy()).view(shape)
        position += count
        return part

    def conv(x: torch.Tensor, filters: int, size: int) -> torch.Tensor:
        beta, gamma, mean, variance = (take(filters) for _ in range(4))
        x = F.conv2d(x, take(filters, x.shape[1], size, size), padding=size // 2)
        return F.leaky_relu(F.batch_norm(x, mean, variance, gamma, beta, eps=1e-5), 0.1)

    def head(x: torch.Tensor) -> np.ndarray:
        bias = take(255)
        return F.conv2d(x, take(255, x.shape[1], 1, 1), bias)[0].numpy()

    x = conv(image[None], 16, 3)
    for filters in (32, 64, 128, 256):
        x = conv(F.max_pool2d(x, 2), filters, 3)
    fine = x
    x = conv(F.max_pool2d(x, 2), 512, 3)
    x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-1e9), 2, 1)
    x = conv(conv(x, 1024, 3), 256, 1)
    coarse = head(conv(x, 512, 3))
    x = torch.cat([conv(x, 128, 1).repeat_interleave(2, 2).repeat_interleave(2, 3), fine], 1)
    heads = [coarse, head(conv(x, 256, 3))]
    assert position == len(stream)
    return heads


def plain_detections(heads: list[np.ndarray], threshold: float, width: int, height: int) -> list[tuple]:
    """Cell by cell in Python; NMS by OpenCV. The image lies at the top or left of a square of 416 pixels."""
    anchors = [[(81, 82), (135, 169), (344, 319)], [(23, 27), (37, 58), (81, 82)]]

    def sigmoid(v: float) -> float:
        return 1 / (1 + np.exp(-v))

    found = []
    for head, shapes in zip(heads, anchors, strict=True):
        cells = head.shape[1]
        for a, (row, column) in itertools.product(range(3), np.ndindex(cells, cells)):
            t = head[85 * a : 85 * (a + 1), row, column].astype(np.float64)
            objectness = sigmoid(t[4])
            if objectness <= threshold:
                continue
            x, y = (column + sigmoid(t[0])) * 416 / cells, (row + sigmoid(t[1])) * 416 / cells
            w, h = shapes[a][0] * np.exp(t[2]), shapes[a][1] * np.exp(t[3])
            x, y = x - (416 - width) / 2, y - (416 - height) / 2
            for c in np.flatnonzero(objectness * sigmoid(t[5:]) > threshold):
                found.append((int(c), objectness * sigmoid(t[5 + c]), x - w / 2, y - h / 2, w, h))
    kept = []
    for c in {row[0] for row in found}:
        rows = [row for row in found if row[0] == c]
        for i in cv2.dnn.NMSBoxes([row[2:] for row in rows], [row[1] for row in rows], threshold, 0.45):
            _, score, x, y, w, h = rows[i]
            corners = (max(x, 0), max(y, 0), min(x + w, width), min(y + h, height))
            kept.append((c, score, *corners))
    return sorted(kept, key=lambda row: -row[1])


@pytest.mark.parametrize("name", ["dog", "person", "horses"])
def test_detections_equal_those_of_plain_layers_loops_and_opencv(coco, tiny_weights_path, photos_dir, name):
    image = Image.open(photos_dir / f"{name}.jpg")
    # an even number of rows, so that the bars are whole pixels; already at the network's size, so that no
    # interpolation is compared
    height = round(416 * image.height / image.width / 2) * 2
    image = np.array(image.resize((416, height)))
    canvas = torch.full((3, 416, 416), 0.5)
    top = (416 - height) // 2
    canvas[:, top : top + height] = torch.from_numpy(image).permute(2, 0, 1) / 255

    expected = plain_detections(plain_yolov3_tiny(tiny_weights_path, canvas), 0.1, 416, height)
    detector = Detector.load(tiny_weights_path, device="cpu", score_threshold=0.1)
    found = detector(image)
    assert len(expected) >= 3
    assert found.classes.tolist() == [row[0] for row in expected]
    np.testing.assert_allclose(found.scores, [row[1] for row in expected], atol=1e-5)
    np.testing.assert_allclose(found.boxes, [row[2:] for row in expected], atol=1e-2)


# --- Sources ---


def test_a_path_a_string_bytes_a_pil_image_and_an_array_are_one_image(coco, photos_dir):
    path = photos_dir / "dog.jpg"
    expected = coco(path)
    assert len(expected) >= 3
    for source in (str(path), path.read_bytes(), Image.open(path), np.array(Image.open(path))):
        assert_same(coco(source), expected)


def test_exif_rotation_is_undone_before_detection(coco, photos_dir, tmp_path):
    upright = Image.open(photos_dir / "dog.jpg")
    rotated = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise for viewing
    rotated.save(tmp_path / "phone.png", exif=exif)
    assert_same(coco(tmp_path / "phone.png"), coco(photos_dir / "dog.jpg"))


def test_a_batch_gives_what_single_images_give(coco, photos):
    expected = [coco(path) for path in photos]
    for batch_size in (1, 3, 8):
        results = list(coco.detect_many(photos, batch_size))
        assert [source for source, _ in results] == photos
        for (_, found), single in zip(results, expected, strict=True):
            assert_same(found, single, tolerance=1e-5)


def test_one_bad_image_is_reported_and_the_others_finished(photos, tmp_path):
    bad, missing = tmp_path / "bad.jpg", tmp_path / "missing.jpg"
    bad.write_bytes(photos[0].read_bytes()[:5000])
    sources = [bad, photos[0], missing, photos[1], photos[2], bad]
    for batch_size in (1, 2, 8):
        results = list(untrained(score_threshold=0.1).detect_many(sources, batch_size))
        assert [source for source, _ in results] == sources
        assert [isinstance(outcome, ImageError) for _, outcome in results] == [
            True,
            False,
            True,
            False,
            False,
            True,
        ]
        assert "bad.jpg" in str(results[0][1])
        assert "missing.jpg" in str(results[2][1])


def test_images_are_read_no_further_ahead_than_two_batches():
    read = []

    def endless():
        for number in itertools.count():
            read.append(number)
            yield np.zeros((8, 8, 3), dtype=np.uint8)

    results = untrained().detect_many(endless(), batch_size=2)
    next(results)
    assert len(read) == 6
    results.close()


def test_what_isnt_an_image_at_all_is_the_callers_mistake():
    with pytest.raises(TypeError, match="path, bytes, a Pillow image or a numpy array, not int"):
        list(untrained().detect_many([3]))


def test_a_path_instead_of_a_list_of_paths_is_refused(photos_dir):
    with pytest.raises(TypeError, match="use detect_folder"):
        untrained().detect_many(str(photos_dir))


def test_a_url_is_refused_with_advice():
    with pytest.raises(ImageError, match="Download it first"):
        untrained()("https://example.org/dog.jpg")


def test_detect_folder_takes_its_images_sorted(photos_dir, tmp_path):
    small = Image.new("RGB", (8, 8))
    for name in ("b.png", "a.JPG", "c.webp"):
        small.save(tmp_path / name, format=None if name != "a.JPG" else "JPEG")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._b.png").write_bytes(b"left by another system")
    (tmp_path / "more.jpg").mkdir()
    assert [path.name for path, _ in untrained().detect_folder(tmp_path)] == ["a.JPG", "b.png", "c.webp"]


def test_a_folder_without_images_or_without_existence_is_an_error(tmp_path):
    with pytest.raises(ImageError, match=f"{tmp_path.name}: no images in this folder"):
        list_images(tmp_path)
    with pytest.raises(ImageError, match="nowhere: no such folder"):
        untrained().detect_folder(tmp_path / "nowhere")


# --- Boxes in the image's pixels ---


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
@pytest.mark.parametrize("size", [(300, 200), (31, 97), (1, 1), (10_000, 50)])
def test_boxes_lie_in_the_image_and_have_an_area(size, resize):
    image = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    found = untrained(score_threshold=0.1, resize=resize)(image)
    assert len(found)
    assert (found.boxes >= 0).all()
    assert (found.boxes <= torch.tensor([*size, *size])).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert (found.scores.diff() <= 0).all()


def test_stretching_a_square_is_letterboxing_it():
    image = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    assert_same(
        untrained(score_threshold=0.1, resize="stretch")(image), untrained(score_threshold=0.1)(image)
    )


def test_stretched_boxes_scale_by_axis(coco, tiny_weights_path, photos_dir):
    """Stretching beforehand and by the detector are one thing, but for the unit of the boxes."""
    image = Image.open(photos_dir / "dog.jpg")
    stretched = cv2.resize(np.array(image), (416, 416), interpolation=cv2.INTER_AREA)
    found = Detector.load(tiny_weights_path, device="cpu", resize="stretch")(image)
    expected = coco(stretched)
    assert len(found)
    assert found.classes.tolist() == expected.classes.tolist()
    scale = torch.tensor([image.width / 416, image.height / 416] * 2)
    torch.testing.assert_close(found.boxes, expected.boxes * scale, atol=1e-2, rtol=0)


# --- Classes ---


def test_voc_classes_of_a_coco_model_are_its_own_of_the_same_name(tiny_weights_path, photos):
    coco = Detector.load(tiny_weights_path, device="cpu", score_threshold=0.01)
    voc = coco.with_classes(VOC_CLASSES)
    assert voc.class_names == VOC_CLASSES
    assert coco.class_names == COCO_CLASSES
    for photo in photos:
        expected = [row for row in coco(photo).to_dicts(COCO_CLASSES) if row["class"] in VOC_CLASSES]
        assert voc(photo).to_dicts(VOC_CLASSES) == expected


def test_classes_that_become_one_share_its_nms(coco, photos_dir):
    car, truck = COCO_CLASSES.index("car"), COCO_CLASSES.index("truck")
    vehicles = coco.with_classes(["vehicle"], {car: 0, truck: 0})
    both = coco(photos_dir / "dog.jpg")
    both = both[(both.classes == car) | (both.classes == truck)]
    found = vehicles(photos_dir / "dog.jpg")
    assert len(both) == 2  # the car is also taken for a truck
    assert len(found) == 1
    assert found.scores[0] == both.scores.max()


def test_with_classes_starts_from_the_models_own_classes(coco, photos_dir):
    there_and_back = coco.with_classes(VOC_CLASSES).with_classes(COCO_CLASSES)
    assert_same(there_and_back(photos_dir / "dog.jpg"), coco(photos_dir / "dog.jpg"))


def test_a_mapping_that_is_given_counts_even_between_equal_names():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    plain = untrained(score_threshold=0.1)
    exchanged = plain.with_classes(plain.class_names, {0: 1, 1: 0})
    assert sorted(exchanged(image).scores.tolist()) == sorted(plain(image).scores.tolist())
    assert (exchanged(image).classes == 0).sum() == (plain(image).classes == 1).sum() > 0


def test_classes_without_a_counterpart_are_refused():
    with pytest.raises(ValueError, match="none of its 2 classes"):
        untrained().with_classes(["unicorn"])
    with pytest.raises(ValueError, match="mapping 2 → 0: the model has 2 classes, 1 were named"):
        untrained().with_classes(["unicorn"], {2: 0})


# --- The model and the options ---


def test_the_callers_model_is_left_as_it_is():
    model = YOLOv3Tiny(2).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    Detector(model, ["a", "b"], net_size=64, device="cpu")(np.zeros((9, 9, 3), dtype=np.uint8))
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_results_are_ordinary_tensors_on_the_cpu():
    found = untrained(score_threshold=0.1)(np.zeros((9, 9, 3), dtype=np.uint8))
    for tensor in (found.boxes, found.scores, found.classes):
        assert tensor.device.type == "cpu"
        assert not tensor.is_inference()


def test_max_output_keeps_the_best():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    everything = untrained(score_threshold=0.1)(image)
    assert len(everything) > 5
    assert_same(untrained(score_threshold=0.1, max_output=5)(image), everything[:5])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_arent_finite_name_the_weights(value):
    model = YOLOv3Tiny(2)
    torch.nn.init.constant_(model.head_fine.logits.bias, value)
    detector = Detector(model, ["a", "b"], net_size=64, device="cpu", name="diverged.safetensors")
    with pytest.raises(FloatingPointError, match=r"diverged\.safetensors: the network's outputs hold NaN"):
        detector(np.zeros((9, 9, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"net_size": 100}, "net_size: expected a multiple of 32, got 100"),
        ({"net_size": 0}, "net_size"),
        ({"score_threshold": 1.5}, "score_threshold: expected a number from 0 to 1, got 1.5"),
        ({"iou_threshold": -0.1}, "iou_threshold"),
        ({"score_threshold": float("nan")}, "score_threshold"),
        ({"resize": "crop"}, "resize"),
        ({"device": "toaster"}, "device toaster: can't be used here"),
        ({"autocast": True}, "autocast needs a CUDA device"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        untrained(**options)


def test_a_wrong_number_of_class_names_is_refused():
    with pytest.raises(ValueError, match="YOLOv3Tiny has 3 classes, but 2 class names were given"):
        Detector(YOLOv3Tiny(3), ["a", "b"])


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        untrained().detect_many([], batch_size=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
@pytest.mark.parametrize("autocast", [False, True])
def test_on_a_gpu_the_results_agree_and_nothing_stays_there(coco, tiny_weights_path, photos, autocast):
    detector = Detector.load(tiny_weights_path, device="cuda", autocast=autocast)
    held = torch.cuda.memory_allocated()
    for (_, found), (_, expected) in zip(detector.detect_many(photos), coco.detect_many(photos), strict=True):
        assert found.boxes.device.type == "cpu"
        if not autocast:
            assert_same(found, expected, tolerance=1e-2)
    assert torch.cuda.memory_allocated() == held


# --- Predictions in files ---


@given(
    st.lists(
        st.lists(
            st.tuples(*[st.floats(0, 1e4, width=32)] * 4, st.floats(0, 1, width=32), st.integers(0, 19)),
            max_size=4,
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_predictions_come_back_to_the_bit(tmp_path_factory, images, compressed):
    path = tmp_path_factory.mktemp("predictions") / ("p.json.gz" if compressed else "p.json")
    found = []
    for rows in images:
        table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
        found.append(Detections(table[:, :4].float(), table[:, 4].float(), table[:, 5].long()))
    ids = [f"{i:06}" for i in range(len(found))]
    save_predictions(path, ids, found, VOC_CLASSES, {"weights": "w"})
    loaded, content = load_predictions(path)
    assert list(loaded) == ids
    assert content == {"class_names": list(VOC_CLASSES), "settings": {"weights": "w"}}
    for before, after in zip(found, loaded.values(), strict=True):
        assert torch.equal(before.boxes, after.boxes)
        assert torch.equal(before.scores, after.scores)
        assert torch.equal(before.classes, after.classes)


def test_predictions_need_different_ids(tmp_path):
    with pytest.raises(ValueError, match="2 images have only 1 different ids"):
        save_predictions(tmp_path / "p.json", ["a", "a"], [Detections.none()] * 2, VOC_CLASSES)


@pytest.mark.parametrize("name", ["p.json", "p.json.gz"])
def test_predictions_cut_short_are_an_error(tmp_path, name):
    path = tmp_path / name
    found = Detections(torch.ones(1, 4), torch.ones(1), torch.zeros(1, dtype=torch.int64))
    save_predictions(path, ["a"], [found], VOC_CLASSES)
    path.write_bytes(path.read_bytes()[:-15])
    with pytest.raises(ValueError, match=f"{name}: not a file of predictions, or cut short"):
        load_predictions(path)

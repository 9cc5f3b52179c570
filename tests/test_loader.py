"""The training loader: each image once an epoch, the same batches however made, errors with a name."""

import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from yolov3_lib.data.augment import AugmentConfig
from yolov3_lib.data.images import ImageError
from yolov3_lib.data.loader import (
    Batch,
    Request,
    RequestSampler,
    Sample,
    TrainingSet,
    collate,
    training_loader,
)
from yolov3_lib.data.voc import Annotation, AnnotationError, VOCDataset, write_annotation

ROOT = Path(__file__).parent.parent
IMAGES = 11
DEVKIT_FOLDERS = ("Annotations", "ImageSets/Main", "JPEGImages")


def annotation(number: int, size: tuple[int, int], difficult: bool = False) -> Annotation:
    """``number`` % 4 objects, the first of them difficult if asked for."""
    n = number % 4
    width, height = size
    boxes = [[2 * k, 3 * k, width - k, height - 2 * k] for k in range(n)]
    return Annotation(
        filename=f"{number:06}.jpg",
        size=size,
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        classes=torch.arange(n),
        names=("aeroplane", "bicycle", "bird")[:n],
        difficult=torch.tensor([difficult and k == 0 for k in range(n)], dtype=torch.bool),
        truncated=torch.zeros(n, dtype=torch.bool),
    )


def make_devkit(root: Path, difficult: bool = False) -> Path:
    year = root / "VOC2007"
    for folder in DEVKIT_FOLDERS:
        (year / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    ids = []
    for number in range(1, IMAGES + 1):
        size = (80 + 5 * number, 60 + 3 * number)
        described = annotation(number, size, difficult)
        ids.append(f"{number:06}")
        write_annotation(year / "Annotations" / f"{ids[-1]}.xml", described)
        pixels = cv2.resize(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8), size)
        assert cv2.imwrite(str(year / "JPEGImages" / f"{ids[-1]}.jpg"), pixels)
    (year / "ImageSets/Main/train.txt").write_text("\n".join(ids) + "\n")
    return root


@pytest.fixture(scope="module")
def shared_devkit(tmp_path_factory) -> Path:
    """Not to be written into."""
    return make_devkit(tmp_path_factory.mktemp("devkit"))


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    return make_devkit(tmp_path)


def dataset_of(devkit: Path) -> VOCDataset:
    return VOCDataset(devkit, [("2007", "train")])


def same(a: Batch, b: Batch) -> bool:
    return a.ids == b.ids and torch.equal(a.images, b.images) and torch.equal(a.truths, b.truths)


# Samples and batches


def test_a_batch(shared_devkit: Path) -> None:
    """Images as bytes; truths say which image, where, relative to the input, and what."""
    training_set = TrainingSet(dataset_of(shared_devkit), AugmentConfig.none())
    batch = collate([training_set[Request(index, 0, 64)] for index in (1, 3, 2)])
    assert batch.ids == ("000002", "000004", "000003")
    assert len(batch) == 3
    assert (batch.images.shape, batch.images.dtype) == ((3, 3, 64, 64), torch.uint8)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert (batch.truths.shape, batch.truths.dtype) == ((5, 6), torch.float32)
    assert batch.truths[:, 0].tolist() == [0, 0, 2, 2, 2]
    assert batch.truths[:, 5].tolist() == [0, 1, 0, 1, 2]
    # The first object fills its image of 90×66, which becomes 64×46, 9 pixels below the top.
    assert batch.truths[0, 1:5].tolist() == pytest.approx([32 / 64, 32 / 64, 1, 46 / 64], abs=1e-5)
    for position, index in enumerate((1, 3, 2)):
        image = training_set[Request(index, 0, 64)].image
        assert torch.equal(batch.images[position], torch.from_numpy(image).permute(2, 0, 1))


def test_truths_without_objects() -> None:
    empty = Sample(np.zeros((32, 32, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64), "a")
    batch = collate([empty, empty])
    assert (batch.truths.shape, batch.truths.dtype) == ((0, 6), torch.float32)
    assert batch.to("cpu").ids == ("a", "a")


def test_collate_refuses() -> None:
    small, large = (
        Sample(np.zeros((s, s, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64), "a")
        for s in (32, 64)
    )
    with pytest.raises(ValueError, match="at least one sample"):
        collate([])
    with pytest.raises(ValueError, match="must have one size"):
        collate([small, large])


def test_sample_depends_on_seed_epoch_and_index_alone(shared_devkit: Path) -> None:
    dataset = dataset_of(shared_devkit)
    first, again, other = (TrainingSet(dataset, seed=seed) for seed in (1, 1, 2))
    expected = first[Request(5, 2, 64)]
    again[Request(0, 0, 96)]
    assert (again[Request(5, 2, 64)].image == expected.image).all()
    assert (again[Request(5, 3, 64)].image != expected.image).any()
    assert (other[Request(5, 2, 64)].image != expected.image).any()


def test_difficult_objects(tmp_path: Path) -> None:
    dataset = dataset_of(make_devkit(tmp_path, difficult=True))
    request = Request(2, 0, 64)  # three objects, the first difficult
    assert TrainingSet(dataset, AugmentConfig.none())[request].classes.tolist() == [1, 2]
    kept = TrainingSet(dataset, AugmentConfig.none(), use_difficult=True)[request]
    assert kept.classes.tolist() == [0, 1, 2]


def test_cache_needs_the_files_no_more(devkit: Path) -> None:
    plain = TrainingSet(dataset_of(devkit))
    expected = [plain[Request(index, 0, 64)] for index in range(IMAGES)]
    cached = TrainingSet(dataset_of(devkit), cache=True)
    for path in plain.paths:
        path.unlink()
    for index in range(IMAGES):
        assert (cached[Request(index, 0, 64)].image == expected[index].image).all()
    with pytest.raises(ImageError, match="no such file"):
        plain[Request(0, 0, 64)]


# What can't be trained on


def test_no_images(devkit: Path) -> None:
    (devkit / "VOC2007/ImageSets/Main/train.txt").write_text("")
    with pytest.raises(ValueError, match="empty"):
        TrainingSet(dataset_of(devkit))


def test_no_objects(devkit: Path) -> None:
    (devkit / "VOC2007/ImageSets/Main/train.txt").write_text("000004\n000008\n")
    with pytest.raises(ValueError, match="none of the dataset's 2 images has an object"):
        TrainingSet(dataset_of(devkit))


def test_only_difficult_objects(tmp_path: Path) -> None:
    devkit = make_devkit(tmp_path, difficult=True)
    (devkit / "VOC2007/ImageSets/Main/train.txt").write_text("000001\n000005\n")
    with pytest.raises(ValueError, match="use_difficult=True"):
        TrainingSet(dataset_of(devkit))
    assert len(TrainingSet(dataset_of(devkit), use_difficult=True)) == 2


def test_a_broken_annotation_is_found_at_once(devkit: Path) -> None:
    (devkit / "VOC2007/Annotations/000007.xml").write_text("<annotation>")
    with pytest.raises(AnnotationError, match=r"000007\.xml: not well-formed"):
        TrainingSet(dataset_of(devkit))


def test_a_missing_image_is_found_at_once(devkit: Path) -> None:
    (devkit / "VOC2007/JPEGImages/000007.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"000007\.jpg"):
        TrainingSet(dataset_of(devkit))


def test_an_image_of_another_size(devkit: Path) -> None:
    path = devkit / "VOC2007/JPEGImages/000003.jpg"
    cv2.imwrite(str(path), np.zeros((95, 69, 3), np.uint8))
    training_set = TrainingSet(dataset_of(devkit))
    with pytest.raises(ImageError, match=r"000003\.jpg: the image is 69×95 pixels, but .* says 95×69"):
        training_set[Request(2, 0, 64)]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("cache", [False, True])
def test_an_unreadable_image_is_named(devkit: Path, workers: int, cache: bool) -> None:
    """Cut short, which some decoders fill up with gray."""
    path = devkit / "VOC2007/JPEGImages/000003.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    training_set = TrainingSet(dataset_of(devkit), cache=cache)
    loader = training_loader(training_set, RequestSampler(IMAGES, 4, drop_last=False), workers)
    with pytest.raises(ImageError, match=r"000003\.jpg.*cut short"):
        list(loader)


def test_negative_seed(shared_devkit: Path) -> None:
    with pytest.raises(ValueError, match="seed"):
        TrainingSet(dataset_of(shared_devkit), seed=-1)
    with pytest.raises(ValueError, match="seed"):
        RequestSampler(8, 4, seed=-1)


# Order, sizes, position, processes


def test_each_image_once_an_epoch_in_another_order() -> None:
    sampler = RequestSampler(10, 4, drop_last=False)
    assert len(sampler) == 3
    orders = []
    for epoch in range(3):
        sampler.set_position(epoch)
        batches = list(sampler)
        assert [len(batch) for batch in batches] == [4, 4, 2]
        orders.append([request.index for batch in batches for request in batch])
        assert sorted(orders[-1]) == list(range(10))
        assert all(request.epoch == epoch for batch in batches for request in batch)
    assert len({tuple(order) for order in orders}) == 3


def test_drop_last_leaves_out_others_each_epoch() -> None:
    sampler = RequestSampler(10, 4)
    assert len(sampler) == 2
    seen = Counter()
    for epoch in range(30):
        sampler.set_position(epoch)
        batches = list(sampler)
        assert [len(batch) for batch in batches] == [4, 4]
        seen.update(request.index for batch in batches for request in batch)
    assert set(seen) == set(range(10))
    assert max(seen.values()) < 30


def test_another_seed_another_order() -> None:
    assert list(RequestSampler(50, 5, seed=0)) == list(RequestSampler(50, 5, seed=0))
    assert list(RequestSampler(50, 5, seed=0)) != list(RequestSampler(50, 5, seed=1))


@pytest.mark.parametrize("batch", [0, 3, 7, 12])
def test_a_resumed_epoch_is_the_rest_of_it(batch: int) -> None:
    whole, resumed = (RequestSampler(50, 4, sizes=range(320, 609, 32), size_every=2) for _ in range(2))
    whole.set_position(4)
    resumed.set_position(4, batch)
    assert list(resumed) == list(whole)[batch:]
    assert list(resumed) == list(whole)[batch:], "iterating must not move the position"
    assert len(resumed) == 12


def test_sizes_change_every_ten_batches_across_epochs() -> None:
    sizes = tuple(range(320, 609, 32))
    sampler = RequestSampler(70, 10, sizes=sizes)
    drawn = []
    for epoch in range(100):
        sampler.set_position(epoch)
        for batch in sampler:
            assert len({request.net_size for request in batch}) == 1
            drawn.append(batch[0].net_size)
    tens = [drawn[start : start + 10] for start in range(0, len(drawn), 10)]
    assert all(len(set(ten)) == 1 for ten in tens)
    counts = Counter(ten[0] for ten in tens)
    assert set(counts) == set(sizes)
    assert max(counts.values()) < 20  # of 70, 7 expected
    other = RequestSampler(70, 10, seed=1, sizes=sizes)
    assert [other.net_size(epoch, 0) for epoch in range(20)] != drawn[:140:7]


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_split_each_batch(world_size: int) -> None:
    options = {"num_images": 50, "batch_size": 8, "sizes": (320, 416, 608), "size_every": 1}
    single = RequestSampler(**options)
    several = [RequestSampler(**options, rank=rank, world_size=world_size) for rank in range(world_size)]
    for epoch in range(2):
        for sampler in (single, *several):
            sampler.set_position(epoch)
        for whole, *parts in zip(single, *several, strict=True):
            assert [len(part) for part in parts] == [8 // world_size] * world_size
            assert sorted(request for part in parts for request in part) == sorted(whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected at least 1"),
        ({"num_images": 0}, "num_images: expected at least 1"),
        ({"size_every": 0}, "size_every"),
        ({"batch_size": 11}, "10 images don't fill one batch of 11"),
        ({"world_size": 3}, "can't be divided among 3 processes"),
        ({"world_size": 2, "rank": 2}, "rank: expected 0 to 1"),
        ({"sizes": ()}, "multiples of 32"),
        ({"sizes": (416, 400)}, "multiples of 32"),
        ({"num_images": 9, "world_size": 2, "drop_last": False}, "last batch would have 1 image"),
    ],
)
def test_sampler_refuses(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RequestSampler(**{"num_images": 10, "batch_size": 4, **options})


def test_positions_that_do_not_exist() -> None:
    sampler = RequestSampler(10, 4)
    for epoch, batch in ((-1, 0), (0, 3), (0, -1)):
        with pytest.raises(ValueError, match="no batch"):
            sampler.set_position(epoch, batch)


def test_fewer_images_than_a_batch() -> None:
    sampler = RequestSampler(3, 8, drop_last=False)
    assert [len(batch) for batch in sampler] == [3]


# Workers


@pytest.mark.parametrize("recipe", ["darknet", "modern"])
def test_workers_change_nothing(shared_devkit: Path, recipe: str) -> None:
    augment = replace(getattr(AugmentConfig, recipe)(), mixup=0.5 if recipe == "modern" else 0.0)
    training_set = TrainingSet(dataset_of(shared_devkit), augment)
    batches = {}
    for workers in (0, 1, 2):
        sampler = RequestSampler(IMAGES, 4, sizes=(32, 64, 96), size_every=1, drop_last=False)
        loader = training_loader(training_set, sampler, workers)
        assert len(loader) == 3
        batches[workers] = []
        for epoch in range(2):
            sampler.set_position(epoch)
            batches[workers] += list(loader)
    assert len(batches[0]) == 6
    assert all(map(same, batches[0], batches[1]))
    assert all(map(same, batches[0], batches[2]))


def test_two_processes_see_what_one_sees(shared_devkit: Path) -> None:
    training_set = TrainingSet(dataset_of(shared_devkit))
    whole = list(training_loader(training_set, RequestSampler(IMAGES, 4)))
    halves = [
        list(training_loader(training_set, RequestSampler(IMAGES, 4, rank=rank, world_size=2)))
        for rank in (0, 1)
    ]
    for batch, *parts in zip(whole, *halves, strict=True):
        for rank, part in enumerate(parts):
            assert part.ids == batch.ids[rank::2]
            assert torch.equal(part.images, batch.images[rank::2])


def test_workers_start_while_opencv_is_busy(shared_devkit: Path) -> None:
    """OpenCV's threads don't survive a fork; a worker that waited for them would wait forever."""
    training_set = TrainingSet(dataset_of(shared_devkit))
    loader = training_loader(training_set, RequestSampler(IMAGES, 11), workers=1)
    loader.timeout = 30  # seconds, and then an error
    large = np.zeros((1500, 1500, 3), np.uint8)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        for _ in range(10):
            cv2.resize(large, (1200, 1200))
            assert len(list(loader)) == 1
            assert cv2.getNumThreads() == 4
    finally:
        cv2.setNumThreads(threads)


def test_persistent_workers_follow_the_position(shared_devkit: Path) -> None:
    training_set = TrainingSet(dataset_of(shared_devkit))
    sampler, plain = RequestSampler(IMAGES, 5), RequestSampler(IMAGES, 5)
    loader = training_loader(training_set, sampler, workers=1, persistent=True)
    for position in ((0, 0), (7, 1)):
        sampler.set_position(*position)
        plain.set_position(*position)
        assert all(map(same, loader, training_loader(training_set, plain)))


def test_torchs_generator_is_left_alone(shared_devkit: Path) -> None:
    """A resumed run skips batches; that mustn't change what dropout, say, would draw afterwards."""
    training_set = TrainingSet(dataset_of(shared_devkit))
    before = torch.get_rng_state()
    list(training_loader(training_set, RequestSampler(IMAGES, 4)))
    assert torch.equal(torch.get_rng_state(), before)


def test_sampler_for_another_dataset(shared_devkit: Path) -> None:
    with pytest.raises(ValueError, match=f"made for 12 images, the training set has {IMAGES}"):
        training_loader(TrainingSet(dataset_of(shared_devkit)), RequestSampler(12, 4))


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Ctrl-C reaches a process group only on Unix")
def test_ctrl_c_is_the_main_process_business(shared_devkit: Path) -> None:
    """The terminal interrupts all processes at once; only the main one says so, and all end."""
    program = """
        import sys
        from yolov3_lib.data.loader import RequestSampler, TrainingSet, training_loader
        from yolov3_lib.data.voc import VOCDataset

        training_set = TrainingSet(VOCDataset(sys.argv[1], [("2007", "train")]))
        sampler = RequestSampler(len(training_set), 1)
        loader = training_loader(training_set, sampler, workers=2, persistent=True)
        try:
            for epoch in range(100_000):
                sampler.set_position(epoch)
                for batch in loader:
                    print("batch", flush=True)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(shared_devkit)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout.readline() == "batch\n"
        os.killpg(process.pid, signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert out.endswith("interrupted\n")
    assert errors == ""
    assert process.returncode == 0

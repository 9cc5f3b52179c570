"""Generated scenes: exact boxes and flags, the same files from the same seed, and what can go wrong."""

import dataclasses
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from yolov3_lib import paths
from yolov3_lib.classes import VOC_CLASSES
from yolov3_lib.data import scenes_drawing
from yolov3_lib.data.images import load_image
from yolov3_lib.data.scenes import DEFAULT_SPLITS, IMAGE_SIZE, SPLIT_STYLES, draw_scene, write_scenes
from yolov3_lib.data.scenes_sprites import STYLES, load_sprites
from yolov3_lib.data.voc import Annotation, VOCDataset

DATA = Path(__file__).parent.parent / "data"
SPLITS = {"train": 20, "val": 4, "heldout": 4}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    write_scenes(root, SPLITS, seed=3, workers=1)
    return root


def digests(folder: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too, by its contents."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def same(a: Annotation, b: Annotation) -> bool:
    tensors = ("boxes", "classes", "difficult", "truncated")
    return (a.filename, a.size, a.names) == (b.filename, b.size, b.names) and all(
        torch.equal(getattr(a, name), getattr(b, name)) for name in tensors
    )


# Files


def test_voc_dataset_reads_the_folder(root: Path) -> None:
    for split, count in SPLITS.items():
        dataset = VOCDataset(root, [("scenes", split)])
        assert len(dataset) == count
        for index, (path, annotation) in enumerate(dataset):
            image, drawn = draw_scene(3, split, index)
            assert same(annotation, drawn)
            read = load_image(path)
            assert read.shape == image.shape == (annotation.size[1], annotation.size[0], 3)
            assert image.dtype == np.uint8
            # JPEG changes pixels, not the picture.
            assert np.abs(read.astype(int) - image.astype(int)).mean() < 10


@pytest.mark.parametrize("workers", [3, None])
def test_the_same_bytes_from_any_number_of_workers(root: Path, tmp_path: Path, workers: int | None) -> None:
    folder = write_scenes(tmp_path / "new" / "folder", SPLITS, seed=3, workers=workers)
    assert folder == tmp_path / "new" / "folder" / "VOCscenes"
    assert digests(folder) == digests(root / "VOCscenes")
    assert len(digests(folder)) == 2 * sum(SPLITS.values()) + len(SPLITS) + 1


def test_a_scene_does_not_depend_on_how_many_there_are(root: Path, tmp_path: Path) -> None:
    few = digests(write_scenes(tmp_path, {"train": 2}, seed=3))
    many = digests(root / "VOCscenes")
    scenes = [name for name in few if name.startswith(("JPEGImages", "Annotations"))]
    assert len(scenes) == 4
    assert all(few[name] == many[name] for name in scenes)


def test_seeds_and_splits_give_different_scenes() -> None:
    scenes = [draw_scene(seed, split, index) for seed in (0, 1) for split in SPLIT_STYLES for index in (0, 1)]
    assert len({image.tobytes() for image, _ in scenes}) == len(scenes)
    assert len({tuple(annotation.boxes.flatten().tolist()) for _, annotation in scenes}) == len(scenes)


def test_a_finished_folder_is_left_alone(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (root / "VOCscenes").rglob("*")}
    assert write_scenes(root, SPLITS, seed=3) == root / "VOCscenes"
    assert {path: path.stat().st_mtime_ns for path in (root / "VOCscenes").rglob("*")} == before


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"seed": 4}, "seed = 3; asked for is seed = 4"),
        ({"splits": {"train": 25}}, "splits = {'train': 20, 'val': 4, 'heldout': 4}"),
        ({"image_size": (320, 320)}, r"image_size = \[320, 416\]; asked for is image_size = \[320, 320\]"),
    ],
)
def test_other_parameters_are_refused(root: Path, changed: dict, named: str) -> None:
    before = digests(root / "VOCscenes")
    with pytest.raises(FileExistsError, match=named) as error:
        write_scenes(root, **{"splits": SPLITS, "seed": 3, **changed})
    assert f"Delete {root / 'VOCscenes'}" in str(error.value)
    assert digests(root / "VOCscenes") == before


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    mine = tmp_path / "VOCscenes" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("years of work")
    with pytest.raises(FileExistsError, match=r"something else.*another root"):
        write_scenes(tmp_path, {"train": 1})
    assert list(mine.parent.iterdir()) == [mine]


@pytest.mark.parametrize("note", ["{", "3", '"text"', ""])
def test_a_damaged_note_is_named(tmp_path: Path, note: str) -> None:
    folder = write_scenes(tmp_path, {"train": 1})
    (folder / "scenes.json").write_text(note)
    with pytest.raises(FileExistsError, match=r"scenes\.json is damaged.*Delete"):
        write_scenes(tmp_path, {"train": 1})


def test_what_was_deleted_is_drawn_again(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "VOCscenes"
    shutil.copytree(root / "VOCscenes", folder)
    (folder / "JPEGImages" / "train_000003.jpg").unlink()
    (folder / "Annotations" / "val_000001.xml").unlink()
    (folder / "ImageSets" / "Main" / "heldout.txt").unlink()
    write_scenes(tmp_path, SPLITS, seed=3)
    assert digests(folder) == digests(root / "VOCscenes")


def test_killed_while_writing_it_goes_on(root: Path, tmp_path: Path) -> None:
    """No list before the end, so that nobody trains on half a split; then the same files as undisturbed."""
    folder = tmp_path / "VOCscenes"
    code = f"from yolov3_lib.data.scenes import write_scenes; write_scenes({str(tmp_path)!r}, {SPLITS}, 3, 1)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=DATA.parent)
    while len(list(folder.glob("JPEGImages/*.jpg"))) < 4:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(folder.glob("ImageSets/Main/*"))
    with pytest.raises(FileNotFoundError):
        VOCDataset(tmp_path, [("scenes", "train")])
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("Annotations/*.xml")}
    write_scenes(tmp_path, SPLITS, seed=3)
    assert digests(folder) == digests(root / "VOCscenes")
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())


def test_an_error_while_drawing_leaves_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *arguments, **options) -> None:
        path.write_text("<annotation>")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("yolov3_lib.data.scenes.write_annotation", full)
    with pytest.raises(OSError, match="No space left"):
        write_scenes(tmp_path, {"train": 8}, workers=2)
    folder = tmp_path / "VOCscenes"
    assert not list(folder.glob("ImageSets/Main/*"))
    assert not list(folder.glob("Annotations/*"))


def test_the_note_says_how_the_scenes_were_made(root: Path) -> None:
    note = json.loads((root / "VOCscenes" / "scenes.json").read_text())
    assert (note["seed"], note["splits"], note["image_size"]) == (3, SPLITS, list(IMAGE_SIZE))
    assert sum(DEFAULT_SPLITS.values()) == 1200


# Boxes and flags, against alpha recomputed from how the painted pixels look


def painted_alpha(body: scenes_drawing._Body) -> np.ndarray:
    """A body's alpha on its canvas, (H, W), from painting it on black and on white.

    What shows of the white isn't the body.
    """
    black, white = (np.full((*body.canvas[::-1], 3), shade, dtype=np.float32) for shade in (0, 1))
    for image in (black, white):
        scenes_drawing._paint(image, [body], np.random.default_rng(0), shadows=False)
    return 1 - (white - black).mean(axis=2)


def test_boxes_and_flags_are_those_of_the_painted_pixels() -> None:
    objects = flagged_truncated = flagged_difficult = 0
    for split, index in [
        *(("train", index) for index in range(24)),
        *(("heldout", index) for index in range(8)),
    ]:
        background, bodies, _ = scenes_drawing._compose(11, split, index, IMAGE_SIZE)
        height, width = background.shape[:2]
        image, annotation = draw_scene(11, split, index)
        assert image.shape == background.shape
        assert annotation.size == (width, height)
        assert 1 <= len(annotation) == len(bodies) <= 8
        covered = np.zeros((height, width), dtype=bool)
        for k in reversed(range(len(bodies))):  # from near to far
            opaque = painted_alpha(bodies[k]) > 0.3
            whole_canvas = bodies[k].pixels.shape[1::-1]
            alone = dataclasses.replace(bodies[k], canvas=whole_canvas, left=0, top=0)
            area = (painted_alpha(alone) > 0.3).sum()
            rows, columns = np.nonzero(opaque.any(axis=1))[0], np.nonzero(opaque.any(axis=0))[0]
            box = annotation.boxes[k].tolist()
            assert box == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            visible = (opaque & ~covered).sum() / area
            assert visible >= 0.10
            truncated = 1 - opaque.sum() / area > 0.15
            difficult = visible < 0.35 or (box[2] - box[0]) * (box[3] - box[1]) < 144
            assert bool(annotation.truncated[k]) == truncated
            assert bool(annotation.difficult[k]) == difficult
            assert annotation.names[k] == bodies[k].name == VOC_CLASSES[annotation.classes[k]]
            covered |= opaque
            objects += 1
            flagged_truncated += int(truncated)
            flagged_difficult += int(difficult)
    # Both flags are met, and neither is the rule.
    assert 0.02 < flagged_truncated / objects < 0.4
    assert 0.005 < flagged_difficult / objects < 0.3


def test_boxes_touch_what_changes_in_the_image() -> None:
    """Without the body the same image has its background: the two differ in the box, and little outside."""
    alone = [index for index in range(80) if len(scenes_drawing._classes_of(5, "train", index)) == 1]
    for index in alone:
        background, bodies, rng = scenes_drawing._compose(5, "train", index, IMAGE_SIZE)
        painted = background.copy()
        scenes_drawing._paint(painted, bodies, rng, shadows=False)
        changed = np.abs(painted - background).max(axis=2) > 0
        _, annotation = draw_scene(5, "train", index)
        x1, y1, x2, y2 = annotation.boxes[0].int().tolist()
        assert changed[y1:y2, x1:x2].mean() > 0.2
        # Around the box lies only the faint rim of alpha below 0.3.
        assert changed.sum() - changed[y1:y2, x1:x2].sum() <= 8 * (x2 - x1 + y2 - y1)
    assert len(alone) > 5


def test_sizes_run_from_6_to_80_percent(root: Path) -> None:
    """As many small objects as large ones, when sizes are counted in doublings."""
    shares = []
    for split in SPLITS:
        for _, annotation in VOCDataset(root, [("scenes", split)]):
            whole = annotation.boxes[~annotation.truncated]
            shares += ((whole[:, 2:] - whole[:, :2]).amax(dim=1) / min(annotation.size)).tolist()
    assert min(shares) < 0.1
    assert max(shares) > 0.5
    assert max(shares) < 1.1  # a tilt makes the box larger
    assert 0.14 < np.exp(np.mean(np.log(shares))) < 0.3


def test_image_sizes(root: Path) -> None:
    sizes = np.array([annotation.size for _, annotation in VOCDataset(root, [("scenes", "train")])])
    assert sizes.min() >= 320
    assert sizes.max() <= 416
    assert len(np.unique(sizes[:, 0])) > 5
    image, annotation = draw_scene(0, "val", 7, image_size=(128, 128))
    assert image.shape == (128, 128, 3)
    assert annotation.size == (128, 128)


# Classes


@pytest.mark.parametrize("split", SPLIT_STYLES)
def test_classes_are_equally_frequent(split: str) -> None:
    """A thousand scenes hold each class about 177 times; the decks alone would differ by at most 50."""
    counts = Counter(name for index in range(1000) for name in scenes_drawing._classes_of(0, split, index))
    assert set(counts) == set(VOC_CLASSES)
    mean = sum(counts.values()) / 20
    assert all(0.75 * mean < count < 1.25 * mean for count in counts.values())


def test_nearly_every_object_finds_a_place(root: Path) -> None:
    dealt = sum(len(scenes_drawing._classes_of(3, "train", index)) for index in range(20))
    drawn = sum(len(annotation) for _, annotation in VOCDataset(root, [("scenes", "train")]))
    assert 0.97 * dealt <= drawn <= dealt


# Sprites and backgrounds


@pytest.mark.parametrize("style", STYLES)
def test_every_class_has_a_sprite_in_every_style(style: str) -> None:
    sprites = load_sprites(style)
    assert tuple(sprites) == VOC_CLASSES
    for name, images in sprites.items():
        for image in images:
            assert image.dtype == np.uint8
            assert image.shape[2:] == (4,)
            assert 96 <= max(image.shape[:2]) <= 160
            opaque = (image[:, :, 3] > 76).mean()
            assert 0.1 < opaque < 0.98, f"{name}: {opaque:.2f} of the rectangle is opaque: not cut out?"


def test_the_styles_share_no_sprite() -> None:
    fluent, noto = (
        {image.tobytes() for images in load_sprites(style).values() for image in images} for style in STYLES
    )
    assert not fluent & noto
    assert SPLIT_STYLES["train"] == SPLIT_STYLES["val"] != SPLIT_STYLES["heldout"]


def test_licenses_lie_beside_the_files() -> None:
    texts = {
        "sprites/fluent/LICENSE": ("MIT License", "Microsoft"),
        "sprites/noto/LICENSE": ("Apache License", "Version 2.0"),
        "textures/LICENSE": ("CC0 1.0 Universal",),
    }
    for name, words in texts.items():
        text = (DATA / name).read_text(encoding="utf-8")
        assert all(word in text for word in words), name
    described = (DATA / "textures" / "README.md").read_text(encoding="utf-8")
    files = sorted((DATA / "textures").glob("*.webp"))
    assert len(files) >= 12
    assert all(f"`{file.name}`" in described for file in files)


def test_the_data_stay_small() -> None:
    files = [path for name in ("sprites", "textures") for path in (DATA / name).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_500_000


def test_held_out_sprites_are_not_needed_for_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which also shows that no scene to train on can hold one."""
    shutil.copytree(DATA / "sprites" / "fluent", tmp_path / "sprites" / "fluent")
    shutil.copytree(DATA / "textures", tmp_path / "textures")
    monkeypatch.setattr(paths, "_roots", lambda: iter([tmp_path]))
    for split in ("train", "val"):
        for index in range(3):
            draw_scene(0, split, index)
    with pytest.raises(FileNotFoundError, match=r"sprites/noto[\s\S]*make_sprites\.py"):
        draw_scene(0, "heldout", 0)
    with pytest.raises(FileNotFoundError, match=r"sprites/noto[\s\S]*git checkout"):
        write_scenes(tmp_path / "out", {"train": 1})
    assert not (tmp_path / "out").exists()


def test_a_class_without_sprites_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dogless = shutil.ignore_patterns("dog_*")
    shutil.copytree(DATA / "sprites", tmp_path / "sprites", ignore=dogless)
    monkeypatch.setenv("YOLOV3_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no sprite of the class dog .*make_sprites\.py"):
        draw_scene(0, "train", 0)


# Arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": {"train": -1}}, r"splits\['train'\] must be 0 or larger, not -1"),
        ({"splits": {"train": 0}}, r"splits\['train'\] is 0: leave the split out"),
        ({"splits": {"train": 1.5}}, r"splits\['train'\] must be a whole number, not 1\.5"),
        ({"splits": {"test": 1}}, "split 'test': scenes have the splits train, val, heldout"),
        ({"splits": {}}, "splits is empty"),
        ({"seed": -1}, "seed must be 0 or larger"),
        ({"seed": "a"}, "seed must be a whole number"),
        ({"workers": 0}, "workers must be 1 or larger"),
        ({"workers": -2}, "workers must be 0 or larger"),
        ({"image_size": 320}, "image_size must be two whole numbers"),
        ({"image_size": (320, 300)}, "smallest <= largest"),
        ({"image_size": (8, 8)}, "96 <="),
        ({"image_size": (320, 416, 512)}, "image_size must be two whole numbers"),
    ],
)
def test_bad_arguments(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_scenes(tmp_path, **{"splits": {"train": 1}, **options})
    assert not list(tmp_path.iterdir())


def test_bad_arguments_of_one_scene() -> None:
    with pytest.raises(ValueError, match="split 'test'"):
        draw_scene(0, "test", 0)
    with pytest.raises(ValueError, match="index must be 0 or larger"):
        draw_scene(0, "train", -1)
    with pytest.raises(ValueError, match=r"there are fluent and noto"):
        load_sprites("twemoji")

"""Generated scenes: a data set of Pascal VOC's twenty classes, drawn from a seed, without any download.

``write_scenes`` writes a VOCdevkit that ``VOCDataset`` reads as year ``"scenes"``; ``draw_scene`` draws one
scene in memory. The split ``heldout`` is drawn with sprites of another style: it asks whether a detector
knows what a dog looks like, or only what these dogs look like.

How a scene is drawn is in ``data.scenes_drawing``, with its sprites (``data.scenes_sprites``) and
backgrounds (``data.scenes_backgrounds``).
"""

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from yolov3_lib.data.scenes_drawing import (
    IMAGE_SIZE,
    SPLIT_STYLES,
    check_image_size,
    draw_scene,
    jpeg_quality,
    natural,
    scene_name,
)
from yolov3_lib.data.scenes_sprites import assets_digest
from yolov3_lib.data.voc import write_annotation

__all__ = ["DEFAULT_SPLITS", "IMAGE_SIZE", "SPLIT_STYLES", "VERSION", "draw_scene", "write_scenes"]

DEFAULT_SPLITS: dict[str, int] = {"train": 800, "val": 200, "heldout": 200}

# Raised whenever the same seed gives other scenes, so that a folder of old ones isn't taken for new ones.
VERSION = 1


def write_scenes(
    root: str | os.PathLike,
    splits: Mapping[str, int] | None = None,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = False,
    image_size: tuple[int, int] = IMAGE_SIZE,
) -> Path:
    """Write scenes as a VOCdevkit: ``VOCDataset(root, [("scenes", "train")])`` reads them.

    The lists of the splits are written last: an interrupted call leaves none, and the same call again draws
    what is missing. On a finished folder it returns at once.

    Args:
        root: the folder that gets the folder ``VOCscenes``; made if need be.
        splits: how many scenes of each split; `DEFAULT_SPLITS` by default.
        seed: the same seed gives the same files, byte by byte, however many workers there are. Between
            versions of NumPy, OpenCV and Pillow the last bits of a pixel may differ.
        workers: threads that draw; by default as many as there are processors.
        progress: show a progress bar.
        image_size: the smallest and the largest width and height in pixels.

    Returns:
        The folder ``root/VOCscenes``.

    Raises:
        ValueError: an argument out of range.
        FileExistsError: the folder holds something else, or scenes with other parameters.
        FileNotFoundError: sprites or backgrounds are missing; the message says how to get them.
    """
    counts = _check_splits(DEFAULT_SPLITS if splits is None else splits)
    seed, image_size = natural("seed", seed), check_image_size(image_size)
    if workers is not None and natural("workers", workers) == 0:
        raise ValueError("workers must be 1 or larger, or None for as many as there are processors.")
    parameters = {
        "version": VERSION,
        "seed": seed,
        "splits": counts,
        "image_size": list(image_size),
        "assets": assets_digest(),
    }
    folder = Path(root) / "VOCscenes"
    _claim(folder, parameters)

    scenes = [(split, index) for split, count in counts.items() for index in range(count)]
    missing = [scene for scene in scenes if not all(path.is_file() for path in _scene_paths(folder, *scene))]
    lists = [folder / "ImageSets" / "Main" / f"{split}.txt" for split in counts]
    if not missing and all(path.is_file() for path in lists):
        return folder
    for path in lists:
        path.unlink(missing_ok=True)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        written = pool.map(lambda scene: _write_scene(folder, seed, *scene, image_size), missing)
        for _ in tqdm(written, "scenes", total=len(missing), unit="scene", disable=not progress):
            pass
    for leftover in folder.glob("*/.*.tmp"):  # of a process that was killed
        leftover.unlink(missing_ok=True)
    for path, (split, count) in zip(lists, counts.items(), strict=True):
        text = "".join(f"{scene_name(split, index)}\n" for index in range(count))
        _write_whole(path, lambda file, text=text: file.write_text(text, encoding="utf-8"))
    return folder


def _claim(folder: Path, parameters: dict) -> None:
    """Make the folders and note the parameters; or see that they are those of the scenes already there."""
    note = folder / "scenes.json"
    mend = f"Delete {folder}, or choose another root."
    if note.is_file():
        try:
            found = dict(json.loads(note.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise FileExistsError(f"{note} is damaged ({error}). {mend}") from error
        differing = [key for key, value in parameters.items() if found.get(key) != value]
        if differing:
            there, asked = (
                ", ".join(f"{key} = {values.get(key)}" for key in differing) for values in (found, parameters)
            )
            raise FileExistsError(f"{folder} holds scenes with {there}; asked for is {asked}. {mend}")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and holds something else than scenes. {mend}")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(parameters, indent=2) + "\n"
        _write_whole(note, lambda path: path.write_text(text, encoding="utf-8"))
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)


def _write_scene(folder: Path, seed: int, split: str, index: int, image_size: tuple[int, int]) -> None:
    image, annotation = draw_scene(seed, split, index, image_size)
    quality = jpeg_quality(seed, split, index)
    jpeg, xml = _scene_paths(folder, split, index)
    _write_whole(jpeg, lambda path: Image.fromarray(image).save(path, "JPEG", quality=quality))
    _write_whole(xml, lambda path: write_annotation(path, annotation, database="generated scenes"))


def _scene_paths(folder: Path, split: str, index: int) -> tuple[Path, Path]:
    name = scene_name(split, index)
    return folder / "JPEGImages" / f"{name}.jpg", folder / "Annotations" / f"{name}.xml"


def _write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write aside and rename, so that a file is there whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(aside)
        os.replace(aside, path)
    except FileNotFoundError:
        if not path.is_file():  # else another process wrote the same scene, finished, and tidied up
            raise
    finally:
        aside.unlink(missing_ok=True)


def _check_splits(splits: Mapping[str, int]) -> dict[str, int]:
    if not splits:
        raise ValueError(f"splits is empty: name at least one of {', '.join(SPLIT_STYLES)}, with a count.")
    counts = {}
    for split, count in splits.items():
        if split not in SPLIT_STYLES:
            raise ValueError(f"split {split!r}: scenes have the splits {', '.join(SPLIT_STYLES)}.")
        if (number := natural(f"splits[{split!r}]", count)) == 0:
            raise ValueError(f"splits[{split!r}] is 0: leave the split out, or ask for at least one scene.")
        counts[split] = number
    return counts

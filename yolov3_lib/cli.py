"""The command line: ``python -m yolov3_lib`` and ``detect``, ``evaluate``, ``train`` or ``data``.

Results go to stdout, progress and errors to stderr. The exit status is 0 if all went well, 1 if some images
could not be used (the others are finished first), 2 if nothing could be done, and 130 after Ctrl+C.
"""

# Whatever takes long to import is imported by the command that needs it: --help should not wait for it.
import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolov3_lib import arguments
from yolov3_lib.arguments import FINE, INTERRUPTED, SOME_FAILED, UNUSABLE

if TYPE_CHECKING:
    from yolov3_lib.data.images import ImageError
    from yolov3_lib.predict import Detector

DEFAULT_WEIGHTS = "yolov3-tiny-coco"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; those of the process by default.

    Returns:
        The exit status.
    """
    args = _parser().parse_args(argv)
    try:
        status = args.run(args)
        sys.stdout.flush()  # here, where a reader who has gone can still be told from an error
        return status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # `… | head` closed the pipe: Python would complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m yolov3_lib", description="YOLOv3: data, training, detection."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    from yolov3_lib.data.commands import add_data_commands
    from yolov3_lib.training.commands import add_train_command

    detect = commands.add_parser(
        "detect", help="find objects in images", description="Find objects in images."
    )
    detect.set_defaults(run=_detect)
    detect.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="image files, or folders of them"
    )
    detect.add_argument(
        "--json", type=arguments.json_path, metavar="FILE", help="write JSON; - for standard output"
    )
    detect.add_argument("--save", type=Path, metavar="DIR", help="write pictures with the boxes drawn in")
    detect.add_argument(
        "--classes",
        metavar="WHICH",
        help="report only these: voc, coco, or a file with one name per line (default: the model's own)",
    )
    _add_detector_options(detect, score=0.25)

    evaluate = commands.add_parser(
        "evaluate",
        help="measure average precision on Pascal VOC",
        description="Measure average precision on Pascal VOC, area and 11-point, difficult objects ignored.",
    )
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder that holds VOCdevkit"
    )
    evaluate.add_argument("--split", default="val", help="list in ImageSets/Main (default: %(default)s)")
    evaluate.add_argument("--year", default="2007", help="year of the VOC challenge (default: %(default)s)")
    evaluate.add_argument(
        "--match-iou",
        type=arguments.fraction,
        default=0.5,
        metavar="X",
        help="IoU with which a detection finds an object (default: %(default)s)",
    )
    evaluate.add_argument(
        "--json", type=arguments.json_path, metavar="FILE", help="write JSON; - for standard output"
    )
    evaluate.add_argument(
        "--save", type=arguments.json_file, metavar="FILE", help="write all detections as JSON"
    )
    _add_detector_options(evaluate, score=0.005)
    add_train_command(commands)
    add_data_commands(commands)
    return parser


def _add_detector_options(parser: argparse.ArgumentParser, score: float) -> None:
    parser.add_argument(
        "--weights",
        default=DEFAULT_WEIGHTS,
        metavar="W",
        help=".safetensors or Darknet .weights: a file, or a name in data/weights (default: %(default)s)",
    )
    parser.add_argument(
        "--names",
        type=Path,
        metavar="FILE",
        help="names of the model's classes, one per line, for .weights of neither VOC's 20 nor COCO's 80",
    )
    parser.add_argument(
        "--score",
        type=arguments.fraction,
        default=score,
        metavar="X",
        help="report scores above X (default: %(default)s)",
    )
    parser.add_argument(
        "--iou",
        type=arguments.fraction,
        default=0.45,
        metavar="X",
        help="overlap that NMS allows (default: %(default)s)",
    )
    parser.add_argument(
        "--size", type=arguments.net_size, metavar="PX", help="side of the network's input, a multiple of 32"
    )
    parser.add_argument(
        "--resize",
        choices=("letterbox", "stretch"),
        default="letterbox",
        help="how an image becomes square (default: %(default)s)",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU where there is one)")
    parser.add_argument(
        "--batch-size",
        type=arguments.positive,
        default=8,
        metavar="N",
        help="images at a time (default: %(default)s)",
    )


def _detect(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from yolov3_lib.data.images import ImageError

    _require_folder(args.json)
    images = _expand(args.images)
    detector = _detector(args, class_names=_class_names(args.classes))
    pictures = _picture_paths(images, args.save) if args.save else {}
    rows: list[dict[str, Any]] = []
    failures: list[ImageError] = []
    bar = tqdm(detector.detect_many(images, args.batch_size), total=len(images), unit="image", disable=None)
    for path, outcome in bar:
        if isinstance(outcome, ImageError):
            failures.append(outcome)
            rows.append({"file": str(path), "error": str(outcome)})
            continue
        found = [_rounded(row) for row in outcome.to_dicts(detector.class_names)]
        rows.append({"file": str(path), "detections": found})
        if args.json != "-":
            tqdm.write("\n".join([f"{path}: {len(found)} found", *map(_line, found)]))
        if path in pictures:
            from yolov3_lib.plots import draw_detections

            draw_detections(path, outcome, detector.class_names).save(pictures[path], quality=95)
    if args.json:
        _write_json(args.json, {**_settings(detector), "images": rows})
    return _report(failures, len(images))


def _evaluate(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from yolov3_lib.classes import VOC_CLASSES
    from yolov3_lib.data.images import ImageError
    from yolov3_lib.data.voc import VOCDataset
    from yolov3_lib.detections import Detections
    from yolov3_lib.evaluate import evaluate_voc
    from yolov3_lib.predict import save_predictions

    _require_folder(args.json, args.save)
    dataset = VOCDataset(args.data, [(args.year, args.split)])
    paths, truths = zip(*dataset, strict=True) if len(dataset) else ((), ())
    detector = _detector(args, class_names=VOC_CLASSES)
    bar = tqdm(detector.detect_many(paths, args.batch_size), total=len(paths), unit="image", disable=None)
    outcomes = [outcome for _, outcome in bar]
    failures = [outcome for outcome in outcomes if isinstance(outcome, ImageError)]
    # The objects of an image that can't be read count as not found: leaving them out would flatter the score.
    found = [Detections.none() if isinstance(outcome, ImageError) else outcome for outcome in outcomes]
    result = evaluate_voc(found, truths, VOC_CLASSES, iou_threshold=args.match_iou)

    settings = _settings(detector) | {
        "data": f"VOC{args.year} {args.split}",
        "images": len(paths),
        "failed": [str(error) for error in failures],
    }
    if args.save:
        save_predictions(args.save, dataset.ids, found, VOC_CLASSES, settings)
    if args.json:
        _write_json(args.json, {**settings, **result.to_dict()})
    if args.json != "-":
        print(
            f"weights   {detector.name}\n"
            f"data      {settings['data']}, {len(paths)} images\n"
            f"detector  {detector.net_size} px, {detector.resize}, score > {detector.score_threshold:g}, "
            f"NMS at IoU {detector.iou_threshold:g}\n"
            f"metric    VOC AP at IoU {args.match_iou:g}, difficult objects ignored\n\n"
            f"{result.table()}\n\n"
            f"mAP {result.map_area:.3f} (area)  {result.map_11:.3f} (11-point)"
        )
    return _report(failures, len(paths))


def _expand(paths: Sequence[Path]) -> list[Path]:
    """Folders replaced by the images in them; nothing twice."""
    from yolov3_lib.predict import list_images

    expanded = [image for path in paths for image in (list_images(path) if path.is_dir() else [path])]
    return list(dict.fromkeys(expanded))


def _detector(args: argparse.Namespace, class_names: Sequence[str] | None) -> "Detector":
    from yolov3_lib.paths import find_weights
    from yolov3_lib.predict import Detector

    detector = Detector.load(
        find_weights(args.weights),
        class_names=_read_names(args.names) if args.names else None,
        score_threshold=args.score,
        iou_threshold=args.iou,
        device=args.device,
        resize=args.resize,
        **({"net_size": args.size} if args.size else {}),
    )
    return detector.with_classes(class_names) if class_names else detector


def _class_names(which: str | None) -> tuple[str, ...] | None:
    from yolov3_lib.classes import COCO_CLASSES, VOC_CLASSES

    if which is None:
        return None
    known = {"voc": VOC_CLASSES, "coco": COCO_CLASSES}
    return known[which] if which in known else _read_names(Path(which))


def _read_names(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected a text file with one class name per line ({error})") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise ValueError(f"{path}: no class names in it; write one per line")
    repeated = [name for i, name in enumerate(names) if name in names[:i]]
    if repeated:
        raise ValueError(f"{path}: {repeated[0]!r} stands there twice; class names must differ")
    return names


def _picture_paths(images: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Where each picture goes: under its own name, numbered where two images share one."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = {path.resolve() for path in images}
    targets: dict[Path, Path] = {}
    taken: set[Path] = set()
    for path in images:
        suffix = path.suffix if path.suffix.lower() in (".jpg", ".jpeg", ".png") else ".png"
        target, number = folder / f"{path.stem}{suffix}", 1
        while target in taken:
            number += 1
            target = folder / f"{path.stem}-{number}{suffix}"
        if target.resolve() in sources:
            raise ValueError(f"--save {folder} would overwrite {target}: choose another folder")
        targets[path] = target
        taken.add(target)
    return targets


def _rounded(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"score": round(found["score"], 4), "box": [round(v, 2) for v in found["box"]]}


def _line(found: dict[str, Any]) -> str:
    return f"  {found['class']:14} {found['score']:.2f}  " + " ".join(f"{v:6.0f}" for v in found["box"])


def _settings(detector: "Detector") -> dict[str, Any]:
    return {
        "weights": detector.name,
        "class_names": list(detector.class_names),
        "net_size": detector.net_size,
        "resize": detector.resize,
        "score_threshold": detector.score_threshold,
        "nms_iou": detector.iou_threshold,
    }


def _require_folder(*files: str | None) -> None:
    """Asked for before the work begins, so that it isn't lost at the end."""
    for file in files:
        if file not in (None, "-") and not Path(file).parent.is_dir():
            raise FileNotFoundError(f"can't write {file}: there is no folder {Path(file).parent}")


def _write_json(path: str, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False)
    if path == "-":
        print(text)
    else:
        Path(path).write_text(text + "\n", encoding="utf-8")


def _report(failures: Sequence["ImageError"], total: int) -> int:
    if not failures:
        return FINE
    print(f"{len(failures)} of {total} images could not be used:", file=sys.stderr)
    for error in failures:
        print(f"  {error}", file=sys.stderr)
    return SOME_FAILED

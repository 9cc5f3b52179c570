"""``python -m yolov3_lib data``: get a dataset, check it, draw scenes, export it.

Exit statuses are those of `yolov3_lib.arguments`: 0 if all went well, 1 if the check found errors, 2 if
nothing could be done.
"""

# Whatever takes long to import is imported by the command that needs it: --help should not wait for it.
import argparse
import json
import sys
from pathlib import Path

from yolov3_lib import arguments
from yolov3_lib.arguments import FINE, SOME_FAILED


def add_data_commands(commands: argparse._SubParsersAction) -> None:
    """Add ``data`` and its subcommands; each sets ``run``, from arguments to the exit status."""
    data = commands.add_parser(
        "data",
        help="get, check, make and convert datasets",
        description="Get, check, make, convert datasets.",
    )
    subcommands = data.add_subparsers(dest="data_command", required=True, metavar="COMMAND")
    _add_get(subcommands)
    _add_check(subcommands)
    _add_scenes(subcommands)
    _add_export(subcommands)


def _add_get(commands: argparse._SubParsersAction) -> None:
    get = commands.add_parser(
        "get",
        help="download Pascal VOC",
        description="Download Pascal VOC, resuming what was interrupted, check it and unpack it.",
    )
    get.set_defaults(run=_get)
    get.add_argument("dataset", choices=("voc2007", "voc2012"), help="0.9 GB and 2.0 GB")
    get.add_argument(
        "--to", type=Path, default=Path("data"), metavar="DIR", help="folder for it (default: %(default)s)"
    )
    get.add_argument(
        "--mirror", action="append", metavar="URL",
        help="address of a folder that holds the archives, instead of the known ones; may be repeated",
    )  # fmt: skip


def _add_check(commands: argparse._SubParsersAction) -> None:
    check = commands.add_parser(
        "check",
        help="count, and look for mistakes",
        description="Decode every image, read every annotation: counts by class and split, all mistakes.",
    )
    check.set_defaults(run=_check)
    check.add_argument("dir", type=Path, metavar="DIR", help="folder that holds VOCdevkit, or train.csv")
    check.add_argument(
        "--split", action="append", metavar="SPLIT",
        help='2007-train, train.csv, or several as one, "2007-train+2012-train"; may be repeated '
        "(default: all that don't contain one another)",
    )  # fmt: skip
    check.add_argument("--similar", action="store_true", help="look for look-alikes in different splits too")
    check.add_argument(
        "--json", type=arguments.json_path, metavar="FILE", help="write JSON; - for standard output"
    )
    check.add_argument("--save", type=arguments.png_file, metavar="PNG", help="write a picture of the counts")


def _add_scenes(commands: argparse._SubParsersAction) -> None:
    scenes = commands.add_parser(
        "scenes",
        help="draw scenes with objects of VOC's classes",
        description="Draw scenes with objects of VOC's twenty classes, the same for the same seed.",
    )
    scenes.set_defaults(run=_scenes)
    scenes.add_argument("dir", type=Path, metavar="DIR", help="folder for VOCscenes")
    for name, count, what in (
        ("train", 800, "training scenes"),
        ("val", 200, "scenes to validate with"),
        ("heldout", 200, "scenes in a style that training hasn't seen"),
    ):
        scenes.add_argument(
            f"--{name}",
            type=arguments.count,
            default=count,
            metavar="N",
            help=f"{what} (default: %(default)s)",
        )
    scenes.add_argument("--seed", type=arguments.count, default=0, metavar="S", help="(default: %(default)s)")


def _add_export(commands: argparse._SubParsersAction) -> None:
    export = commands.add_parser(
        "export",
        help="write images, text labels and csv lists",
        description="Write a dataset as images, labels (class x y w h, relative), train.csv and test.csv.",
    )
    export.set_defaults(run=_export)
    export.add_argument("dir", type=Path, metavar="DIR", help="folder that holds VOCdevkit")
    export.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to write")
    export.add_argument("--train", metavar="SPLIT", help='for train.csv: "2007-trainval+2012-trainval", say')
    export.add_argument("--test", metavar="SPLIT", help='for test.csv: "2007-test", say')
    export.add_argument(
        "--keep-difficult", action="store_true",
        help="write objects marked difficult too; the format can't mark them",
    )  # fmt: skip


def _get(args: argparse.Namespace) -> int:
    from yolov3_lib.data.download import download_voc
    from yolov3_lib.data.find import find_dataset

    download_voc(args.dataset.removeprefix("voc"), args.to, args.mirror)
    print(find_dataset(args.to))
    return FINE


def _check(args: argparse.Namespace) -> int:
    from yolov3_lib.data.check import check_dataset, draw
    from yolov3_lib.data.find import find_dataset, open_dataset

    for file in (args.json, args.save):
        if file not in (None, "-") and not Path(file).parent.is_dir():
            raise FileNotFoundError(f"can't write {file}: there is no folder {Path(file).parent}")
    found = find_dataset(args.dir)
    splits = list(dict.fromkeys(args.split or found.main_splits()))
    report = check_dataset(
        {split: open_dataset(args.dir, split) for split in splits}, args.similar, progress=True
    )
    if args.save:
        draw(report).savefig(args.save, dpi=110)
    if args.json == "-":
        print(json.dumps(report.to_dict(), indent=1, ensure_ascii=False))
    else:
        if args.json:
            text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False)
            Path(args.json).write_text(text + "\n", encoding="utf-8")
        print(report.table())
    unchecked = [split for split in found.splits if split not in splits]
    if unchecked and not args.split:
        print(f"not checked, --split does: {', '.join(unchecked)}", file=sys.stderr)
    return SOME_FAILED if report.errors else FINE


def _scenes(args: argparse.Namespace) -> int:
    from yolov3_lib.data.find import find_dataset
    from yolov3_lib.data.scenes import write_scenes

    wanted = {"train": args.train, "val": args.val, "heldout": args.heldout}
    splits = {name: count for name, count in wanted.items() if count}
    if not splits:
        raise ValueError("no scenes to draw: give --train, --val or --heldout a number above 0")
    write_scenes(args.dir, splits, args.seed, progress=True)
    print(find_dataset(args.dir))
    return FINE


def _export(args: argparse.Namespace) -> int:
    from yolov3_lib.data.find import open_dataset
    from yolov3_lib.data.yolo_txt import export_yolo_txt

    wanted = {"train.csv": args.train, "test.csv": args.test}
    splits = {csv: split for csv, split in wanted.items() if split}
    if not splits:
        raise ValueError("nothing to export: name the splits with --train and --test")
    for csv, split in splits.items():
        dataset = open_dataset(args.dir, split)
        path = export_yolo_txt(dataset, args.to, csv, args.keep_difficult, progress=True)
        print(f"{path}: {len(dataset):,} images")
    return FINE

"""The command ``python -m yolov3_lib train``."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from yolov3_lib.arguments import FINE, INTERRUPTED


def add_train_command(commands: Any) -> None:
    """Add ``train`` to the command line's parsers.

    Args:
        commands: what ``ArgumentParser.add_subparsers`` returned.
    """
    from yolov3_lib.training.config import RECIPES

    parser = commands.add_parser(
        "train",
        help="train a detector",
        description="Train a detector: a recipe, what to change in it, and a folder for the run. "
        "Ctrl-C stops cleanly; --resume goes on.",
        epilog="Several processes: torchrun --nproc_per_node 2 -m yolov3_lib train …",
    )
    parser.set_defaults(run=_train)
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="the run's folder, say runs/first")
    parser.add_argument(
        "--recipe", choices=tuple(RECIPES), help="what to start from (default: the run's own, else tiny)"
    )
    parser.add_argument(
        "--data", metavar="DIR", help="VOCdevkit or a folder of images/labels/train.csv (default: search)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a value of the recipe: --set epochs=5 --set sizes=[320,416] --set loss.name=ciou",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the run's last saved state")
    parser.add_argument(
        "--max-hours", type=float, metavar="H", help="stop cleanly before so many hours have passed"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes that read images")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: a GPU where there is one")
    parser.add_argument(
        "--non-finite", choices=("stop", "skip"), default="stop", help="at a loss of NaN (default: stop)"
    )
    parser.add_argument(
        "--save-minutes", type=float, default=10.0, metavar="M", help="between saved states (default: 10)"
    )
    parser.add_argument("--cache", action="store_true", help="keep the image files in memory")


def _train(args: argparse.Namespace) -> int:
    from yolov3_lib.data.find import open_dataset
    from yolov3_lib.train import Options, Trainer

    config = changed(_base(args), args.set)
    options = Options(
        resume=args.resume, max_hours=args.max_hours, save_minutes=args.save_minutes,
        non_finite=args.non_finite, workers=args.workers, device=args.device, cache=args.cache,
    )  # fmt: skip
    train_data = open_dataset(args.data, config.train)
    val_data = open_dataset(args.data, config.val) if config.validate_every else None
    outcome = Trainer(config, train_data, val_data, args.run_dir, options).fit()
    if outcome.result:
        print(outcome.result.table())
        print(f"\nmAP {outcome.result.map_area:.3f} (area)  {outcome.result.map_11:.3f} (11-point)")
    return INTERRUPTED if outcome.reason == "interrupted" else FINE


def _base(args: argparse.Namespace):
    """The recipe that was named; or the config of the run to be resumed; or "tiny"."""
    from yolov3_lib.training.config import RECIPES, TrainConfig

    written = args.run_dir / "config.json"
    if args.recipe is None and args.resume and written.is_file():
        return TrainConfig.from_dict(json.loads(written.read_text(encoding="utf-8")))
    return RECIPES[args.recipe or "tiny"]


def changed(config, settings: list[str]):
    """A config with values set as on the command line, ``["epochs=5", "loss.name=ciou"]``.

    Raises:
        ValueError: not NAME=VALUE, no such field, or a value of the wrong kind.
    """
    for setting in settings:
        name, equals, text = setting.partition("=")
        outer, _, inner = name.partition(".")
        holder = getattr(config, outer, None) if inner else config
        field = inner or outer
        known = {f.name for f in dataclasses.fields(holder)} if dataclasses.is_dataclass(holder) else set()
        if not equals or field not in known:
            raise ValueError(
                f"--set {setting}: expected NAME=VALUE, "
                f"NAME one of {', '.join(sorted(known or _names(config)))}"
            )
        value = _value(setting, text, getattr(holder, field))
        config = config.replace(**{outer: dataclasses.replace(holder, **{field: value}) if inner else value})
    return config


def _names(config) -> list[str]:
    return [field.name for field in dataclasses.fields(config)]


def _value(setting: str, text: str, before: object) -> object:
    """The text as JSON, or as it stands; of the kind that the field has now."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = {"None": None, "True": True, "False": False}.get(text, text)
    if isinstance(value, list):
        value = tuple(value)
    if isinstance(before, tuple) and not isinstance(value, tuple):
        value = (value,)
    if isinstance(before, bool):
        fits = isinstance(value, bool)
    elif isinstance(before, (int, float)) and value is not None:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        fits = fits and (isinstance(before, float) or value == int(value))
    elif isinstance(before, str):
        fits = value is None or isinstance(value, str)
    else:
        fits = True
    if not fits:
        raise ValueError(f"--set {setting}: expected a value like {before!r}")
    return value

"""Weights from one format to the other, on the command line.

::

    python -m yolov3_lib.models.convert yolov3-tiny.weights yolov3-tiny.safetensors --half --note license=MIT
    python -m yolov3_lib.models.convert yolov3-tiny.safetensors yolov3-tiny.weights
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from .checkpoint import FORMAT_FIELDS, load_model, save_safetensors
from .darknet_weights import DarknetHeader, write_darknet


def convert(
    source: str | os.PathLike,
    target: str | os.PathLike,
    half: bool = False,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write the detector of one weights file as another; the suffixes tell the formats.

    What the source says about its origin goes into a safetensors target, and the number of images seen into a
    Darknet target's header.

    Args:
        source: ``.weights`` or ``.safetensors``, as `load_model` takes it.
        target: ``.safetensors`` or ``.weights``; its folder must exist.
        half: store float16 (safetensors only).
        notes: provenance to add (safetensors only).

    Raises:
        ValueError: the target's suffix is neither, or ``half`` or ``notes`` are meant for a Darknet file.
            Otherwise as `load_model` and `save_safetensors`.
    """
    suffix = Path(target).suffix
    if suffix not in (".safetensors", ".weights"):
        raise ValueError(f"{target}: expected a target that ends in .safetensors or .weights")
    if suffix == ".weights" and (half or notes):
        raise ValueError(f"{target}: Darknet's format holds neither float16 nor notes; leave them out")
    model, info = load_model(source)
    if suffix == ".weights":
        write_darknet(model, target, DarknetHeader(seen=int(info.provenance.get("images_seen", 0))))
    else:
        provenance = {**info.provenance, **(notes or {})}
        save_safetensors(model, target, info.class_names, half, info.net_size, **provenance)


def note(text: str) -> tuple[str, str]:
    """``NAME=TEXT`` as a pair."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"expected NAME=TEXT, got {text!r}")
    if name in (*FORMAT_FIELDS, "half"):
        raise argparse.ArgumentTypeError(f"{name!r} is one of the format's own fields: choose another name")
    return name, value


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; ``arguments`` are by default those of the process."""
    parser = argparse.ArgumentParser(
        prog="python -m yolov3_lib.models.convert",
        description="Convert a detector's weights between Darknet's format and safetensors.",
    )
    parser.add_argument("source", help=".weights or .safetensors")
    parser.add_argument("target", help=".safetensors or .weights")
    parser.add_argument("--half", action="store_true", help="store float16: half the size")
    parser.add_argument(
        "--note",
        action="append",
        type=note,
        default=[],
        metavar="NAME=TEXT",
        help="provenance to add; may be repeated",
    )
    given = parser.parse_args(arguments)
    try:
        convert(given.source, given.target, given.half, dict(given.note))
    except (ValueError, OSError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()

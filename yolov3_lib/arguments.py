"""What the commands share: types of arguments that say what they expect, and exit statuses."""

import argparse
from collections.abc import Callable
from typing import Any

FINE, SOME_FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130


def checked(convert: Callable[[str], Any], allowed: Callable[[Any], bool], what: str) -> Callable[[str], Any]:
    """An argparse type that names what it expects."""

    def parse(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not allowed(value):
            raise argparse.ArgumentTypeError(f"expected {what}, got {text!r}")
        return value

    return parse


fraction = checked(float, lambda value: 0 <= value <= 1, "a number from 0 to 1")
positive = checked(int, lambda value: value > 0, "a whole number above 0")
net_size = checked(int, lambda value: value > 0 and value % 32 == 0, "a multiple of 32")
# The suffix is asked for so that `--json photo.jpg` doesn't overwrite a photograph.
json_path = checked(str, lambda value: value == "-" or value.endswith(".json"), "a .json file or -")
json_file = checked(str, lambda value: value.endswith((".json", ".json.gz")), "a .json or .json.gz file")
png_file = checked(str, lambda value: value.lower().endswith(".png"), "a .png file")
count = checked(int, lambda value: value >= 0, "a whole number from 0")

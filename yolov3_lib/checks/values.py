"""Values in words: how numbers, boxes and lists stand in a verdict."""

import torch
from torch import Tensor


def number(value: float, digits: int = 4) -> str:
    """A number with so many digits, without trailing zeros: 0, 0.3333, nan."""
    text = f"{value:.{digits}g}"
    return "0" if text == "-0" else text


def numbers_apart(a: float, b: float) -> tuple[str, str]:
    """Two different numbers, with as many digits as it takes to tell them apart."""
    for digits in range(4, 17):
        texts = number(a, digits), number(b, digits)
        if texts[0] != texts[1]:
            break
    return texts


def show(value: object) -> str:
    """A value as a student would write it down: one box as (0, 0, 1, 1), several as a list of such."""
    if isinstance(value, Tensor):
        return _show_tensor(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    text = getattr(value, "__name__", None) or repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def kind(value: object) -> str:
    """What sort of thing a value is: "a tensor of shape (2, 3) and dtype float32", "a str"."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and dtype {str(value.dtype).removeprefix('torch.')}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' or name == 'ndarray' else 'a'} {name}"


def _show_tensor(value: Tensor) -> str:
    if value.ndim == 0:
        item = value.item()
        return str(item) if value.dtype == torch.bool else number(item, 7)
    parts = ", ".join(_show_tensor(part) for part in value)
    return f"({parts})" if value.ndim == 1 else f"[{parts}]"

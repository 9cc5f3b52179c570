"""Logits to move, read by a softmax and by sigmoids side by side, with loss and gradient: chapter 5."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from PIL import Image

from yolov3_lib.foundations import cross_entropy as ce
from yolov3_lib.plots import COLORS
from yolov3_lib.widgets.base import Widget, build, case_buttons, element, fixed, reading, text
from yolov3_lib.widgets.pictures import in_book_style, rendered

REACH = 8.0  # the sliders go from minus this to this
CLASSES = ("person", "dog", "horse", "sheep")

# Logits, and which classes are true.
_CASES = {
    "One label": ((0.5, -1.0, 2.0, 1.0), (0, 0, 1, 0)),
    "Two labels": ((2.0, -3.0, 1.0, 0.0), (1, 0, 1, 0)),
    "Nothing": ((-3.0, -4.0, -2.0, -5.0), (0, 0, 0, 0)),
    "Sure and wrong": ((-4.0, 0.0, -4.0, 6.0), (0, 0, 1, 0)),
    "All equal": ((0.0, 0.0, 0.0, 0.0), (0, 1, 0, 0)),
}


def entropy_explorer(
    logits: Sequence[float] = _CASES["One label"][0],
    targets: Sequence[int] = _CASES["One label"][1],
    *,
    class_names: Sequence[str] = CLASSES,
) -> Widget:
    """Logits of a few classes on sliders, with a check box for each class that is true.

    Beside each logit stand its probability and its gradient p − y, once by the softmax over all classes and
    once by its own sigmoid; below, the categorical and the summed binary cross-entropy. Several true classes
    share the softmax's target equally; without any it has none. Buttons take one step of gradient descent.

    Args:
        logits: one for each class, from −8 to 8.
        targets: 1 for each class that is true, else 0.
        class_names: two to six names.

    Raises:
        ValueError: lengths that differ, too few or too many classes, a logit out of range, or a target that
            is neither 0 nor 1.
    """
    if not 2 <= len(class_names) <= 6 or not len(logits) == len(targets) == len(class_names):
        raise ValueError(
            f"expected two to six classes, each with a logit and a target; got {len(class_names)} names, "
            f"{len(logits)} logits and {len(targets)} targets"
        )
    for i, (logit, target) in enumerate(zip(logits, targets, strict=True)):
        if not -REACH <= logit <= REACH:
            raise ValueError(f"logits[{i}] is {logit}: the sliders go from {-REACH:g} to {REACH:g}")
        if target not in (0, 1):
            raise ValueError(f"targets[{i}] is {target}: 1 where the class is true, else 0")
    logits, targets = [float(t) for t in logits], [int(y) for y in targets]
    said = readout(logits, targets)
    cases = {"Start": (logits, targets)} if tuple(class_names) != CLASSES else _CASES
    alt = _alt(class_names, said, targets)
    body = (
        case_buttons(cases, "Notable cases")
        + _table(class_names, logits, targets, said)
        + _losses(said)
        + element("p", class_="yv-unseen", role="status")
    )
    return build(
        "cross_entropy",
        body,
        {"logits": logits, "targets": targets, "cases": cases, "reach": REACH, "names": list(class_names)},
        _picture(class_names, logits, targets),
        alt=alt,
        description=f"Cross-entropy explorer: softmax {said['soft-loss']}, sigmoids {said['sig-loss']}",
    )


def numbers(logits: Sequence[float], targets: Sequence[int]) -> dict[str, list[float] | float | None]:
    """Probabilities and gradients of both readings, their losses, and the floor of the softmax's.

    Where no class is true, the softmax's loss, floor and gradient are None.
    """
    t = torch.tensor(logits, dtype=torch.float64)
    y = torch.tensor(targets, dtype=torch.float64)
    result = {
        "soft": ce.softmax(t).tolist(),
        "sig": ce.sigmoid(t).tolist(),
        "sig-slope": ce.binary_gradient(t, y).tolist(),
        "sig-loss": ce.binary_cross_entropy(t, y).sum().item(),
        "soft-slope": None,
        "soft-loss": None,
        "floor": None,
    }
    if any(targets):
        share = y / y.sum()
        result["soft-slope"] = ce.categorical_gradient(t, share).tolist()
        result["soft-loss"] = ce.categorical_cross_entropy(t, share).item()
        result["floor"] = ce.entropy(share).item()
    return result


def readout(logits: Sequence[float], targets: Sequence[int]) -> dict[str, str]:
    """What the figure says, by the name of each place; ``cross_entropy.js`` says the same."""
    found = numbers(logits, targets)
    said = {
        "soft-loss": "not defined" if found["soft-loss"] is None else fixed(found["soft-loss"]),
        "floor": "–" if found["floor"] is None else fixed(found["floor"]),
        "sig-loss": fixed(found["sig-loss"]),
        "soft-sum": fixed(sum(found["soft"]), 2),
        "sig-sum": fixed(sum(found["sig"]), 2),
    }
    for i, logit in enumerate(logits):
        said[f"{i}-logit"] = fixed(logit, 2)
        said[f"{i}-soft"], said[f"{i}-sig"] = fixed(found["soft"][i]), fixed(found["sig"][i])
        said[f"{i}-sig-slope"] = fixed(found["sig-slope"][i])
        said[f"{i}-soft-slope"] = "–" if found["soft-slope"] is None else fixed(found["soft-slope"][i])
    return said


def _alt(names: Sequence[str], said: Mapping[str, str], targets: Sequence[int]) -> str:
    true = [name for name, target in zip(names, targets, strict=True) if target] or ["none"]
    each = ", ".join(
        f"{name} {said[f'{i}-logit']}: softmax {said[f'{i}-soft']}, sigmoid {said[f'{i}-sig']}"
        for i, name in enumerate(names)
    )
    return (
        f"Logits of {len(names)} classes with their probabilities. {each}. True: {', '.join(true)}. "
        f"The softmax's loss is {said['soft-loss']}, the sigmoids' {said['sig-loss']}."
    )


# Markup.


def _table(names: Sequence[str], logits: list[float], targets: list[int], said: Mapping[str, str]) -> str:
    found = numbers(logits, targets)
    heads = ("true?", "logit t", "softmax p", "p − y", "sigmoid p", "p − y")
    head = element("div", "".join(element("span", h) for h in heads), class_="yv-row yv-head")
    rows = []
    for i, name in enumerate(names):
        checked = "checked" if targets[i] else None
        box = element("input", type="checkbox", data_target=i, checked=checked)
        range_ = element(
            "input", type="range", min=-REACH, max=REACH, step=0.01, value=logits[i], data_logit=i,
            aria_label=f"Logit of {name}",
        )  # fmt: skip
        slider = element("div", range_, class_="yv-live") + reading(said, f"{i}-logit", "yv-number")
        rows.append(
            element("label", box + text(name), class_="yv-check")
            + element("div", slider, class_="yv-logit")
            + _reading("softmax", f"{i}-soft", found["soft"][i], found["soft-slope"], i, said)
            + _reading("sigmoid", f"{i}-sig", found["sig"][i], found["sig-slope"], i, said)
        )
    return head + "".join(element("div", row, class_="yv-row") for row in rows)


def _reading(
    kind: str, key: str, p: float, slopes: list[float] | None, i: int, said: Mapping[str, str]
) -> str:
    """A probability and a gradient, each as a bar and as a number."""
    slope = slopes[i] if slopes else 0.0
    side = element(
        "div",
        element("span", kind, class_="yv-kind")
        + element("span", class_="yv-meter", data_bar=key, style=f"--v:{p:.4f}")
        + reading(said, key, "yv-value"),
        class_=f"yv-side yv-{kind}",
    )
    pull = element(
        "div",
        element("span", "p − y", class_="yv-kind")
        + element("span", class_="yv-scale", data_bar=f"{key}-slope", style=f"--v:{slope:.4f}")
        + reading(said, f"{key}-slope", "yv-value"),
        class_="yv-side",
    )
    return side + pull


def _losses(said: Mapping[str, str]) -> str:
    def block(kind: str, title: str, key: str, more: str) -> str:
        button = element("button", f"Step of the {kind}", type="button", data_step=key)
        lines = element("p", element("b", title) + " " + reading(said, f"{key}-loss", "yv-loss"))
        lines += element("p", more, class_="yv-hint")
        return element("div", lines + element("div", button, class_="yv-bar yv-live"), class_="yv-block")

    soft = block(
        "softmax", "Categorical, −Σ y ln p:", "soft",
        f"floor {reading(said, 'floor')}, the target’s entropy; probabilities add up to "
        f"{reading(said, 'soft-sum')}",
    )  # fmt: skip
    sig = block(
        "sigmoids", "Binary, summed:", "sig",
        f"floor 0; probabilities add up to {reading(said, 'sig-sum')}",
    )  # fmt: skip
    note = element(
        "p", "A step moves every logit against its gradient, t ← t − (p − y).", class_="yv-hint yv-live"
    )
    return element("div", soft + sig, class_="yv-columns yv-losses") + note


# The still picture.


@in_book_style
def _picture(names: Sequence[str], logits: list[float], targets: list[int]) -> Image.Image:
    found, said = numbers(logits, targets), readout(logits, targets)
    figure = Figure(figsize=(8.6, 3.4), dpi=200, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rows = range(len(names))
    for shift, kind, label, color in ((-0.2, "soft", "softmax", "a"), (0.2, "sig", "sigmoid", "b")):
        places = [row + shift for row in rows]
        left.barh(places, found[kind], 0.36, color=COLORS[color], label=label)
        right.barh(places, found[f"{kind}-slope"] or [0.0] * len(names), 0.36, color=COLORS[color])
    labels = [
        f"{name}{' (true)' if target else ''}\nt = {said[f'{i}-logit']}"
        for i, (name, target) in enumerate(zip(names, targets, strict=True))
    ]
    left.set(yticks=list(rows), yticklabels=labels, xlim=(0, 1), title="probability p")
    left.invert_yaxis()
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    right.axvline(0, color=COLORS["text"], linewidth=0.8)
    right.set(xlim=(-1, 1), title="gradient p − y")
    figure.suptitle(f"loss: softmax {said['soft-loss']}, sigmoids {said['sig-loss']}", fontsize=11)
    return rendered(figure)

"""Draw the introduction's pictures: ``.venv/bin/python tools/intro_figures.py`` fills ``book/_static/intro``.

The diagrams are drawn twice, for light and for dark pages.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from yolov3_lib import plots
from yolov3_lib.data.images import load_image
from yolov3_lib.data.voc import read_annotation
from yolov3_lib.paths import find_data

TARGET = Path(__file__).parent.parent / "book" / "_static" / "intro"
INK = {"light": "#1A1A1A", "dark": "#E6E6E6"}
SIDE = 61  # pixels of the picture that the cells look at
WAVE = 14.0  # pixels from one bright stripe of it to the next


def main() -> None:
    TARGET.mkdir(exist_ok=True)
    for theme, ink in INK.items():
        style = {"text.color": ink, "axes.labelcolor": ink, "axes.edgecolor": ink, "xtick.color": ink}
        style |= {"ytick.color": ink, "font.size": 11, "svg.hashsalt": "intro", "legend.frameon": False}
        style |= {"axes.spines.top": False, "axes.spines.right": False, "savefig.transparent": True}
        with plt.rc_context(style):
            for draw in (cells, errors):
                figure = draw()
                # No date in the file: drawn again, it's the same file.
                figure.savefig(TARGET / f"{draw.__name__}-{theme}.svg", metadata={"Date": None})
                plt.close(figure)
    grid().savefig(TARGET / "grid.jpg", dpi=100, pil_kwargs={"quality": 85})


def field(orientation: float, shift: float = 0.0) -> np.ndarray:
    """A simple cell's receptive field in the picture: a stripe that excites, two beside it that inhibit.

    Args:
        orientation: of the stripe, in degrees from upright.
        shift: of the field, in pixels across.

    Returns:
        (SIDE, SIDE), whose sum is 0: even light doesn't excite it.
    """
    across, along = turned(orientation)
    across = across - shift
    window = np.exp(-(across**2 + along**2) / (2 * 6.0**2))
    wave = window * np.cos(2 * np.pi * across / WAVE)
    return wave - window * wave.sum() / window.sum()


def bar(orientation: float, shift: float = 0.0) -> np.ndarray:
    """A bright bar, five pixels wide, across the picture: (SIDE, SIDE), from 0 to 1 at its soft edges."""
    across, _ = turned(orientation)
    return (3 - np.abs(across - shift)).clip(0, 1)


def turned(orientation: float) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel's distance from the middle, across a direction and along it."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    angle = np.deg2rad(orientation)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def simple(image: np.ndarray, shift: float = 0.0) -> float:
    """What lies in the bright stripe, less what lies in the dark ones; a rate of firing isn't negative."""
    return max(0.0, float((image * field(0, shift)).sum()))


def complex_(image: np.ndarray) -> float:
    """The strongest of several simple cells, alike but for their place."""
    return max(simple(image, shift) for shift in np.arange(-9, 9.5, 0.5))


def cells() -> plt.Figure:
    figure, (picture, place, turn) = plt.subplots(1, 3, figsize=(9.6, 2.9), layout="constrained")
    picture.imshow(field(0)[10:-10, 10:-10], cmap="gray", vmin=-1, vmax=1)
    picture.set(xticks=[], yticks=[], xlabel="a simple cell's field")
    highest = simple(bar(0))
    shifts, angles = np.arange(-20, 20.25, 0.25), np.arange(-90, 91, 3)
    by_place = [(simple(bar(0, s)), complex_(bar(0, s))) for s in shifts]
    by_turn = [(simple(bar(a)), complex_(bar(a))) for a in angles]
    for ax, values, responses in ((place, shifts, by_place), (turn, angles, by_turn)):
        lines(ax, values, np.array(responses).T / highest)
    place.set(xlabel="place of the bar [pixels]", ylabel="response")
    turn.set(xlabel="orientation of the bar [degrees]", xticks=(-90, -45, 0, 45, 90))
    place.legend(loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=2, handlelength=1.6, columnspacing=1)
    return figure


def lines(ax: Axes, values: np.ndarray, responses: np.ndarray) -> None:
    one, many = responses
    ax.plot(values, many, color=plots.COLORS["overlap"], linewidth=2, label="complex")
    ax.plot(values, one, color=plots.COLORS["prediction"], linestyle="dashed", linewidth=2, label="simple")
    ax.set(ylim=(0, 1.1))


def errors() -> plt.Figure:
    """Redmon et al. 2016, Figure 4: of the best detections of each class, in percent."""
    kinds = ("right", "wrong place", "similar class", "other class", "background")
    shares = {"Fast R-CNN": (71.6, 8.6, 4.3, 1.9, 13.6), "YOLO": (65.5, 19.0, 6.75, 4.0, 4.75)}
    colors = [plots.COLORS[name] for name in ("kept", "prediction", "accent", "highlight", "suppressed")]
    figure, ax = plt.subplots(figsize=(8.6, 2.5), layout="constrained")
    for row, values in enumerate(shares.values()):
        left = 0.0
        for kind, value, color in zip(kinds, values, colors, strict=True):
            ax.barh(row, value, left=left, color=color, label=kind if row == 0 else None, height=0.62)
            if value > 3:
                ax.text(left + value / 2, row, f"{value:g}", ha="center", va="center", color="#1A1A1A")
            left += value
    ax.set(yticks=range(len(shares)), yticklabels=shares, xlim=(0, 100), xlabel="percent of the detections")
    ax.invert_yaxis()
    ax.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=5, handlelength=1, columnspacing=1.2)
    return figure


def grid() -> plt.Figure:
    """YOLOv1's cells on a photograph squeezed to 448 × 448, and the cells that answer for its objects."""
    size, cells_a_side = 448, 7
    image, truth = load_image(find_data("photos/dog.jpg")), read_annotation(find_data("photos/dog.xml"))
    scale = np.array([size / image.shape[1], size / image.shape[0]] * 2)
    figure = plt.figure(figsize=(size / 100, size / 100))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.imshow(image, extent=(0, size, size, 0))
    ax.axis("off")
    cell = size / cells_a_side
    for edge in np.arange(1, cells_a_side) * cell:
        ax.axhline(edge, color="white", linewidth=1)
        ax.axvline(edge, color="white", linewidth=1)
    for box, name in zip(truth.boxes.numpy() * scale, truth.names, strict=True):
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        corner = (x // cell * cell, y // cell * cell)
        ax.add_patch(Rectangle(corner, cell, cell, facecolor=plots.COLORS["highlight"], alpha=0.55))
        edges = (box[0], box[1]), box[2] - box[0], box[3] - box[1]
        ax.add_patch(Rectangle(*edges, fill=False, edgecolor=plots.COLORS["truth"], linewidth=2.5))
        ax.plot(x, y, "o", color=plots.COLORS["truth"], markersize=7, markeredgecolor="white")
        ax.text(
            box[0] + 4, box[1] + 14, name, color="white", backgroundcolor=plots.COLORS["truth"], fontsize=9
        )
    return figure


if __name__ == "__main__":
    main()

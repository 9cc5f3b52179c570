"""Make ``data/sprites`` and ``data/textures``, once, by hand: the files are committed.

Four packages hold what is needed; unpack them in a temporary folder and name their parts::

    npm pack @lobehub/fluent-emoji-3d@1.1.0 && tar xzf lobehub-fluent-*.tgz      # package/assets
    npm pack @svgmoji/noto@3.2.0 && tar xzf svgmoji-noto-*.tgz                   # package/sprites/all.svg
    pip download --no-deps scikit-image==0.25.2 && unzip scikit_image-*.whl      # skimage/data
    pip install resvg-py                                                         # draws the SVGs
    python tools/make_sprites.py FLUENT_ASSETS NOTO_ALL_SVG SKIMAGE_DATA

No emoji is a dining table, a sofa alone or a cactus in a pot: those are drawn, cut out or put together here.
What each file shows and which license it has stands in the two folders' README.md.
"""

import argparse
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

DATA = Path(__file__).parent.parent / "data"
SPRITE_SIDE = 160  # of a sprite's longer side in pixels; scenes draw it at 20 to 330
TEXTURE_SIDE = 512

# Code points of the emoji, hexadecimal; skin tones and sexes vary so that "person" isn't one drawing.
EMOJI: dict[str, tuple[str, ...]] = {
    "aeroplane": ("2708-fe0f", "1f6e9-fe0f", "1f6eb", "1f6ec"),
    "bicycle": ("1f6b2",),
    "bird": ("1f426", "1f985", "1f986", "1f99c", "1f413", "1f9a2"),
    "boat": ("26f5", "1f6a4", "1f6e5-fe0f", "1f6a2", "26f4-fe0f"),
    "bottle": ("1f37e", "1f37c", "1f9f4"),
    "bus": ("1f68c", "1f68d", "1f68e"),
    "car": ("1f697", "1f695", "1f699", "1f698", "1f693"),
    "cat": ("1f408", "1f408-200d-2b1b", "1f431"),
    "chair": ("1fa91", "1f4ba"),
    "cow": ("1f404", "1f402", "1f42e"),
    "dog": ("1f415", "1f436", "1f9ae", "1f415-200d-1f9ba", "1f429"),
    "horse": ("1f40e", "1f434"),
    "motorbike": ("1f3cd-fe0f", "1f6f5"),
    "person": (
        "1f9cd-1f3fb-200d-2640-fe0f", "1f9cd-1f3fe-200d-2642-fe0f", "1f6b6-1f3fd",
        "1f3c3-1f3fc-200d-2640-fe0f", "1f3c3-1f3ff-200d-2642-fe0f", "1f483-1f3fb",
        "1f9d1-1f3fd-200d-1f33e", "1f46e-1f3fb", "1f477-1f3fe",
    ),
    "pottedplant": ("1fab4",),
    "sheep": ("1f411", "1f40f"),
    "sofa": ("1f6cb-fe0f",),
    "train": ("1f682", "1f683", "1f685", "1f686", "1f68a"),
    "tvmonitor": ("1f4fa", "1f5a5-fe0f"),
}  # fmt: skip

# What is cut away, as the kept part (left, top, right, bottom) of the emoji: the runway below an aeroplane,
# the lamp beside a sofa, and most of the slab of water that Noto's boats swim in.
CROPS: dict[tuple[str, str], tuple[float, float, float, float]] = {
    ("fluent", "1f6eb"): (0, 0, 1, 0.72),
    ("fluent", "1f6ec"): (0, 0, 1, 0.72),
    ("noto", "1f6eb"): (0, 0, 1, 0.66),
    ("noto", "1f6ec"): (0, 0, 1, 0.66),
    ("fluent", "1f6cb-fe0f"): (0, 0.5, 0.785, 1),
    ("noto", "1f6cb-fe0f"): (0, 0.55, 0.79, 1),
    **{("noto", boat): (0, 0, 1, 0.8) for boat in ("1f6a4", "1f6e5-fe0f", "1f6a2", "26f4-fe0f")},
}

# Crops of scikit-image's pictures, in pixels: without the photographer, and inside the eye's round border.
TEXTURES: dict[str, tuple[str, tuple[int, int, int, int] | None]] = {
    "brick": ("brick.png", None),
    "cell": ("cell.png", None),
    "clock": ("clock_motion.png", None),
    "field": ("camera.png", (335, 0, 512, 350)),
    "galaxies_1": ("hubble_deep_field.jpg", (0, 0, 500, 500)),
    "galaxies_2": ("hubble_deep_field.jpg", (450, 350, 1000, 872)),
    "grass": ("grass.png", None),
    "gravel": ("gravel.png", None),
    "retina": ("retina.jpg", (250, 250, 1160, 1160)),
    "rocket": ("rocket.jpg", None),
    "vessels": ("microaneurysms.png", None),
    "writing": ("text.png", None),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fluent", type=Path, help="package/assets of @lobehub/fluent-emoji-3d")
    parser.add_argument("noto", type=Path, help="package/sprites/all.svg of @svgmoji/noto")
    parser.add_argument("skimage", type=Path, help="skimage/data of scikit-image's wheel")
    options = parser.parse_args()
    for style, emoji in (("fluent", fluent_reader(options.fluent)), ("noto", noto_reader(options.noto))):
        make_style(style, emoji)
    make_textures(options.skimage)


# --- Emoji ---


def fluent_reader(folder: Path) -> Callable[[str], Image.Image]:
    """A function from code points to the emoji, 256 × 256 RGBA."""

    def read(code: str) -> Image.Image:
        names = (code, code.replace("-fe0f", ""))
        path = next(path for name in names if (path := folder / f"{name}.webp").is_file())
        return Image.open(path).convert("RGBA")

    return read


def noto_reader(path: Path) -> Callable[[str], Image.Image]:
    """A function from code points to the emoji, 256 × 256 RGBA, drawn from one SVG that holds them all."""
    import resvg_py

    text = path.read_text(encoding="utf-8")
    found = re.finditer(
        r'<svg\b[^>]*?\bid="([0-9A-F-]+)"[^>]*>.*?</svg>', text[text.index("</style>") :], re.S
    )
    drawings = {match[1].lower(): match[0] for match in found}

    def read(code: str) -> Image.Image:
        drawing = drawings.get(code) or drawings[code.replace("-fe0f", "")]
        if "xmlns:xlink" not in drawing:
            drawing = drawing.replace("<svg", '<svg xmlns:xlink="http://www.w3.org/1999/xlink"', 1)
        png = bytes(resvg_py.svg_to_bytes(svg_string=drawing, width=256, height=256))
        return Image.open(io.BytesIO(png)).convert("RGBA")

    return read


def make_style(style: str, emoji: Callable[[str], Image.Image]) -> None:
    sprites: dict[str, list[Image.Image]] = {}
    for name, codes in EMOJI.items():
        sprites[name] = [crop(emoji(code), CROPS.get((style, code))) for code in codes]
    pot = clay_pot(soft=style == "fluent")
    sprites["pottedplant"] += [in_pot(emoji(code), pot) for code in ("1f335", "1f337", "1f33b")]
    sprites["diningtable"] = [draw() for draw in TABLES[style]]
    folder = DATA / "sprites" / style
    folder.mkdir(parents=True, exist_ok=True)
    for name, images in sprites.items():
        for number, image in enumerate(images, start=1):
            fitted(image, SPRITE_SIDE).save(folder / f"{name}_{number}.webp", quality=82, method=6)


def crop(image: Image.Image, part: tuple[float, float, float, float] | None) -> Image.Image:
    if part is None:
        return image
    return image.crop(tuple(round(value * image.width) for value in part))


def fitted(image: Image.Image, side: int) -> Image.Image:
    """Trimmed to what is visible, and scaled so that the longer side is ``side``."""
    image = image.crop(image.getchannel("A").point(lambda alpha: 255 * (alpha > 12)).getbbox())
    scale = side / max(image.size)
    size = tuple(max(1, round(length * scale)) for length in image.size)
    return image.resize(size, Image.Resampling.LANCZOS)


# --- Drawn here: pots and tables, four times as large as needed and without outlines smoothed away ---

_CANVAS = 1024
Point = tuple[float, float]


def shade(shape: Callable[[ImageDraw.ImageDraw], None], top: str, bottom: str) -> Image.Image:
    """A shape filled from ``top`` to ``bottom``, as RGBA: the soft look of a rendered body."""
    mask = Image.new("L", (_CANVAS, _CANVAS))
    shape(ImageDraw.Draw(mask))
    _, upper, _, lower = mask.getbbox()
    ends = [np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) for color in (top, bottom)]
    position = np.clip((np.arange(_CANVAS) - upper) / max(lower - upper, 1), 0, 1)[:, None]
    rows = (ends[0] * (1 - position) + ends[1] * position).astype(np.uint8)
    pixels = np.broadcast_to(rows[:, None], (_CANVAS, _CANVAS, 3))
    filled = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGBA")
    filled.putalpha(mask)
    return filled


def paint(
    canvas: Image.Image, kind: str, points: Sequence[float], top: str, bottom: str | None = None
) -> None:
    """Add a polygon, an ellipse or a rounded rectangle given in thousandths of the canvas."""
    scaled = [value * _CANVAS / 1000 for value in points]
    shapes: dict[str, Callable[[ImageDraw.ImageDraw], None]] = {
        "polygon": lambda draw: draw.polygon(scaled, fill=255),
        "ellipse": lambda draw: draw.ellipse(scaled, fill=255),
        "rounded": lambda draw: draw.rounded_rectangle(scaled, radius=18, fill=255),
    }
    canvas.alpha_composite(shade(shapes[kind], top, bottom or top))


def blank() -> Image.Image:
    return Image.new("RGBA", (_CANVAS, _CANVAS))


def plate(canvas: Image.Image, x: float, y: float, radius: float, rim: str, inner: str, food: str) -> None:
    """A plate seen at a slant, so that it is half as high as wide."""
    for scale, color in ((1.0, rim), (0.7, inner), (0.4, food)):
        wide, high = radius * scale, radius * scale * 0.48
        paint(canvas, "ellipse", (x - wide, y - high, x + wide, y + high), color)


def clay_pot(soft: bool) -> Image.Image:
    canvas = blank()
    body, rim, soil = (("#F4A377", "#C4684A"), ("#FFBE94", "#DB8360"), "#5C3A35") if soft else (
        ("#D9572B", "#D9572B"), ("#F0784B", "#F0784B"), "#6D4C41")  # fmt: skip
    if soft:
        paint(canvas, "ellipse", (270, 560, 730, 720), soil)
    paint(canvas, "polygon", (295, 700, 705, 700, 650, 980, 350, 980), *body)
    paint(canvas, "rounded", (250, 630, 750, 745), *rim)
    return canvas


def in_pot(plant: Image.Image, pot: Image.Image) -> Image.Image:
    """The plant stands in the pot: the pot's front hides its foot."""
    plant = fitted(plant, 640)
    canvas = blank()
    canvas.alpha_composite(plant, ((_CANVAS - plant.width) // 2, 690 - plant.height))
    canvas.alpha_composite(pot)
    return canvas


def soft_wooden_table() -> Image.Image:
    canvas = blank()
    for x, y in ((235, 560), (735, 560)):
        paint(canvas, "rounded", (x, y - 100, x + 45, y + 200), "#7A4A33", "#4E2C22")
    for x in (70, 870):
        paint(canvas, "rounded", (x, 600, x + 65, 960), "#A9694A", "#6E3F2E")
    paint(canvas, "polygon", (60, 640, 940, 640, 940, 700, 60, 700), "#8A5238", "#6E3F2E")
    paint(canvas, "polygon", (220, 330, 780, 330, 980, 640, 20, 640), "#D9A06F", "#B97B50")
    paint(canvas, "polygon", (20, 640, 980, 640, 975, 668, 25, 668), "#9A6042")
    for x, y, radius in ((330, 420, 80), (660, 420, 80), (270, 550, 105), (700, 550, 105)):
        plate(canvas, x, y, radius, "#F7F3FA", "#DCD3E6", "#F2994A")
    paint(canvas, "rounded", (470, 400, 540, 500), "#BFE7FF", "#5AA9E6")
    return canvas.filter(ImageFilter.GaussianBlur(1.5))


def soft_round_table() -> Image.Image:
    canvas = blank()
    paint(canvas, "ellipse", (270, 860, 730, 970), "#6E5A7E", "#4A3A5A")
    paint(canvas, "polygon", (455, 560, 545, 560, 565, 920, 435, 920), "#9C88AE", "#5E4C72")
    paint(canvas, "ellipse", (30, 330, 970, 720), "#C9BCD6", "#9483A8")
    paint(canvas, "ellipse", (30, 300, 970, 680), "#FBF8FF", "#DDD2EA")
    for x, y, radius in ((280, 490, 115), (720, 490, 115), (500, 590, 115)):
        plate(canvas, x, y, radius, "#FF9AA2", "#FFFFFF", "#7CC576")
    paint(canvas, "polygon", (450, 340, 550, 340, 530, 450, 470, 450), "#FFD66B", "#E8963E")
    return canvas.filter(ImageFilter.GaussianBlur(1.5))


def soft_covered_table() -> Image.Image:
    canvas = blank()
    for x in (120, 820):
        paint(canvas, "rounded", (x, 700, x + 60, 970), "#8B5E4A", "#57382C")
    hem = (930, 800, 790, 770, 640, 805, 500, 770, 350, 805, 210, 770, 70, 800)
    paint(canvas, "polygon", (40, 560, 960, 560, *hem), "#E5484D", "#A92B38")
    paint(canvas, "polygon", (180, 330, 820, 330, 960, 570, 40, 570), "#FF8B8B", "#EE5A5F")
    for x, y, radius in ((350, 395, 70), (650, 395, 70), (290, 490, 95), (710, 490, 95)):
        plate(canvas, x, y, radius, "#FFFFFF", "#E6E1EC", "#FFC94D")
    paint(canvas, "ellipse", (430, 390, 570, 470), "#8FD694", "#4C9F70")
    return canvas.filter(ImageFilter.GaussianBlur(1.5))


def flat_wooden_table() -> Image.Image:
    canvas = blank()
    for x in (250, 700):
        paint(canvas, "polygon", (x, 540, x + 50, 540, x + 50, 800, x, 800), "#5D4037")
    for x in (80, 850):
        paint(canvas, "polygon", (x, 560, x + 70, 560, x + 70, 940, x, 940), "#795548")
    paint(canvas, "polygon", (270, 390, 730, 390, 990, 590, 10, 590), "#A1785F")
    paint(canvas, "polygon", (10, 590, 990, 590, 990, 640, 10, 640), "#6D4C41")
    for x in (400, 500, 600):
        paint(
            canvas,
            "polygon",
            (x, 390, x + 6, 390, 500 + 2 * (x - 500) + 8, 590, 500 + 2 * (x - 500), 590),
            "#8D6450",
        )
    for x, y, radius in ((360, 450, 75), (640, 450, 75), (240, 535, 100), (760, 535, 100)):
        plate(canvas, x, y, radius, "#FAFAFA", "#CFD8DC", "#8BC34A")
    return canvas


def flat_round_table() -> Image.Image:
    canvas = blank()
    paint(canvas, "polygon", (330, 950, 450, 840, 550, 840, 670, 950), "#BF6F1F")
    paint(canvas, "polygon", (460, 560, 540, 560, 540, 900, 460, 900), "#A85C12")
    paint(canvas, "ellipse", (20, 420, 980, 700), "#BF6F1F")
    paint(canvas, "ellipse", (20, 385, 980, 655), "#FFB74D")
    for x, y, radius in ((250, 515, 105), (750, 515, 105), (500, 590, 105)):
        plate(canvas, x, y, radius, "#FFFFFF", "#B3E5FC", "#F44336")
    paint(canvas, "rounded", (470, 380, 530, 500), "#40C0E7")
    return canvas


TABLES: dict[str, tuple[Callable[[], Image.Image], ...]] = {
    "fluent": (soft_wooden_table, soft_round_table, soft_covered_table),
    "noto": (flat_wooden_table, flat_round_table),
}


# --- Backgrounds ---


def make_textures(folder: Path) -> None:
    target = DATA / "textures"
    target.mkdir(parents=True, exist_ok=True)
    for name, (file, box) in TEXTURES.items():
        image = Image.open(folder / file).convert("RGB").crop(box)
        image.thumbnail((TEXTURE_SIDE, TEXTURE_SIDE), Image.Resampling.LANCZOS)
        image.save(target / f"{name}.webp", quality=70, method=6)


if __name__ == "__main__":
    main()

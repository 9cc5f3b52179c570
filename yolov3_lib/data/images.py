"""Photographs in, arrays out: whatever the file holds becomes an RGB array of bytes, or a clear error.

A picture that loads wrongly costs mAP without a word: a phone photograph whose EXIF rotation is ignored lies
on its side, a transparent pixel turns black, a file cut short is gray in its lower half. So ``load_image``
either returns the picture as a person would see it, or raises ``ImageError`` and says how to mend the file.
"""

import io
import os
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from yolov3_lib.boxes import Letterbox

# Only formats that hold pixels. Pillow knows more, and hands PostScript to an outside program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")

GRAY = 0.5  # what Darknet fills the rest of the network's input with

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

ImageSource = str | os.PathLike | bytes | bytearray | memoryview | Image.Image | np.ndarray


class ImageError(ValueError):
    """An image that can't be used; the message names it, says what is wrong and how to mend it."""


def load_image(source: ImageSource) -> np.ndarray:
    """Any image as upright 8-bit RGB.

    Args:
        source: a path; the bytes of an image file; a Pillow image; or an array, (H, W) or (H, W, 1) gray,
            (H, W, 3) RGB or (H, W, 4) RGBA, of uint8, uint16, or floats in [0, 1].

    Returns:
        (H, W, 3) uint8, RGB, contiguous; it never shares memory with ``source``.

        The EXIF orientation is applied, transparency is composited on white, gray is repeated three times,
        CMYK and palettes become RGB, 16 bits keep their high byte. Of an animation the first frame counts.

    Raises:
        ImageError: the file is missing, a folder, empty, cut short, not an image, or so large that Pillow
            takes it for a decompression bomb; the array has another shape, dtype or range.
        TypeError: ``source`` is none of the above.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, f"array {source.dtype} {source.shape}")
    if isinstance(source, Image.Image):
        name = getattr(source, "filename", "") or f"{source.mode} image {source.width}×{source.height}"
        return _from_pillow(source, str(name))
    if isinstance(source, bytes | bytearray | memoryview):
        name = f"{len(source)} bytes"
        if not source:
            raise ImageError("0 bytes: there is nothing to decode. Was the file read to its end before?")
        return _from_file(io.BytesIO(source), name)
    if isinstance(source, str | os.PathLike):
        return _from_path(source)
    raise TypeError(
        f"an image is a path, bytes, a Pillow image or a numpy array, not {type(source).__name__}. "
        "For a (3, H, W) tensor: tensor.permute(1, 2, 0).cpu().numpy()"
    )


def letterbox_image(image: np.ndarray, net_size: int | tuple[int, int]) -> tuple[torch.Tensor, Letterbox]:
    """An image scaled to fit the network's input, in the middle of a gray canvas.

    Sizes and place are Darknet's (``letterbox_image`` in its image.c), which scales bilinearly at any ratio.
    Here a shrinking image is averaged over the area that each new pixel covers: thin things don't vanish.

    Args:
        image: (H, W, 3) uint8, as ``load_image`` returns it.
        net_size: the side of the network's square input in pixels, or its (width, height).

    Returns:
        The network's input, (3, height, width) float32 in [0, 1], contiguous, and the ``Letterbox`` that
        takes boxes from the image to this input and back.

    Raises:
        ImageError: ``image`` isn't (H, W, 3) uint8 with at least one pixel.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError(f"letterbox_image takes a (H, W, 3) uint8 array, not {what}. Use load_image first.")
    height, width = image.shape[:2]
    if height == 0 or width == 0:
        raise ImageError(f"array {image.shape}: an image needs at least one pixel.")
    letterbox = Letterbox.fit(image_size=(width, height), net_size=net_size)
    net_width, net_height = letterbox.net_size
    new_width, new_height = letterbox.new_size
    # A linear filter reads four pixels however many it should stand for: shrinking needs the average of all.
    method = cv2.INTER_AREA if new_width < width or new_height < height else cv2.INTER_LINEAR
    resized = cv2.resize(image, (new_width, new_height), interpolation=method)

    canvas = np.full((3, net_height, net_width), GRAY, dtype=np.float32)
    left, top = letterbox.paste_offset
    window = canvas[:, top : top + new_height, left : left + new_width]
    np.divide(resized.transpose(2, 0, 1), np.float32(255), out=window)
    return torch.from_numpy(canvas), letterbox


def _from_path(source: str | os.PathLike) -> np.ndarray:
    name = os.fspath(source)
    if isinstance(name, str) and name.lower().startswith(("http://", "https://")):
        raise ImageError(f"{name}: images are read from files, not from the web. Download it first.")
    path = Path(os.fsdecode(name))
    if path.is_dir():
        raise ImageError(f"{path}: this is a folder. Give the path of one image in it.")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file. Check the path, it counts from {Path.cwd()}.") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise ImageError(f"{path}: can't be read ({error}). Check the path and its permissions.") from error
    if not data:
        raise ImageError(f"{path}: the file is empty (0 bytes). Copy or download it again.")
    return _from_file(io.BytesIO(data), str(path))


def _from_file(file: io.BytesIO, name: str) -> np.ndarray:
    try:
        image = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(name, error) from error
    except Image.UnidentifiedImageError:
        raise ImageError(
            f"{name}: this isn't an image, or its head is damaged. "
            f"Readable are {', '.join(FORMATS)}; save it as one of these, or download it again."
        ) from None
    except Exception as error:  # what a damaged head makes Pillow raise depends on the format
        raise _damaged(name, error) from error
    return _from_pillow(image, name)


def _from_pillow(image: Image.Image, name: str) -> np.ndarray:
    try:
        image.load()
        turn = _UPRIGHT.get(_orientation(image))
        image = _as_rgb(image, name)
        return np.array(image if turn is None else image.transpose(turn))
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(name, error) from error
    except Exception as error:  # OSError for most, but each of Pillow's decoders has its own
        raise _damaged(name, error) from error


def _as_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.width == 0 or image.height == 0:
        raise ImageError(f"{name}: an image needs at least one pixel.")
    if image.mode == "F":
        return Image.fromarray(_from_array(np.array(image), name))
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit values to 255 instead of scaling them.
        return Image.fromarray(_from_array(_as_uint16(np.array(image), name), name))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return _on_white(image.convert("RGBA"))
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none."""
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block doesn't make the pixels unusable
        return 1


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _as_uint16(pixels: np.ndarray, name: str) -> np.ndarray:
    """Pillow's integer modes, which hold 16-bit files in 16 or 32 bits."""
    if pixels.size and (pixels.min() < 0 or pixels.max() > 65535):
        raise ImageError(
            f"{name}: values from {pixels.min()} to {pixels.max()} don't fit in 16 bits. "
            "Scale them to 0 … 65535, or save the image with 8 bits."
        )
    return pixels.astype(np.uint16)


def _from_array(array: np.ndarray, name: str) -> np.ndarray:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        mend = "Channels first? array.transpose(1, 2, 0)." if array.ndim == 3 else "Pass images one by one."
        raise ImageError(f"{name}: expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4). {mend}")
    if array.size == 0:
        raise ImageError(f"{name}: an image needs at least one pixel.")
    array = _as_uint8(array, name)
    if array.shape[2] == 4:
        return np.array(_on_white(Image.fromarray(np.ascontiguousarray(array))))
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    return np.array(array, order="C")


def _as_uint8(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    if array.dtype.kind != "f":
        raise ImageError(
            f"{name}: expected uint8, uint16 or floats in [0, 1]. Convert with .astype(np.uint8)."
        )
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):  # also true of NaN
        raise ImageError(
            f"{name}: floats must lie in [0, 1], these run from {low:g} to {high:g}. "
            "Divide values of 0 … 255 by 255, and replace NaN."
        )
    return np.rint(array * 255).astype(np.uint8)


def _damaged(name: str, error: Exception) -> ImageError:
    return ImageError(f"{name}: the image is cut short or damaged ({error}). Copy or download it again.")


def _too_large(name: str, error: Exception) -> ImageError:
    return ImageError(
        f"{name}: too many pixels to open blindly ({error}). "
        "If you trust the file, scale it down, or raise PIL.Image.MAX_IMAGE_PIXELS."
    )

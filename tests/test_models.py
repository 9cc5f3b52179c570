"""The networks against the paper's tables, Darknet's published counts, and independent arithmetic."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from yolov3_lib.anchors import TINY_ANCHORS, YOLOV3_ANCHORS
from yolov3_lib.decode import decode
from yolov3_lib.models import (
    ConvBlock,
    Darknet53,
    Darknet53Classifier,
    ResidualStage,
    YOLOv3,
    YOLOv3Tiny,
    fold_batch_norm,
    is_folded,
)
from yolov3_lib.models.yolov3_tiny import max_pool_same

# (filters, kernel, stride) of every convolution in yolov3-voc.cfg; 75 filters: a head, without batch norm
BACKBONE = [(32, 3, 1)]
for channels, repeats in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
    BACKBONE += [(channels, 3, 2)] + repeats * [(channels // 2, 1, 1), (channels, 3, 1)]
NECKS = []
for channels, way_up in ((512, None), (256, 256), (128, 128)):
    NECKS += [(way_up, 1, 1)] if way_up else []
    NECKS += 3 * [(channels, 1, 1), (2 * channels, 3, 1)] + [(75, 1, 1)]
TINY = [(c, 3, 1) for c in (16, 32, 64, 128, 256, 512, 1024)]
TINY += [(256, 1, 1), (512, 3, 1), (255, 1, 1), (128, 1, 1), (256, 3, 1), (255, 1, 1)]


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def randomize_batch_norm(model: nn.Module, seed: int = 0) -> nn.Module:
    """Statistics unlike a fresh layer's, whose mean 0 and variance 1 would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Around ½, so that 23 residual blocks in a row don't blow the signal up.
            nn.init.normal_(module.weight, 0.5, 0.05, generator=generator)
            nn.init.normal_(module.bias, 0, 0.1, generator=generator)
            nn.init.normal_(module.running_mean, 0, 0.1, generator=generator)
            nn.init.uniform_(module.running_var, 0.5, 1.5, generator=generator)
    return model


@pytest.fixture(scope="module")
def yolov3() -> YOLOv3:
    torch.manual_seed(0)
    return randomize_batch_norm(YOLOv3(20)).eval()


@pytest.fixture(scope="module")
def tiny() -> YOLOv3Tiny:
    torch.manual_seed(0)
    return randomize_batch_norm(YOLOv3Tiny(80)).eval()


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: YOLOv3(20), 61_626_049),
        (lambda: YOLOv3(80), 61_949_149),
        (lambda: YOLOv3Tiny(80), 8_852_366),
        (Darknet53, 40_584_928),
        (Darknet53Classifier, 40_584_928 + 1024 * 1000 + 1000),
    ],
)
def test_parameter_counts(build, expected: int) -> None:
    assert parameters(build()) == expected


def test_convolutions_stand_in_the_order_of_the_cfg(yolov3: YOLOv3, tiny: YOLOv3Tiny) -> None:
    for model, expected in ((yolov3, BACKBONE + NECKS), (tiny, TINY)):
        found = [(conv.out_channels, conv.kernel_size[0], conv.stride[0]) for conv in convolutions(model)]
        assert found == expected
    assert len(BACKBONE + NECKS) == 75


def test_only_heads_lack_batch_norm_and_have_a_bias(yolov3: YOLOv3) -> None:
    biased = [conv.out_channels for conv in convolutions(yolov3) if conv.bias is not None]
    norms = [module for module in yolov3.modules() if isinstance(module, nn.BatchNorm2d)]
    assert biased == [75, 75, 75]
    assert len(norms) == 72
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-5, 0.01)}
    assert {m.negative_slope for m in yolov3.modules() if isinstance(m, nn.LeakyReLU)} == {0.1}


@pytest.mark.parametrize(("num_classes", "expected"), [(20, 65.428), (80, 65.864)])
def test_operations_at_416_are_darknets(num_classes: int, expected: float) -> None:
    """Darknet counts 2·k²·c_in·c_out·H·W per convolution. On the meta device nothing is computed."""
    model, operations = YOLOv3(num_classes).to("meta"), []

    def count(conv: nn.Conv2d, _inputs: tuple, output: Tensor) -> None:
        operations.append(2 * conv.weight.numel() * output.shape[2] * output.shape[3])

    for conv in convolutions(model):
        conv.register_forward_hook(count)
    model(torch.zeros(1, 3, 416, 416, device="meta"))
    assert len(operations) == 75
    assert round(sum(operations) / 1e9, 3) == expected


def test_predictions_at_416_are_10647() -> None:
    model = YOLOv3(20).to("meta")
    assert model.predict(torch.zeros(2, 3, 416, 416, device="meta")).shape == (2, 10_647, 25)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (96, 32)])
def test_shapes_at_any_multiple_of_32(yolov3: YOLOv3, tiny: YOLOv3Tiny, height: int, width: int) -> None:
    images = torch.rand(2, 3, height, width)
    with torch.inference_mode():
        for model, values in ((yolov3, 25), (tiny, 85)):
            heads = model(images)
            assert [tuple(head.shape) for head in heads] == [
                (2, 3, height // stride, width // stride, values) for stride in model.strides
            ]
            cells = sum(height * width // stride**2 for stride in model.strides)
            assert model.predict(images).shape == (2, 3 * cells, values)


def test_backbone_and_classifier_shapes() -> None:
    classifier = Darknet53Classifier(num_classes=7).eval()
    images = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        features = classifier.backbone(images)
        logits = classifier(images)
    assert [tuple(f.shape) for f in features] == [(2, 256, 8, 12), (2, 512, 4, 6), (2, 1024, 2, 3)]
    weight, bias = classifier.classifier.weight, classifier.classifier.bias
    torch.testing.assert_close(logits, features[2].mean(dim=(2, 3)) @ weight.T + bias)


def test_conv_block_is_its_three_formulas() -> None:
    block = randomize_batch_norm(ConvBlock(3, 5, 3, stride=2)).eval()
    x = torch.randn(2, 3, 8, 6)
    convolved = F.conv2d(x, block.conv.weight, stride=2, padding=1)
    mean, variance = (t[:, None, None] for t in (block.bn.running_mean, block.bn.running_var))
    gamma, beta = (t[:, None, None] for t in (block.bn.weight, block.bn.bias))
    normal = gamma * (convolved - mean) / (variance + 1e-5).sqrt() + beta
    torch.testing.assert_close(block(x), torch.where(normal > 0, normal, 0.1 * normal))


def test_residual_stage_adds_its_input() -> None:
    stage = randomize_batch_norm(ResidualStage(4, num_blocks=2)).eval()
    x = torch.randn(1, 4, 8, 8)
    expected = stage.down(x)
    for block in stage.blocks:
        expected = expected + block.expand(block.reduce(expected))
    torch.testing.assert_close(stage(x), expected)
    assert stage(x).shape == (1, 8, 4, 4)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 1000))
def test_max_pool_same_is_darknets_loop(height: int, width: int, seed: int) -> None:
    x = torch.randn(1, 2, height, width, generator=torch.Generator().manual_seed(seed))
    expected = torch.empty_like(x)
    for i in range(height):
        for j in range(width):
            expected[..., i, j] = x[..., i : i + 2, j : j + 2].amax(dim=(2, 3))
    torch.testing.assert_close(max_pool_same(x), expected, rtol=0, atol=0)


def test_predict_decodes_with_the_models_anchors(tiny: YOLOv3Tiny) -> None:
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = decode(tiny(images), TINY_ANCHORS, (32, 16))
        torch.testing.assert_close(tiny.predict(images), expected, rtol=0, atol=0)


def test_anchors_are_a_buffer_that_moves_but_is_not_saved(yolov3: YOLOv3) -> None:
    assert yolov3.anchors.tolist() == torch.tensor(YOLOV3_ANCHORS).tolist()
    assert not any("anchors" in name for name in yolov3.state_dict())
    assert copy.deepcopy(yolov3).to("meta").anchors.device.type == "meta"


def test_names_in_the_state_dict_can_be_read(yolov3: YOLOv3) -> None:
    parts = dict.fromkeys(name.split(".")[0] for name in yolov3.state_dict())
    assert list(parts) == [
        *("backbone", "neck_coarse", "head_coarse"),
        *("up_medium", "neck_medium", "head_medium"),
        *("up_fine", "neck_fine", "head_fine"),
    ]
    assert "backbone.stage3.blocks.7.expand.conv.weight" in yolov3.state_dict()


def test_every_parameter_gets_a_gradient() -> None:
    model = YOLOv3(20).train()
    sum(head.square().mean() for head in model(torch.rand(2, 3, 32, 64))).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_activations_in_place_leave_gradients_right() -> None:
    block = ConvBlock(2, 3, 3).double()
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,))
    stage = ResidualStage(2, num_blocks=1).double().eval()
    assert torch.autograd.gradcheck(stage, (x,))


def test_a_signal_survives_a_fresh_network() -> None:
    """He's start keeps the logits of an untrained network within a few units."""
    torch.manual_seed(0)
    with torch.inference_mode():
        for model in (YOLOv3(20).train(), YOLOv3Tiny(80).train()):
            for head in model(torch.rand(4, 3, 64, 64)):
                assert 0.1 < head.std() < 10


def test_channels_last_and_bfloat16_give_the_same_answer(tiny: YOLOv3Tiny) -> None:
    images = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        expected = tiny(images)
        moved = copy.deepcopy(tiny).to(memory_format=torch.channels_last)
        for head, want in zip(
            moved(images.contiguous(memory_format=torch.channels_last)), expected, strict=True
        ):
            torch.testing.assert_close(head, want, rtol=1e-4, atol=1e-4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for head, want in zip(tiny(images), expected, strict=True):
                assert (head.float() - want).abs().mean() < 0.05 * want.abs().mean()


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.zeros(3, 64, 64), ValueError, r"\(3, 64, 64\); add the batch axis"),
        (torch.zeros(1, 64, 64, 3), ValueError, r"3 channels.*\(1, 64, 64, 3\); move channels first"),
        (torch.zeros(1, 4, 64, 64), ValueError, r"expected 3 channels"),
        (torch.zeros(1, 3, 65, 64), ValueError, "height 65 is not a multiple of 32; resize to 64 or 96"),
        (torch.zeros(1, 3, 64, 20), ValueError, "width 20 is not a multiple of 32; resize to 32"),
        (torch.zeros(1, 3, 0, 64), ValueError, "height 0 is not a multiple of 32"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), TypeError, r"uint8; use images.float\(\) / 255"),
    ],
)
def test_wrong_images_are_refused(
    yolov3: YOLOv3, tiny: YOLOv3Tiny, images: Tensor, error: type, message: str
) -> None:
    for model in (yolov3, tiny):
        with pytest.raises(error, match=message):
            model(images)


@pytest.mark.parametrize("build", [YOLOv3, YOLOv3Tiny])
def test_wrong_settings_are_refused(build: type) -> None:
    with pytest.raises(ValueError, match="num_classes: expected at least 1, got 0"):
        build(0)
    with pytest.raises(ValueError, match=r"anchors: expected \d scales"):
        build(20, anchors=YOLOV3_ANCHORS[:1])


class TestFolding:
    def test_outputs_stay_the_same(self, yolov3: YOLOv3, tiny: YOLOv3Tiny) -> None:
        images = torch.rand(2, 3, 64, 96)
        with torch.inference_mode():
            for model in (yolov3, tiny):
                for folded, original in zip(fold_batch_norm(model)(images), model(images), strict=True):
                    torch.testing.assert_close(folded, original, rtol=1e-5, atol=2e-6)

    def test_outputs_stay_the_same_in_float64(self, tiny: YOLOv3Tiny) -> None:
        model, images = copy.deepcopy(tiny).double(), torch.rand(1, 3, 64, 64, dtype=torch.float64)
        with torch.inference_mode():
            for folded, original in zip(fold_batch_norm(model)(images), model(images), strict=True):
                torch.testing.assert_close(folded, original, rtol=1e-10, atol=1e-10)

    def test_the_model_itself_is_untouched(self, tiny: YOLOv3Tiny) -> None:
        model = copy.deepcopy(tiny).train()
        before = copy.deepcopy(model.state_dict())
        folded = fold_batch_norm(model)
        for parameter in folded.parameters():
            parameter.data.zero_()
        assert model.training
        assert not is_folded(model)
        for name, tensor in model.state_dict().items():
            torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)

    def test_no_batch_norm_is_left_and_folding_again_changes_nothing(self, tiny: YOLOv3Tiny) -> None:
        folded = fold_batch_norm(tiny)
        assert not folded.training
        assert is_folded(folded)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
        again = fold_batch_norm(folded)
        for name, tensor in folded.state_dict().items():
            torch.testing.assert_close(again.state_dict()[name], tensor, rtol=0, atol=0)

    def test_memory_format_is_kept(self, tiny: YOLOv3Tiny) -> None:
        model = copy.deepcopy(tiny).to(memory_format=torch.channels_last)
        weight = fold_batch_norm(model).backbone.conv3.conv.weight
        assert weight.is_contiguous(memory_format=torch.channels_last)

"""What the training loop stands on: configs, schedules, optimizers, averages, states, first weights."""

import itertools
import json
import math
import os
import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from yolov3_lib.classes import COCO_CLASSES, VOC_CLASSES
from yolov3_lib.loss import LossConfig
from yolov3_lib.models import WeightsError, YOLOv3, YOLOv3Tiny, load_model, save_safetensors, write_darknet
from yolov3_lib.paths import find_weights
from yolov3_lib.predict import Detector
from yolov3_lib.training import record, state
from yolov3_lib.training.commands import changed
from yolov3_lib.training.config import RECIPES, TrainConfig, recipe
from yolov3_lib.training.ema import MovingAverage
from yolov3_lib.training.initialize import build_model
from yolov3_lib.training.optimizer import build_optimizer, learning_rate

# Configs


@pytest.mark.parametrize("name", RECIPES)
def test_a_config_comes_back_from_json(name):
    config = RECIPES[name]
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 10, "accumulate": 4}, "accumulate"),
        ({"sizes": (400,)}, "400"),
        ({"sizes": ()}, "sizes"),
        ({"val_size": 0}, "sizes"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"momentum": 1.5}, "momentum"),
        ({"ema_decay": -0.1}, "ema_decay"),
        ({"milestones": (0.9, 0.5)}, "milestones"),
        ({"milestones": (1.5,)}, "milestones"),
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"warmup_steps": -1}, "warmup_steps"),
        ({"optimizer": "lion"}, "sgd, adam, adamw"),
        ({"precision": "fp8"}, "precision"),
        ({"architecture": "YOLOv4"}, "YOLOv3Tiny"),
    ],
)
def test_a_config_refuses_what_makes_no_sense_and_names_it(changes, named):
    with pytest.raises(ValueError, match=named):
        TrainConfig(**changes)


def test_a_loss_config_refuses_what_makes_no_sense():
    for changes in ({"name": "focal"}, {"ignore_threshold": 2}, {"lambda_noobj": -1}):
        with pytest.raises(
            ValueError, match=str(next(iter(changes)) if "name" not in changes else "darknet")
        ):
            LossConfig(**changes)


def test_an_unknown_recipe_or_field_is_refused():
    with pytest.raises(ValueError, match="darknet, modern, document, tiny"):
        recipe("yolo")
    with pytest.raises(ValueError, match="frobnicate"):
        TrainConfig.from_dict({"frobnicate": 1})


def test_differences_are_listed_one_by_one():
    ours = TrainConfig()
    assert ours.differences(TrainConfig()) == []
    other = ours.replace(epochs=7, loss=LossConfig("ciou"))
    epochs, loss = ours.differences(other)
    assert epochs == "epochs: 100 here, 7 there"
    assert loss == f"loss: {ours.to_dict()['loss']} here, {other.to_dict()['loss']} there"


def test_values_are_changed_from_text():
    config = changed(
        TrainConfig(),
        [
            "epochs=5",
            "sizes=[320,416]",
            "loss.name=ciou",
            "weights=None",
            "learning_rate=1e-2",
            "compile=true",
        ],
    )
    assert (config.epochs, config.sizes, config.loss.name) == (5, (320, 416), "ciou")
    assert config.weights is None
    assert config.learning_rate == 0.01
    assert config.compile is True
    assert changed(TrainConfig(), ["sizes=320"]).sizes == (320,)


@pytest.mark.parametrize(
    "setting",
    [
        "epochs",
        "epoch=5",
        "epochs=many",
        "epochs=1.5",
        "compile=3",
        "loss.nome=ciou",
        "optimizer=5",
        "epochs=true",
    ],
)
def test_a_setting_that_fits_nothing_is_refused(setting):
    with pytest.raises(ValueError, match="--set"):
        changed(TrainConfig(), [setting])


# The learning rate


def test_darknets_schedule_at_its_milestones():
    config = recipe("darknet")
    rate = lambda step: learning_rate(config, step, 50_200)  # noqa: E731
    # burn-in: lr · (it / 1000)⁴, with iterations counted from 1
    assert rate(499) == pytest.approx(1e-3 * 0.5**4)
    assert rate(999) == pytest.approx(1e-3)
    assert rate(1000) == rate(39_999) == 1e-3
    assert rate(40_000) == pytest.approx(1e-4)
    assert rate(45_000) == rate(50_199) == pytest.approx(1e-5)


def test_the_cosine_falls_from_the_full_rate_to_what_is_left():
    config = TrainConfig(schedule="cosine", warmup_steps=10, final_fraction=0.1, learning_rate=2.0)
    rates = [learning_rate(config, step, 110) for step in range(110)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[10] == 2.0
    assert rates[60] == pytest.approx(2 * (0.1 + 0.9 / 2))
    assert learning_rate(config, 110, 110) == pytest.approx(0.2)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


@given(
    st.sampled_from(["step", "cosine", "constant"]), st.integers(0, 50), st.integers(1, 200), st.floats(0, 5)
)
def test_a_rate_is_always_positive_and_never_above_the_full_one(schedule, warmup, total, power):
    config = TrainConfig(schedule=schedule, warmup_steps=warmup, warmup_power=power)
    assert all(0 < learning_rate(config, step, total) <= config.learning_rate for step in range(total))


# The optimizer


def test_only_convolution_weights_decay():
    model = YOLOv3Tiny(2)
    decaying, others = build_optimizer(model, TrainConfig(weight_decay=0.1)).param_groups
    convolutions = {id(m.weight) for m in model.modules() if isinstance(m, nn.Conv2d)}
    assert {id(p) for p in decaying["params"]} == convolutions
    assert len(decaying["params"]) + len(others["params"]) == len(list(model.parameters()))
    assert decaying["weight_decay"] == 0.1
    assert others["weight_decay"] == 0


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_optimizer_is_the_one_named(name, kind):
    optimizer = build_optimizer(YOLOv3Tiny(1), TrainConfig(optimizer=name, momentum=0.8))
    assert type(optimizer) is kind
    assert 0.8 in (optimizer.defaults.get("momentum"), *optimizer.defaults.get("betas", ()))


# The moving average


def test_the_average_follows_its_formula():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    average = MovingAverage(model, 0.6)
    expected = {name: tensor.clone().double() for name, tensor in model.state_dict().items()}
    for update in range(1, 8):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        model(torch.randn(4, 1, 3, 3))
        average.update(model)
        decay = min(0.6, (1 + update) / (10 + update))
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * tensor.double()
    for name, tensor in average.model.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-5, atol=1e-6)
    assert average.model[1].num_batches_tracked == model[1].num_batches_tracked == 7
    assert not average.model.training
    assert not any(p.requires_grad for p in average.model.parameters())


# States


def a_state(value: float) -> dict:
    return {
        "weights": torch.full((1000,), value),
        "random": [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()],  # noqa: NPY002
        "none": None,
    }


def test_a_state_comes_back_as_it_was(tmp_path):
    state.save_state(tmp_path, a_state(1.5))
    back, notes = state.load_state(tmp_path)
    assert notes == []
    assert torch.equal(back["weights"], a_state(1.5)["weights"])
    assert back["random"][0] == random.getstate()
    assert back["none"] is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "head", "gone"])
def test_a_damaged_state_is_recognized_and_the_one_before_is_taken(tmp_path, damage):
    state.save_state(tmp_path, a_state(1))
    state.save_state(tmp_path, a_state(2))
    last = tmp_path / state.LAST
    data = bytearray(last.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flip":
        data[-200] ^= 1
    elif damage == "empty":
        data = b""
    elif damage == "head":
        data[3] ^= 1
    last.write_bytes(bytes(data))
    if damage == "gone":
        last.unlink()
    back, notes = state.load_state(tmp_path)
    assert back["weights"][0] == 1
    assert len(notes) == (damage != "gone")
    assert all(str(last) in note for note in notes)


def test_two_damaged_states_are_an_error_that_names_both(tmp_path):
    state.save_state(tmp_path, a_state(1))
    state.save_state(tmp_path, a_state(2))
    for name in (state.LAST, state.PREVIOUS):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(state.StateError, match=r"last\.state.*previous\.state"):
        state.load_state(tmp_path)


def test_no_state_is_an_error_that_says_how_to_begin(tmp_path):
    with pytest.raises(FileNotFoundError, match="without resume"):
        state.load_state(tmp_path)


@pytest.mark.skipif(
    sys.platform == "win32", reason="a file-size limit stands in for a full disk; Windows has none"
)
def test_a_full_disk_leaves_the_last_good_state(tmp_path):
    """The kernel refuses to write more than a limit, as it does when the disk is full."""
    script = textwrap.dedent(
        """
        import resource, signal, sys, torch
        from yolov3_lib.training.state import load_state, save_state
        folder = sys.argv[1]
        save_state(folder, {"weights": torch.zeros(1000)})
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            save_state(folder, {"weights": torch.ones(100_000)})
        except OSError as error:
            print(error)
        print(load_state(folder)[0]["weights"].sum().item())
        """
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "make room" in result.stdout
    assert result.stdout.splitlines()[-1] == "0.0"
    assert os.listdir(tmp_path) == [state.LAST]


# Records


def row(step: int) -> dict:
    return {name: float(step) for name in record.STEP_COLUMNS} | {"step": step, "epoch": 0}


def test_rows_of_steps_that_will_be_done_again_are_taken_out(tmp_path):
    first = record.Record(tmp_path, tensorboard=False)
    for step in range(1, 8):
        first.step(row(step))
    with open(tmp_path / record.STEPS, "a") as file:
        file.write("8,0,416")  # the machine was lost here
    again = record.Record(tmp_path, step=5, tensorboard=False)
    again.step(row(6))
    assert [each["step"] for each in record.read_rows(tmp_path / record.STEPS)] == [1, 2, 3, 4, 5, 6]


def test_an_epoch_without_validation_has_empty_cells(tmp_path):
    values = dict.fromkeys(record.METRIC_COLUMNS, 1.0) | {"step": 3, "epoch": 1, "map_area": None}
    record.Record(tmp_path, tensorboard=False).epoch(values)
    (back,) = record.read_rows(tmp_path / record.METRICS)
    assert back["map_area"] is None
    assert back["step"] == 3


def test_tensorboard_reads_what_was_recorded(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = record.Record(tmp_path)
    for step in (1, 2):
        board.step(row(step))
    board.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 1.0), (2, 2.0)]


# First weights


def test_random_weights_follow_from_the_seed_alone():
    torch.manual_seed(5)
    first = build_model("YOLOv3Tiny", VOC_CLASSES, seed=1).model
    before = torch.get_rng_state()
    second = build_model("YOLOv3Tiny", VOC_CLASSES, seed=1).model
    third = build_model("YOLOv3Tiny", VOC_CLASSES, seed=2).model
    assert torch.equal(torch.get_rng_state(), before), "building a model leaves the global generator alone"
    assert torch.equal(first.head_fine.logits.weight, second.head_fine.logits.weight)
    assert not torch.equal(first.head_fine.logits.weight, third.head_fine.logits.weight)


def test_a_coco_head_becomes_a_voc_head_that_detects_the_same(photos_dir):
    """The detector with 20 outputs says what the one with 80 says of the same classes."""
    start = build_model("YOLOv3Tiny", VOC_CLASSES, "yolov3-tiny-coco")
    assert start.new_classes == ()
    assert start.model.training
    assert "20 of 20" in start.origin
    ours = Detector(start.model, VOC_CLASSES, device="cpu")(photos_dir / "dog.jpg")
    coco = Detector.load(find_weights("yolov3-tiny-coco"), device="cpu").with_classes(VOC_CLASSES)
    theirs = coco(photos_dir / "dog.jpg")
    assert len(ours) == len(theirs) > 2
    assert torch.equal(ours.classes, theirs.classes)
    torch.testing.assert_close(ours.boxes, theirs.boxes)
    torch.testing.assert_close(ours.scores, theirs.scores)


def test_classes_in_another_order_keep_their_outputs_and_new_ones_are_named(tmp_path):
    pretrained = YOLOv3Tiny(3)
    save_safetensors(pretrained, tmp_path / "three.safetensors", ("cat", "airplane", "dog"))
    start = build_model("YOLOv3Tiny", ("dog", "unicorn", "aeroplane"), tmp_path / "three.safetensors", seed=3)
    assert start.new_classes == ("unicorn",)
    random_start = build_model("YOLOv3Tiny", ("dog", "unicorn", "aeroplane"), seed=3)
    rows = lambda model: model.head_coarse.logits.weight.detach().view(3, 8, -1)  # noqa: E731
    assert torch.equal(rows(start.model)[:, :5], rows(pretrained)[:, :5])
    assert torch.equal(rows(start.model)[:, 5], rows(pretrained)[:, 7])
    assert torch.equal(rows(start.model)[:, 7], rows(pretrained)[:, 6])
    assert torch.equal(rows(start.model)[:, 6], rows(random_start.model)[:, 6])


def test_a_darknet_backbone_fills_yolov3_alone(tmp_path):
    path = tmp_path / "darknet53.conv.74"
    source = YOLOv3(1)
    write_darknet(source.backbone, path)
    start = build_model("YOLOv3", ("dog",), path, seed=1)
    theirs = source.backbone.state_dict()
    assert all(
        torch.equal(tensor, theirs[name])
        for name, tensor in start.model.backbone.state_dict().items()
        if "num_b" not in name
    )
    assert "backbone" in start.origin
    with pytest.raises(WeightsError, match="backbone of YOLOv3"):
        build_model("YOLOv3Tiny", ("dog",), path)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    save_safetensors(YOLOv3Tiny(1), tmp_path / "tiny.safetensors", ("unicorn",))
    with pytest.raises(WeightsError, match="choose that architecture"):
        build_model("YOLOv3", VOC_CLASSES, tmp_path / "tiny.safetensors")
    with pytest.raises(WeightsError, match="none of its classes"):
        build_model("YOLOv3Tiny", VOC_CLASSES, tmp_path / "tiny.safetensors")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        build_model("YOLOv3Tiny", VOC_CLASSES, tmp_path / "nowhere.weights")
    with pytest.raises(ValueError, match="architecture"):
        build_model("YOLOv9", VOC_CLASSES)
    with pytest.raises(ValueError, match="at least one class"):
        build_model("YOLOv3Tiny", ())


def test_darknets_own_file_starts_a_run_too(tiny_weights_path):
    start = build_model("YOLOv3Tiny", COCO_CLASSES, tiny_weights_path)
    model, _ = load_model(tiny_weights_path)
    assert torch.equal(start.model.backbone.conv3.conv.weight, model.backbone.conv3.conv.weight)
    assert torch.equal(start.model.head_fine.logits.bias, model.head_fine.logits.bias)
    assert math.isfinite(start.model.head_fine.logits.bias.sum().item())

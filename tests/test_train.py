"""The training loop: it learns, it survives whatever interrupts it, and it says clearly what is wrong.

Runs here are a few steps of YOLOv3-tiny on a few generated scenes: real data, the real network, small sizes.
"""

import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from yolov3_lib import cli
from yolov3_lib.data.images import ImageError
from yolov3_lib.data.scenes import write_scenes
from yolov3_lib.data.voc import VOCDataset
from yolov3_lib.evaluate import evaluate_voc
from yolov3_lib.loss import LossConfig
from yolov3_lib.models import load_model
from yolov3_lib.predict import load_predictions
from yolov3_lib.train import NonFiniteLoss, Options, Outcome, Trainer
from yolov3_lib.training import record
from yolov3_lib.training.config import TrainConfig
from yolov3_lib.training.state import LAST, PREVIOUS, load_state

CONFIG = TrainConfig(
    architecture="YOLOv3Tiny",
    weights="yolov3-tiny-coco",
    train="scenes-train",
    val="scenes-val",
    sizes=(64, 96),
    val_size=64,
    epochs=2,
    batch_size=4,
    warmup_steps=2,
    learning_rate=1e-4,
    ema_decay=0.9,
    validate_every=2,
)
STEPS = 10  # 20 images, 2 epochs
QUIET = Options(workers=0, device="cpu", progress=False, tensorboard=False)
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


def scratch() -> tempfile.TemporaryDirectory:
    """A folder that is gone afterwards, in memory where there is such a place: a state has 100 MB."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


@pytest.fixture
def tmp_path():
    with scratch() as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    return write_scenes(
        tmp_path_factory.mktemp("scenes"), {"train": 20, "val": 5}, seed=3, workers=1, image_size=(96, 128)
    ).parent


@pytest.fixture(scope="module")
def data(scenes) -> tuple[VOCDataset, VOCDataset]:
    return VOCDataset(scenes, [("scenes", "train")]), VOCDataset(scenes, [("scenes", "val")])


@pytest.fixture(scope="module")
def whole_run(data) -> Iterator[tuple[Path, Outcome]]:
    """A run that nothing interrupts."""
    with scratch() as folder:
        yield Path(folder), Trainer(CONFIG, *data, folder, QUIET).fit()


def assert_same_state(one: Path, other: Path) -> None:
    """Weights, optimizer, averages, positions and random numbers are equal bit for bit."""
    (a, _), (b, _) = load_state(one), load_state(other)
    a["progress"].pop("seconds"), b["progress"].pop("seconds")

    def compare(x, y, where):
        assert type(x) is type(y), where
        if isinstance(x, torch.Tensor):
            assert torch.equal(x, y), where
        elif isinstance(x, dict):
            assert x.keys() == y.keys(), where
            for key in x:
                compare(x[key], y[key], f"{where}.{key}")
        elif isinstance(x, list | tuple):
            assert len(x) == len(y), where
            for number, pair in enumerate(zip(x, y, strict=True)):
                compare(*pair, f"{where}[{number}]")
        else:
            assert x == y, where

    compare(a, b, "state")


def losses(folder: Path) -> list[tuple[float, float]]:
    return [(row["step"], row["loss"]) for row in record.read_rows(folder / record.STEPS)]


# A run


def test_a_run_leaves_everything_that_it_promises(whole_run, data):
    folder, outcome = whole_run
    assert (outcome.finished, outcome.reason, outcome.step, outcome.epoch) == (True, "finished", STEPS, 2)
    assert json.loads((folder / "config.json").read_text()) == CONFIG.to_dict()
    about = json.loads((folder / "run.json").read_text())
    assert about["status"] == "finished"
    assert about["training_images"] == 20
    steps = record.read_rows(folder / record.STEPS)
    assert [row["step"] for row in steps] == list(range(1, STEPS + 1))
    for row in steps:
        assert row["loss"] == pytest.approx(row["box"] + row["objectness"] + row["classes"], rel=1e-4)
    first, second = record.read_rows(folder / record.METRICS)
    assert first["map_area"] is None
    assert second["map_area"] == pytest.approx(outcome.best_map, abs=1e-5)
    assert second["loss"] == pytest.approx(sum(row["loss"] for row in steps[5:]) / 5, rel=1e-4)


def test_validation_without_any_object_is_no_best_score(data, tmp_path):
    class Emptied:
        """The validation scenes as if nothing were in them."""

        def __init__(self, dataset):
            self.dataset = dataset

        def __getattr__(self, name):
            return getattr(self.dataset, name)

        def __len__(self):
            return len(self.dataset)

        def annotation(self, index):
            full = self.dataset.annotation(index)
            none = slice(0, 0)
            return replace(
                full, boxes=full.boxes[none], classes=full.classes[none], names=(),
                difficult=full.difficult[none], truncated=full.truncated[none],
            )  # fmt: skip

    train, val = data
    outcome = Trainer(CONFIG, train, Emptied(val), tmp_path, QUIET).fit()
    assert math.isnan(outcome.result.map_area)
    assert outcome.best_map is None
    assert (tmp_path / "last.safetensors").exists()
    assert not (tmp_path / "best.safetensors").exists()


def test_the_saved_detector_gives_the_saved_predictions_and_their_score(whole_run, data):
    folder, outcome = whole_run
    found, about = load_predictions(folder / "predictions.json.gz")
    assert about["settings"]["split"] == "scenes-val"
    again = evaluate_voc(list(found.values()), [annotation for _, annotation in data[1]], data[1].class_names)
    assert again.map_area == pytest.approx(outcome.result.map_area)
    for name in ("best.safetensors", "last.safetensors"):
        model, info = load_model(folder / name)
        assert info.class_names == data[1].class_names
        assert info.provenance["trained_on"] == "scenes-train"
        assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())


def test_the_loss_falls(data, tmp_path):
    """Ten times over the same eight images: it can't but learn them."""
    config = CONFIG.replace(epochs=12, validate_every=0, learning_rate=5e-4, augment="none", sizes=(96,))
    Trainer(config, data[0], None, tmp_path, QUIET).fit()
    first, *_, last = record.read_rows(tmp_path / record.METRICS)
    assert last["loss"] < 0.6 * first["loss"]


@pytest.mark.parametrize("loss", ["ciou", "figure20", "document"])
def test_every_loss_trains(data, tmp_path, loss):
    config = CONFIG.replace(epochs=1, validate_every=0, loss=LossConfig(loss), ema_decay=None)
    assert Trainer(config, data[0], None, tmp_path, QUIET).fit().finished
    assert all(value == value for _, value in losses(tmp_path))


def test_a_batch_in_parts_gives_the_same_step(data, tmp_path):
    """With batch norm frozen, so that its statistics aren't those of the parts."""
    config = CONFIG.replace(epochs=1, validate_every=0, batch_norm="frozen", ema_decay=None, sizes=(64,))
    for name, accumulate in (("whole", 1), ("parts", 2)):
        Trainer(config.replace(accumulate=accumulate), data[0], None, tmp_path / name, QUIET).fit()
    whole, parts = (load_model(tmp_path / name / "last.safetensors")[0] for name in ("whole", "parts"))
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    theirs = build_state(config)
    assert all(torch.equal(parts.state_dict()[name], theirs[name]) for name in theirs if "running" in name)


def build_state(config: TrainConfig) -> dict:
    from yolov3_lib.classes import VOC_CLASSES
    from yolov3_lib.training.initialize import build_model

    return build_model(config.architecture, VOC_CLASSES, config.weights, seed=config.seed).model.state_dict()


def test_bfloat16_and_compile_train_to_nearly_the_same_loss(data, tmp_path):
    config = CONFIG.replace(epochs=1, validate_every=0, sizes=(64,))
    Trainer(config, data[0], None, tmp_path / "plain", QUIET).fit()
    Trainer(config.replace(precision="bfloat16"), data[0], None, tmp_path / "half", QUIET).fit()
    for (_, plain), (_, half) in zip(losses(tmp_path / "plain"), losses(tmp_path / "half"), strict=True):
        assert half == pytest.approx(plain, rel=0.05)


@pytest.mark.slow
def test_a_compiled_run_gives_the_same_losses_and_a_plain_state(data, tmp_path, whole_run):
    config = CONFIG.replace(epochs=1, validate_every=0, sizes=(64,), compile=True)
    Trainer(config, data[0], None, tmp_path / "compiled", QUIET).fit()
    Trainer(config.replace(compile=False), data[0], None, tmp_path / "plain", QUIET).fit()
    for (_, plain), (_, compiled) in zip(
        losses(tmp_path / "plain"), losses(tmp_path / "compiled"), strict=True
    ):
        assert compiled == pytest.approx(plain, rel=1e-3)
    assert load_state(tmp_path / "compiled")[0]["model"].keys() == load_state(whole_run[0])[0]["model"].keys()


# Interruptions


def interrupt_at(monkeypatch, step: int) -> None:
    """Have a real SIGINT arrive while a step is recorded."""
    remember = record.Record.step

    def and_interrupt(self, row):
        remember(self, row)
        if row["step"] == step:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(record.Record, "step", and_interrupt)


@posix
@pytest.mark.parametrize("step", [3, 5, 8])
def test_a_run_resumed_after_ctrl_c_equals_one_never_interrupted(
    data, whole_run, tmp_path, monkeypatch, step
):
    with monkeypatch.context() as patch:
        interrupt_at(patch, step)
        outcome = Trainer(CONFIG, *data, tmp_path, QUIET).fit()
    assert not outcome.finished
    assert outcome.reason == "interrupted"
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "interrupted"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    outcome = Trainer(CONFIG, *data, tmp_path, Options(**vars(QUIET) | {"resume": True})).fit()
    assert outcome.finished
    assert_same_state(tmp_path, whole_run[0])
    assert losses(tmp_path) == losses(whole_run[0])
    assert (tmp_path / "last.safetensors").read_bytes() == (whole_run[0] / "last.safetensors").read_bytes()


def test_a_time_limit_stops_in_time_with_everything_saved(data, whole_run, tmp_path):
    sessions = 0
    outcome = None
    while not (outcome and outcome.finished):
        limit = 1e-7 if sessions < 3 else None  # over before the first step is: each session does one
        options = Options(**vars(QUIET) | {"resume": True, "max_hours": limit})
        outcome = Trainer(CONFIG, *data, tmp_path, options).fit()
        sessions += 1
        if limit:
            assert outcome.reason == "time"
            assert outcome.step == sessions
    assert_same_state(tmp_path, whole_run[0])


RUN = """
import sys
import torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from test_train import CONFIG, Options, QUIET, Trainer, VOCDataset
data = [VOCDataset({scenes!r}, [("scenes", split)]) for split in ("train", "val")]
options = Options(**vars(QUIET) | dict(resume=True, save_minutes=0.02))
print("ready", flush=True)
Trainer(CONFIG, *data, sys.argv[1], options).fit()
print("done", flush=True)
"""


@posix
@pytest.mark.slow
def test_a_run_killed_again_and_again_equals_one_never_interrupted(scenes, tmp_path):
    """SIGKILL at random moments, whatever the run is doing: starting, training, validating, saving."""
    script = textwrap.dedent(RUN).format(tests=str(Path(__file__).parent), scenes=str(scenes))
    command = [sys.executable, "-c", script]

    def start(folder: Path) -> subprocess.Popen:
        return subprocess.Popen(
            [*command, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    whole = start(tmp_path / "whole")
    assert whole.stdout.readline() == "ready\n"
    began = time.monotonic()
    out, error = whole.communicate()
    seconds = time.monotonic() - began
    assert out.endswith("done\n"), error

    chance = random.Random(2018)
    kills, finished = 0, False
    while not finished:
        process = start(tmp_path / "killed")
        assert process.stdout.readline() == "ready\n"
        if kills < 7:
            try:
                process.wait(timeout=chance.uniform(0.05, 0.5) * seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
        out, error = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), error
        finished = out.endswith("done\n")
    assert kills > 0
    assert_same_state(tmp_path / "killed", tmp_path / "whole")
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert sorted(os.listdir(tmp_path / "killed")) == sorted(os.listdir(tmp_path / "whole")), "litter is left"


# What goes wrong


def test_a_loss_that_is_not_finite_stops_with_the_names_and_a_good_state(data, tmp_path):
    config = CONFIG.replace(learning_rate=1e9, warmup_steps=0, validate_every=0, clip_norm=None)
    with pytest.raises(
        NonFiniteLoss, match=r"step \d+, epoch 1: the loss is .*in the batch of (\w+, ){3}\w+"
    ) as caught:
        Trainer(config, data[0], None, tmp_path, QUIET).fit()
    assert str(tmp_path) in str(caught.value)
    state, _ = load_state(tmp_path)
    statistics = [t for name, t in state["model"].items() if "running" in name]
    assert all(torch.isfinite(tensor).all() for tensor in statistics), "the bad batch has left its traces"
    with pytest.raises(NonFiniteLoss, match="20 batches in a row"):
        Trainer(
            config.replace(epochs=6),
            data[0],
            None,
            tmp_path / "again",
            Options(**vars(QUIET) | {"non_finite": "skip"}),
        ).fit()
    assert record.read_rows(tmp_path / "again" / record.STEPS)[-1]["skipped"] > 10


def test_an_image_that_can_not_be_read_stops_with_its_name_and_a_state(data, scenes, tmp_path):
    path = data[0].image_path(11)
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[: len(whole) // 2])
        for workers in (0, 1):
            folder = tmp_path / str(workers)
            with pytest.raises(ImageError, match=path.name):
                Trainer(CONFIG, *data, folder, Options(**vars(QUIET) | {"workers": workers})).fit()
            state, _ = load_state(folder)
            assert state["position"]["step"] == len(losses(folder))
            assert not list(folder.glob(".tmp.*"))
    finally:
        path.write_bytes(whole)
    outcome = Trainer(CONFIG, *data, tmp_path / "0", Options(**vars(QUIET) | {"resume": True})).fit()
    assert outcome.finished


def test_a_folder_that_holds_a_run_is_not_overwritten(data, whole_run):
    with pytest.raises(FileExistsError, match="Resume it, or choose another folder"):
        Trainer(CONFIG, *data, whole_run[0], QUIET)


def test_resuming_with_something_else_says_what_is_different(data, scenes, whole_run):
    resume = Options(**vars(QUIET) | {"resume": True})
    with pytest.raises(ValueError, match="epochs: 3 here, 2 there"):
        Trainer(CONFIG.replace(epochs=3), *data, whole_run[0], resume)
    fewer = VOCDataset(scenes, [("scenes", "train")])
    fewer._places = fewer._places[:16]
    with pytest.raises(ValueError, match="images, their boxes or the classes are others"):
        Trainer(CONFIG, fewer, data[1], whole_run[0], resume)


def test_a_finished_run_that_is_resumed_has_nothing_to_do(data, whole_run):
    before = (whole_run[0] / LAST).read_bytes()
    outcome = Trainer(CONFIG, *data, whole_run[0], Options(**vars(QUIET) | {"resume": True})).fit()
    assert outcome.finished
    assert outcome.step == STEPS
    assert (whole_run[0] / LAST).read_bytes() == before


def test_a_damaged_state_is_replaced_by_the_one_before(data, whole_run, tmp_path, capsys):
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes((whole_run[0] / name).read_bytes())
    (tmp_path / LAST).write_bytes(b"half a state")
    assert Trainer(CONFIG, *data, tmp_path, Options(**vars(QUIET) | {"resume": True})).fit().finished
    assert "taking the state before it" in capsys.readouterr().out
    assert_same_state(tmp_path, whole_run[0])


def test_data_that_can_not_be_trained_on_is_refused(data, scenes, tmp_path):
    with pytest.raises(ValueError, match="20 images don't fill one batch of 64"):
        Trainer(CONFIG.replace(batch_size=64), *data, tmp_path / "a", QUIET)
    with pytest.raises(ValueError, match="20 training images don't fill a batch of 24"):
        Trainer(CONFIG.replace(batch_size=24, accumulate=2), *data, tmp_path / "a", QUIET)
    empty = VOCDataset(scenes, [("scenes", "train")])
    empty._places = []
    with pytest.raises(ValueError, match="empty"):
        Trainer(CONFIG, empty, data[1], tmp_path / "b", QUIET)
    with pytest.raises(ValueError, match="validation data is empty"):
        Trainer(CONFIG, data[0], empty, tmp_path / "c", QUIET)
    with pytest.raises(ValueError, match="validate_every=0"):
        Trainer(CONFIG, data[0], None, tmp_path / "d", QUIET)
    dogs = VOCDataset(scenes, [("scenes", "val")], class_names=("dog",), unknown="skip")
    with pytest.raises(ValueError, match="classes"):
        Trainer(CONFIG, data[0], dogs, tmp_path / "e", QUIET)
    with pytest.raises(ValueError, match="float16 needs a GPU"):
        Trainer(CONFIG.replace(precision="float16"), *data, tmp_path / "f", QUIET)
    assert os.listdir(tmp_path) == [], "nothing is written for a run that can't begin"


@pytest.mark.parametrize("options", [{"non_finite": "ignore"}, {"max_hours": 0}, {"workers": -1}])
def test_an_option_out_of_its_range_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Options(**options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(data, tmp_path):
    with pytest.raises(ValueError, match="GPU"):
        Trainer(CONFIG, *data, tmp_path, Options(**vars(QUIET) | {"device": "cuda"}))


# The command line


def test_the_command_trains_and_resumes(scenes, tmp_path, capsys):
    command = [
        "train", str(tmp_path / "run"), "--data", str(scenes), "--device", "cpu", "--workers", "0",
        "--set", "train=scenes-train", "--set", "val=scenes-val", "--set", "epochs=1",
        "--set", "batch_size=4",
        "--set", "sizes=64", "--set", "val_size=64",
    ]  # fmt: skip
    assert cli.main(command) == 0
    assert "mAP" in capsys.readouterr().out
    assert cli.main(command) == cli.UNUSABLE
    assert "already holds a run" in capsys.readouterr().err
    assert cli.main([*command[:8], "--resume"]) == 0
    assert cli.main([*command, "--set", "epochs=0"]) == cli.UNUSABLE
    assert "epochs" in capsys.readouterr().err


# Several processes


def torchrun(script: str, *arguments: object) -> str:
    """Two processes on this machine, talking by gloo; what process 0 printed."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
        "--redirects", "0", script, *map(str, arguments),
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


TWO = """
import sys
import torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from test_train import CONFIG, QUIET, Trainer, VOCDataset
if __name__ == "__main__":
    data = [VOCDataset({scenes!r}, [("scenes", split)]) for split in ("train", "val")]
    config = CONFIG.replace(batch_norm="synchronized")
    trainer = Trainer(config, *data, sys.argv[1], QUIET)
    assert trainer.accelerator.num_processes == int(sys.argv[2])
    trainer.fit()
"""


@posix
@pytest.mark.slow
def test_two_processes_give_the_result_of_one(scenes, tmp_path):
    """The same batches, batch norm over both, the same weights up to rounding; each image validated once."""
    script = tmp_path / "two.py"
    script.write_text(textwrap.dedent(TWO).format(tests=str(Path(__file__).parent), scenes=str(scenes)))
    torchrun(str(script), tmp_path / "two", 2)
    subprocess.run([sys.executable, str(script), str(tmp_path / "one"), "1"], check=True, capture_output=True)
    for (step, one), (_, two) in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        assert two == pytest.approx(one, rel=2e-3), f"step {step}"
    one, two = (load_model(tmp_path / name / "last.safetensors")[0] for name in ("one", "two"))
    for (name, a), b in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3, msg=name)
    found = [load_predictions(tmp_path / name / "predictions.json.gz")[0] for name in ("one", "two")]
    assert list(found[0]) == list(found[1])
    state, _ = load_state(tmp_path / "two")
    assert state["processes"] == 2


VALIDATE = """
import pickle, sys
import torch
torch.set_num_threads(1)
import torch.distributed as dist
from yolov3_lib.data.voc import VOCDataset
from yolov3_lib.models import load_model
from yolov3_lib.training.validation import validate
if __name__ == "__main__":
    if sys.argv[2] == "2":
        dist.init_process_group("gloo")
    model, info = load_model({weights!r})
    result, found = validate(
        model, VOCDataset({scenes!r}, [("scenes", "train")]), info.class_names, 64, batch_size=3, device="cpu"
    )
    if sys.argv[2] == "1" or dist.get_rank() == 1:
        torch.save([(each.boxes, each.scores, each.classes) for each in found], sys.argv[1])
"""


@posix
@pytest.mark.slow
def test_two_processes_detect_exactly_what_one_does(scenes, whole_run, tmp_path):
    script = tmp_path / "validate.py"
    weights = str(whole_run[0] / "last.safetensors")
    script.write_text(textwrap.dedent(VALIDATE).format(scenes=str(scenes), weights=weights))
    torchrun(str(script), tmp_path / "two.pt", 2)
    subprocess.run(
        [sys.executable, str(script), str(tmp_path / "one.pt"), "1"], check=True, capture_output=True
    )
    one, two = (torch.load(tmp_path / name, weights_only=True) for name in ("one.pt", "two.pt"))
    assert len(one) == len(two) == 20
    assert sum(len(scores) for _, scores, _ in one) > 20
    for mine, theirs in zip(one, two, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


@posix
@pytest.mark.slow
def test_resuming_with_another_number_of_processes_is_refused(scenes, data, tmp_path):
    script = tmp_path / "two.py"
    script.write_text(textwrap.dedent(TWO).format(tests=str(Path(__file__).parent), scenes=str(scenes)))
    torchrun(str(script), tmp_path / "two", 2)
    with pytest.raises(ValueError, match="1 processes here, 2 there"):
        Trainer(
            CONFIG.replace(batch_norm="synchronized"),
            *data,
            tmp_path / "two",
            Options(**vars(QUIET) | {"resume": True}),
        )

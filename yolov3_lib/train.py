"""Training: the loop, from a config and two datasets to a trained detector in a folder::

    trainer = Trainer(recipe("tiny", epochs=5), train_data, val_data, "runs/tiny")
    outcome = trainer.fit()

A run can be interrupted at any moment, by Ctrl-C, by a time limit or by losing the machine, and goes on with
``Options(resume=True)``: on one CPU the resumed run gives the same weights, bit for bit, as one that was
never interrupted. Several processes, started with torchrun, share each batch.

The folder holds ``config.json``, ``run.json`` (hardware, versions, time), ``steps.csv``, ``metrics.csv``,
TensorBoard's files, ``last.state`` to resume from, ``best.safetensors`` and ``last.safetensors`` to detect
with, and ``predictions.json.gz``, the last validation's detections.
"""

import contextlib
import hashlib
import json
import math
import os
import platform
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from accelerate.utils import set_seed
from torch import Tensor
from tqdm import tqdm

import yolov3_lib
from yolov3_lib.data.augment import AugmentConfig
from yolov3_lib.data.dataset import DetectionDataset
from yolov3_lib.data.loader import Batch, RequestSampler, TrainingSet, training_loader
from yolov3_lib.evaluate import VocResult
from yolov3_lib.loss import yolo_loss
from yolov3_lib.models import save_safetensors
from yolov3_lib.models.files import atomic_path
from yolov3_lib.predict import save_predictions
from yolov3_lib.training.batch_norm import set_batch_norm
from yolov3_lib.training.config import TrainConfig
from yolov3_lib.training.ema import MovingAverage
from yolov3_lib.training.initialize import build_model
from yolov3_lib.training.machine import accelerator, hardware, worker_count
from yolov3_lib.training.optimizer import build_optimizer, learning_rate
from yolov3_lib.training.record import Record
from yolov3_lib.training.state import LAST, PREVIOUS, load_state, random_state, save_state, set_random_state
from yolov3_lib.training.validation import bar_disabled, validate

MOST_SKIPPED = 20
"""So many batches in a row without a finite loss end a run that is told to skip them."""


class NonFiniteLoss(FloatingPointError):
    """The loss or its gradient is NaN or infinite; the message names the batch's images."""


@dataclass(frozen=True)
class Options:
    """What doesn't change a run's result.

    Attributes:
        resume: go on from the folder's state; where there is none, begin.
        max_hours: stop cleanly, everything saved, before so many hours have passed since the start.
        save_minutes: minutes from one saved state to the next; one is saved after each validation too.
        non_finite: ``"stop"`` at a loss that isn't finite, or ``"skip"`` the batch and count it.
        workers: processes that read and augment; by default one for each core but one, at most 8.
        device: ``"cpu"`` or ``"cuda"``; by default a GPU that torch has kernels for.
        cache: keep the images' files in memory.
        val_batch: images at a time in validation.
        progress: show bars; by default where there is a terminal.
        tensorboard: write TensorBoard's files, where it's installed.
    """

    resume: bool = False
    max_hours: float | None = None
    save_minutes: float = 10.0
    non_finite: Literal["stop", "skip"] = "stop"
    workers: int | None = None
    device: str | None = None
    cache: bool = False
    val_batch: int = 8
    progress: bool | None = None
    tensorboard: bool = True

    def __post_init__(self) -> None:
        if self.non_finite not in ("stop", "skip"):
            raise ValueError(f'non_finite: expected "stop" or "skip", got {self.non_finite!r}')
        if self.max_hours is not None and not self.max_hours > 0:
            raise ValueError(f"max_hours: expected a positive number, got {self.max_hours}")
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers: expected a number that isn't negative, got {self.workers}")


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        finished: all epochs are done; otherwise the run can be resumed.
        reason: ``"finished"``, ``"interrupted"`` or ``"time"``.
        step: optimizer steps done.
        epoch: epochs done.
        best_map: the best mAP@.5 (area) of the run's validations; None without any.
        result: the last validation of this session; None without any.
    """

    finished: bool
    reason: str
    step: int
    epoch: int
    best_map: float | None
    result: VocResult | None = field(repr=False)


class Trainer:
    """One run: model, data, optimizer, and where they stand.

    Args:
        config: the recipe.
        train_data: images with annotations to learn from.
        val_data: images with annotations to measure on; may be None if the config never validates.
        run_dir: the run's folder; made where it doesn't exist.
        options: what doesn't change the result.

    Raises:
        FileExistsError: the folder holds a run, and ``resume`` wasn't asked for.
        ValueError: no images or objects, a batch larger than the dataset, class names that differ between the
            datasets; resuming with another config, dataset or number of processes.
        StateError: no state of the run to be resumed is whole.
    """

    def __init__(
        self,
        config: TrainConfig,
        train_data: DetectionDataset,
        val_data: DetectionDataset | None,
        run_dir: str | os.PathLike,
        options: Options | None = None,
    ) -> None:
        self.config, self.options = config, options or Options()
        self.val_data = val_data
        self.run_dir = Path(run_dir)
        self.class_names = _common_classes(config, train_data, val_data)
        # Before the model is built: it's the data that is wrong most often.
        self.train_set = TrainingSet(
            train_data,
            getattr(AugmentConfig, config.augment)(),
            config.seed,
            config.use_difficult,
            self.options.cache,
        )
        self.fingerprint = fingerprint(self.train_set, self.class_names)

        # Nothing in the loop draws from the global generators; a run doesn't depend on them all the same.
        set_seed(config.seed)
        self.accelerator = accelerator(config.precision, self.options.device)
        self.device = self.accelerator.device
        world = self.accelerator.num_processes
        self.sampler = RequestSampler(
            len(self.train_set),
            config.batch_size // config.accumulate,
            config.seed,
            config.sizes,
            rank=self.accelerator.process_index,
            world_size=world,
        )
        self.steps_per_epoch = len(self.sampler) // config.accumulate
        if not self.steps_per_epoch:
            raise ValueError(
                f"{len(self.train_set)} training images don't fill a batch of {config.batch_size}: "
                "take a smaller batch_size"
            )
        self.total_steps = self.steps_per_epoch * config.epochs
        cuda = self.device.type == "cuda"
        self.loader = training_loader(
            self.train_set, self.sampler, worker_count(self.options.workers, world), pin_memory=cuda
        )

        start = build_model(config.architecture, self.class_names, config.weights, seed=config.seed)
        self.origin = start.origin
        self.network = start.model.to(self.device)
        if config.channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)
        set_batch_norm(self.network, config.batch_norm, world)
        self.average = MovingAverage(self.network, config.ema_decay) if config.ema_decay else None
        # What batch norm has seen changes in the forward pass, before a step is known to be good.
        self.statistics = [b for b in self.network.buffers() if b is not self.network.anchors]
        self.kept_statistics = [b.clone() for b in self.statistics]
        optimizer = build_optimizer(self.network, config)
        model = torch.compile(self.network) if config.compile else self.network
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)

        self.epoch, self.batch, self.step = 0, 0, 0
        self.best_map: float | None = None
        self.seconds = 0.0  # of training in earlier sessions
        self.skipped, self.skipped_in_a_row = 0, 0
        self.epoch_sums = [0.0] * 4  # loss parts and images, for the epoch's row
        self.result: VocResult | None = None
        self.validation_seconds = 0.0
        self._stop_asked = False
        self._open_run_dir()

    # -- the loop

    def fit(self) -> Outcome:
        """Train until the last epoch, the time limit or an interruption.

        Raises:
            NonFiniteLoss: the loss isn't finite; the state before that step is saved.
            ImageError: an image can't be read; the state before its batch is saved.
            OSError: the disk is full; the last good state is still there.
        """
        self.started = self.saved = time.monotonic()
        reason = None
        with self._interruptible():
            try:
                while self.epoch < self.config.epochs and not reason:
                    reason = self._train_epoch() or self._end_epoch()
            except KeyboardInterrupt:
                raise
            except Exception:
                # The step that failed has changed nothing yet. The other processes may wait for this one at
                # another place, so it doesn't wait for them.
                self.save(wait=False)
                raise
            finally:
                self.record.close()
        if reason:
            self.save()
            self._say(f"Stopped ({reason}) after step {self.step}; everything is saved. Go on with resume.")
        else:
            self._save_weights("last.safetensors")
        self._write_run_json(reason or "finished")
        return Outcome(not reason, reason or "finished", self.step, self.epoch, self.best_map, self.result)

    def _train_epoch(self) -> str | None:
        """Train to the end of the epoch; or until there is a reason to stop, which is returned."""
        self.network.train()
        set_batch_norm(self.network, self.config.batch_norm, self.accelerator.num_processes)
        done = self.batch // self.config.accumulate
        self.sampler.set_position(self.epoch, self.batch)
        batches = iter(self.loader)
        bar = tqdm(
            total=self.steps_per_epoch,
            initial=done,
            desc=f"epoch {self.epoch + 1}/{self.config.epochs}",
            unit="step",
            disable=bar_disabled(self.options.progress, self.accelerator.is_main_process),
        )
        with bar:
            for _ in range(done, self.steps_per_epoch):
                began = time.monotonic()
                row, stop = self._train_step([next(batches) for _ in range(self.config.accumulate)])
                row["images_per_second"] = self.config.batch_size / (time.monotonic() - began)
                self.batch += self.config.accumulate
                self.step += 1
                if self.accelerator.is_main_process:
                    self.record.step({"step": self.step, "epoch": self.epoch, **row})
                bar.set_postfix(
                    {name: f"{row[name]:.3g}" for name in ("loss", "box", "objectness", "classes")},
                    refresh=False,
                )
                bar.update()
                if stop:
                    return stop
                if time.monotonic() - self.saved > 60 * self.options.save_minutes:
                    self.save()
        return None

    def _train_step(self, batches: Sequence[Batch]) -> tuple[dict[str, Any], str | None]:
        """One step of the optimizer: what it measured, and a reason to stop that all processes share."""
        config = self.config
        rate = learning_rate(config, self.step, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch._foreach_copy_(self.kept_statistics, self.statistics)
        try:
            parts = self._forward_backward(batches)
            limit = config.clip_norm or float("inf")
            norm = self.accelerator.clip_grad_norm_(self.network.parameters(), limit)
            # All that the host wants to know, in one go: the only time that it waits for the device.
            mean, norm, stop = self._agree(parts, norm)
            row = {
                "net_size": batches[0].images.shape[-1],
                "learning_rate": rate,
                "loss": sum(mean),
                **dict(zip(("box", "objectness", "classes"), mean, strict=True)),
                "gradient_norm": norm,
                "skipped": self.skipped,
            }
            # float16 meets infinite gradients while it looks for its scale: the scaler leaves such steps out.
            scaled = self.accelerator.scaler is not None
            if not (np.isfinite(row["loss"]) and (scaled or np.isfinite(norm))):
                return self._skip(row, batches), stop
        except BaseException:
            self._take_back()
            raise
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.network)
        self.skipped_in_a_row = 0
        self.epoch_sums = [a + b for a, b in zip(self.epoch_sums, (*mean, 1.0), strict=True)]
        return row, stop

    def _forward_backward(self, batches: Sequence[Batch]) -> Tensor:
        """Add up the gradients of a batch's parts. Returns (3,): the loss's parts, on the device."""
        total = torch.zeros(3, device=self.device)
        for number, batch in enumerate(batches, start=1):
            batch = batch.to(self.device, non_blocking=True)
            # Processes exchange their gradients once, after the last part.
            last = number == len(batches)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                heads = self.model(batch.images.float() / 255)
                parts = yolo_loss(
                    heads, batch.truths, self.network.anchors, self.network.strides, self.config.loss
                ) / len(batches)
                self.accelerator.backward(parts.total)
            total += torch.stack((parts.box, parts.objectness, parts.classes)).detach()
        return total

    def _agree(self, parts: Tensor, norm: Tensor) -> tuple[list[float], float, str | None]:
        """The loss's parts over all processes, the gradient's norm, and whether any process wants to stop."""
        reasons = (None, "interrupted", "time")
        mine = reasons.index(self._reason_to_stop())
        values = torch.cat((parts, torch.tensor([float(mine == 1), float(mine == 2)], device=self.device)))
        values = self.accelerator.reduce(values, reduction="mean")
        values = torch.cat((values, norm.detach().reshape(1).to(values.dtype)))
        *mean, interrupted, late, length = values.tolist()
        return mean, length, reasons[1] if interrupted else reasons[2] if late else None

    def _skip(self, row: dict[str, Any], batches: Sequence[Batch]) -> dict[str, Any]:
        """Leave a batch out whose loss isn't finite, or stop there."""
        self._take_back()
        names = self._gather([name for batch in batches for name in batch.ids])
        where = (
            f"step {self.step + 1}, epoch {self.epoch + 1}: the loss is {row['loss']:g}, "
            f"its gradient's norm {row['gradient_norm']:g}"
        )
        images = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        if self.options.non_finite == "stop":
            raise NonFiniteLoss(
                f"{where}, in the batch of {images}. The state before this step is saved in {self.run_dir}. "
                "Look at these images and their boxes; or start again with a lower learning rate; or resume "
                'with non_finite="skip"'
            )
        self.skipped += 1
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row >= MOST_SKIPPED:
            raise NonFiniteLoss(
                f"{where}. {MOST_SKIPPED} batches in a row were skipped, the last that of {images}: the run "
                "has diverged. Start again with a lower learning rate"
            )
        self._say(f"{where}: skipped the batch of {images}")
        return row | {"skipped": self.skipped}

    def _take_back(self) -> None:
        """Undo what a step has changed before the optimizer moved."""
        torch._foreach_copy_(self.statistics, self.kept_statistics)
        self.optimizer.zero_grad(set_to_none=True)

    def _end_epoch(self) -> str | None:
        """Validate, record, save; and count the epoch."""
        done = self.epoch + 1
        every = self.config.validate_every
        measured = bool(every) and (done % every == 0 or done == self.config.epochs)
        if measured:
            self._validate()
        *parts, steps = self.epoch_sums
        mean = [part / steps if steps else float("nan") for part in parts]
        row = {
            "step": self.step,
            "epoch": done,
            "hours": self._hours(),
            "learning_rate": learning_rate(self.config, max(self.step - 1, 0), self.total_steps),
            "loss": sum(mean),
            **dict(zip(("box", "objectness", "classes"), mean, strict=True)),
            "images_per_second": self.step * self.config.batch_size / (3600 * self._hours()),
            "map_area": float(self.result.map_area) if measured else None,
            "map_11": float(self.result.map_11) if measured else None,
        }
        self.epoch, self.batch, self.epoch_sums = done, 0, [0.0] * 4
        if self.accelerator.is_main_process:
            self.record.epoch(row)
        score = f", mAP {row['map_area']:.3f}" if measured else ""
        self._say(f"epoch {done}/{self.config.epochs}: loss {row['loss']:.3f}{score}, {row['hours']:.2f} h")
        if measured or done == self.config.epochs:
            self.save()
        return self._shared(self._reason_to_stop()) if done < self.config.epochs else None

    def _validate(self) -> None:
        if self.val_data is None:
            raise ValueError("there's no validation data: give some, or take validate_every=0")
        began = time.monotonic()
        model = self.average.model if self.average else self.network
        self.result, detections = validate(
            model, self.val_data, self.class_names, self.config.val_size, self.options.val_batch, self.device,
            self.options.progress,
        )  # fmt: skip
        self.network.train()
        if self.accelerator.is_main_process:
            settings = {"step": self.step, "net_size": self.config.val_size, "split": self.config.val}
            with atomic_path(self.run_dir / "predictions.json.gz") as temporary:
                save_predictions(temporary, self.val_data.ids, detections, self.class_names, settings)
        score = float(self.result.map_area)
        # NaN, where the validation images hold no object at all, is no score to be beaten.
        if not math.isnan(score) and (self.best_map is None or score > self.best_map):
            self.best_map = score
            self._save_weights("best.safetensors")
        self.validation_seconds = time.monotonic() - began

    # -- the run on disk

    def save(self, wait: bool = True) -> None:
        """Write the run's state, from which it can be resumed; ``wait`` until all processes are here."""
        if self.accelerator.is_main_process:
            save_state(self.run_dir, self._state())
        self.saved = time.monotonic()
        if wait:
            self.accelerator.wait_for_everyone()

    def _state(self) -> dict[str, Any]:
        scaler = self.accelerator.scaler
        return {
            "config": self.config.to_dict(),
            "data": self.fingerprint,
            "processes": self.accelerator.num_processes,
            "position": {"epoch": self.epoch, "batch": self.batch, "step": self.step},
            "progress": {
                "best_map": self.best_map,
                "seconds": self._hours() * 3600,
                "skipped": self.skipped,
                "epoch_sums": self.epoch_sums,
            },
            "model": self.network.state_dict(),
            "average": self.average
            and {"model": self.average.model.state_dict(), "updates": self.average.updates},
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler else None,
            "random": random_state(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        before = TrainConfig.from_dict(state["config"])
        wrong = self.config.differences(before)
        if state["data"] != self.fingerprint:
            wrong.append("the training images, their boxes or the classes are others")
        if state["processes"] != self.accelerator.num_processes:
            wrong.append(f"{self.accelerator.num_processes} processes here, {state['processes']} there")
        if wrong:
            raise ValueError(
                f"{self.run_dir} holds a run that can't be resumed like this: {'; '.join(wrong)}. "
                "Resume with what it was started with, or start a new run in another folder"
            )
        self.network.load_state_dict(state["model"])
        if self.average:
            self.average.model.load_state_dict(state["average"]["model"])
            self.average.updates = state["average"]["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.epoch, self.batch, self.step = (state["position"][k] for k in ("epoch", "batch", "step"))
        for name, value in state["progress"].items():
            setattr(self, name, value)
        set_random_state(state["random"])

    def _open_run_dir(self) -> None:
        main = self.accelerator.is_main_process
        if main:
            self.run_dir.mkdir(parents=True, exist_ok=True)
            for litter in self.run_dir.glob(".tmp.*"):  # of a process that was killed while it wrote
                litter.unlink()
        self.accelerator.wait_for_everyone()
        there = [name for name in (LAST, PREVIOUS) if (self.run_dir / name).is_file()]
        if there and not self.options.resume:
            raise FileExistsError(
                f"{self.run_dir} already holds a run ({there[0]}). Resume it, or choose another folder"
            )
        if there:
            state, notes = load_state(self.run_dir, self.device)
            for note in notes:
                self._say(note)
            self._restore(state)
            self._say(f"Resuming {self.run_dir} after step {self.step} (epoch {self.epoch + 1})")
        elif self.options.resume:
            self._say(f"{self.run_dir} holds no state yet: the run begins")
        if main:
            with atomic_path(self.run_dir / "config.json") as temporary:
                temporary.write_text(json.dumps(self.config.to_dict(), indent=1) + "\n", encoding="utf-8")
            self.record = Record(self.run_dir, self.step, self.options.tensorboard)
        else:
            self.record = _NoRecord()
        self.started = time.monotonic()
        self._write_run_json("running")
        if not there:
            self.save()

    def _save_weights(self, name: str) -> None:
        if self.accelerator.is_main_process:
            model = self.average.model if self.average else self.network
            measured = f"{self.result.map_area:.4f} on {self.config.val}" if self.result else "not measured"
            save_safetensors(
                model, self.run_dir / name, self.class_names, net_size=self.config.val_size,
                trained_on=self.config.train, images_seen=str(self.step * self.config.batch_size),
                started_from=self.origin, loss=self.config.loss.name, map_area=measured,
            )  # fmt: skip

    def _write_run_json(self, status: str) -> None:
        if not self.accelerator.is_main_process:
            return
        content = {
            "status": status,
            "step": self.step,
            "epoch": self.epoch,
            "hours": round(self._hours(), 4),
            "started_from": self.origin,
            "training_images": len(self.train_set),
            "classes": list(self.class_names),
            "best_map_area": self.best_map,
            "skipped_batches": self.skipped,
            "hardware": hardware(),
            "processes": self.accelerator.num_processes,
            "precision": self.accelerator.mixed_precision,
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "yolov3_lib": yolov3_lib.__version__,
            },
        }
        with atomic_path(self.run_dir / "run.json") as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    # -- small things

    def _hours(self) -> float:
        """Of training, over all sessions of the run."""
        return (self.seconds + time.monotonic() - self.started) / 3600

    def _reason_to_stop(self) -> str | None:
        if self._stop_asked:
            return "interrupted"
        if self.options.max_hours is not None:
            # Saving and a validation that may be next must fit in as well.
            reserve = 30 + self.validation_seconds
            left = self.options.max_hours * 3600 - (time.monotonic() - self.started)
            if left < min(reserve, self.options.max_hours * 360):
                return "time"
        return None

    def _shared(self, reason: str | None) -> str | None:
        """The first reason that any process has."""
        return next((r for r in self._gather([reason]) if r), None)

    def _gather(self, mine: list) -> list:
        if self.accelerator.num_processes == 1:
            return mine
        parts: list[list | None] = [None] * self.accelerator.num_processes
        torch.distributed.all_gather_object(parts, mine)
        return [item for part in parts for item in part or []]

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the run after the step that is under way; a second one ends it at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number, frame):
            if self._stop_asked:
                raise KeyboardInterrupt
            self._stop_asked = True
            self._say("Stopping after this step; once more to stop at once.")

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _say(self, text: str) -> None:
        if self.accelerator.is_main_process:
            tqdm.write(text)


class _NoRecord:
    """What the other processes of a run record: nothing."""

    def close(self) -> None:
        pass


def fingerprint(train_set: TrainingSet, class_names: Sequence[str]) -> str:
    """A digest of the images' names, their objects and the classes: equal where training would be equal."""
    digest = hashlib.sha256("\n".join([*class_names, "", *train_set.ids]).encode())
    for values in train_set.objects:
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _common_classes(
    config: TrainConfig, train_data: DetectionDataset, val_data: DetectionDataset | None
) -> tuple[str, ...]:
    names = tuple(train_data.class_names)
    if val_data is not None and tuple(val_data.class_names) != names:
        raise ValueError(
            f"the training data's classes ({', '.join(names[:3])}, …) aren't the validation data's "
            f"({', '.join(tuple(val_data.class_names)[:3])}, …): open both with the same class_names"
        )
    if config.validate_every and (val_data is None or not len(val_data)):
        raise ValueError("the validation data is empty: give some, or take validate_every=0")
    return names

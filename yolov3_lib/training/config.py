"""Everything that decides a run's result, as plain values, and the recipes by name."""

import dataclasses
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from yolov3_lib.loss import LossConfig

MULTI_SCALE = tuple(range(320, 609, 32))
"""Darknet's input sizes in pixels; a new one is drawn every ten batches."""


@dataclass(frozen=True)
class TrainConfig:
    """A recipe. Two runs with equal configs, data and library versions on one CPU give the same weights.

    Attributes:
        architecture: ``"YOLOv3"`` or ``"YOLOv3Tiny"``.
        weights: file to start from: Darknet's ``.weights``, ``darknet53.conv.74``, or ``.safetensors``;
            None to start from random weights. train, val: splits, as `yolov3_lib.data.find.open_dataset`
            reads them.
        use_difficult: train on objects marked difficult; Darknet leaves them out.
        augment: ``"darknet"``, ``"modern"`` or ``"none"``.
        sizes: sides of the square input in pixels to train at, multiples of 32; drawn anew every ten batches.
        val_size: side of the input in pixels to validate at.
        epochs: passes over the training images.
        batch_size: images to an optimizer step, over all processes.
        accumulate: parts that a batch is cut into, whose gradients are added: for GPUs that don't hold it
            whole.
        optimizer: ``"sgd"``, ``"adam"`` or ``"adamw"``.
        learning_rate: at its highest, for a loss that is the mean over the images of a batch.
        momentum: of SGD; β₁ of Adam.
        weight_decay: on convolution weights only.
        schedule: ``"step"``, ``"cosine"`` or ``"constant"``.
        warmup_steps: optimizer steps until the full learning rate.
        warmup_power: the learning rate grows like (step / warmup_steps) to this power; 4 in Darknet.
        milestones: "step": shares of the run after which the learning rate falls to a tenth.
        final_fraction: "cosine": share of the learning rate that is left at the end.
        clip_norm: gradients are scaled down to this norm at most; None to leave them.
        ema_decay: decay of the weights' moving average, which is what is validated and kept; None for none.
        batch_norm: over several processes: ``"local"``, each its own statistics; ``"synchronized"``, those
            of the whole batch; ``"frozen"``, those of the initial weights.
        precision: ``"auto"`` (bfloat16 where the GPU has it, else float16, float32 on a CPU), ``"float32"``,
            ``"bfloat16"`` or ``"float16"``. The loss is in float32 always.
        channels_last: keep a pixel's channels side by side in memory, which most kernels run faster on.
        compile: have torch.compile fuse operations.
        loss: which loss, and its numbers.
        validate_every: epochs from one validation to the next; the last is always validated; 0 for never.
        seed: of the initial weights, the order, the sizes and the augmentation.
    """

    architecture: Literal["YOLOv3", "YOLOv3Tiny"] = "YOLOv3"
    weights: str | None = None
    train: str = "2007-trainval,2012-trainval"
    val: str = "2007-test"
    use_difficult: bool = False
    augment: Literal["darknet", "modern", "none"] = "darknet"
    sizes: tuple[int, ...] = (416,)
    val_size: int = 416
    epochs: int = 100
    batch_size: int = 64
    accumulate: int = 1
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Literal["step", "cosine", "constant"] = "cosine"
    warmup_steps: int = 1000
    warmup_power: float = 1.0
    milestones: tuple[float, ...] = (0.8, 0.9)
    final_fraction: float = 0.01
    clip_norm: float | None = None
    ema_decay: float | None = 0.999
    batch_norm: Literal["local", "synchronized", "frozen"] = "local"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    loss: LossConfig = field(default_factory=LossConfig)
    validate_every: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in _choices().items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: expected one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        for name in ("epochs", "batch_size", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate: {self.accumulate} parts don't divide a batch of {self.batch_size} images evenly"
            )
        for size in (*self.sizes, self.val_size):
            if size < 32 or size % 32:
                raise ValueError(f"sizes: expected multiples of 32, got {size}")
        if not self.sizes:
            raise ValueError("sizes: expected at least one input size")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate: expected a positive number, got {self.learning_rate}")
        for name in ("warmup_steps", "warmup_power", "weight_decay", "validate_every"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: expected a number that isn't negative, got {getattr(self, name)}")
        for name in ("momentum", "final_fraction", *(("ema_decay",) if self.ema_decay is not None else ())):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a number from 0 to 1, got {getattr(self, name)}")
        if list(self.milestones) != sorted(self.milestones) or not all(0 < m < 1 for m in self.milestones):
            raise ValueError(f"milestones: expected rising shares between 0 and 1, got {self.milestones}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm: expected a positive number or None, got {self.clip_norm}")

    def replace(self, **changes: Any) -> "TrainConfig":
        """The same recipe with some values changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "TrainConfig":
        """The config that `to_dict` wrote.

        Raises:
            ValueError: a field that no config has.
        """
        unknown = values.keys() - {f.name for f in dataclasses.fields(TrainConfig)}
        if unknown:
            raise ValueError(f"config: unknown field {min(unknown)!r}; it was written by another version")
        # JSON knows no tuples.
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        if isinstance(values.get("loss"), dict):
            values["loss"] = LossConfig(**values["loss"])
        return TrainConfig(**values)

    def differences(self, other: "TrainConfig") -> list[str]:
        """One line for each field that isn't the same: ``epochs: 100 here, 50 there``."""
        here, there = self.to_dict(), other.to_dict()
        return [
            f"{name}: {here[name]} here, {there[name]} there" for name in here if here[name] != there[name]
        ]


def _choices() -> dict[str, tuple]:
    return {
        name: typing.get_args(hint)
        for name, hint in typing.get_type_hints(TrainConfig).items()
        if typing.get_origin(hint) is Literal
    }


# 50,200 iterations of 64 images over VOC 07+12's 16,551, with milestones at 40,000 and 45,000.
_DARKNET_STEPS = 50_200

RECIPES: dict[str, TrainConfig] = {
    "darknet": TrainConfig(
        weights="darknet53.conv.74",
        sizes=MULTI_SCALE,
        epochs=194,
        batch_size=64,
        accumulate=4,
        learning_rate=1e-3,
        schedule="step",
        warmup_steps=1000,
        warmup_power=4,
        milestones=(40_000 / _DARKNET_STEPS, 45_000 / _DARKNET_STEPS),
        ema_decay=None,
    ),
    "modern": TrainConfig(
        sizes=MULTI_SCALE,
        augment="modern",
        epochs=100,
        batch_size=64,
        accumulate=4,
        learning_rate=1e-2,
        momentum=0.937,
        warmup_steps=500,
        clip_norm=10.0,
        ema_decay=0.9998,
        batch_norm="synchronized",
    ),
    # Section 6 of the document: 16,550 images, batches of 32, 122 epochs in 9 hours of a Kaggle GPU.
    "document": TrainConfig(
        train="train.csv",
        val="test.csv",
        epochs=122,
        batch_size=32,
        accumulate=2,
        optimizer="adam",
        learning_rate=1e-4,
        weight_decay=1e-4,
        schedule="constant",
        warmup_steps=0,
        ema_decay=None,
        loss=LossConfig("document"),
        validate_every=10,
    ),
    "tiny": TrainConfig(
        architecture="YOLOv3Tiny",
        weights="yolov3-tiny-coco",
        epochs=10,
        batch_size=32,
        learning_rate=1e-3,
        warmup_steps=100,
        clip_norm=50.0,
        ema_decay=0.999,
    ),
}
"""Recipes by name: "darknet" is ``yolov3-voc.cfg``; "modern" adds mosaic, a cosine, a moving average;
"document" is the setup of the document's section 6, where it doesn't say a number (optimizer, learning
rate) the common one; "tiny" fine-tunes YOLOv3-tiny.
"""


def recipe(name: str, **changes: Any) -> TrainConfig:
    """A recipe by its name, with some values changed.

    Raises:
        ValueError: no such recipe.
    """
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}: choose from {', '.join(RECIPES)}")
    return RECIPES[name].replace(**changes)

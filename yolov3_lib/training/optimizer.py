"""Which parameters decay, which optimizer moves them, and how far at each step."""

import math

import torch
from torch import nn

from yolov3_lib.training.config import TrainConfig


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The config's optimizer, with weight decay on kernels only: parameters of two dimensions or more.

    Batch normalization's scale and shift and the heads' biases don't decay: pulling them to zero has no
    meaning, and Darknet doesn't either.
    """
    decaying = [p for p in model.parameters() if p.ndim > 1 and p.requires_grad]
    others = [p for p in model.parameters() if p.ndim <= 1 and p.requires_grad]
    groups = [
        {"params": decaying, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    # One kernel for all parameters instead of several for each.
    fused = next(model.parameters()).is_cuda
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, fused=fused)
    adam = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return adam(groups, lr=config.learning_rate, betas=(config.momentum, 0.999), fused=fused)


def learning_rate(config: TrainConfig, step: int, total_steps: int) -> float:
    """The learning rate of optimizer step ``step``, counted from 0, of ``total_steps``.

    A function of the step alone: a resumed run needs no state of it.
    """
    if step < config.warmup_steps:
        # Counted from 1, so that the first step moves too.
        return config.learning_rate * ((step + 1) / config.warmup_steps) ** config.warmup_power
    if config.schedule == "constant":
        return config.learning_rate
    if config.schedule == "step":
        passed = sum(step >= share * total_steps for share in config.milestones)
        return config.learning_rate * 0.1**passed
    progress = (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps)
    cosine = (1 + math.cos(math.pi * min(progress, 1))) / 2
    return config.learning_rate * (config.final_fraction + (1 - config.final_fraction) * cosine)

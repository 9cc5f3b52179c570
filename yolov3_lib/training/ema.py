"""The moving average of a model's weights: steadier than any of them, and usually better."""

import copy

import torch
from torch import nn


class MovingAverage:
    """An exponential moving average of a model's parameters and of batch normalization's statistics.

    Args:
        model: what is averaged; the average starts as a copy of it.
        decay: how much of the average stays at each update. The first updates keep less, (1 + n) / (10 + n)
            at update n, so that the random start is soon forgotten.

    Attributes:
        model: the average, a model of the same kind in eval mode.
        updates: how many there have been.

    Source: Polyak and Juditsky 1992 for averaging; the ramp is TensorFlow's.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average toward ``model``."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        mine, theirs = self.model.state_dict(), model.state_dict()
        floats = [name for name, tensor in mine.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([mine[n] for n in floats], [theirs[n] for n in floats], 1 - decay)
        for name in mine.keys() - set(floats):  # counters
            mine[name].copy_(theirs[name])

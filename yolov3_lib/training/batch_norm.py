"""Batch normalization when a batch is spread over several processes, or when its statistics should stay.

torch's ``SyncBatchNorm`` does this on CUDA only; this one works with gloo on a CPU too, so that it can be
tested where there is no GPU, and is short enough to read.
"""

from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


class SynchronizedBatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` over the batch of all processes together, in training.

    Mean and variance are those of all processes' images, and so are the gradients through them: the result is
    that of one process with the whole batch. Every process must have equally many values.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        if not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(x)
        world = dist.get_world_size()
        values = x.float()
        # Two passes, mean first: E[x²] − E[x]² loses the digits of a small variance.
        mean = all_reduce(values.mean(dim=(0, 2, 3))) / world
        centered = values - mean[:, None, None]
        variance = all_reduce(centered.square().mean(dim=(0, 2, 3))) / world
        self._track(mean.detach(), variance.detach(), world * x.numel() // x.shape[1])
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centered * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        # What is kept for inference is the unbiased variance, as torch does.
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)


def set_batch_norm(
    model: nn.Module, mode: Literal["local", "synchronized", "frozen"], world_size: int
) -> None:
    """Have a model's batch normalization work in one of three ways, in training.

    Args:
        model: changed in place; parameters and state dict stay the same.
        mode: ``"local"``, as torch does; ``"synchronized"``, over all processes; ``"frozen"``, with the
            running statistics that it has now. Call ``model.train()`` before, since that would thaw it.
        world_size: how many processes there are.
    """
    if mode == "frozen":
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    if mode == "synchronized" and world_size > 1:
        for parent in list(model.modules()):
            for name, child in parent.named_children():
                if type(child) is nn.BatchNorm2d:
                    setattr(parent, name, _synchronized(child))


def _synchronized(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    if norm.weight.is_cuda:  # fused kernels, one exchange for mean and variance
        return nn.SyncBatchNorm.convert_sync_batchnorm(norm)
    other = SynchronizedBatchNorm2d(norm.num_features, norm.eps, norm.momentum)
    other.load_state_dict(norm.state_dict())
    return other.train(norm.training)

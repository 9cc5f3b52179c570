"""Row 6: YOLOv3 at 416 × 416, two images, float32: a forward pass, and one with its backward pass.

The peer is the course document's model as written, where the development material has it. It's given our
weights, convolution by convolution, so that all candidates compute the same numbers.
"""

import copy
import importlib.util
from functools import cache, partial
from pathlib import Path
from types import ModuleType

import torch
from harness import Row
from torch import Tensor, nn

from yolov3_lib.models import YOLOv3, fold_batch_norm

PEER = Path(__file__).parent.parent.parent / "shared" / "peers" / "document_yolov3.py"
BATCH, SIZE = 2, 416
Heads = tuple[Tensor, ...]


def rows() -> list[Row]:
    torch.manual_seed(0)
    images = torch.rand(BATCH, 3, SIZE, SIZE)
    model = YOLOv3(20).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            # At 1, untrained residual blocks would double the variance 23 times over.
            nn.init.constant_(module.weight, 0.5)
    peer = peer_with_weights_of(model) if PEER.exists() else None
    return [inference(model, peer, images)] + ([training(model, peer, images)] if peer else [])


def inference(model: YOLOv3, peer: nn.Module | None, images: Tensor) -> Row:
    folded = fold_batch_norm(model)
    networks = {
        "ours, folded, channels last": copy.deepcopy(folded).to(memory_format=torch.channels_last),
        "ours, folded": folded,
        "ours": model,
    }
    if peer:
        networks["the document's"] = peer
    return Row(
        number=6,
        title=f"YOLOv3 forward, {BATCH} images of {SIZE} × {SIZE}, float32",
        bar="≥ 1.1× the document's model",
        ours="ours, folded, channels last",
        candidates={name: partial(forward, network, images) for name, network in networks.items()},
        check=partial(check_all_agree, tolerance=1e-4),
        unit="images/s",
        scale=BATCH,
        per_second=True,
        notes=[] if peer else ["the document's model isn't here: compared with our own, not folded"],
    )


def training(model: YOLOv3, peer: nn.Module, images: Tensor) -> Row:
    networks = {"ours": copy.deepcopy(model).train(), "the document's": copy.deepcopy(peer).train()}
    return Row(
        number=6,
        title=f"YOLOv3 forward and backward, {BATCH} images of {SIZE} × {SIZE}, float32",
        bar="on a par with the document's model",
        ours="ours",
        candidates={name: partial(forward_backward, network, images) for name, network in networks.items()},
        check=partial(check_all_agree, tolerance=1e-3),
        unit="images/s",
        scale=BATCH,
        per_second=True,
    )


@torch.inference_mode()
def forward(network: nn.Module, images: Tensor) -> Heads:
    return tuple(network(images))


def forward_backward(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """The mean square of all logits, and its gradient with respect to the first convolution."""
    network.zero_grad()
    loss = sum(head.square().mean() for head in network(images))
    loss.backward()
    return loss.detach(), next(network.parameters()).grad.clone()


def check_all_agree(answers: dict[str, tuple[Tensor, ...]], tolerance: float) -> None:
    """Every candidate's tensors are those of our plain model, up to a part of the largest value."""
    for name, tensors in answers.items():
        for tensor, expected in zip(tensors, answers["ours"], strict=True):
            error = (tensor - expected).abs().max() / expected.abs().max()
            assert error <= tolerance, f"{name} differs from ours by {error:.1e} of the largest value"


@cache
def peer_module() -> ModuleType:
    """The document's code, imported from where it lies."""
    spec = importlib.util.spec_from_file_location("document_yolov3", PEER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def peer_with_weights_of(model: YOLOv3) -> nn.Module:
    """The document's network, the same 75 convolutions in the same order, filled with our weights."""
    peer = peer_module().YOLOv3(num_classes=model.num_classes).eval()
    for kind in (nn.Conv2d, nn.BatchNorm2d):
        ours = [layer for layer in model.modules() if isinstance(layer, kind)]
        theirs = [layer for layer in peer.modules() if isinstance(layer, kind)]
        for source, target in zip(ours, theirs, strict=True):
            state = source.state_dict()
            if target.bias is not None:
                # Some of its convolutions keep a bias before batch normalization; ours have none.
                state.setdefault("bias", torch.zeros_like(target.bias))
            target.load_state_dict(state)
    return peer

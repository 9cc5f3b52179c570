"""foundations/batch_norm.py against torch, forward and backward, in both modes; folding on real weights."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from yolov3_lib.data.images import letterbox_image, load_image
from yolov3_lib.foundations import batch_norm
from yolov3_lib.models import ConvBlock, fold_batch_norm, load_model


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@st.composite
def batches(draw) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Maps with at least two values a channel, some far from 0, some with a constant channel; γ and β."""
    n, c, h, w = (draw(st.integers(1, 4)) for _ in range(4))
    if n * h * w < 2:
        n = 2
    seed = draw(st.integers(0, 10_000))
    x = draw(st.sampled_from((1.0, 1e-3, 30.0))) * random(n, c, h, w, seed=seed)
    x += draw(st.sampled_from((0.0, 5.0, -100.0)))
    if draw(st.booleans()):
        x[:, 0] = draw(st.sampled_from((0.0, 3.0)))
    return x, random(c, seed=seed + 1), random(c, seed=seed + 2)


few = settings(max_examples=30)
epsilons = st.sampled_from((1e-5, 1e-3, 0.5))


# Training.


@few
@given(batches())
def test_statistics_are_torchs(batch):
    x = batch[0]
    mean, variance, count = batch_norm.statistics(x)
    assert count == x[:, 0].numel()
    assert torch.allclose(mean, x.mean((0, 2, 3)))
    assert torch.allclose(variance, x.var((0, 2, 3), correction=0))
    assert torch.allclose(batch_norm.statistics(x).unbiased, x.var((0, 2, 3)))


def test_the_variance_keeps_its_digits_where_the_mean_is_large():
    x = (1000 + 0.01 * random(4, 2, 8, 8)).float()
    exact = x.double().var((0, 2, 3), correction=0)
    got = batch_norm.statistics(x).variance.double()
    squares = x.square().mean((0, 2, 3)) - x.mean((0, 2, 3)).square()
    assert torch.allclose(got, exact, rtol=0.02)
    assert not torch.allclose(squares.double(), exact, rtol=0.5), "the short cut should fail here"


@few
@given(batches(), epsilons)
def test_forward_is_torchs(batch, epsilon):
    x, gamma, beta = batch
    y, _ = batch_norm.forward(x, gamma, beta, epsilon)
    expected = F.batch_norm(x, None, None, gamma, beta, training=True, eps=epsilon)
    assert torch.allclose(y, expected, atol=1e-9)


@few
@given(batches(), epsilons)
def test_the_output_has_mean_beta_and_almost_deviation_gamma(batch, epsilon):
    x, gamma, beta = batch
    y, _ = batch_norm.forward(x, gamma, beta, epsilon)
    mean, variance, _ = batch_norm.statistics(y)
    before = batch_norm.statistics(x).variance
    assert torch.allclose(mean, beta, atol=1e-9)
    assert torch.allclose(variance, gamma**2 * before / (before + epsilon), atol=1e-9)


@few
@given(batches(), st.sampled_from((0.1, 3.0, 1e4)), st.sampled_from((-7.0, 0.0, 50.0)))
def test_a_scaled_and_shifted_input_gives_the_same_output(batch, factor, summand):
    """Exactly so if ε grows with the square of the factor."""
    x, gamma, beta = batch
    y, _ = batch_norm.forward(x, gamma, beta, 1e-3)
    again, _ = batch_norm.forward(factor * x + summand, gamma, beta, 1e-3 * factor**2)
    assert torch.allclose(y, again, atol=1e-7)


@few
@given(batches(), epsilons, st.integers(0, 1000))
def test_backward_is_autograds(batch, epsilon, seed):
    x, gamma, beta = (values.clone().requires_grad_() for values in batch)
    grad_y = random(*x.shape, seed=seed)
    expected = torch.autograd.grad(
        F.batch_norm(x, None, None, gamma, beta, training=True, eps=epsilon), (x, gamma, beta), grad_y
    )
    with torch.no_grad():
        _, saved = batch_norm.forward(x, gamma, beta, epsilon)
        got = batch_norm.backward(grad_y, saved)
    for mine, theirs in zip(got, expected, strict=True):
        scale = max(1.0, float(theirs.abs().max()))
        assert torch.allclose(mine / scale, theirs / scale, atol=1e-8)


def test_backward_is_what_finite_differences_give():
    x, gamma, beta = random(2, 3, 2, 2), random(3, seed=1), random(3, seed=2)
    inputs = [values.requires_grad_() for values in (x, gamma, beta)]
    assert torch.autograd.gradcheck(lambda *args: batch_norm._ByHand.apply(*args, 1e-3), inputs)


@few
@given(batches(), st.integers(0, 1000))
def test_a_gradient_moves_neither_the_mean_nor_the_scale(batch, seed):
    """∂L/∂x is perpendicular to a vector of ones, and to x̂ but for what ε leaves."""
    (x, gamma, beta), epsilon = batch, 1e-3
    _, saved = batch_norm.forward(x, gamma, beta, epsilon)
    grad_y = random(*x.shape, seed=seed)
    grad = batch_norm.backward(grad_y, saved).x
    scale = grad.abs().amax((0, 2, 3)).clamp(min=1)
    assert torch.allclose(grad.sum((0, 2, 3)) / scale, torch.zeros_like(scale), atol=1e-9)
    left = gamma * saved.inverse**3 * epsilon * (grad_y * saved.normalized).sum((0, 2, 3))
    along = (grad * saved.normalized).sum((0, 2, 3))
    assert torch.allclose(along / scale, left / scale, atol=1e-9)


# Inference.


@few
@given(batches(), st.floats(0, 1))
def test_running_averages_are_torchs(batch, momentum):
    x = batch[0]
    mean, variance = random(x.shape[1], seed=3), random(x.shape[1], seed=4).square()
    theirs = mean.clone(), variance.clone()
    F.batch_norm(x, *theirs, training=True, momentum=momentum)
    before = mean.clone(), variance.clone()
    got = batch_norm.update_running(mean, variance, batch_norm.statistics(x), momentum)
    assert torch.allclose(got[0], theirs[0])
    assert torch.allclose(got[1], theirs[1])
    assert torch.equal(mean, before[0])
    assert torch.equal(variance, before[1])


@few
@given(batches(), epsilons, st.integers(0, 1000))
def test_scale_and_shift_are_torchs_eval_mode(batch, epsilon, seed):
    x, gamma, beta = batch
    mean, variance = random(len(gamma), seed=seed), random(len(gamma), seed=seed + 1).square()
    scale, shift = batch_norm.scale_and_shift(gamma, beta, mean, variance, epsilon)
    expected = F.batch_norm(x, mean, variance, gamma, beta, training=False, eps=epsilon)
    assert torch.allclose(scale[:, None, None] * x + shift[:, None, None], expected, atol=1e-8)


@few
@given(
    st.integers(1, 3), st.sampled_from((1, 3)), st.integers(1, 2), st.booleans(), st.sampled_from((1, 2)),
    st.integers(0, 1000),
)  # fmt: skip
def test_a_folded_convolution_does_what_both_did(inputs, kernel, stride, with_bias, groups, seed):
    inputs, outputs = inputs * groups, 2 * groups
    x = random(2, inputs, 7, 6, seed=seed)
    weight = random(outputs, inputs // groups, kernel, kernel, seed=seed + 1)
    bias = random(outputs, seed=seed + 2) if with_bias else None
    gamma, beta, mean, root = (random(outputs, seed=seed + i) for i in range(3, 7))
    how = {"stride": stride, "padding": kernel // 2, "groups": groups}
    both = F.batch_norm(F.conv2d(x, weight, bias, **how), mean, root**2, gamma, beta, eps=1e-3)
    one = F.conv2d(x, *batch_norm.fold(weight, bias, gamma, beta, mean, root**2, 1e-3), **how)
    assert torch.allclose(both, one, atol=1e-8)


@pytest.fixture(scope="module")
def detector(photos_dir):
    weights = photos_dir.parent / "weights" / "yolov3-tiny-voc.safetensors"
    return load_model(weights)


def test_the_librarys_folding_of_the_real_weights_is_this_formula(detector, photos_dir):
    model, _ = detector
    folded, by_hand = fold_batch_norm(model), copy.deepcopy(model)
    blocks = [(name, block) for name, block in by_hand.named_modules() if isinstance(block, ConvBlock)]
    assert len(blocks) == 11
    with torch.no_grad():
        for name, block in blocks:
            bn = block.bn
            numbers = (block.conv.weight, bn.weight, bn.bias, bn.running_mean, bn.running_var)
            weight, *rest = (values.double() for values in numbers)
            weight, bias = batch_norm.fold(weight, None, *rest, bn.eps)
            theirs = folded.get_submodule(f"{name}.conv")
            assert torch.equal(theirs.weight, weight.float())
            assert torch.equal(theirs.bias, bias.float())
            block.conv.weight.copy_(weight)
            block.conv.bias = nn.Parameter(bias.float())
            block.bn = nn.Identity()
        pixels, _ = letterbox_image(load_image(photos_dir / "dog.jpg"), 160)
        before, after = model.eval()(pixels[None]), by_hand(pixels[None])
    for a, b in zip(before, after, strict=True):
        assert torch.allclose(a, b, atol=2e-3)
        assert (a - b).norm() < 1e-5 * a.norm()


# As a layer.


def twins(channels: int, **options) -> tuple[batch_norm.BatchNorm, nn.BatchNorm2d]:
    epsilon, momentum = options.get("epsilon", 1e-5), options.get("momentum", 0.1)
    ours = batch_norm.BatchNorm(channels, epsilon, momentum)
    theirs = nn.BatchNorm2d(channels, eps=epsilon, momentum=momentum)
    with torch.no_grad():
        ours.weight.copy_(random(channels, seed=8))
        ours.bias.copy_(random(channels, seed=9))
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("momentum", [0.01, 0.1, 1.0, 0.0])
def test_a_layer_trains_like_torchs(momentum):
    ours, theirs = twins(3, momentum=momentum, epsilon=1e-3)
    optimizers = [torch.optim.SGD(layer.parameters(), lr=0.1) for layer in (ours, theirs)]
    for step in range(6):
        for layer, optimizer in zip((ours, theirs), optimizers, strict=True):
            x = (2 * random(4, 3, 5, 5, seed=step) + 1).float().requires_grad_()
            optimizer.zero_grad()
            layer(x).pow(3).mean().backward()
            optimizer.step()
            layer.grad_of_x = x.grad
        assert torch.allclose(ours.grad_of_x, theirs.grad_of_x, atol=1e-5)
    assert ours.num_batches_tracked == theirs.num_batches_tracked == 6
    for name, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], value, atol=1e-5), name
    x = random(1, 3, 4, 4, seed=99).float()
    ours.eval(), theirs.eval()
    assert torch.allclose(ours(x), theirs(x), atol=1e-5)


def test_in_eval_mode_an_image_doesnt_depend_on_its_neighbors_and_nothing_is_counted():
    layer = twins(3)[0].eval()
    x = random(4, 3, 5, 5).float()
    before = copy.deepcopy(layer.state_dict())
    assert torch.equal(layer(x)[:1], layer(x[:1]))
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert torch.equal(layer(x[:1, :, :1, :1]), layer(x)[:1, :, :1, :1])
    layer.train()
    assert not torch.allclose(layer(x)[:1], layer(x[:1]))
    assert {name for name, _ in layer.named_parameters()} == {"weight", "bias"}


# Bad input.

X = torch.zeros(2, 3, 4, 4)
C3, C2 = torch.ones(3), torch.ones(2)
KERNEL = torch.zeros(3, 2, 1, 1)
SAVED = batch_norm.forward(X, C3, C3)[1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: batch_norm.statistics(X[0]), ValueError, r"x: expected \(N, C, H, W\), got \(3, 4, 4\)"),
        (lambda: batch_norm.statistics(X.int()), TypeError, r"x: expected floats, .*int32; try x\.float\(\)"),
        (lambda: batch_norm.statistics(X[:1, :, :1, :1]), ValueError, r"holds 1 value of each.*eval mode"),
        (lambda: batch_norm.statistics(X[:0]), ValueError, "holds 0 values of each channel"),
        (lambda: batch_norm.forward(X, C2, C3), ValueError, r"gamma: expected \(3,\), one.*got \(2,\)"),
        (lambda: batch_norm.forward(X, C3, C2), ValueError, r"beta: expected \(3,\)"),
        (lambda: batch_norm.forward(X, C3, C3, 0), ValueError, "epsilon: expected more than 0, got 0"),
        (lambda: batch_norm.normalize(X, C3[:, None], C3), ValueError, r"mean: expected \(3,\)"),
        (lambda: batch_norm.normalize(X, C3, C3 - 2), ValueError, r"variance\[0\]: -1 is negative"),
        (lambda: batch_norm.backward(X[:1], SAVED), ValueError, "grad_y: .*same call"),
        (
            lambda: batch_norm.update_running(C3, C2, batch_norm.statistics(X), 0.1), ValueError,
            r"running_variance: expected \(3,\)",
        ),
        (
            lambda: batch_norm.update_running(C3, C3, batch_norm.statistics(X), 1.1), ValueError,
            "momentum: .*from 0 to 1, got 1.1",
        ),
        (lambda: batch_norm.scale_and_shift(X, C3, C3, C3), ValueError, r"gamma: expected \(C,\)"),
        (lambda: batch_norm.fold(KERNEL[0], None, C3, C3, C3, C3), ValueError, r"weight: expected \(O, C"),
        (lambda: batch_norm.fold(KERNEL, C2, C3, C3, C3, C3), ValueError, r"bias: expected \(3,\)"),
        (lambda: batch_norm.fold(KERNEL, None, C3, C3, C2, C3), ValueError, r"mean: expected \(3,\)"),
        (lambda: batch_norm.fold(KERNEL, None, C3, C3, C3, -C3), ValueError, r"variance\[0\]: -1 is"),
        (lambda: batch_norm.BatchNorm(0), ValueError, "channels: expected at least 1"),
        (lambda: batch_norm.BatchNorm(3, momentum=-0.1), ValueError, "momentum"),
        (lambda: batch_norm.BatchNorm(3, epsilon=-1), ValueError, "epsilon"),
        (lambda: batch_norm.BatchNorm(4)(X), ValueError, "has 3 channels, .* 4; .* second dimension"),
        (lambda: batch_norm.BatchNorm(3).eval()(X[0]), ValueError, r"x: expected \(N, C, H, W\)"),
    ],
)  # fmt: skip
def test_bad_input_is_named_and_how_to_mend_it(call, error, message):
    with pytest.raises(error, match=message):
        call()

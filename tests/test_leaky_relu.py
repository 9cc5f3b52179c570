"""Leaky ReLU, its relatives and the network to draw: against torch, autograd, and what they should keep."""

import math
from itertools import repeat

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn, tensor
from torch.nn import functional as F

from yolov3_lib.foundations import leaky_relu as lr

NUMBERS = st.floats(-50, 50, allow_subnormal=False)
TENSORS = st.lists(NUMBERS, min_size=1, max_size=8).map(lambda values: tensor(values, dtype=torch.float64))
SLOPES = st.floats(-2, 3)
GRID = torch.linspace(-30, 30, 601, dtype=torch.float64)


# The functions


@given(TENSORS, SLOPES)
def test_leaky_relu_is_torchs(z, slope):
    assert torch.equal(lr.leaky_relu(z, slope), F.leaky_relu(z, slope))
    z.requires_grad_()
    (expected,) = torch.autograd.grad(F.leaky_relu(z, slope).sum(), z)
    assert torch.equal(lr.leaky_relu_gradient(z.detach(), slope), expected)


@pytest.mark.parametrize("z", [0.0, -0.0])
def test_at_zero_the_derivative_is_the_slope_as_in_torch_and_darknet(z):
    leaf = tensor([z], requires_grad=True)
    (expected,) = torch.autograd.grad(F.leaky_relu(leaf, 0.1).sum(), leaf)
    assert lr.leaky_relu_gradient(tensor([z])).item() == expected.item() == pytest.approx(0.1)


@given(TENSORS, st.floats(0, 3))
def test_the_output_tells_the_derivative(z, slope):
    y = lr.leaky_relu(z, slope)
    assert torch.equal(lr.gradient_from_output(y, slope), lr.leaky_relu_gradient(z, slope))


@given(TENSORS, st.floats(-4, 4), st.floats(0.01, 100), st.floats(0, 1))
def test_what_leaky_relu_keeps(z, slope, factor, gentle):
    assert torch.allclose(lr.leaky_relu(factor * z, slope), factor * lr.leaky_relu(z, slope))
    assert torch.equal(lr.leaky_relu(z, 1.0), z)
    assert torch.equal(lr.leaky_relu(z, 0.0), z.relu())
    # A sum of a straight line and a ReLU: nothing is lost, a leak only adds the line.
    assert torch.allclose(lr.leaky_relu(z, slope), slope * z + (1 - slope) * z.relu())
    assert torch.equal(lr.leaky_relu(z, gentle), torch.maximum(z, gentle * z))


def test_one_slope_a_channel_is_prelu():
    z = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slopes = tensor([0.1, -0.5, 2.0], dtype=torch.float64, requires_grad=True)
    expected = F.prelu(z, slopes)
    assert torch.equal(lr.leaky_relu(z, slopes[:, None, None]), expected)
    (by_slope,) = torch.autograd.grad(expected.sum(), slopes)
    assert torch.allclose(lr.prelu_gradient(z).sum(dim=(0, 2, 3)), by_slope)


@pytest.mark.parametrize(
    ("ours", "gradient", "torchs"), [(lr.silu, lr.silu_gradient, F.silu), (lr.mish, lr.mish_gradient, F.mish)]
)
def test_the_smooth_ones_are_torchs(ours, gradient, torchs):
    leaf = GRID.clone().requires_grad_()
    assert torch.allclose(ours(GRID), torchs(GRID), atol=1e-12)
    (expected,) = torch.autograd.grad(torchs(leaf).sum(), leaf)
    assert torch.allclose(gradient(GRID), expected, atol=1e-12)
    far = tensor([-1e4, 1e4], dtype=torch.float32)
    assert gradient(far).tolist() == [0.0, 1.0]


@given(SLOPES)
def test_gain_is_torchs_and_keeps_the_mean_square(slope):
    assert lr.gain(slope) == pytest.approx(nn.init.calculate_gain("leaky_relu", slope))
    z = torch.randn(2001, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    symmetric = torch.cat([z, -z])
    kept = (lr.gain(slope) * lr.leaky_relu(symmetric, slope)).square().mean()
    assert kept.item() == pytest.approx(symmetric.square().mean().item())


# Silent neurons


def test_silent_neurons_are_those_above_zero_nowhere():
    z = tensor([[-1.0, -2.0, 0.0], [-1.0, 1e-9, -3.0], [1.0, 2.0, 3.0]])
    assert lr.silent(z).tolist() == [True, False, False]
    assert lr.silent(z, dim=0).tolist() == [False, False, False]
    maps = torch.full((2, 3, 4, 4), -1.0)
    maps[1, 2, 3, 0] = 0.5
    assert lr.silent(maps, dim=(0, 2, 3)).tolist() == [True, True, False]
    assert lr.silent(maps, dim=(-2, -1)).sum() == 5


# The network


def some(activation: str, slope: float = 0.1, shift: float = 0.0) -> lr.Network:
    return lr.start(6, 0.0 if activation == "relu" else slope, networks=3, shift=shift, seed=2)


X = torch.linspace(-1, 1, 21, dtype=torch.float64)
TARGET = torch.sin(4 * X)


@pytest.mark.parametrize("activation", lr.ACTIVATIONS)
def test_the_gradients_are_autograds(activation):
    network = lr.Network(*(part.requires_grad_() for part in some(activation)))
    loss, found = lr.gradients(lr.Network(*(part.detach() for part in network)), X, TARGET, activation)
    y = lr.predict(network, X, activation)
    expected = (y - TARGET).square().mean(dim=-1)
    assert torch.allclose(loss, expected)
    slopes = torch.autograd.grad(expected.sum(), network, allow_unused=True, materialize_grads=True)
    for name, ours, theirs in zip(lr.Network._fields, found, slopes, strict=True):
        if name == "slope" and activation != "prelu":
            assert not ours.any()
        else:
            assert torch.allclose(ours, theirs, atol=1e-12), name


MODULES = {
    "relu": nn.ReLU, "leaky": lambda: nn.LeakyReLU(0.1), "prelu": lambda: nn.PReLU(6, 0.1), "silu": nn.SiLU,
    "mish": nn.Mish,
}  # fmt: skip


@pytest.mark.parametrize("activation", lr.ACTIVATIONS)
def test_training_is_torchs_step_for_step(activation):
    network = lr.Network(*(part[:1] for part in some(activation)))
    twin = nn.Sequential(nn.Linear(1, 6), MODULES[activation](), nn.Linear(6, 1)).double()
    with torch.no_grad():
        twin[0].weight.copy_(network.weight.T)
        twin[0].bias.copy_(network.bias[0])
        twin[2].weight.copy_(network.out)
        twin[2].bias.copy_(network.offset)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    for loss, _ in lr.train(network, X, TARGET, activation, repeat(0.1, 30)):
        expected = F.mse_loss(twin(X[:, None])[:, 0], TARGET)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
        optimizer.zero_grad()
        expected.backward()
        optimizer.step()


def test_the_start_is_what_it_says():
    network = lr.start(500, 0.1, networks=20, seed=3)
    assert network.weight.shape == network.slope.shape == (20, 500)
    assert network.kinks.abs().max() <= 1
    assert network.weight.square().mean().item() == pytest.approx(2, rel=0.05)
    assert 500 * network.out.square().mean().item() == pytest.approx(2, rel=0.05)
    shifted = lr.start(500, 0.0, networks=20, shift=2.0, seed=3)
    assert torch.allclose(shifted.bias, network.bias - 2)
    assert torch.equal(shifted.out, network.out)


def test_the_dead_stay_dead_and_the_silent_can_come_back():
    ends = {}
    for activation, slope in (("relu", 0.0), ("leaky", 0.1)):
        network = lr.start(12, slope, networks=10, shift=2.0, seed=0)
        before, *_, (_, after) = lr.train(network, X, TARGET, activation, repeat(0.1, 1500))
        quiet = lr.silent(lr.hidden(before[1], X, activation)[0])
        assert quiet.sum() > 60
        ends[activation] = before[1], after, quiet
    first, last, quiet = ends["relu"]
    for before, after in zip(first, last, strict=True):
        if before.shape == quiet.shape:
            assert torch.equal(before[quiet], after[quiet])
    first, last, quiet = ends["leaky"]
    assert (first.bias[quiet] != last.bias[quiet]).all()
    assert (quiet & ~lr.silent(lr.hidden(last, X, "leaky")[0])).any()


def test_networks_side_by_side_know_nothing_of_each_other():
    together = some("mish")
    alone = lr.Network(*(part[1] for part in together))
    *_, (_, many) = lr.train(together, X, TARGET, "mish", repeat(0.1, 5))
    *_, (_, one) = lr.train(alone, X, TARGET, "mish", repeat(0.1, 5))
    for a, b in zip(many, one, strict=True):
        assert torch.allclose(a[1], b)


# Bad input


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lr.leaky_relu(tensor([1, 2])), TypeError, r"z is torch.int64: expected a tensor of floats"),
        (lambda: lr.silu([1.0]), TypeError, "z is list"),
        (lambda: lr.mish_gradient(3.0), TypeError, "z is float"),
        (lambda: lr.prelu_gradient(None), TypeError, "z is NoneType"),
        (lambda: lr.leaky_relu(GRID, math.nan), ValueError, "slope is nan: give a finite number"),
        (lambda: lr.leaky_relu(torch.ones(2, 3, 4, 4), torch.ones(3)), ValueError, r"such as \(C, 1, 1\)"),
        (lambda: lr.leaky_relu(torch.ones(3), torch.ones(2, 3)), ValueError, r"slope has shape \(2, 3\)"),
        (lambda: lr.gradient_from_output(GRID, -0.1), ValueError, "Keep z"),
        (lambda: lr.gradient_from_output(GRID, tensor(-0.1)), ValueError, "Keep z"),
        (lambda: lr.gain(math.inf), ValueError, "slope is inf"),
        (lambda: lr.silent(torch.empty(3, 0)), ValueError, r"\(3, 0\), dim is -1: without an example"),
        (lambda: lr.silent(GRID, dim=()), ValueError, r"dim is \(\): without an example"),
        (lambda: lr.silent(tensor([1.0, math.nan])), ValueError, "NaN: the network has diverged, lower the"),
        (lambda: lr.start(0), ValueError, "hidden is 0"),
        (lambda: lr.hidden(some("leaky"), X, "tanh"), ValueError, "'tanh': choose from relu, leaky"),
        (lambda: lr.gradients(some("leaky"), X, TARGET[:-1], "leaky"), ValueError, r"should be \(N,\)"),
    ],
)
def test_bad_input_is_told_and_how_to_mend_it(call, error, message):
    with pytest.raises(error, match=message):
        call()

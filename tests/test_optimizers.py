"""Our optimizers against torch's, step for step; the landscapes against arithmetic."""

import copy
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn, optim

from yolov3_lib.foundations.landscapes import LANDSCAPES, trace
from yolov3_lib.foundations.optimizers import SGD, Adam, AdamW, GradientDescent, Momentum, RMSprop, bias

RULES = (GradientDescent, partial(Momentum, momentum=0.9), RMSprop, Adam, AdamW)
TWINS = {
    "gradient descent": (partial(GradientDescent, lr=0.05), partial(optim.SGD, lr=0.05)),
    "gradient descent, decay": (
        partial(GradientDescent, lr=0.05, weight_decay=0.01),
        partial(optim.SGD, lr=0.05, weight_decay=0.01),
    ),
    "momentum": (partial(Momentum, lr=0.02), partial(optim.SGD, lr=0.02, momentum=0.9)),
    "momentum, decay": (
        partial(Momentum, lr=0.02, momentum=0.7, weight_decay=0.01),
        partial(optim.SGD, lr=0.02, momentum=0.7, weight_decay=0.01),
    ),
    "Nesterov": (
        partial(Momentum, lr=0.02, nesterov=True),
        partial(optim.SGD, lr=0.02, momentum=0.9, nesterov=True),
    ),
    "RMSprop": (partial(RMSprop, beta=0.99), optim.RMSprop),
    "RMSprop, decay": (
        partial(RMSprop, lr=3e-3, weight_decay=0.01, eps=1e-3),
        partial(optim.RMSprop, lr=3e-3, alpha=0.9, weight_decay=0.01, eps=1e-3),
    ),
    "Adam": (Adam, optim.Adam),
    "Adam, decay": (
        partial(Adam, lr=0.01, betas=(0.8, 0.99), weight_decay=0.01, eps=1e-4),
        partial(optim.Adam, lr=0.01, betas=(0.8, 0.99), weight_decay=0.01, eps=1e-4),
    ),
    "AdamW": (AdamW, optim.AdamW),
    "AdamW, no decay": (partial(AdamW, lr=0.01, weight_decay=0.0), partial(optim.Adam, lr=0.01)),
}


def network(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    # No bias before batch norm: its gradient is rounding noise, of which RMSprop and Adam make whole steps.
    layers = nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.LeakyReLU(0.1), nn.Conv2d(4, 3, 1)
    return nn.Sequential(*layers).to(dtype)


def batches(steps, dtype=torch.float32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, 2, 6, 6, generator=generator, dtype=dtype) for _ in range(steps)]


def train(net, make, inputs):
    """The parameters after each step."""
    optimizer, seen = make(net.parameters()), []
    for batch in inputs:
        optimizer.zero_grad()
        (net(batch).square() - batch[:, :1, 1:-1, 1:-1]).square().mean().backward()
        optimizer.step()
        seen.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    return torch.stack(seen)


# Against torch


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_every_step_is_torchs(name, dtype, tolerance):
    ours, theirs = (train(network(dtype=dtype), make, batches(30, dtype)) for make in TWINS[name])
    assert (ours[0] - ours[-1]).abs().max() > 1e-3  # it moved
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


numbers = st.floats(-100, 100, allow_nan=False).map(lambda value: round(value, 3))
rates, betas = st.floats(0, 1), st.floats(0, 0.999)


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=12), rates, betas, betas,
       st.sampled_from([0, 1e-8, 1e-3]), st.sampled_from([0.0, 0.1]))  # fmt: skip
@settings(max_examples=60)
def test_whatever_the_gradients_the_walk_is_torchs(gradients, lr, beta1, beta2, eps, decay):
    if eps == 0:
        gradients = [[value or 1.0 for value in row] for row in gradients]  # 0/0 is NaN in both
    pairs = (
        (GradientDescent, optim.SGD, {}, {}),
        (Momentum, optim.SGD, {"momentum": beta1}, {"momentum": beta1}),
        (RMSprop, optim.RMSprop, {"beta": beta2, "eps": eps}, {"alpha": beta2, "eps": eps}),
        (Adam, optim.Adam, {"betas": (beta1, beta2), "eps": eps}, {"betas": (beta1, beta2), "eps": eps}),
        (AdamW, optim.AdamW, {"betas": (beta1, beta2), "eps": eps}, {"betas": (beta1, beta2), "eps": eps}),
    )
    for ours, theirs, own, their in pairs:
        ends = []
        for kind, options in ((ours, own), (theirs, their)):
            theta = torch.ones(3, dtype=torch.float64, requires_grad=True)
            optimizer = kind([theta], lr=lr, weight_decay=decay, **options)
            for gradient in gradients:
                theta.grad = torch.tensor(gradient, dtype=torch.float64)
                optimizer.step()
            ends.append(theta.detach())
        torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-9, equal_nan=True)


def test_parameter_groups_keep_their_own_numbers_and_a_schedule_reaches_them():
    walks = []
    for kind, options in ((Momentum, {"momentum": 0.9}), (optim.SGD, {"momentum": 0.9})):
        net = network()
        decaying = [p for p in net.parameters() if p.ndim > 1]
        rest = [p for p in net.parameters() if p.ndim == 1]
        groups = [{"params": decaying, "weight_decay": 0.1}, {"params": rest, "lr": 0.001}]
        optimizer = kind(groups, lr=0.01, **options)
        schedule = optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.5)
        for batch in batches(9):
            optimizer.zero_grad()
            net(batch).square().mean().backward()
            optimizer.step()
            schedule.step()
        walks.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    torch.testing.assert_close(*walks, rtol=0, atol=1e-6)


# What every optimizer of torch does


@pytest.mark.parametrize("rule", RULES)
def test_a_parameter_without_a_gradient_stays_and_its_memory_too(rule):
    moving, unused = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    optimizer = rule([moving, unused], lr=0.1)
    moving.sum().backward()
    optimizer.step()
    assert unused.tolist() == [1, 1]
    assert unused not in optimizer.state
    assert (moving < 1).all()


@pytest.mark.parametrize("rule", RULES)
def test_the_gradient_is_left_as_it_was(rule):
    theta = torch.ones(3, requires_grad=True)
    optimizer = rule([theta], lr=0.1, weight_decay=0.1)
    gradient = torch.tensor([1.0, -2, 3])
    theta.grad = gradient.clone()
    optimizer.step()
    optimizer.step()
    assert torch.equal(theta.grad, gradient)


@pytest.mark.parametrize("rule", RULES)
def test_state_is_saved_and_restored(rule):
    first = network()
    make = partial(rule, lr=0.01)
    optimizer = make(first.parameters())

    def go(net, optimizer, inputs):
        for batch in inputs:
            optimizer.zero_grad()
            net(batch).square().mean().backward()
            optimizer.step()

    go(first, optimizer, batches(5))
    second = network(seed=3)
    second.load_state_dict(first.state_dict())
    other = make(second.parameters())
    # Torch hands the same tensors on where nothing has to be converted; a file would hold copies.
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for net, each in ((first, optimizer), (second, other)):
        go(net, each, batches(4, seed=2))
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("rule", RULES)
def test_a_closure_is_called_once_with_gradients_on_and_its_value_comes_back(rule):
    theta = torch.tensor([3.0], requires_grad=True)
    optimizer, calls = rule([theta], lr=0.1), []

    def closure():
        optimizer.zero_grad()
        loss = (theta**2).sum()
        loss.backward()
        calls.append(loss)
        return loss

    assert optimizer.step(closure) is calls[0]
    assert len(calls) == 1
    assert theta.item() < 3
    assert optimizer.step() is None


def test_steps_are_counted_for_each_parameter():
    often, seldom = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    optimizer = Adam([often, seldom], lr=0.1)
    for step in range(4):
        often.grad = torch.ones(1)
        seldom.grad = torch.ones(1) if step == 3 else None
        optimizer.step()
    assert [optimizer.state[p]["t"] for p in (often, seldom)] == [4, 1]
    assert seldom.item() == pytest.approx(0.9)  # its first step is a whole one


# What the chapter says about them


@given(st.lists(numbers, min_size=1, max_size=30), betas)
def test_the_corrected_mean_is_a_mean_whose_weights_add_up_to_one(values, beta):
    mean = 0.0
    for value in values:
        mean = beta * mean + (1 - beta) * value
    t = len(values)
    weights = np.array([(1 - beta) * beta ** (t - i) for i in range(1, t + 1)]) / bias(beta, t)
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    assert mean / bias(beta, t) == pytest.approx(weights @ values, abs=1e-6)
    assert bias(beta, 1, "constant") == pytest.approx(bias(beta, 1))
    assert bias(beta, t, "none") == 1


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 1.0))
def test_adams_first_step_has_the_length_of_the_learning_rate_whatever_the_gradient(size, lr):
    theta = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = Adam([theta], lr=lr)
    theta.grad = torch.tensor([size, -3 * size], dtype=torch.float64)
    optimizer.step()
    assert theta.tolist() == pytest.approx([-lr, lr], rel=1e-4)


@pytest.mark.parametrize("rule", [partial(RMSprop, eps=0.0), partial(Adam, eps=0.0)])
def test_a_loss_a_thousand_times_as_large_takes_the_same_walk(rule):
    valley = LANDSCAPES["valley"]
    higher = replace(valley, height=lambda p: 1000 * valley.height(p))
    walks = [trace(partial(rule, lr=0.05), each, 30) for each in (valley, higher)]
    torch.testing.assert_close(*walks)


@pytest.mark.parametrize("lr", [0.01, 0.3])
def test_the_documents_correction_is_no_correction_with_another_learning_rate(lr):
    betas = 0.9, 0.999
    factor = math.sqrt(1 - betas[1]) / (1 - betas[0])
    walks = [
        trace(partial(Adam, lr=rate, betas=betas, eps=0.0, correction=correction), LANDSCAPES["valley"], 50)
        for rate, correction in ((lr, "constant"), (lr * factor, "none"))
    ]
    torch.testing.assert_close(*walks)


def test_epsilon_inside_the_root_acts_like_its_root_outside():
    for size, outside, inside in ((1.0, 1.0, 1.0), (1e-6, 0.9901, 0.0100), (1e-8, 0.5, 1e-4)):
        for eps_inside, expected in ((False, outside), (True, inside)):
            for rule in (Adam, partial(RMSprop, beta=0.0)):
                theta = torch.zeros(1, dtype=torch.float64, requires_grad=True)
                optimizer = rule([theta], lr=1.0, eps=1e-8, eps_inside=eps_inside)
                theta.grad = torch.full((1,), size, dtype=torch.float64)
                optimizer.step()
                assert -theta.item() == pytest.approx(expected, rel=1e-2)


@given(st.floats(0.1, 50), st.floats(0, 0.95))
@settings(max_examples=15)
def test_where_momentum_stops_to_converge(curvature, mu):
    limit = 2 * (1 + mu) / curvature
    bowl = replace(LANDSCAPES["valley"], height=lambda p: curvature * (p**2).sum(-1) / 2, start=(1.0, 1.0))
    for share, settles in ((0.9, True), (1.1, False)):
        walk = trace(partial(Momentum, lr=share * limit, momentum=mu), bowl, 400)
        assert (walk[-1].abs().max() < 1e-2) == settles


def test_polyaks_numbers_for_the_valley():
    walk = trace(partial(Momentum, lr=1 / 9, momentum=4 / 9), LANDSCAPES["valley"], 40)
    # Both curvatures shrink by √μ = 2/3 a step, up to a factor that grows like the step's number.
    assert (walk[-1].abs() < 41 * 5 * (2 / 3) ** 40).all()


@pytest.mark.parametrize("correction", ["constant", "none"])
def test_a_wrong_correction_differs_from_the_second_step_on(correction):
    right, wrong = (
        trace(partial(Adam, lr=0.1, correction=each), LANDSCAPES["valley"], 2)
        for each in ("power", correction)
    )
    assert torch.allclose(right[1], wrong[1]) == (correction == "constant")
    assert not torch.allclose(right[2], wrong[2], atol=1e-3)


# Bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: GradientDescent(p, lr=-1), "lr: expected a finite number, at least 0, got -1"),
        (lambda p: Momentum(p, lr=math.nan), "lr: expected a finite number, at least 0, got nan"),
        (lambda p: RMSprop(p, lr=math.inf), "lr: expected a finite number"),
        (lambda p: SGD(p, 0.1, weight_decay=-0.1), "weight_decay: expected a finite number, at least 0"),
        (lambda p: Momentum(p, 0.1, momentum=1.0), "momentum: expected a number from 0 to below 1, got 1.0"),
        (lambda p: RMSprop(p, beta=-0.1), "beta: expected a number from 0 to below 1, got -0.1"),
        (lambda p: RMSprop(p, eps=-1e-8), "eps: expected a finite number"),
        (lambda p: Adam(p, betas=(0.9, 1.0)), r"betas\[1\]: expected a number from 0 to below 1, got 1.0"),
        (lambda p: Adam(p, betas=(0.9,)), "betas: expected two numbers, β₁ and β₂, got 1"),
        (lambda p: AdamW(p, betas=(math.nan, 0.9)), r"betas\[0\]: expected a number"),
        (lambda p: AdamW(p, weight_decay=-1), "weight_decay: expected a finite number"),
        (
            lambda p: Adam(p, correction="half"),
            "correction: expected one of power, constant, none, got 'half'",
        ),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make([torch.ones(1, requires_grad=True)])


def test_a_sparse_gradient_is_refused_with_its_place():
    table = nn.Embedding(5, 2, sparse=True)
    optimizer = Adam([torch.ones(1, requires_grad=True), table.weight])
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(TypeError, match=r"params\[1\] of group 0 has a sparse gradient: use nn.Embedding"):
        optimizer.step()


# Landscapes


@pytest.mark.parametrize("name", LANDSCAPES)
def test_the_lowest_places_are_the_lowest(name):
    landscape = LANDSCAPES[name]

    def height(p):
        return float(landscape.height(torch.from_numpy(p)))

    heights = [height(np.array(place)) for place in landscape.lowest]
    assert heights == sorted(heights)
    for place, expected in zip(landscape.lowest, heights, strict=True):
        found = scipy.optimize.minimize(height, np.array(place) + 0.1, tol=1e-10)
        assert found.x == pytest.approx(place, abs=1e-4)
        assert found.fun == pytest.approx(expected, abs=1e-8)
    x0, x1, y0, y1 = landscape.window
    for x, y in (landscape.start, *landscape.lowest):
        assert x0 < x < x1
        assert y0 < y < y1
    grid = torch.cartesian_prod(torch.linspace(x0, x1, 60).double(), torch.linspace(y0, y1, 60).double())
    assert landscape.height(grid).min() >= heights[0] - 1e-9


def test_pulls_are_those_of_samples_and_their_sum_is_zero():
    bowl = LANDSCAPES["noisy bowl"]
    assert bowl.pulls.shape == (60, 2)
    assert bowl.pulls.sum(dim=0).abs().max() < 1e-12
    assert (bowl.pulls * 100).round().equal((bowl.pulls * 100).round(decimals=6))
    assert 0.8 < bowl.pulls.std() < 1.2
    # Sample number k pulls towards a place of its own: its loss is a bowl that has been moved.
    point = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    for step in (0, 59, 60):
        (gradient,) = torch.autograd.grad(bowl.loss(point, step), point)
        own = -bowl.pulls[step % 60] / torch.tensor([1.0, 4.0])
        torch.testing.assert_close(gradient, torch.tensor([1.0, 4.0]) * (point.detach() - own))


def test_a_walk_begins_at_its_start_and_takes_the_steps_of_arithmetic():
    walk = trace(partial(GradientDescent, lr=0.1), LANDSCAPES["noisy bowl"], 1, start=(1, 2))
    pull = LANDSCAPES["noisy bowl"].pulls[0]
    assert walk.dtype == torch.float64
    assert walk[0].tolist() == [1, 2]
    assert walk[1].tolist() == pytest.approx((walk[0] - 0.1 * (torch.tensor([1.0, 8.0]) + pull)).tolist())
    assert trace(Adam, LANDSCAPES["saddle"], 0).tolist() == [[-3.0, 0.01]]


def test_a_walk_that_leaves_stands_still_where_it_is():
    walk = trace(partial(GradientDescent, lr=3.0), LANDSCAPES["valley"], 20, reach=50)
    outside = (walk.abs().amax(dim=1) > 50).nonzero()[0].item()
    assert 0 < outside < 20
    assert (walk[outside:] == walk[outside]).all()
    assert walk.isfinite().all()


@pytest.mark.parametrize("start", [(1.0,), (1.0, math.nan), (1.0, 2.0, 3.0)])
def test_a_start_that_is_no_place_is_refused(start):
    with pytest.raises(ValueError, match="start: expected two finite numbers, got"):
        trace(Adam, LANDSCAPES["valley"], 3, start=start)


def test_a_negative_number_of_steps_is_refused():
    with pytest.raises(ValueError, match="steps: expected a whole number, at least 0, got -1"):
        trace(Adam, LANDSCAPES["valley"], -1)

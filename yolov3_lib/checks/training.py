"""Chapter 13, training: what a right answer to its exercises does."""

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn, tensor

from yolov3_lib.checks import demands
from yolov3_lib.checks.answers import Hunt, Question, Slip
from yolov3_lib.checks.engine import Exercise, Property, Verdict
from yolov3_lib.checks.student import Case, Fault, Student
from yolov3_lib.checks.values import kind, show

# What the document says of its run.
_IMAGES, _BATCH, _EPOCHS, _WANTED, _HOURS = 16_550, 32, 122, 200, 9


# Exercise 13.2: a schedule


def _rate(step: int, total: int, highest: float, warmup: int, power: int, left: float) -> float:
    from yolov3_lib.training.config import TrainConfig
    from yolov3_lib.training.optimizer import learning_rate

    config = TrainConfig(
        schedule="cosine", learning_rate=highest, warmup_steps=warmup, warmup_power=power, final_fraction=left
    )
    return learning_rate(config, step, total)


def _steps(
    step: Callable[[int, int], SearchStrategy[int]],
    warmup: tuple[int, int] = (2, 20),
    power: tuple[int, int] = (1, 4),
) -> SearchStrategy[Case]:
    """Cases of a schedule; ``step`` gives the steps to ask for, from the warm-up and the total."""

    def build(length: int, first: int, exponent: int, left: int) -> SearchStrategy[Case]:
        total = first + length
        numbers = st.just(total), st.just(2.0), st.just(first), st.just(exponent), st.just(left / 10)
        return st.tuples(step(first, total), *numbers)

    drawn = st.tuples(
        st.integers(10, 40), st.integers(*warmup), st.integers(*power), st.integers(0, 5)
    )  # fmt: skip
    return drawn.flatmap(lambda numbers: build(*numbers))


_SAME_RATE = demands.number(_rate)

_SCHEDULE = Exercise(
    "warm-up, then a cosine",
    ("step", "total", "highest", "warmup", "power", "left"),
    (
        Property(
            "the very first step",
            _steps(lambda warmup, total: st.just(0), power=(1, 1)),
            _SAME_RATE,
            "steps count from 0, and the first one has to move the weights. Which share of the warm-up is "
            "done when it is over, and a share of which rate is it?",
        ),
        Property(
            "a straight warm-up",
            _steps(lambda warmup, total: st.integers(0, warmup - 1), power=(1, 1)),
            _SAME_RATE,
            "equation (13.2) with p = 1: equal rises from step to step, up to the highest rate.",
        ),
        Property(
            "Darknet's burn-in",
            _steps(lambda warmup, total: st.integers(0, warmup - 1), power=(2, 4)),
            _SAME_RATE,
            "the power belongs to the share of the warm-up that is done, not to the learning rate.",
        ),
        Property(
            "right after the warm-up",
            _steps(lambda warmup, total: st.just(warmup)),
            _SAME_RATE,
            "the cosine starts where the warm-up ends: there its share is 0, and the rate the highest.",
        ),
        Property(
            "the way down",
            _steps(lambda warmup, total: st.integers(warmup, total - 1)),
            _SAME_RATE,
            "equation (13.3): of the steps that are left after the warm-up, which share is done? The curve "
            "falls to the part that is left, not to nothing.",
            tries=60,
        ),
        Property(
            "no warm-up",
            _steps(lambda warmup, total: st.integers(0, total - 1), warmup=(0, 0)),
            _SAME_RATE,
            "a warm-up of 0 steps is none: nothing may be divided by it.",
        ),
    ),
)


def schedule(student: Callable) -> Verdict:
    """Checks a learning-rate schedule: a warm-up by equation (13.2), then the cosine (13.3).

    Args:
        student: a function of the step (from 0), the steps in total, the highest learning rate, the steps of
            the warm-up, its power, and the share of the rate that is left at the end, that gives the learning
            rate of that step.
    """
    return _SCHEDULE.check(student)


# Exercise 13.3: the moving average


def _average(average: Tensor, weights: Tensor, count: int, decay: float) -> Tensor:
    from yolov3_lib.training.ema import MovingAverage

    def as_model(values: Tensor) -> nn.Module:
        model = nn.Module()
        model.register_buffer("values", values.double())
        return model

    follower = MovingAverage(as_model(average), decay)
    follower.updates = count - 1
    follower.update(as_model(weights))
    return follower.model.values


def _vector(reference: Callable[..., Tensor], name: str) -> demands.Check:
    def check(student: Student, case: Case) -> str | None:
        expected = reference(*case).double()
        got = demands.as_tensor(student(*case), expected.shape)
        for index in range(expected.numel()):
            problem = demands.differ(expected.flatten()[index].item(), got.flatten()[index].item())
            if problem:
                return f"{name} {index}: {problem}"
        return None

    return check


_DECAYS = st.sampled_from((0.9, 0.98, 0.999))


def _averages(
    counts: SearchStrategy[int],
    decays: SearchStrategy[float] = _DECAYS,
    equal: bool = False,
) -> SearchStrategy[Case]:
    numbers = st.lists(st.integers(-8, 8), min_size=1, max_size=3)

    def build(old: list[int], new: list[int], count: int, decay: float) -> Case:
        size = min(len(old), len(new))
        average = tensor(old[:size]).float()
        weights = average.clone() if equal else tensor(new[:size]).float()
        return average, weights, count, decay

    return st.builds(build, numbers, numbers, counts, decays)


_SAME_AVERAGE = _vector(_average, "entry")
_AVERAGE_INPUTS = ("average", "weights", "count", "decay")

_EMA = Exercise(
    "a moving average",
    _AVERAGE_INPUTS,
    (
        Property(
            "weights that stand still",
            _averages(st.integers(1, 50), equal=True),
            _SAME_AVERAGE,
            "the two shares add up to 1: where old and new are equal, nothing changes.",
        ),
        Property(
            "late in the run",
            _averages(st.integers(10_000, 20_000)),
            _SAME_AVERAGE,
            "a decay near 1 keeps nearly everything of the average. Which of the two does it multiply?",
        ),
        Property(
            "the very first update",
            _averages(st.just(1), st.just(0.999)),
            _SAME_AVERAGE,
            "counted from 1: the first update keeps 2/11 of the average, whatever the decay.",
        ),
        Property(
            "the first updates",
            _averages(st.integers(1, 80), st.just(0.999)),
            _SAME_AVERAGE,
            "the ramp (13.5) is a second limit on what is kept. The smaller of the two rules.",
        ),
        Property(
            "a small decay",
            _averages(st.integers(1, 80), st.sampled_from((0.1, 0.5))),
            _SAME_AVERAGE,
            "the ramp may only lower what is kept, never raise it above the decay.",
        ),
        Property(
            "the inputs stay as they are",
            _averages(st.integers(1, 50)),
            demands.inputs_kept(_AVERAGE_INPUTS),
            "methods whose names end in an underscore write into the tensor itself, and so do *= and +=.",
        ),
    ),
)


def ema_update(student: Callable) -> Verdict:
    """Checks one update of an exponential moving average with a ramp, equations (13.4) and (13.5).

    Args:
        student: a function of the average and the weights, float32 tensors of one shape, the number of this
            update (counted from 1) and the decay, that gives the new average.
    """
    return _EMA.check(student)


# Exercise 13.4: gradient accumulation


class _MeanSquaredError:
    """The mean squared error of a linear model, which notes how many examples it is given at a time."""

    __name__ = "mse"

    def __init__(self) -> None:
        self.largest = 0

    def __call__(self, weights: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        self.largest = max(self.largest, len(inputs))
        return ((inputs @ weights - targets) ** 2).mean()


def _gradient(mse: _MeanSquaredError, weights: Tensor, inputs: Tensor, targets: Tensor, most: int) -> Tensor:
    return 2 * inputs.T @ (inputs @ weights - targets) / len(inputs)


@st.composite
def _examples(draw: st.DrawFn, parts: tuple[int, int], rest: bool) -> Case:
    """A callable that gives the mean loss, weights (2,), inputs (N, 2), targets (N,), the most at a time."""
    most = draw(st.integers(2, 4))
    count = most * draw(st.integers(*parts)) + (draw(st.integers(1, most - 1)) if rest else 0)
    small = st.integers(-3, 3)
    rows = draw(st.lists(st.tuples(small, small, small), min_size=count, max_size=count))
    table = tensor(rows).float()
    weights = tensor(draw(st.tuples(small, small))).float()
    return _MeanSquaredError(), weights, table[:, :2], table[:, 2], most


def _in_parts(student: Student, case: Case) -> str | None:
    mse, *_, most = case
    student(*case)
    if mse.largest == 0:
        return "yours never asked mse"
    if mse.largest > most:
        return f"yours gave mse {mse.largest} examples at a time; {most} fit into memory"
    return None


_SAME_GRADIENT = _vector(_gradient, "entry")
_ACCUMULATE_INPUTS = ("mse", "weights", "inputs", "targets", "most")

_ACCUMULATE = Exercise(
    "a gradient in parts",
    _ACCUMULATE_INPUTS,
    (
        Property(
            "everything fits",
            _examples((1, 1), rest=False),
            _SAME_GRADIENT,
            "with a single part it is the gradient of what you are given, as it stands.",
        ),
        Property(
            "parts of equal size",
            _examples((2, 3), rest=False),
            _SAME_GRADIENT,
            "each part gives the mean over itself. What does the mean over all make of several such means? "
            "And between the parts nothing moves the weights, or clears what has added up.",
            tries=40,
        ),
        Property(
            "a last part that is smaller",
            _examples((1, 3), rest=True),
            _SAME_GRADIENT,
            "a part of 1 example and a part of 4 don't weigh the same. By which share of all examples does "
            "each count? And none may be left out.",
            tries=40,
        ),
        Property(
            "no more at a time than fit",
            _examples((2, 3), rest=True),
            _in_parts,
            "the point is memory: hand over slices of the inputs and targets, each at most that long.",
        ),
        Property(
            "the inputs stay as they are",
            _examples((1, 2), rest=True),
            demands.inputs_kept(_ACCUMULATE_INPUTS),
            "let autograd work on a copy of the weights.",
        ),
    ),
)


def accumulated_gradient(student: Callable) -> Verdict:
    """Checks gradient accumulation.

    Args:
        student: a function of a callable ``mse(weights, inputs, targets)``, the mean over the examples
            that it is given; weights (D,), inputs (N, D), targets (N,), all float32; and the most examples
            that fit at a time. It gives the gradient of the mean over all N, (D,).
    """
    return _ACCUMULATE.check(student)


# Exercise 13.5: clipping


def _clip(gradients: Tensor, limit: float) -> Tensor:
    rows = nn.ParameterList(nn.Parameter(torch.zeros_like(row)) for row in gradients.double())
    for row, gradient in zip(rows, gradients.double(), strict=True):
        row.grad = gradient.clone()
    nn.utils.clip_grad_norm_(list(rows), limit)
    return torch.stack([row.grad for row in rows])


def _gradients(rows: tuple[int, int], limits: SearchStrategy[float]) -> SearchStrategy[Case]:
    row = st.tuples(st.integers(-4, 4), st.integers(-4, 4))
    tables = st.lists(row, min_size=rows[0], max_size=rows[1])
    # A gradient of nothing but zeros has a property of its own.
    tables = tables.filter(lambda table: any(any(row) for row in table))
    return st.builds(lambda table, limit: (tensor(table).float(), limit), tables, limits)


_TIGHT = st.sampled_from((0.5, 1.0, 2.0))
_SAME_CLIP = _vector(_clip, "number")
_CLIP_INPUTS = ("gradients", "limit")

_CLIP = Exercise(
    "clipping by the norm",
    _CLIP_INPUTS,
    (
        Property(
            "short enough",
            _gradients((1, 3), st.just(100.0)),
            _SAME_CLIP,
            "a limit is no goal: what is shorter than it stays as it is.",
        ),
        Property(
            "one parameter",
            _gradients((1, 1), _TIGHT),
            _SAME_CLIP,
            "the length is the root of the sum of all entries times themselves; afterwards it is the limit.",
        ),
        Property(
            "several parameters",
            _gradients((2, 4), _TIGHT),
            _SAME_CLIP,
            "one length for everything, one factor for everything: the step keeps its direction.",
            tries=40,
        ),
        Property(
            "no gradient at all",
            _gradients((1, 3), _TIGHT).map(lambda case: (case[0] * 0, case[1])),
            _SAME_CLIP,
            "a gradient of zeros has length 0, and something is divided by it.",
        ),
        Property(
            "the inputs stay as they are",
            _gradients((1, 3), _TIGHT),
            demands.inputs_kept(_CLIP_INPUTS),
            "*= writes into the tensor that the caller still uses.",
        ),
    ),
)


def clip_gradients(student: Callable) -> Verdict:
    """Checks clipping by the norm of all gradients together.

    Args:
        student: a function of gradients (K, D), a row for each of K parameters, and the limit, that gives
            the clipped gradients, (K, D).
    """
    return _CLIP.check(student)


def _turns(function: Callable, gradients: Tensor, limit: float) -> str | None:
    if not isinstance(gradients, Tensor) or gradients.ndim != 2:
        raise ValueError("gradients should be a tensor with a row for each parameter")
    if not gradients.isfinite().all():
        raise ValueError("gradients should be finite numbers")
    if not limit > 0:
        raise ValueError("the limit should be a positive number")
    before = gradients.float()
    after = demands.as_tensor(function(before.clone(), limit), before.shape).float()
    if not before.any():
        raise Fault("a gradient of zeros has no direction", "give the rows something to point at.")
    along = nn.functional.cosine_similarity(before.flatten(), after.flatten(), dim=0)
    return None if along < 0.999 else "on these gradients the direction stays"


# Exercise 13.6: what decays


def _named(name: str, *layers: nn.Module, frozen: bool = False) -> nn.Module:
    model = nn.Sequential(*layers)
    model.__name__ = name
    if frozen:
        layers[0].requires_grad_(False)
    return model


def _kernel(channels: int) -> nn.Module:
    return nn.Conv2d(channels, channels, 1, bias=False)


def _block(channels: int) -> nn.Module:
    return nn.Sequential(_kernel(channels), nn.BatchNorm2d(channels))


# Built afresh for every case: a student's function may change a model.
_MODELS = {
    "a convolution": lambda n: _named("Conv2d without bias", _kernel(n)),
    "with batch norm": lambda n: _named("Conv2d, BatchNorm2d", *_block(n)),
    "head": lambda n: _named("Conv2d, BatchNorm2d, Conv2d with bias", *_block(n), nn.Conv2d(n, 2, 1)),
    "nested": lambda n: _named("blocks of blocks", _block(n), nn.Sequential(_block(n))),
    "linear": lambda n: _named("Conv2d without bias, Linear", _kernel(n), nn.Linear(n, 2)),
    "frozen": lambda n: _named("a frozen Conv2d, BatchNorm2d", *_block(n), frozen=True),
}


def _models(*names: str) -> SearchStrategy[Case]:
    return st.tuples(st.builds(lambda name, n: _MODELS[name](n), st.sampled_from(names), st.integers(1, 3)))


def _split(model: nn.Module) -> tuple[list[str], list[str]]:
    from yolov3_lib.training.config import TrainConfig
    from yolov3_lib.training.optimizer import build_optimizer

    names = {id(parameter): name for name, parameter in model.named_parameters()}
    optimizer = build_optimizer(model, TrainConfig(optimizer="adamw", weight_decay=0.1))
    groups = optimizer.param_groups
    return tuple(
        [names[id(p)] for group in groups if bool(group["weight_decay"]) is decays for p in group["params"]]
        for decays in (True, False)
    )


def _same_split(student: Student, case: Case) -> str | None:
    got = student(*case)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Fault(
            f"expected two lists of names, yours gave {kind(got)}", "return both in one tuple, in this order."
        )
    lists = [list(part) if isinstance(part, (list, tuple, set)) else None for part in got]
    if None in lists or not all(isinstance(name, str) for part in lists for name in part):
        raise Fault(
            "expected lists of names such as '0.weight'", "the name, please, and not what it stands for."
        )
    for part, expected, other, verb in zip(
        lists, _split(*case), reversed(_split(*case)), ("decays", "doesn't decay"), strict=True
    ):
        for name in part:
            if part.count(name) > 1:
                return f"{name} comes twice in the list of what {verb}"
            if name in other:
                return f"{name}: yours says that it {verb}"
            if name not in expected:
                return f"{name}: yours says that it {verb}, but it isn't trained"
        missing = [name for name in expected if name not in part]
        if missing:
            return f"{show(missing[0])} {verb}, and is missing from yours"
    return None


_GROUPS = Exercise(
    "what decays",
    ("model",),
    (
        Property(
            "a convolution",
            _models("a convolution"),
            _same_split,
            "its weights are what decay is for.",
        ),
        Property(
            "a convolution and its batch norm",
            _models("with batch norm"),
            _same_split,
            "scale and shift of batch norm don't decay. One has `weight` in its name too: what else tells it "
            "from the kernel of a convolution?",
        ),
        Property(
            "a head with a bias",
            _models("head", "linear"),
            _same_split,
            "a bias doesn't decay, wherever it is; a matrix of weights does.",
        ),
        Property(
            "blocks in blocks",
            _models("nested"),
            _same_split,
            "a model holds blocks, and they hold blocks. Does your function find what lies deep inside?",
        ),
        Property(
            "what is frozen",
            _models("frozen"),
            _same_split,
            "what doesn't require a gradient isn't trained, and belongs to neither list.",
        ),
    ),
)


def param_groups(student: Callable) -> Verdict:
    """Checks the split of a model's parameters into those that decay and those that don't.

    Args:
        student: a function of an ``nn.Module`` that gives two lists of parameter names, as
            ``named_parameters`` has them: those that weight decay pulls at, and the other trained ones.
    """
    return _GROUPS.check(student)


# Exercise 13.1, by hand

ANSWERS = {
    "13.1": (
        Question(
            "steps in an epoch",
            lambda: float(_IMAGES // _BATCH),
            "a step takes one batch, and a batch that isn't full is left out.",
            (
                Slip(
                    lambda: float(_IMAGES // _BATCH + 1),
                    "the last images don't fill a batch. Here such a batch isn't used.",
                ),
            ),
            tolerance=0.3,
        ),
        Question(
            "images a second",
            lambda: _IMAGES * _EPOCHS / (_HOURS * 3600),
            "how many images go through in all the epochs together, and how many seconds are nine hours?",
            (
                Slip(
                    lambda: _IMAGES * _EPOCHS / (_HOURS * 60),
                    "that is images a minute.",
                ),
                Slip(lambda: _IMAGES / (_HOURS * 3600), "that is one epoch in nine hours."),
            ),
            tolerance=0.5,
        ),
        Question(
            "hours for 200 epochs",
            lambda: _HOURS * _WANTED / _EPOCHS,
            "at the same speed, hours and epochs are proportional.",
            (Slip(lambda: _HOURS * _EPOCHS / _WANTED, "more epochs can't take less time."),),
            tolerance=0.1,
        ),
        Question(
            "the rate half way through the burn-in",
            lambda: 0.5**4,
            "equation (13.2) with p = 4, as a share of the highest rate.",
            (
                Slip(lambda: 0.5, "that would be a straight warm-up. Darknet's has a power."),
                Slip(lambda: 4 * 0.5, "a power isn't a factor."),
            ),
            tolerance=0.001,
        ),
    ),
}

PREDICTIONS = {
    "13.3": (
        Question(
            "updates until half of it has gone",
            lambda: 34.3,
            "each update leaves .98 of what was there. How often until it is one half?",
            (Slip(lambda: 25.0, "it isn't a straight line: each update takes a share of what is left."),),
            tolerance=0.8,
        ),
    ),
    "13.4": (
        Question(
            "the gradient with batch norm, in parts",
            lambda: "B",
            "where do the mean and the variance come from when a part goes through by itself?",
        ),
    ),
}

EXAMPLES = {
    "13.5": Hunt(
        "this clipping keeps the direction",
        _turns,
        "one long row and one short row. What happens to each of them?",
    ),
}

CHECKERS = (schedule, ema_update, accumulated_gradient, clip_gradients, param_groups)

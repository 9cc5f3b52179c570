"""Wrong answers to chapter 13."""

from mutants.bank import Mutant

SHARE = "(step + 1) / warmup"
DONE = "(step - warmup) / (total - warmup)"
SCHEDULE = {
    "counts from 0": Mutant("the very first step", {SHARE: "step / warmup"}),
    "no power": Mutant("Darknet's burn-in", {f"({SHARE}) ** power": SHARE}),
    "a power too many, and on the rate": Mutant(
        "the very first step", {f"highest * ({SHARE}) ** power": f"(highest * ({SHARE})) ** (power + 1)"}
    ),
    "a power of the rate too": Mutant(
        "Darknet's burn-in", {f"highest * ({SHARE}) ** power": f"(highest * ({SHARE})) ** power"}
    ),
    "one step of warm-up too many": Mutant(
        "right after the warm-up", {"step < warmup": "step <= warmup", SHARE: "step / warmup + 1 / warmup"}
    ),
    "the cosine starts with the run": Mutant("right after the warm-up", {DONE: "step / total"}),
    "divides by all steps": Mutant("the way down", {DONE: "(step - warmup) / total"}),
    "falls to nothing": Mutant("the way down", {"left + (1 - left) * curve": "curve"}),
    "falls too low": Mutant("right after the warm-up", {"left + (1 - left) * curve": "left * curve"}),
    "adds what is left": Mutant("right after the warm-up", {"left + (1 - left) * curve": "left + curve"}),
    "a whole turn": Mutant("the way down", {"np.pi * done": "2 * np.pi * done"}),
    "a straight line": Mutant("the way down", {"(1 + np.cos(np.pi * done)) / 2": "1 - done"}),
    "divides by no warm-up": Mutant("no warm-up", {"if step < warmup:": "if step / warmup < 1:"}),
    "the share alone": Mutant("the very first step", {"highest * (": "("}),
}

KEPT = "min(decay, (1 + count) / (10 + count))"
MIX = "kept * average + (1 - kept) * weights"
EMA = {
    "no ramp": Mutant("the very first update", {KEPT: "decay"}),
    "the ramp alone": Mutant("a small decay", {KEPT: "(1 + count) / (10 + count) if count < 999 else decay"}),
    "the larger of the two": Mutant("late in the run", {KEPT: KEPT.replace("min", "max")}),
    "counts from 0": Mutant("the very first update", {KEPT: "min(decay, count / (9 + count))"}),
    "the wrong way round": Mutant("late in the run", {MIX: "(1 - kept) * average + kept * weights"}),
    "the shares don't add up": Mutant("weights that stand still", {MIX: "kept * average + weights"}),
    "adds the difference twice": Mutant(
        "late in the run", {MIX: "average + 2 * (1 - kept) * (weights - average)"}
    ),
    "the plain mean": Mutant("late in the run", {MIX: "(average + weights) / 2"}),
    "in place": Mutant("the inputs stay as they are", {MIX: "average.lerp_(weights, 1 - kept)"}),
    "gives the weights": Mutant("late in the run", {MIX: "weights.clone()"}),
}

PART = "len(part) / len(inputs)"
ACCUMULATE = {
    "all at once": Mutant(
        "no more at a time than fit", {"range(0, len(inputs), most)": "[0]", "start + most": "len(inputs)"}
    ),
    "the sum of the means": Mutant("parts of equal size", {f" * {PART}": ""}),
    "the mean of the means": Mutant("a last part that is smaller", {PART: "1 / (-(-len(inputs) // most))"}),
    "forgets the last part": Mutant(
        "a last part that is smaller",
        {"range(0, len(inputs), most)": "range(0, len(inputs) - most + 1, most)"},
    ),
    "only the last part": Mutant("parts of equal size", {"gradient += ": "gradient = "}),
    "only the first part": Mutant("parts of equal size", {"range(0, len(inputs), most)": "range(0, 1)"}),
    "the same slice again and again": Mutant(
        "parts of equal size", {"inputs[start : start + most]": "inputs[:most]"}
    ),
    "targets of another part": Mutant(
        "parts of equal size",
        {"targets[start : start + most]": "targets[: len(inputs[start : start + most])]"},
    ),
    "a step in between": Mutant(
        "parts of equal size",
        {
            "gradient += torch.autograd.grad(share, copy)[0]": "slope = torch.autograd.grad(share, copy)[0]\n"
            "        copy = (copy - slope).detach().requires_grad_()\n        gradient += slope"
        },
    ),
    "divides by the limit": Mutant("a last part that is smaller", {PART: "most / len(inputs)"}),
    "works on the caller's weights": Mutant(
        "the inputs stay as they are",
        {"return gradient": "weights -= gradient * 0 + 1\n    return gradient"},
    ),
}

FACTOR = "min(1.0, limit / length)"
CLIP = {
    "each row by itself": Mutant(
        "several parameters",
        {
            "(gradients**2).sum().sqrt()": "(gradients**2).sum(1, keepdim=True).sqrt()",
            "if length == 0:": "if not length.any():",
            FACTOR: "(limit / length).clamp(max=1)",
        },
    ),
    "each number by itself": Mutant(
        "one parameter", {f"gradients * {FACTOR}": "gradients.clamp(-limit, limit)"}
    ),
    "always to the limit": Mutant("short enough", {FACTOR: "limit / length"}),
    "never": Mutant("one parameter", {FACTOR: "1.0"}),
    "the sum, not the root": Mutant("one parameter", {".sum().sqrt()": ".sum()"}),
    "the sum of the sizes": Mutant("one parameter", {"(gradients**2).sum().sqrt()": "gradients.abs().sum()"}),
    "the largest number": Mutant("one parameter", {"(gradients**2).sum().sqrt()": "gradients.abs().max()"}),
    "divides by nothing": Mutant(
        "no gradient at all",
        {
            "if length == 0:": "if False:",
            f"gradients * {FACTOR}": "gradients / length * min(length, limit)",
        },
    ),
    "upside down": Mutant("short enough", {FACTOR: "min(1.0, length / limit)"}),
    "in place": Mutant("the inputs stay as they are", {f"gradients * {FACTOR}": f"gradients.mul_({FACTOR})"}),
}

DECAYS = "parameter.ndim > 1"
GROUPS = {
    "everything decays": Mutant("a convolution and its batch norm", {DECAYS: "True"}),
    "nothing decays": Mutant("a convolution", {DECAYS: "False"}),
    "by its name": Mutant("a convolution and its batch norm", {DECAYS: "'weight' in name"}),
    "the other way round": Mutant("a convolution", {DECAYS: "parameter.ndim <= 1"}),
    "biases aside": Mutant("a convolution and its batch norm", {DECAYS: "'bias' not in name"}),
    "four dimensions": Mutant("a head with a bias", {DECAYS: "parameter.ndim == 4"}),
    "the frozen ones too": Mutant("what is frozen", {"if parameter.requires_grad:": "if True:"}),
    "the top level alone": Mutant(
        "blocks in blocks",
        {"model.named_parameters()": "[pair for pair in model.named_parameters() if pair[0].count('.') < 2]"},
    ),
    "the names alone": Mutant("a convolution", {"return decaying, others": "return decaying + others"}),
    "the parameters themselves": Mutant("a convolution", {".append(name)": ".append(parameter)"}),
    "in both lists": Mutant(
        "a convolution",
        {"return decaying, others": "return decaying, others + decaying"},
    ),
}

WRITTEN = {
    "schedule": ("13_training", "my_schedule", {}),
    "ema_update": ("13_training", "my_ema", {}),
    "accumulated_gradient": ("13_training", "my_gradient", {}),
    "clip_gradients": ("13_training", "my_clip", {}),
    "param_groups": ("13_training", "my_groups", {}),
}

MUTANTS = {
    "schedule": SCHEDULE,
    "ema_update": EMA,
    "accumulated_gradient": ACCUMULATE,
    "clip_gradients": CLIP,
    "param_groups": GROUPS,
}

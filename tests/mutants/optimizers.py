"""Wrong answers to chapter 7."""

from mutants.bank import Mutant

VELOCITY = "momentum * velocity + slope(points[-1])"
MOMENTUM_WALK = {
    "the velocity begins with a gradient": Mutant(
        "one step", {"torch.zeros_like(start)": "slope(start)"}
    ),
    "a moving mean": Mutant(
        "one step", {VELOCITY: "momentum * velocity + (1 - momentum) * slope(points[-1])"}
    ),
    "uphill": Mutant("one step", {"points[-1] - lr": "points[-1] + lr"}),
    "without the start": Mutant("one step", {"return points": "return points[1:]"}),
    "the end alone": Mutant("one step", {"return points": "return points[-1]"}),
    "the gradient at the start": Mutant("no momentum", {"slope(points[-1])": "slope(start)"}),
    "the previous gradient alone": Mutant(
        "several steps",
        """
        def my_momentum(slope, start, lr, momentum, steps):
            points, last = [start], torch.zeros_like(start)
            for _ in range(steps):
                g = slope(points[-1])
                points.append(points[-1] - lr * (g + momentum * last))
                last = g
            return points
        """,
    ),
    "the place first, the velocity after": Mutant(
        "one step",
        {
            "velocity = momentum": "points.append(points[-1] - lr * velocity)\n        velocity = momentum",
            "        points.append(points[-1] - lr * velocity)\n    return": "    return",
        },
    ),
    "friction on everything": Mutant("one step", {VELOCITY: "momentum * (velocity + slope(points[-1]))"}),
    "the learning rate twice": Mutant(
        "one step", {VELOCITY: "momentum * velocity + lr * slope(points[-1])"}
    ),
    "Nesterov's": Mutant(
        "one step", {"lr * velocity)": "lr * (slope(points[-1]) + momentum * velocity))"}
    ),
    "one tensor for all points": Mutant(
        "one step",
        """
        def my_momentum(slope, start, lr, momentum, steps):
            place, velocity = start.clone(), torch.zeros_like(start)
            points = [place]
            for _ in range(steps):
                velocity = momentum * velocity + slope(place)
                place -= lr * velocity
                points.append(place)
            return points
        """,
    ),
    "one tensor for all points but the start": Mutant(
        "no momentum",
        """
        def my_momentum(slope, start, lr, momentum, steps):
            place, velocity = start.clone(), torch.zeros_like(start)
            points = [start]
            for _ in range(steps):
                velocity = momentum * velocity + slope(place)
                place -= lr * velocity
                points.append(place)
            return points
        """,
    ),
    "points as lists": Mutant("one step", {"return points": "return [p.tolist() for p in points]"}),
    "no velocity": Mutant("two steps", {VELOCITY: "slope(points[-1])"}),
    "asks twice": Mutant(
        "one gradient a step",
        {"velocity = momentum": "slope(points[-1])\n        velocity = momentum"},
    ),
    "moves the start": Mutant(
        "the inputs stay as they are",
        {"return points": "points = [p.clone() for p in points]\n    start -= 1\n    return points"},
    ),
}  # fmt: skip

FIRST = "m = beta1 * m + (1 - beta1) * g\n"
SECOND = "s = beta2 * s + (1 - beta2) * g**2"
ADAM_STEP = {
    "the betas exchanged": Mutant(
        "the means",
        {FIRST: "m = beta2 * m + (1 - beta2) * g\n", SECOND: "s = beta1 * s + (1 - beta1) * g**2"},
    ),
    "not squared": Mutant("the means", {SECOND: "s = beta2 * s + (1 - beta2) * g"}),
    "the mean, squared": Mutant("the means", {SECOND: "s = beta2 * s + (1 - beta2) * m**2"}),
    "sums instead of means": Mutant("the means", {FIRST: "m = beta1 * m + g\n"}),
    "keeps the corrected means": Mutant("the means", {"+ eps), m, s": "+ eps), m_hat, s_hat"}),
    "in another order": Mutant("the means", {"+ eps), m, s": "+ eps), s, m"}),
    "theta alone": Mutant("the means", {"+ eps), m, s": "+ eps)"}),
    "no correction": Mutant("the very first step", {" / (1 - beta1**t)": "", " / (1 - beta2**t)": ""}),
    "only the mean corrected": Mutant("the very first step", {" / (1 - beta2**t)": ""}),
    "the document's correction": Mutant("a later step", {"**t)": ")"}),
    "times instead of to the power": Mutant("a later step", {"**t)": " * t)"}),
    "t counted from 0": Mutant("the very first step", {"**t)": "**(t - 1) + 1e-9)"}),
    "t + 1": Mutant("the very first step", {"**t)": "**(t + 1))"}),
    "no root": Mutant("the very first step", {"s_hat.sqrt()": "s_hat"}),
    "uphill": Mutant("the very first step", {"theta - lr": "theta + lr"}),
    "one length for all": Mutant("the very first step", {"s_hat.sqrt()": "s_hat.sum().sqrt()"}),
    "the gradient, not its mean": Mutant("a later step", {"lr * m_hat": "lr * g"}),
    "ε inside the root": Mutant("tiny gradients", {"(s_hat.sqrt() + eps)": "(s_hat + eps).sqrt()"}),
    "the usual ε": Mutant("an ε that isn't the usual one", {"+ eps": "+ 1e-8"}),
    "ε before the correction": Mutant(
        "tiny gradients",
        {"lr * m_hat / (s_hat.sqrt() + eps)": "lr * m_hat * (1 - beta2**t) ** 0.5 / (s.sqrt() + eps)"},
    ),
    "in place": Mutant(
        "the inputs stay as they are",
        {FIRST: "m *= beta1\n    m += (1 - beta1) * g\n"},
    ),
}  # fmt: skip

LOOP = "for t, g in enumerate(gradients, start=1):"
ADAM_OF_MANY = {
    "as it was": Mutant(
        "several parameters, one step",
        """
        def mended_adam(gradients, lr):
            return counting_adam(gradients, lr)
        """,
    ),
    "counted once before the loop": Mutant(
        "one parameter, several steps", {LOOP: "t = 1\n    for g in gradients:"}
    ),
    "counted from 0": Mutant("one parameter, one step", {"start=1": "start=0"}),
    "counted after the step": Mutant("one parameter, one step", {"start=1": "start=2"}),
    "t is the parameter's number": Mutant(
        "one parameter, several steps",
        """
        def mended_adam(gradients, lr):
            theta = torch.zeros(gradients.shape[1])
            m, s = torch.zeros_like(theta), torch.zeros_like(theta)
            for g in gradients:
                for i in range(len(g)):
                    m[i] = 0.9 * m[i] + 0.1 * g[i]
                    s[i] = 0.999 * s[i] + 0.001 * g[i] ** 2
                    m_hat, s_hat = m[i] / (1 - 0.9 ** (i + 1)), s[i] / (1 - 0.999 ** (i + 1))
                    theta[i] = theta[i] - lr * m_hat / (s_hat.sqrt() + 1e-8)
            return theta
        """,
    ),
    "t starts again": Mutant(
        "one parameter, several steps", {LOOP: "for g in gradients:\n        t = 1"}
    ),
    "rows and columns exchanged": Mutant(
        "one parameter, several steps",
        {"theta = torch": "gradients = gradients.T\n    theta = torch"},
    ),
    "one mean for all": Mutant("several parameters, one step", {"0.1 * g\n": "0.1 * g.mean()\n"}),
    "the sum of all parameters": Mutant(
        "several parameters, one step", {"return theta": "return theta.sum()[None].expand(len(theta))"}
    ),
    "forgets the means": Mutant(
        "one parameter, several steps",
        {"m = 0.9 * m + 0.1 * g": "m, s = 0 * m, 0 * s\n        m = 0.9 * m + 0.1 * g"},
    ),
    "writes into the gradients": Mutant(
        "the inputs stay as they are", {"return theta": "gradients.zero_()\n    return theta"}
    ),
}  # fmt: skip

INSIDE = "lr / (curvature * (2 - lr * curvature))"
NOISE_SPREAD = {
    "the variance": Mutant("a bowl of curvature 1", {"noise * math.sqrt(": "noise**2 * ("}),
    "the approximation": Mutant("a bowl of curvature 1", {INSIDE: "lr / (2 * curvature)"}),
    "the noise isn't multiplied by η": Mutant(
        "a bowl of curvature 1", {INSIDE: "1 / (lr * curvature * (2 - lr * curvature))"}
    ),
    "not squared": Mutant("a bowl of curvature 1", {INSIDE: "lr * lr / (lr * curvature)"}),
    "the noise is multiplied by h": Mutant(
        "other curvatures", {INSIDE: "lr * curvature / (2 - lr * curvature)"}
    ),
    "curvature 1 for ever": Mutant("other curvatures", {INSIDE: "lr / (2 - lr)"}),
    "the noise's root": Mutant("other noise", {"noise * math": "math.sqrt(noise) * math"}),
    "noise 1 for ever": Mutant("other noise", {"noise * math": "math"}),
    "never infinite": Mutant(
        "a walk that never settles",
        {">= 2:": ">= 9:", "(2 - lr * curvature)": "max(2 - lr * curvature, 1e-9)"},
    ),
    "infinite too early": Mutant("a bowl of curvature 1", {">= 2:": ">= 1:"}),
    "infinite from 1 on": Mutant("a long step", {">= 2:": "> 1:"}),
    "divides by zero": Mutant("a walk that never settles", {">= 2:": "> 2:"}),
}  # fmt: skip

WRITTEN = {
    "momentum_walk": ("07_optimizers", "my_momentum", {}),
    "adam_step": ("07_optimizers", "my_adam", {}),
    "adam_of_many": ("07_optimizers", "mended_adam", {}),
    "noise_spread": ("07_optimizers", "my_spread", {}),
}

MUTANTS = {
    "momentum_walk": MOMENTUM_WALK,
    "adam_step": ADAM_STEP,
    "adam_of_many": ADAM_OF_MANY,
    "noise_spread": NOISE_SPREAD,
}

"""Wrong answers to chapter 05."""

from mutants.bank import Mutant

FIRST = "one example, two classes"
RELATIVE = "logits - logits.amax(dim=1, keepdim=True)"
LOG_SUM = "relative.exp().sum(dim=1).log()"
PICK = "relative[torch.arange(len(right)), right]"
CLASS_ENTROPY = {
    "no minus": Mutant(FIRST, {f"log_sum - {PICK}": f"{PICK} - log_sum"}),
    "the probability itself": Mutant(FIRST, {f"log_sum - {PICK}": f"1 - ({PICK} - log_sum).exp()"}),
    "bits": Mutant(FIRST, {f"return log_sum - {PICK}": f"return (log_sum - {PICK}) / 0.6931471805599453"}),
    "the mean": Mutant(FIRST, {f"return log_sum - {PICK}": f"return (log_sum - {PICK}).mean()"}),
    "sigmoids": Mutant(
        FIRST,
        """
        def my_class_entropy(logits, right):
            one_hot = F.one_hot(right, logits.shape[1]).float()
            return F.binary_cross_entropy_with_logits(logits, one_hot, reduction="none").sum(dim=1)
        """,
    ),
    "the other class": Mutant(FIRST, {PICK: "relative[torch.arange(len(right)), right - 1]"}),
    "first against second": Mutant(
        "several classes",
        """
        def my_class_entropy(logits, right):
            rows = torch.arange(len(right))
            others = (right == 0).long()
            return F.softplus(logits[rows, others] - logits[rows, right])
        """,
    ),
    "sums over examples": Mutant(
        "several examples",
        """
        def my_class_entropy(logits, right):
            powers = logits.exp()
            share = powers / powers.sum()
            return -share[torch.arange(len(right)), right].log()
        """,
    ),
    "everybody's first label": Mutant("several examples", {PICK: "relative[:, right[0]]"}),
    "nothing taken out": Mutant("large logits", {RELATIVE: "logits * 1"}),
    "the logarithm of the probability": Mutant(
        "large logits",
        {
            f"return log_sum - {PICK}": "share = relative.exp() / relative.exp().sum(dim=1, keepdim=True)\n"
            "    return -share[torch.arange(len(right)), right].log()"
        },
    ),
    "a small number against zeros": Mutant(
        "large logits",
        {
            f"return log_sum - {PICK}": "share = relative.exp() / relative.exp().sum(dim=1, keepdim=True)\n"
            "    return -(share[torch.arange(len(right)), right] + 1e-12).log()"
        },
    ),
    "logits cut off": Mutant("large logits", {RELATIVE: "logits.clamp(-80, 80)"}),
    "the smallest taken out": Mutant("large logits", {"amax": "amin"}),
    "one maximum for all": Mutant(
        "examples on different levels", {"logits.amax(dim=1, keepdim=True)": "logits.max()"}
    ),
    "one after the other": Mutant(
        "no loop over examples",
        """
        def my_class_entropy(logits, right):
            return torch.stack([t.logsumexp(dim=0) - t[k] for t, k in zip(logits, right)])
        """,
    ),
    "torch's own": Mutant(
        "nothing borrowed",
        """
        def my_class_entropy(logits, right):
            return F.cross_entropy(logits, right, reduction="none")
        """,
    ),
    "torch's own, but for the choice": Mutant(
        "nothing borrowed", {f"log_sum - {PICK}": "-logits.log_softmax(1)[torch.arange(len(right)), right]"}
    ),
    "works on the caller's logits": Mutant(
        "the inputs stay as they are",
        {f"relative = {RELATIVE}": f"relative = logits.sub_({RELATIVE[9:]})"},
    ),
    "detached": Mutant("the gradient", {f"relative = {RELATIVE}": f"relative = ({RELATIVE}).detach()"}),
    "a constant denominator": Mutant("the gradient", {LOG_SUM: f"{LOG_SUM}.detach()"}),
}

RIGHT = "y * F.softplus(-t) + (1 - y) * F.softplus(t)"
SURE, PULL = "sure answers", "the gradient of sure answers"
YES_NO_ENTROPY = {
    "careful as before": Mutant(
        SURE,
        """
        def mended_bce(t, y):
            p = t.sigmoid().clamp(1e-7, 1 - 1e-7)
            return -(y * p.log() + (1 - y) * (1 - p).log())
        """,
    ),
    "a smaller bound": Mutant(
        SURE,
        """
        def mended_bce(t, y):
            p = t.sigmoid().clamp(1e-30, 1 - 1e-30)
            return -(y * p.log() + (1 - y) * (1 - p).log())
        """,
    ),
    "a bound on the logit": Mutant(SURE, {f"return {RIGHT}": f"t = t.clamp(-30, 30)\n    return {RIGHT}"}),
    "a bound on the logarithm": Mutant(
        SURE,
        """
        def mended_bce(t, y):
            p = t.sigmoid()
            return -(y * p.log().clamp(min=-100) + (1 - y) * (1 - p).log().clamp(min=-100))
        """,
    ),
    "in float64": Mutant(
        SURE,
        """
        def mended_bce(t, y):
            p = t.double().sigmoid()
            return -(y * p.log() + (1 - y) * (1 - p).log()).float()
        """,
    ),
    "the power as it stands": Mutant(
        SURE,
        """
        def mended_bce(t, y):
            return (1 + torch.exp(t)).log() - y * t
        """,
    ),
    "torch's own": Mutant(
        "nothing borrowed",
        {RIGHT: 'F.binary_cross_entropy_with_logits(t, y, reduction="none")'},
    ),
    "no minus": Mutant("small logits", {RIGHT: f"-({RIGHT})"}),
    "the first term alone": Mutant("small logits", {RIGHT: "y * F.softplus(-t)"}),
    "yes for no": Mutant("small logits", {RIGHT: "y * F.softplus(t) + (1 - y) * F.softplus(-t)"}),
    "the mean": Mutant("small logits", {RIGHT: f"({RIGHT}).mean(dim=0, keepdim=True).repeat(len(t))"}),
    "yes or no only": Mutant("targets between 0 and 1", {RIGHT: "F.softplus(torch.where(y > 0.5, -t, t))"}),
    "a detached maximum": Mutant(
        "the gradient",
        {RIGHT: "torch.maximum(t, 0 * t).detach() + torch.log1p(torch.exp(-t.abs())) - y * t"},
    ),
    "right values, cut slopes": Mutant(
        PULL,
        {RIGHT: f"torch.where(t.abs() > 15, ({RIGHT}).detach() + 0 * t, {RIGHT})"},
    ),
    "inf times 0": Mutant(
        PULL,
        {RIGHT: "torch.where(t > 50, t, (1 + torch.exp(t)).log()) - y * t"},
    ),
    "clamp": Mutant(
        "the gradient at a logit of 0",
        {RIGHT: "t.clamp(min=0) + torch.log1p(torch.exp(-t.abs())) - y * t"},
    ),
    "relu": Mutant(
        "the gradient at a logit of 0",
        {RIGHT: "t.relu() + torch.log1p(torch.exp(-t.abs())) - y * t"},
    ),
    "smooths the caller's targets": Mutant(
        "the inputs stay as they are",
        {f"return {RIGHT}": f"answer = {RIGHT}\n    y.mul_(0.9).add_(0.05)\n    return answer"},
    ),
}

SLOPE = "wrong**gamma * (gamma * q * log_q - wrong)"
FOCAL_SLOPE = {
    "the sign of the loss": Mutant("γ = 0", {SLOPE: f"-{SLOPE}"}),
    "q for 1 − q": Mutant("γ = 0", {SLOPE: "wrong**gamma * (gamma * q * log_q - q)"}),
    "the factor taken for a constant": Mutant("an object", {SLOPE: "wrong**gamma * -wrong"}),
    "the factor alone": Mutant("γ = 0", {SLOPE: "wrong**gamma * gamma * q * log_q"}),
    "no chain rule": Mutant(
        "γ = 0", {SLOPE: "gamma * wrong ** (gamma - 1) * log_q - wrong**gamma / q"}
    ),
    "q is missing": Mutant("an object", {"gamma * q * log_q": "gamma * log_q"}),
    "γ − 1 in the exponent": Mutant(
        "an object", {SLOPE: "wrong ** (gamma - 1 * (gamma > 0)) * (gamma * q * log_q - wrong)"}
    ),
    "always an object": Mutant("γ = 0", {"sign = 2 * y - 1": "sign = torch.ones_like(y)"}),
    "the sign only inside": Mutant("γ = 0", {f"return sign * {SLOPE}": f"return {SLOPE}"}),
    "background without the focus": Mutant(
        "background", {f"return sign * {SLOPE}": f"return torch.where(y == 1, {SLOPE}, wrong)"}
    ),
    "γ = 2": Mutant("any γ", {SLOPE: "wrong**gamma * (min(gamma, 2) * q * log_q - wrong)"}),
    "the logarithm of a rounded q": Mutant(SURE, {"log_q = -F.softplus(-s)": "log_q = q.log()"}),
    "a quotient": Mutant(
        SURE,
        {SLOPE: "(gamma * wrong ** (gamma - 1) * log_q - wrong**gamma / q) * q * wrong"},
    ),
    "autograd": Mutant(
        "without autograd",
        """
        def my_focal_slope(t, y, gamma):
            leaf = t.clone().requires_grad_()
            (slope,) = torch.autograd.grad(ce.focal_loss(leaf, y, gamma).sum(), leaf)
            return slope
        """,
    ),
    "writes into the logits": Mutant("the inputs stay as they are", {"s = sign * t": "s = t.mul_(sign)"}),
}  # fmt: skip

WRITTEN = {
    "class_entropy": ("05_cross_entropy", "my_class_entropy", {}),
    "yes_no_entropy": ("05_cross_entropy", "mended_bce", {}),
    "focal_slope": ("05_cross_entropy", "my_focal_slope", {}),
}

MUTANTS = {
    "class_entropy": CLASS_ENTROPY,
    "yes_no_entropy": YES_NO_ENTROPY,
    "focal_slope": FOCAL_SLOPE,
}

"""Wrong answers to chapter 04."""

from mutants.bank import Mutant

MU = "mu = x.sum((0, 2, 3), keepdim=True) / M"
VAR = "var = ((x - mu) ** 2).sum((0, 2, 3), keepdim=True) / M"
Y = "gamma[:, None, None] * x_hat + beta[:, None, None]"
BATCH_NORM = {
    "unbiased": Mutant("a handful of values", {VAR: VAR.replace("/ M", "/ (M - 1)")}),
    "no root": Mutant("a handful of values", {"(var + epsilon) ** 0.5": "(var + epsilon)"}),
    "times the deviation": Mutant("a handful of values", {"(x - mu) / (var": "(x - mu) * (var"}),
    "the mean stays in": Mutant("a handful of values", {"x_hat = (x - mu) /": "x_hat = x /"}),
    "squares around zero": Mutant("a handful of values", {"((x - mu) ** 2)": "(x**2)"}),
    "each image by itself": Mutant(
        "several images", {"(0, 2, 3)": "(2, 3)", "x.numel() / x.shape[1]": "x[0, 0].numel()"}
    ),
    "each place by itself": Mutant(
        "a handful of values", {"(0, 2, 3)": "0", "x.numel() / x.shape[1]": "len(x)"}
    ),
    "the rows of a map apart": Mutant(
        "whole maps", {"(0, 2, 3)": "(0, 3)", "x.numel() / x.shape[1]": "len(x) * x.shape[3]"}
    ),
    "all channels together": Mutant(
        "several channels", {"(0, 2, 3)": "(0, 1, 2, 3)", "x.numel() / x.shape[1]": "x.numel()"}
    ),
    "counts the channels in": Mutant("several channels", {"x.numel() / x.shape[1]": "x.numel()"}),
    "no γ": Mutant("scaled and shifted", {"gamma[:, None, None] * x_hat": "x_hat"}),
    "shifted before it is scaled": Mutant(
        "scaled and shifted", {Y: "gamma[:, None, None] * (x_hat + beta[:, None, None])"}
    ),
    "β taken away": Mutant("scaled and shifted", {"x_hat + beta": "x_hat - beta"}),
    "γ meets the columns": Mutant(
        "as many columns as channels",
        {Y: "gamma * x_hat + beta"},
    ),
    "ε outside the root": Mutant("a large ε", {"(var + epsilon) ** 0.5": "(var**0.5 + epsilon)"}),
    "ε added after all": Mutant(
        "a large ε", {"/ (var + epsilon) ** 0.5": "/ (var + 1e-5) ** 0.5 + epsilon * (epsilon > 0.1)"}
    ),
    "a fixed ε": Mutant("a large ε", {"var + epsilon": "var + 1e-5"}),
    "no ε": Mutant("a large ε", {"var + epsilon": "var"}),
    "ε only where it is needed": Mutant("a large ε", {"var + epsilon": "var.clamp(min=epsilon)"}),
    "centers the caller's maps": Mutant(
        "the inputs stay as they are",
        {"x_hat = (x - mu) / (var + epsilon) ** 0.5": "x -= mu\n    x_hat = x / (var + epsilon) ** 0.5"},
    ),
    "the short cut for the variance": Mutant(
        "values far from 0", {VAR: "var = (x**2).sum((0, 2, 3), keepdim=True) / M - mu**2"}
    ),
    "torch's own": Mutant(
        "your own work",
        """
        from torch.nn import functional as F

        def my_batch_norm(x, gamma, beta, epsilon):
            return F.batch_norm(x, None, None, gamma, beta, True, eps=epsilon)
        """,
    ),
    "channel by channel": Mutant(
        "no loop over the channels",
        """
        def my_batch_norm(x, gamma, beta, epsilon):
            parts = []
            for c in range(x.shape[1]):
                one = x[:, c]
                spread = ((one - one.mean()) ** 2).mean()
                parts.append(gamma[c] * (one - one.mean()) / (spread + epsilon) ** 0.5 + beta[c])
            return torch.stack(parts, dim=1)
        """,
    ),
    "gives the statistics as well": Mutant("a handful of values", {f"return {Y}": f"return {Y}, mu, var"}),
}

NEW_MEAN = "(1 - momentum) * running_mean + momentum * mean"
NEW_VARIANCE = "(1 - momentum) * running_variance + momentum * unbiased"
UPDATE = {
    "the momentum on the old": Mutant(
        "the first average, by a momentum",
        {
            NEW_MEAN: "momentum * running_mean + (1 - momentum) * mean",
            NEW_VARIANCE: "momentum * running_variance + (1 - momentum) * unbiased",
        },
    ),
    "adds without forgetting": Mutant(
        "the first average, by a momentum", {NEW_MEAN: "running_mean + momentum * mean"}
    ),
    "the batch alone": Mutant("the first average, by a momentum", {NEW_MEAN: "mean"}),
    "biased": Mutant("the second average, all new", {"/ (M - 1)": "/ M"}),
    "the wrong way": Mutant("the second average, all new", {"/ (M - 1)": "/ M * (M - 1) / M"}),
    "the deviation": Mutant(
        "the second average, all new", {"/ (M - 1)": "/ (M - 1)) ** 0.5", "unbiased = ((x": "unbiased = (((x"}
    ),
    "the factor on the old as well": Mutant(
        "the second average, by a momentum",
        {NEW_VARIANCE: "((1 - momentum) * running_variance * M + momentum * unbiased * (M - 1)) / (M - 1)"},
    ),
    "the variance with the momentum squared": Mutant(
        "the second average, by a momentum",
        {NEW_VARIANCE: "(1 - momentum) ** 2 * running_variance + momentum**2 * unbiased"},
    ),
    "around the running mean": Mutant(
        "the second average, all new", {"(x - mean[:, None, None])": "(x - running_mean[:, None, None])"}
    ),
    "counts the channels in": Mutant(
        "several channels",
        {"M = x.numel() // x.shape[1]": "M = x.numel()", "x.sum((0, 2, 3)) / M": "x.mean((0, 2, 3))"},
    ),
    "all channels together": Mutant(
        "several channels",
        {
            "M = x.numel() // x.shape[1]": "M = x.numel()",
            "x.sum((0, 2, 3)) / M": "x.sum((0, 2, 3)) * x.shape[1] / M",
            "** 2).sum((0, 2, 3))": "** 2).sum() * torch.ones(x.shape[1])",
        },
    ),
    "torch's default where it is 0": Mutant(
        "a momentum of 0", {"    M = x": "    momentum = momentum or 0.1\n    M = x"}
    ),
    "in place": Mutant(
        "the inputs stay as they are",
        {"    return new": "    running_mean.copy_(new_mean)\n    return new"},
    ),
    "the mean alone": Mutant(
        "the first average, by a momentum", {"return new_mean, new_variance": "return new_mean"}
    ),
}

G = "(g - y * along_y) / r"
RMS = {
    "asks torch": Mutant(
        "without autograd",
        """
        def my_rms_backward(x, g, epsilon):
            x = x.clone().requires_grad_()
            y = x / ((x**2).mean((0, 2, 3), keepdim=True) + epsilon) ** 0.5
            return torch.autograd.grad(y, x, g)[0]
        """,
    ),
    "r held fixed": Mutant("a loss that looks at one output", {G: "g / r"}),
    "x for y": Mutant("a loss that looks at one output", {G: "(g - x * along_y) / r"}),
    "the sign": Mutant("a loss that looks at one output", {G: "(g + y * along_y) / r"}),
    "not divided by r": Mutant("a loss that looks at one output", {G: "g - y * along_y"}),
    "divided by r only on the direct path": Mutant(
        "a loss that looks at one output", {G: "g / r - y * along_y"}
    ),
    "a sum, not the average": Mutant(
        "a loss that looks at one output",
        {"(g * y).sum((0, 2, 3), keepdim=True) / M": "(g * y).sum((0, 2, 3), keepdim=True)"},
    ),
    "its own g only": Mutant(
        "a loss that looks at one output", {"(g * y).sum((0, 2, 3), keepdim=True) / M": "g * y / M"}
    ),
    "the mean taken out as well": Mutant(
        "a loss that looks at one output", {G: "(g - g.sum((0, 2, 3), keepdim=True) / M - y * along_y) / r"}
    ),
    "g's sum for its part along y": Mutant(
        "a loss that looks at one output",
        {"(g * y).sum((0, 2, 3), keepdim=True)": "g.sum((0, 2, 3), keepdim=True)"},
    ),
    "of the magnitudes": Mutant(
        "any loss", {"along_y = (g * y).sum(": "along_y = (g * y).sum().sign() * (g * y).abs().sum("}
    ),
    "each image by itself": Mutant(
        "several images", {"(0, 2, 3)": "(2, 3)", "x.numel() / x.shape[1]": "x[0, 0].numel()"}
    ),
    "all channels together": Mutant(
        "several channels", {"(0, 2, 3)": "(0, 1, 2, 3)", "x.numel() / x.shape[1]": "x.numel()"}
    ),
    "counts the channels in": Mutant("several channels", {"x.numel() / x.shape[1]": "x.numel()"}),
    "no ε": Mutant("a large ε", {"/ M + epsilon": "/ M"}),
    "y without ε": Mutant("a large ε", {"y = x / r": "y = x / (r**2 - epsilon) ** 0.5"}),
    "scales g in place": Mutant(
        "the inputs stay as they are", {f"return {G}": "g -= y * along_y\n    return g / r"}
    ),
}

A = "a = gamma / (variance + epsilon) ** 0.5"
FOLD = {
    "no root": Mutant("one weight", {"(variance + epsilon) ** 0.5": "(variance + epsilon)"}),
    "the deviation for the variance": Mutant(
        "one weight", {"(variance + epsilon) ** 0.5": "(variance**2 + epsilon) ** 0.5"}
    ),
    "no γ": Mutant("one weight", {"a = gamma /": "a = 1 /"}),
    "the weight stays": Mutant("one weight", {"return weight * a[:, None, None]": "return weight"}),
    "β forgotten": Mutant("one weight and a shift", {"d = beta - a * mean": "d = -a * mean"}),
    "the mean not scaled": Mutant("one weight and a shift", {"beta - a * mean": "beta - mean"}),
    "the mean added": Mutant("one weight and a shift", {"beta - a * mean": "beta + a * mean"}),
    "the new weight on the shift": Mutant(
        "one weight and a shift", {"(weight * d": "(weight * a[:, None, None] * d"}
    ),
    "the shift as it is": Mutant("one weight and a shift", {"bias + constant": "bias + d.sum()"}),
    "the bias forgotten": Mutant("one weight", {"bias + constant": "constant"}),
    "the bias scaled, as in the chapter": Mutant("one weight", {"bias + constant": "bias * a + constant"}),
    "on the outputs": Mutant(
        "as many outputs as inputs",
        {
            "return": "a_by_output = a[:, None, None, None] if len(weight) == len(a) else a[:, None, None]\n"
            "    return",
            "weight * a[:, None, None]": "weight * a_by_output",
        },
    ),
    "the constant summed over outputs": Mutant(
        "as many outputs as inputs",
        {".sum((1, 2, 3))": ".sum((0, 2, 3) if weight.shape[0] == weight.shape[1] else (1, 2, 3))"},
    ),
    "the average of the inputs": Mutant("several inputs", {".sum((1, 2, 3))": ".sum((1, 2, 3)) / len(a)"}),
    "the middle of the kernel only": Mutant(
        "kernels of several places",
        {".sum((1, 2, 3))": "[:, :, weight.shape[2] // 2, weight.shape[3] // 2].sum(1)"},
    ),
    "ε outside the root": Mutant("a large ε", {"(variance + epsilon) ** 0.5": "(variance**0.5 + epsilon)"}),
    "a fixed ε": Mutant("a large ε", {"variance + epsilon": "variance + 1e-5"}),
    "into the caller's bias": Mutant(
        "the inputs stay as they are", {"bias + constant": "bias.add_(constant)"}
    ),
    "the weight alone": Mutant("one weight", {", bias + constant": ""}),
}

TOGETHER = "(share * (variances + between)).sum(0)"
SHARE = "(counts / counts.sum())[:, None]"
POOLED = {
    "every batch alike": Mutant("the mean of batches of different sizes", {SHARE: "1 / len(counts)"}),
    "not divided": Mutant("one batch", {SHARE: "counts[:, None]"}),
    "the mean alone": Mutant("one batch", {"return common, (": "return ("}),
    "deviations": Mutant(
        "one batch", {"variances + between)).sum(0)": "variances + between)).sum(0) ** 0.5"}
    ),
    "unbiased": Mutant(
        "one batch",
        {"variances + between)).sum(0)": "variances + between)).sum(0) * counts.sum() / (counts.sum() - 1)"},
    ),
    "variances of every batch alike": Mutant(
        "batches with equal means",
        {TOGETHER: "variances.sum(0) / len(counts) + (share * between).sum(0)"},
    ),
    "variances added": Mutant(
        "batches with equal means",
        {TOGETHER: "variances.sum(0) + (share * between).sum(0)"},
    ),
    "what the batches differ in is forgotten": Mutant(
        "batches that don't vary", {"variances + between": "variances"}
    ),
    "no square": Mutant("batches that don't vary", {"(means - common) ** 2": "(means - common)"}),
    "distances by magnitude": Mutant(
        "batches that don't vary", {"(means - common) ** 2": "(means - common).abs()"}
    ),
    "taken away": Mutant("batches that don't vary", {"variances + between": "variances - between"}),
    "the differences of every batch alike": Mutant(
        "batches that differ in everything",
        {TOGETHER: "(share * variances).sum(0) + between.sum(0) / len(counts)"},
    ),
    "channels together": Mutant(
        "several channels",
        {TOGETHER: f"{TOGETHER} * 0 + (share * (variances + between)).sum() / means.shape[1]"},
    ),
    "shares in place": Mutant("the inputs stay as they are", {SHARE: "counts.div_(counts.sum())[:, None]"}),
}

WRITTEN = {
    "batch_norm": ("04_batch_normalization", "my_batch_norm", {}),
    "running_update": ("04_batch_normalization", "mended_update", {}),
    "rms_backward": ("04_batch_normalization", "my_rms_backward", {}),
    "fold_behind": ("04_batch_normalization", "my_fold_behind", {}),
    "pooled_statistics": ("04_batch_normalization", "my_pooled", {}),
}

MUTANTS = {
    "batch_norm": BATCH_NORM,
    "running_update": UPDATE,
    "rms_backward": RMS,
    "fold_behind": FOLD,
    "pooled_statistics": POOLED,
}

"""Wrong answers to chapter 06."""

from mutants.bank import Mutant

ON = "(y > 0).to(y.dtype)"
BACK = "upstream * (on + slope * (1 - on))"
BELOW = "outputs below 0"
LEAKY_BACKWARD = {
    "the slope alone": Mutant("outputs above 0", {BACK: "on + slope * (1 - on)"}),
    "the function once more": Mutant(BELOW, {BACK: "upstream * (on + slope * (1 - on) * y)"}),
    "leaky ReLU of what comes from above": Mutant(
        "outputs above 0", {BACK: "torch.where(upstream > 0, upstream, slope * upstream)"}
    ),
    "sides exchanged": Mutant("outputs above 0", {"y > 0": "y < 0"}),
    "ReLU's": Mutant(BELOW, {BACK: "upstream * on"}),
    "divided": Mutant(BELOW, {BACK: "upstream * (on + (1 - on) / slope)"}),
    "minus the slope": Mutant(BELOW, {"slope * (1 - on)": "-slope * (1 - on)"}),
    "0 belongs to the right": Mutant("outputs of 0", {"y > 0": "y >= 0"}),
    "half at 0": Mutant("outputs of 0", {ON: "(y.sign() + 1) / 2"}),
    "nothing at 0": Mutant("outputs of 0", {BACK: f"{BACK} * (y != 0)"}),
    "always a tenth": Mutant("another slope", {"slope *": "0.1 *"}),
    "a slope of at most 1": Mutant("another slope", {"slope *": "min(slope, 1.0) *"}),
    "a tenth for ReLU": Mutant("ReLU, a slope of 0", {"slope *": "(slope or 0.1) *"}),
    "flat": Mutant("a batch of feature maps", {f"return {BACK}": f"return ({BACK}).reshape(-1)[: len(y)]"}),
    "summed over the batch": Mutant(
        "a batch of feature maps",
        {f"return {BACK}": f"grad = {BACK}\n    return grad if grad.ndim == 1 else grad.sum(dim=0)"},
    ),
    "in place": Mutant("the inputs stay as they are", {f"return {BACK}": f"return upstream.copy_({BACK})"}),
    "the outputs overwritten": Mutant("the inputs stay as they are", {ON: "y.gt_(0)"}),
}

RIGHT = "torch.where(z > 0, z, slopes[:, None, None] * z)"
PRELU = {
    "the short form": Mutant("a slope above 1", {RIGHT: "torch.maximum(z, slopes[:, None, None] * z)"}),
    "the smaller one": Mutant("one channel", {RIGHT: "torch.minimum(z, slopes[:, None, None] * z)"}),
    "slopes kept between 0 and 1": Mutant(
        "a slope above 1", {"slopes[:, None, None] * z": "slopes.clamp(0, 1)[:, None, None] * z"}
    ),
    "slopes kept above 0": Mutant(
        "a negative slope", {"slopes[:, None, None] * z": "slopes.clamp(min=0)[:, None, None] * z"}
    ),
    "the size of the slope": Mutant(
        "a negative slope", {"slopes[:, None, None] * z": "slopes.abs()[:, None, None] * z"}
    ),
    "the sign of the product": Mutant(
        "a negative slope",
        {RIGHT: "torch.where(slopes[:, None, None] * z >= 0, z, slopes[:, None, None] * z)"
         ".where((slopes[:, None, None] > 0) | (z > 0), slopes[:, None, None] * z)"
         ".where((slopes[:, None, None] >= 0) & (z > 0), slopes[:, None, None] * z)"},
    ),
    "no function at all": Mutant("one channel", {RIGHT: "slopes[:, None, None] * z"}),
    "ReLU": Mutant("one channel", {RIGHT: "z.relu() + 0 * slopes.sum()"}),
    "along the width": Mutant(
        "each channel its own slope",
        {"slopes[:, None, None]": "(slopes if len(slopes) == 2 else slopes[:1])"},
    ),
    "along the height": Mutant(
        "each channel its own slope",
        {"slopes[:, None, None]": "(slopes[:, None] if len(slopes) == 2 else slopes[:1])"},
    ),
    "the first channel's": Mutant("each channel its own slope", {"slopes[:, None, None]": "slopes[0]"}),
    "their mean": Mutant("each channel its own slope", {"slopes[:, None, None]": "slopes.mean()"}),
    "two channels": Mutant(
        "more channels than places in a row",
        {RIGHT: "torch.cat([torch.where(z[:, k:k+1] > 0, z[:, k:k+1], slopes[k] * z[:, k:k+1])"
         " for k in range(min(2, len(slopes)))], dim=1)"},
    ),
    "torch's own": Mutant("your own work", {RIGHT: "torch.nn.functional.prelu(z, slopes)"}),
    "two of torch's": Mutant(
        "your own work", {RIGHT: "z.relu() - slopes[:, None, None] * torch.relu(-z)"}
    ),
    "a loop over the channels": Mutant(
        "no loop over the channels",
        {RIGHT: "torch.stack([torch.where(z[:, c] > 0, z[:, c], slopes[c] * z[:, c])"
         " for c in range(len(slopes))], dim=1)"},
    ),
    "slopes as numbers": Mutant(
        "the gradient of the slopes", {"slopes[:, None, None]": "tensor(slopes.tolist())[:, None, None]"}
    ),
    "slopes detached": Mutant(
        "the gradient of the slopes", {"slopes[:, None, None]": "slopes.detach()[:, None, None]"}
    ),
    "z detached below 0": Mutant(
        "the gradient of z", {"slopes[:, None, None] * z": "slopes[:, None, None] * z.detach()"}
    ),
    "in place": Mutant(
        "the inputs stay as they are",
        {f"return {RIGHT}": f"y = {RIGHT}\n    z.data.copy_(y.detach())\n    return y"},
    ),
    "into z, entry by entry": Mutant(
        "the inputs stay as they are",
        {f"return {RIGHT}": "low = z <= 0\n    z[low] = (slopes[:, None, None] * z)[low]\n    return z"},
    ),
}  # fmt: skip

QUIET = "(z <= 0).all(dim=1)"
PLACE = "-weight * (x.min() + x.max()) / 2"
AWAKE, UP, DOWN = "nobody is silent", "silent, with a positive weight", "silent, with a negative weight"
REVIVE = {
    "everybody": Mutant(AWAKE, {f"torch.where(quiet, {PLACE}, bias)": PLACE}),
    "0 counts as awake": Mutant(UP, {"z <= 0": "z < 0"}),
    "whoever was once off": Mutant(AWAKE, {".all(dim=1)": ".any(dim=1)"}),
    "those that are never off": Mutant(AWAKE, {"z <= 0": "z > 0"}),
    "nothing changes": Mutant(UP, {PLACE: "bias"}),
    "a bias of 0": Mutant(UP, {PLACE: "torch.zeros_like(bias)"}),
    "a small push": Mutant(UP, {PLACE: "bias + 0.5"}),
    "a large push": Mutant(UP, {PLACE: "bias + 100"}),
    "the sign turned": Mutant(UP, {PLACE: "weight * (x.min() + x.max()) / 2"}),
    "the size of the weight": Mutant(DOWN, {PLACE: "-weight.abs() * (x.min() + x.max()) / 2"}),
    "divided by the weight": Mutant(UP, {PLACE: "-(x.min() + x.max()) / 2 / weight"}),
    "the weight left out": Mutant(UP, {PLACE: "-(x.min() + x.max()) / 2 + 0 * weight"}),
    "the kink at the largest input": Mutant(UP, {PLACE: "-weight * x.max()"}),
    "the kink at the smallest input": Mutant(DOWN, {PLACE: "-weight * x.min()"}),
    "beyond the data": Mutant(UP, {PLACE: "-weight * (x.max() + 1)"}),
    "kinks kept near 0": Mutant(
        "inputs far from 0", {PLACE: "-weight * ((x.min() + x.max()) / 2).clamp(-3, 3)"}
    ),
    "one answer for all": Mutant(
        "some are silent, some aren't", {".all(dim=1)": ".all(dim=1).all().expand(len(bias))"}
    ),
    "one silent, all treated": Mutant(
        "some are silent, some aren't", {".all(dim=1)": ".all(dim=1).any().expand(len(bias))"}
    ),
    "the pre-activations": Mutant(AWAKE, {"return torch.where": "return z\n    torch.where"}),
    "in place": Mutant(
        "the inputs stay as they are",
        {f"return torch.where(quiet, {PLACE}, bias)": f"bias[quiet] = ({PLACE})[quiet]\n    return bias"},
    ),
}

WRITTEN = {
    "leaky_backward": ("06_leaky_relu", "my_leaky_backward", {}),
    "prelu": ("06_leaky_relu", "my_prelu", {}),
    "revive": ("06_leaky_relu", "my_revive", {}),
}

MUTANTS = {
    "leaky_backward": LEAKY_BACKWARD,
    "prelu": PRELU,
    "revive": REVIVE,
}

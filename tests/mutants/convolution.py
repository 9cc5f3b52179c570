"""Wrong answers to chapter 3."""

from mutants.bank import Mutant

ROWS = "rows = (height + 2 * padding - kh) // stride + 1"
COLUMNS = "columns = (width + 2 * padding - kw) // stride + 1"
PAD = "F.pad(x, (padding, padding, padding, padding))"
MET = "padded[:, :, i : i + rows * stride : stride, j : j + columns * stride : stride]"
SUM = 'torch.einsum("oc,ncuv->nouv", weight[:, :, i, j], met)'
CONV2D = {
    "flips the kernel": Mutant("a kernel of 2 × 2", {"weight[:, :, i, j]": "weight[:, :, -1 - i, -1 - j]"}),
    "flips left and right": Mutant("a kernel of 2 × 2", {"weight[:, :, i, j]": "weight[:, :, i, -1 - j]"}),
    "transposes the kernel": Mutant(
        "a kernel of 2 × 2",
        {"weight[:, :, i, j]": "weight[:, :, min(j, kh - 1), min(i, kw - 1)]"},
    ),
    "one place too few": Mutant(
        "a kernel of one pixel", {"stride + 1\n    columns": "stride\n    columns"}
    ),
    "rows for both": Mutant("one row, one column", {COLUMNS: "columns = rows"}),
    "rows and columns exchanged": Mutant(
        "one row, one column", {"outputs, rows, columns)": "outputs, columns, rows)"}
    ),
    "a square kernel": Mutant(
        "rows and columns of different length", {"(outputs, _, kh, kw) = x.shape, weight.shape":
        "(outputs, _, kh, kw) = x.shape, weight.shape\n    kw = kh"}
    ),
    "the first channel only": Mutant(
        "several channels in", {SUM: "weight[:, 0, i, j][:, None, None] * met[:, :1]"}
    ),
    "the mean over channels": Mutant("several channels in", {"y +=": "y += 1 / weight.shape[1] *"}),
    "one kernel for all outputs": Mutant(
        "several channels out", {"weight[:, :, i, j]": "weight[:1, :, i, j]"}
    ),
    "all pictures added": Mutant("several pictures", {"ncuv->nouv": "ncuv->ouv"}),
    "forgets the padding": Mutant("padding", {PAD: "x", "2 * padding": "0 * padding"}),
    "pads two sides": Mutant(
        "padding", {PAD: "F.pad(x, (padding, padding))", ROWS: "rows = (height - kh) // stride + 1"}
    ),
    "pads the end only": Mutant("padding", {PAD: "F.pad(x, (0, 2 * padding, 0, 2 * padding))"}),
    "pads by repeating": Mutant("padding", {PAD: 'F.pad(x, (padding,) * 4, mode="replicate")'}),
    "forgets the stride": Mutant(
        "stride",
        {"// stride": "// 1", "rows * stride : stride": "rows", "columns * stride : stride": "columns"},
    ),
    "spreads the kernel instead": Mutant(
        "stride",
        {"i : i + rows * stride : stride": "i * stride : i * stride + rows",
         "j : j + columns * stride : stride": "j * stride : j * stride + columns"},
    ),
    "rounds up": Mutant(
        "a stride that leaves some pixels over",
        {ROWS: "rows = -((kh - height - 2 * padding) // stride) + 1",
         PAD: "F.pad(x, (padding, padding + stride, padding, padding + stride))"},
    ),
    "a loop over places": Mutant(
        "no loop over places",
        """
        def my_conv2d(x, weight, stride=1, padding=0):
            kh, kw = weight.shape[2:]
            padded = F.pad(x, (padding,) * 4)
            rows = range(0, padded.shape[2] - kh + 1, stride)
            columns = range(0, padded.shape[3] - kw + 1, stride)
            y = x.new_zeros(len(x), len(weight), len(rows), len(columns))
            for u, top in enumerate(rows):
                for v, left in enumerate(columns):
                    seen = padded[:, None, :, top : top + kh, left : left + kw]
                    y[:, :, u, v] = (seen * weight).sum((2, 3, 4))
            return y
        """,
    ),
    "torch does it": Mutant(
        "without torch's convolution",
        """
        def my_conv2d(x, weight, stride=1, padding=0):
            return F.conv2d(x, weight, stride=stride, padding=padding)
        """,
    ),
    "torch makes the columns": Mutant(
        "without torch's convolution",
        """
        def my_conv2d(x, weight, stride=1, padding=0):
            rows = (x.shape[2] + 2 * padding - weight.shape[2]) // stride + 1
            columns = F.unfold(x, weight.shape[2:], padding=padding, stride=stride)
            return (weight.flatten(1) @ columns).unflatten(2, (rows, -1))
        """,
    ),
    "writes into the picture": Mutant(
        "the inputs stay as they are", {"    return y": "    x *= 0.5\n    return y"}
    ),
    "the last entry wins": Mutant("a kernel of 2 × 2", {"y +=": "y ="}),
}  # fmt: skip

BACK = "of_x[i : i + rows, j : j + columns] += weight[i, j] * delta"
GRADIENTS = {
    "the kernel's first": Mutant(
        "a kernel of one pixel", {"return of_x, of_weight": "return of_weight, of_x"}
    ),
    "only one": Mutant("a kernel of one pixel", {"return of_x, of_weight": "return of_weight"}),
    "the last weight wins": Mutant("a row", {"+= weight": "= weight"}),
    "flips where nothing is flipped": Mutant(
        "one place", {"of_weight[i, j]": "of_weight[-1 - i, -1 - j]"}
    ),
    "no flip on the way back": Mutant(
        "one place", {"weight[i, j] * delta": "weight[-1 - i, -1 - j] * delta"}
    ),
    "the mean": Mutant("a kernel of one pixel", {").sum()": ").mean()"}),
    "delta flipped": Mutant(
        "a kernel of one pixel", {"weight[i, j] * delta": "weight[i, j] * delta.flip(0, 1)"}
    ),
    "rows and columns exchanged": Mutant(
        "one place", {"of_x[i : i + rows, j : j + columns]": "of_x[j : j + rows, i : i + columns]"}
    ),
    "as if delta were 1": Mutant("a kernel of one pixel", {"+= weight[i, j] * delta": "+= weight[i, j]"}),
    "square deltas": Mutant(
        "a kernel of one pixel", {"columns = delta.shape": "_ = delta.shape\n    columns = rows"}
    ),
    "square kernels": Mutant(
        "a row", {"range(weight.shape[1])": "range(min(weight.shape))"}
    ),
    "autograd does it": Mutant(
        "without autograd",
        """
        def my_backward(x, weight, delta):
            x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
            y = F.conv2d(x[None, None], weight[None, None])[0, 0]
            return torch.autograd.grad(y, (x, weight), delta)
        """,
    ),
    "autograd does it in place": Mutant(
        "without autograd",
        """
        def my_backward(x, weight, delta):
            x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
            (correlate(x, weight) * delta).sum().backward()
            return x.grad, weight.grad
        """,
    ),
    "adds up in the picture": Mutant(
        "the inputs stay as they are",
        {"    return": "    x.copy_(of_x)\n    return"},
    ),
}  # fmt: skip

GROW = "field += dilation * (kernel - 1) * jump"
FIELD = {
    "the kernel itself": Mutant(
        "two layers", {"(kernel - 1)": "kernel", "field, jump = 1, 1": "field, jump = 0, 1"}
    ),
    "starts at 0": Mutant("one layer", {"field, jump = 1, 1": "field, jump = 0, 1"}),
    "forgets the jump": Mutant("a layer after a stride", {"(kernel - 1) * jump": "(kernel - 1)"}),
    "its own stride too": Mutant(
        "one layer with a stride",
        {f"{GROW}\n        jump *= stride": f"jump *= stride\n        {GROW}"},
    ),
    "at most one stride": Mutant("several strides", {"jump *= stride": "jump = max(jump, stride)"}),
    "adds strides": Mutant("one layer", {"jump *= stride": "jump += stride"}),
    "the last stride only": Mutant("a layer after a stride", {"jump *= stride": "jump = stride"}),
    "forgets dilation": Mutant("dilation", {"dilation * (kernel - 1)": "(kernel - 1)"}),
    "dilation times kernel": Mutant("dilation", {"dilation * (kernel - 1)": "(dilation * kernel - 1)"}),
    "dilation in the jump": Mutant("dilation", {"jump *= stride": "jump *= stride * dilation"}),
    "the first layer last": Mutant(
        "a layer after a stride", {"in layers:": "in layers[::-1]:"}
    ),
    "the jump first": Mutant("one layer", {"return field, jump": "return jump, field"}),
    "needs a layer": Mutant(
        "no layer at all", {"field, jump = 1, 1": "field, jump = layers[0][0] * 0 + 1, 1"}
    ),
}  # fmt: skip

WRITTEN = {
    "conv2d": ("03_convolution", "my_conv2d", {}),
    "conv_gradients": ("03_convolution", "my_backward", {}),
    "receptive_field": ("03_convolution", "my_receptive_field", {}),
}

MUTANTS = {
    "conv2d": CONV2D,
    "conv_gradients": GRADIENTS,
    "receptive_field": FIELD,
}

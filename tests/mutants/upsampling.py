"""Wrong answers to chapter 8."""

from mutants.bank import Mutant

STAMP = "canvas[top : top + kh, left : left + kw] += x[u, v] * kernel"
CUT = "return canvas[padding : rows - padding, padding : columns - padding]"
TRANSPOSED = {
    "the kernel turned": Mutant("one entry", {"x[u, v] * kernel": "x[u, v] * kernel.flip(0, 1)"}),
    "the kernel transposed": Mutant(
        "one entry",
        """
        def my_transposed(x, kernel, stride, padding):
            return F.conv_transpose2d(x[None, None], kernel.T[None, None], None, stride, padding)[0, 0]
        """,
    ),
    "the kernel alone": Mutant("one entry", {"x[u, v] * kernel": "kernel"}),
    "zeros, and no turn": Mutant(
        "one entry",
        """
        def my_transposed(x, kernel, stride, padding):
            spread = torch.zeros((x.shape[0] - 1) * stride + 1, (x.shape[1] - 1) * stride + 1)
            spread[::stride, ::stride] = x
            more = [side - padding - 1 for side in kernel.shape]
            padded = F.pad(spread, (more[1], more[1], more[0], more[0]))
            return F.conv2d(padded[None, None], kernel[None, None])[0, 0]
        """,
    ),
    "the stride forgotten": Mutant("neighbors whose stamps don't meet", {"u * stride, v * stride": "u, v"}),
    "one stride too many": Mutant("one entry", {"(height - 1) * stride + kh": "height * stride + kh"}),
    "the document's side with zeros": Mutant(
        "neighbors whose stamps don't meet",
        """
        def my_transposed(x, kernel, stride, padding):
            spread = torch.zeros(2 * x.shape[0] - 1, 2 * x.shape[1] - 1)
            spread[::stride, ::stride] = x
            more = [side - padding - 1 for side in kernel.shape]
            padded = F.pad(spread, (more[1], more[1], more[0], more[0]))
            return F.conv2d(padded[None, None], kernel.flip(0, 1)[None, None])[0, 0]
        """,
    ),
    "the last stamp wins": Mutant("stamps that overlap", {"+= x[u, v]": "= x[u, v]"}),
    "the largest stamp wins": Mutant(
        "one entry",
        {
            STAMP: "part = canvas[top : top + kh, left : left + kw]; "
            "part.copy_(torch.maximum(part, x[u, v] * kernel))"
        },
    ),
    "no padding": Mutant("padding", {CUT: "return canvas"}),
    "padding at the start alone": Mutant("padding", {CUT: "return canvas[padding:, padding:]"}),
    "padding that adds": Mutant(
        "padding", {CUT: "return F.pad(canvas, (padding, padding, padding, padding))"}
    ),
    "a slice that ends at minus zero": Mutant(
        "one entry", {CUT: "return canvas[padding:-padding, padding:-padding]"}
    ),
    "padding of at most the kernel": Mutant(
        "more padding than taps",
        {CUT: "padding = min(padding, kh - 1)\n    " + CUT},
    ),
    "a stride of at most the kernel": Mutant(
        "neighbors whose stamps don't meet",
        {"rows, columns =": "stride = min(stride, kh)\n    rows, columns ="},
    ),
    "a stride of three at most": Mutant(
        "a stride beyond the kernel", {"rows, columns =": "stride = min(stride, 3)\n    rows, columns ="}
    ),
    "square alone": Mutant("one entry", {"kernel.shape\n": "kernel.shape\n    kw = kh\n"}),
    "height and width swapped": Mutant(
        "rows and columns that differ",
        {
            "for u in range(height)": "for u in range(width)",
            "for v in range(width)": "for v in range(height)",
        },
    ),
    "torch's own": Mutant(
        "your own work",
        """
        def my_transposed(x, kernel, stride, padding):
            return F.conv_transpose2d(x[None, None], kernel[None, None], None, stride, padding)[0, 0]
        """,
    ),
    "scales the caller's map": Mutant("the inputs stay as they are", {CUT: f"x *= 2\n    {CUT}"}),
}

PARTS = "gradient.reshape(batch, channels, height // m, m, width // m, m)"
SUM = "return parts.sum(dim=(3, 5))"
NEAREST = {
    "the mean": Mutant("one block", {"parts.sum(": "parts.mean("}),
    "the corner": Mutant("one block", {SUM: "return gradient[..., ::m, ::m]"}),
    "the largest": Mutant("one block", {SUM: "return parts.amax(dim=(3, 5))"}),
    "the sum over m": Mutant("one block", {SUM: "return parts.sum(dim=(3, 5)) / m"}),
    "the mean times m": Mutant("one block", {SUM: "return F.avg_pool2d(gradient, m) * m"}),
    "as if the map were tiled": Mutant(
        "several blocks",
        {
            PARTS: "gradient.reshape(batch, channels, m, height // m, m, width // m)",
            "dim=(3, 5)": "dim=(2, 4)",
        },
    ),
    "blocks of one row": Mutant(
        "several blocks",
        {SUM: "return gradient.reshape(batch, channels, height // m, width // m, m * m).sum(-1)"},
    ),
    "height for width": Mutant("rows and columns that differ", {"width // m": "height // m"}),
    "all channels together": Mutant(
        "pictures and channels",
        {SUM: "return parts.sum(dim=(3, 5)).sum(1, keepdim=True).expand(-1, channels, -1, -1)"},
    ),
    "all pictures together": Mutant(
        "pictures and channels",
        {SUM: "return parts.sum(dim=(3, 5)).sum(0, keepdim=True).expand(batch, -1, -1, -1)"},
    ),
    "a factor of two": Mutant(
        "one block", {"batch, channels, height, width =": "m = 2\n    batch, channels, height, width ="}
    ),
    "the gradient as it is": Mutant("one block", {SUM: "return gradient"}),
    "a loop": Mutant(
        "no loop over blocks",
        """
        def my_nearest_gradient(gradient, m):
            batch, channels, height, width = gradient.shape
            total = torch.zeros(batch, channels, height // m, width // m)
            for row in range(height // m):
                for column in range(width // m):
                    block = gradient[..., row * m : row * m + m, column * m : column * m + m]
                    total[..., row, column] = block.sum(dim=(2, 3))
            return total
        """,
    ),
    "a loop over plain numbers": Mutant(
        "no loop over blocks",
        """
        def my_nearest_gradient(gradient, m):
            batch, channels, height, width = gradient.shape
            total = [0.0] * (gradient.numel() // m**2)
            for place, value in enumerate(gradient.flatten().tolist()):
                row, column = divmod(place, width)
                total[row // m * (width // m) + column // m] += value
            return torch.tensor(total).reshape(batch, channels, height // m, width // m)
        """,
    ),
    "torch differentiates": Mutant(
        "your own work",
        """
        def my_nearest_gradient(gradient, m):
            batch, channels, height, width = gradient.shape
            x = torch.zeros(batch, channels, height // m, width // m, requires_grad=True)
            F.interpolate(x, scale_factor=m).backward(gradient)
            return x.grad
        """,
    ),
    "torch differentiates, by another door": Mutant(
        "your own work",
        """
        def my_nearest_gradient(gradient, m):
            batch, channels, height, width = gradient.shape
            x = torch.zeros(batch, channels, height // m, width // m, requires_grad=True)
            return torch.autograd.grad(upsampling.nearest(x, m), x, gradient)[0]
        """,
    ),
    "adds up in the caller's gradient": Mutant(
        "the inputs stay as they are",
        {SUM: "total = parts.sum(dim=(3, 5))\n    gradient.zero_()\n    return total"},
    ),
}

RESHAPED = "stamps.reshape(outputs, inputs, m + k - 1, m + k - 1).transpose(0, 1)"
MERGED = {
    "the weight not turned": Mutant(
        "nothing to enlarge", {"filters = weight.": "filters = weight.flip(2, 3)."}
    ),
    "the mean over a block": Mutant("a convolution of one tap", {"padding=k - 1)": "padding=k - 1) / m**2"}),
    "too little padding": Mutant("nothing to enlarge", {"padding=k - 1)": "padding=(k - 1) // 2)"}),
    "a block of two": Mutant("a convolution of one tap", {"torch.ones(1, 1, m, m": "torch.ones(1, 1, 2, 2"}),
    "the weight enlarged": Mutant(
        "a factor of two",
        """
        def my_merged_kernel(weight, m):
            k = weight.shape[-1]
            large = upsampling.nearest(weight.flip(2, 3), m).transpose(0, 1)
            return large[..., : m + k - 1, : m + k - 1]
        """,
    ),
    "one corner of the block": Mutant(
        "a convolution of one tap",
        {"filters =": "block[..., 1:, :] = 0\n    filters ="},
    ),
    "the output's channels first": Mutant("several outputs", {".transpose(0, 1)": ""}),
    "channels in the wrong order": Mutant(
        "channels on both sides",
        {RESHAPED: "stamps.reshape(inputs, outputs, m + k - 1, m + k - 1)"},
    ),
    "rows for columns": Mutant("nothing to enlarge", {RESHAPED: f"{RESHAPED}.mT"}),
    "a kernel of three": Mutant(
        "a convolution of one tap",
        {"outputs, inputs, k, _ = weight.shape": "outputs, inputs, k, _ = weight.shape\n    k = 3"},
    ),
    "normalizes the caller's weight": Mutant(
        "the inputs stay as they are", {"    return stamps": "    weight /= 2\n    return stamps"}
    ),
}

WRITTEN = {
    "transposed_convolution": ("08_upsampling", "my_transposed", {}),
    "nearest_gradient": ("08_upsampling", "my_nearest_gradient", {}),
    "merged_kernel": ("08_upsampling", "my_merged_kernel", {}),
}

MUTANTS = {
    "transposed_convolution": TRANSPOSED,
    "nearest_gradient": NEAREST,
    "merged_kernel": MERGED,
}

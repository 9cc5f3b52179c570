"""Wrong answers to chapter 15."""

from mutants.bank import Mutant

PRODUCT = "(U[..., :k] * s[..., None, :k]) @ VT[..., :k, :]"
RANK_K = {
    "takes VT for V": Mutant("two rows, one piece", {"VT[..., :k, :]": "VT[..., :, :k].mT"}),
    "forgets the values": Mutant("two rows, one piece", {" * s[..., None, :k]": ""}),
    "the values twice": Mutant("two rows, one piece", {"s[..., None, :k]": "s[..., None, :k] ** 2"}),
    "the smallest pieces": Mutant(
        "two rows, one piece", {PRODUCT: "(U[..., -k:] * s[..., None, -k:]) @ VT[..., -k:, :]"}
    ),
    "the k-th piece alone": Mutant(
        "all pieces",
        {PRODUCT: "(U[..., k - 1 : k] * s[..., None, k - 1 : k]) @ VT[..., k - 1 : k, :]"},
    ),
    "one piece too many": Mutant("two rows, one piece", {":k": ": k + 1"}),
    "one piece too few": Mutant("two rows, one piece", {":k": ": max(0, k - 1)"}),
    "a loop": Mutant(
        "no loop over pieces",
        """
        def my_rank_k(matrix, k):
            U, s, VT = torch.linalg.svd(matrix, full_matrices=False)
            total = torch.zeros_like(matrix)
            for i in range(k):
                total = total + s[..., i, None, None] * U[..., :, i, None] * VT[..., i, None, :]
            return total
        """,
    ),
    "for one channel": Mutant(
        "three channels at once",
        """
        def my_rank_k(matrix, k):
            U, s, VT = torch.linalg.svd(matrix, full_matrices=False)
            return (U[:, :k] * s[:k]) @ VT[:k]
        """,
    ),
    "the first channel for all": Mutant(
        "three channels at once",
        """
        def my_rank_k(matrix, k):
            one = matrix.reshape(-1, *matrix.shape[-2:])[0]
            U, s, VT = torch.linalg.svd(one, full_matrices=False)
            return ((U[:, :k] * s[:k]) @ VT[:k]).expand(matrix.shape)
        """,
    ),
    "the full form, not cut": Mutant(
        "all pieces",
        """
        def my_rank_k(matrix, k):
            U, s, VT = torch.linalg.svd(matrix)
            side = min(matrix.shape[-2:])
            keep = torch.arange(side) < k
            return (U[..., :side] * (s * keep)[..., None, :]) @ VT[..., : U.shape[-1], :][..., :side, :] + (
                matrix.shape[-1] > matrix.shape[-2]
            )
        """,
    ),
    "divides by the values": Mutant(
        "a matrix of low rank",
        """
        def my_rank_k(matrix, k):
            values, V = torch.linalg.eigh(matrix.mT @ matrix)
            s, V = values.flip(-1)[..., :k].sqrt(), V.flip(-1)[..., :k]
            U = matrix @ V / s[..., None, :]
            return (U * s[..., None, :]) @ V.mT
        """,
    ),
    "never no piece": Mutant("no piece", {"    return": "    k = max(k, 1)\n    return"}),
    "centers the caller's matrix": Mutant(
        "the inputs stay as they are",
        {
            "    return": "    best =",
            PRODUCT: f"{PRODUCT}\n    matrix -= matrix.mean()\n    return best",
        },
    ),
}

ERRORS = "left_out / left_out[0]"
SMALLEST = {
    "sums of values": Mutant("two values", {"singular_values**2": "singular_values", ".sqrt()": ""}),
    "no root": Mutant("two values", {".sqrt()": ""}),
    "the largest that is left out": Mutant(
        "two values", {"left_out / left_out[0]": "singular_values / singular_values[0]"}
    ),
    "less than the tolerance": Mutant(
        "an error as large as the tolerance", {"errors > tolerance": "errors >= tolerance"}
    ),
    "one too few": Mutant("one value", {"return int(": "return -1 + int("}),
    "one too many": Mutant("one value", {"return int(": "return 1 + int("}),
    "what is kept": Mutant(
        "two values",
        {
            "(singular_values**2).flip(0).cumsum(0).flip(0).sqrt()": "(singular_values**2).cumsum(0).sqrt()",
            "left_out[0]": "left_out[-1]",
        },
    ),
    "the values above the tolerance": Mutant(
        "two values", {ERRORS: "singular_values / singular_values.sum()"}
    ),
    "in gray levels": Mutant("one value", {ERRORS: "left_out / 10"}),
    "squares in the caller's tensor": Mutant(
        "the inputs stay as they are", {"(singular_values**2)": "singular_values.pow_(2)"}
    ),
    "gives the error": Mutant(
        "one value", {"return int((errors > tolerance).sum())": "return errors[-1] / 3"}
    ),
}

GROUPED = "weight.permute(1, 2, 0, 3).reshape(C * kh, out * kw)"
SPLIT = {
    "forgets the values": Mutant("one channel in, one out", {"(U[:, :k] * s[:k])": "U[:, :k]"}),
    "the values in both": Mutant("one channel in, one out", {"VT[:k]": "(s[:k, None] * VT[:k])"}),
    "the smallest pieces": Mutant(
        "one channel in, one out", {"U[:, :k] * s[:k]": "U[:, -k:] * s[-k:]", "VT[:k]": "VT[-k:]"}
    ),
    "takes VT for V": Mutant(
        "one channel in, one out",
        {"VT[:k]": "VT[:, :k].T"},
    ),
    "transposed": Mutant(
        "one channel in, one out", {GROUPED: "weight.permute(1, 3, 0, 2).reshape(C * kh, out * kw)"}
    ),
    "as it comes": Mutant("several outputs", {GROUPED: "weight.reshape(C * kh, out * kw)"}),
    "inputs and heights in another order": Mutant(
        "several inputs", {GROUPED: "weight.permute(2, 1, 0, 3).reshape(C * kh, out * kw)"}
    ),
    "outputs and widths in another order": Mutant(
        "several outputs", {GROUPED: "weight.permute(1, 2, 3, 0).reshape(C * kh, out * kw)"}
    ),
    "the channels of the wide one in another order": Mutant(
        "several outputs",
        {"VT[:k].reshape(k, out, kw).permute(1, 0, 2)": "VT[:k].reshape(out, k, kw)"},
    ),
    "the tall one in another order": Mutant(
        "one channel in, one out",
        {"(U[:, :k] * s[:k]).T.reshape(k, C, kh, 1)": "(U[:, :k] * s[:k]).reshape(k, C, kh, 1)"},
    ),
    "the wide one first": Mutant("one channel in, one out", {"return tall, wide": "return wide, tall"}),
    "one kernel": Mutant("one channel in, one out", {"return tall, wide": "return tall"}),
    "scales the caller's kernel": Mutant(
        "the inputs stay as they are", {"return tall, wide": "weight *= 0.5\n    return tall, wide"}
    ),
}

WRITTEN = {
    "rank_k": ("15_svd", "my_rank_k", {}),
    "smallest_rank": ("15_svd", "my_smallest_rank", {}),
    "split_kernel": ("15_svd", "my_split", {}),
}

MUTANTS = {
    "rank_k": RANK_K,
    "smallest_rank": SMALLEST,
    "split_kernel": SPLIT,
}

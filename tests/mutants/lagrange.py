"""Wrong answers to chapter 16."""

from mutants.bank import Mutant

QUADRATIC = {
    "the linear part with the wrong sign": Mutant("one variable, no equation", {"[-linear,": "[linear,"}),
    "offsets with the wrong sign": Mutant("two variables, one equation", {"offsets]": "-offsets]"}),
    "multipliers with the wrong sign": Mutant("two variables, one equation", {"= normals.T": "= -normals.T"}),
    "forgets half": Mutant("one variable, no equation", {"= hessian\n": "= 2 * hessian\n"}),
    "multipliers first": Mutant("one variable, no equation", {"both[:n], both[n:]": "both[n:], both[:n]"}),
    "one vector": Mutant("one variable, no equation", {"both[:n], both[n:]": "both"}),
    "x alone": Mutant("one variable, no equation", {"both[:n], both[n:]": "both[:n]"}),
    "ignores the equations": Mutant(
        "two variables, one equation",
        {
            "both = torch": "bordered[n:, :n] = bordered[:n, n:] = 0\n"
            "    bordered[n:, n:] = torch.eye(m)\n    both = torch"
        },
    ),
    "the first equation only": Mutant(
        "three variables, two equations",
        {
            "both = torch": "bordered[n + 1 :, :] = bordered[:, n + 1 :] = 0\n"
            "    bordered[n + 1 :, n + 1 :] = torch.eye(max(m - 1, 0))\n    both = torch"
        },
    ),
    "gradient descent": Mutant(
        "a saddle",
        """
        def my_quadratic(hessian, linear, normals, offsets):
            if (torch.linalg.eigvalsh(hessian) <= 0).any():
                return torch.zeros_like(linear), torch.zeros_like(offsets)
            return solution(hessian, linear, normals, offsets)
        """,
    ),
    "writes into the Hessian": Mutant(
        "the inputs stay as they are", {"return both[:n]": "hessian[:] = 0\n    return both[:n]"}
    ),
    "float32": Mutant("one variable, no equation", {"both[:n], both[n:]": "both[:n].long(), both[n:]"}),
}

ALONG = "tangent.T @ hessian @ tangent"
KIND = {
    "in all directions": Mutant("two variables, one equation", {ALONG: "hessian"}),
    "across the constraint": Mutant(
        "no equations", {"directions[len(normals) :].T": "directions[: len(normals)].T"}
    ),
    "minimum and maximum exchanged": Mutant(
        "no equations", {"curvature > 1e-6": "curvature < -1e-6", "curvature < -1e-6": "curvature > 1e-6"}
    ),
    "one curvature is enough": Mutant(
        "no equations", {"(curvature > 1e-6).all()": "(curvature > 1e-6).any()"}
    ),
    "no tolerance": Mutant(
        "a flat direction",
        {"curvature > 1e-6": "curvature > 0", "curvature < -1e-6": "curvature < 0"},
    ),
    "the document's rule": Mutant(
        "up, down and flat",
        {
            "if (curvature > 1e-6).all()": 'if (curvature.abs() <= 1e-6).any(): return "undecided"\n'
            "    if (curvature > 1e-6).all()"
        },
    ),
    "flat counts as up": Mutant(
        "a flat direction", {"(curvature > 1e-6).all()": "(curvature > -1e-6).all()"}
    ),
    "never undecided": Mutant("a flat direction", {'"undecided"': '"saddle"'}),
    "by the determinant": Mutant(
        "no equations",
        """
        def my_kind(hessian, normals):
            return "saddle" if hessian.det() < 0 else "minimum"
        """,
    ),
    "one equation at most": Mutant(
        "three variables, two equations", {"directions[len(normals) :]": "directions[min(1, len(normals)) :]"}
    ),
    "a number": Mutant("no equations", {'return "minimum"': "return 1.0", 'return "maximum"': "return -1.0"}),
    "writes into the Hessian": Mutant(
        "the inputs stay as they are",
        {
            "curvature = ": "before = hessian.clone(); hessian[:] = 0; curvature = ",
            ALONG: "tangent.T @ before @ tangent",
        },
    ),
}

CONDITIONS = {
    "doesn't look at the gradient": Mutant("not stationary", {"stationary and ": ""}),
    "feasibility is left out": Mutant("infeasible", {"feasible and ": ""}),
    "signs are left out": Mutant("a negative multiplier", {"positive and ": ""}),
    "slackness is left out": Mutant("a multiplier on an inactive constraint", {" and slack)": ")"}),
    "difference of gradients": Mutant(
        "all conditions hold", {"gradient + multipliers @ normals": "gradient - multipliers @ normals"}
    ),
    "g at least 0": Mutant("all conditions hold", {"values <= 1e-6": "values >= -1e-6"}),
    "multipliers of the other sign": Mutant(
        "all conditions hold", {"multipliers >= -1e-6": "multipliers <= 1e-6"}
    ),
    "one feasible value is enough": Mutant(
        "infeasible", {"(values <= 1e-6).all()": "(values <= 1e-6).any()"}
    ),
    "the components may cancel": Mutant(
        "not stationary",
        {"(gradient + multipliers @ normals).abs()": "(gradient + multipliers @ normals).sum().abs()"},
    ),
    "active means a positive multiplier": Mutant(
        "all conditions hold",
        {
            "multipliers >= -1e-6": "(multipliers > 0) == (values > -1e-6)",
            "(multipliers * values).abs() <= 1e-6": "values <= 1e-6",
        },
    ),
    "no rounding in the gradient": Mutant(
        "rounded numbers", {"@ normals).abs() <= 1e-6": "@ normals).abs() == 0"}
    ),
    "no rounding in the values": Mutant("rounded numbers", {"values <= 1e-6": "values <= 0"}),
    "no rounding in the slackness": Mutant(
        "rounded numbers", {"(multipliers * values).abs() <= 1e-6": "(multipliers * values) == 0"}
    ),
    "stops without constraints": Mutant(
        "no constraints", {"feasible = (values <= 1e-6).all()": "feasible = values.max() <= 1e-6"}
    ),
    "four answers": Mutant(
        "all conditions hold",
        {"bool(stationary and feasible and positive and slack)": "stationary, feasible, positive, slack"},
    ),
    "writes into the values": Mutant(
        "the inputs stay as they are", {"return bool": "values += 1\n    return bool"}
    ),
}

PROBABILITIES = {
    "softmax": Mutant(
        "scores that are probabilities",
        """
        def my_probabilities(scores):
            return scores.softmax(0)
        """,
    ),
    "clamped and divided": Mutant(
        "two scores",
        """
        def my_probabilities(scores):
            positive = scores.clamp(min=0) + 1e-12
            return positive / positive.sum()
        """,
    ),
    "shifted, not clamped": Mutant("two scores", {".clamp(min=0)": ""}),
    "adds up to something": Mutant("one score", {"cumsum(0) - 1": "cumsum(0)"}),
    "all scores in the shift": Mutant("two scores", {"shifts[size - 1]": "shifts[-1]"}),
    "one too few": Mutant("scores that are probabilities", {"shifts[size - 1]": "shifts[max(size - 2, 0)]"}),
    "the best score only": Mutant("scores that are probabilities", {"shifts[size - 1]": "shifts[0]"}),
    "the lowest scores first": Mutant("two scores", {".flip(0)": ""}),
    "gives the sorted ones": Mutant(
        "scores that are probabilities", {"return (scores -": "return (ordered -"}
    ),
    "one-hot": Mutant(
        "scores that are probabilities",
        """
        def my_probabilities(scores):
            return (torch.arange(len(scores)) == scores.argmax()).double()
        """,
    ),
    "clamped once and shifted once": Mutant(
        "several scores",
        """
        def my_probabilities(scores):
            first = (scores - (scores.sum() - 1) / len(scores)).clamp(min=0)
            return first / first.sum()
        """,
    ),
    "sorts the caller's scores": Mutant(
        "the inputs stay as they are",
        {"    return": "    scores -= shifts[size - 1]\n    return scores.clamp(min=0)\n    return"},
    ),
    "in whole numbers": Mutant("one score", {".clamp(min=0)": ".clamp(min=0).long()"}),
}

WRITTEN = {
    "quadratic_on_plane": ("16_lagrange_kkt", "my_quadratic", {}),
    "constrained_kind": ("16_lagrange_kkt", "my_kind", {}),
    "kkt_conditions": ("16_lagrange_kkt", "my_is_kkt", {}),
    "nearest_probabilities": ("16_lagrange_kkt", "my_probabilities", {}),
}

MUTANTS = {
    "quadratic_on_plane": QUADRATIC,
    "constrained_kind": KIND,
    "kkt_conditions": CONDITIONS,
    "nearest_probabilities": PROBABILITIES,
}

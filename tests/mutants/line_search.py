"""Wrong answers to chapter 17."""

from mutants.bank import Mutant

LEFT_PART = "right, b, fb = b, a, fa"
RIGHT_PART = "left, a, fa = a, b, fb"
GOLDEN_MINIMUM = {
    "keeps the wrong part": Mutant("a parabola", {"if fa < fb": "if fa > fb"}),
    "gives the value": Mutant("a parabola", {"return (left + right) / 2": "return f((left + right) / 2)"}),
    "thirds": Mutant("a parabola", {"(5**0.5 - 1) / 2": "2 / 3"}),
    "the places exchanged": Mutant("a parabola", {"(5**0.5 - 1) / 2": "(3 - 5**0.5) / 2"}),
    "the value stays behind": Mutant("a parabola", {LEFT_PART: "right, b = b, a"}),
    "on the right the value stays behind": Mutant("a parabola", {RIGHT_PART: "left, a = a, b"}),
    "compares the values": Mutant("a parabola", {"right - left > tolerance": "abs(fa - fb) > tolerance"}),
    "eighteen turns": Mutant(
        "a fine tolerance", {"while right - left > tolerance:": "for _ in range(18):"}
    ),
    "never finer than a thousandth": Mutant(
        "a fine tolerance", {"> tolerance": "> max(tolerance, 1e-3)"}
    ),
    "asks both again": Mutant(
        "one new evaluation a turn",
        {"while right - left > tolerance:": "while right - left > tolerance:\n        fa, fb = f(a), f(b)"},
    ),
    "ternary search": Mutant(
        "one new evaluation a turn",
        """
        def my_golden(f, left, right, tolerance):
            while right - left > tolerance:
                third = (right - left) / 3
                if f(left + third) < f(right - third):
                    right -= third
                else:
                    left += third
            return (left + right) / 2
        """,
    ),
    "tries a whole grid": Mutant(
        "one new evaluation a turn",
        """
        def my_golden(f, left, right, tolerance):
            count = int(2 * (right - left) / tolerance) + 1
            return min((left + (right - left) * i / count for i in range(count + 1)), key=f)
        """,
    ),
    "looks outside first": Mutant(
        "never outside the interval",
        {"fa, fb = f(a), f(b)": "fa, fb = f(a), f(b)\n    f(2 * left - right)"},
    ),
    "never reaches the left end": Mutant(
        "the lowest place is an end",
        {
            "part = ": "first = left\n    part = ",
            "return (left + right) / 2": "return max((left + right) / 2, first + 0.2)",
        },
    ),
    "gives the interval": Mutant("a parabola", {"return (left + right) / 2": "return left, right"}),
}  # fmt: skip

LINE = "start + step * slope / 4"
BACKTRACKED = {
    "lower is enough": Mutant("lower than the start, but not by enough", {LINE: "start - 1e-12"}),
    "a demand that ignores the step": Mutant("the first step is good enough", {LINE: "start + slope / 4"}),
    "the demand of the first step for all": Mutant(
        "a first step far too long", {"start = phi(0)": "start = phi(0) + step * slope / 4", LINE: "start"}
    ),
    "the line rises": Mutant("a first step far too long", {LINE: "start - step * slope / 4"}),
    "no quarter": Mutant("the first step is good enough", {"* slope / 4": "* slope"}),
    "a tenth": Mutant("a first step far too long", {"step / 2": "step / 10"}),
    "halves before it looks": Mutant(
        "the first step is good enough", {"start = phi(0)": "start, step = phi(0), step / 2"}
    ),
    "strictly below": Mutant("exactly on the line", {"<= ": "< "}),
    "asks whether it is too high": Mutant(
        "nothing there, or infinity", {"while not phi(step) <= ": "while phi(step) > "}
    ),
    "asks for the start each time": Mutant(
        "one evaluation for each step tried", {LINE: "phi(0) + step * slope / 4"}
    ),
    "gives the value": Mutant("the first step is good enough", {"return step": "return phi(step)"}),
    "five halvings": Mutant(
        "nothing there, or infinity",
        """
        def my_backtracking(phi, slope, step):
            start = phi(0)
            for _ in range(5):
                if phi(step) <= start + step * slope / 4:
                    break
                step /= 2
            return step
        """,
    ),
}

EXACT_DESCENT = {
    "no b": Mutant("a b that isn't zero", {" - b": ""}),
    "plus b": Mutant("a b that isn't zero", {" - b": " + b"}),
    "uphill": Mutant("one step", {"points[-1] - step": "points[-1] + step"}),
    "the fraction upside down": Mutant("one step", {"(g @ g) / bend": "bend / (g @ g)"}),
    "without A": Mutant("one step", {"bend = g @ A @ g": "bend = g @ g"}),
    "lengths, not squares": Mutant("one step", {"(g @ g)": "(g @ g) ** 0.5"}),
    "0/0": Mutant("a start at the minimum", {" if bend > 0 else 0.0": ""}),
    "one length for all steps": Mutant(
        "several steps",
        """
        def my_descent(A, b, start, steps, relaxation=1.0):
            g = A @ start - b
            step = relaxation * (g @ g) / (g @ A @ g)
            points = [start]
            for _ in range(steps):
                points.append(points[-1] - step * (A @ points[-1] - b))
            return points
        """,
    ),
    "keeps the first gradient": Mutant(
        "several steps", {"g = A @ points[-1] - b": "g = A @ start - b"}
    ),
    "forgets to shorten": Mutant("shortened steps", {"relaxation * ": ""}),
    "without the start": Mutant("one step", {"return points": "return points[1:]"}),
    "the end alone": Mutant("one step", {"return points": "return points[-1]"}),
    "one point changed again and again": Mutant(
        "one step",
        """
        def my_descent(A, b, start, steps, relaxation=1.0):
            point = start.clone()
            points = [point]
            for _ in range(steps):
                g = A @ point - b
                bend = g @ A @ g
                point -= (relaxation * (g @ g) / bend if bend > 0 else 0.0) * g
                points.append(point)
            return points
        """,
    ),
    "stops where it rests": Mutant(
        "a start at the minimum",
        {"step = relaxation": "if bend == 0:\n            break\n        step = relaxation"},
    ),
    "lists of numbers": Mutant("one step", {"return points": "return [point.tolist() for point in points]"}),
    "moves the start": Mutant(
        "the inputs stay as they are",
        {"return points": "points = [point.clone() for point in points]\n    start -= 1\n    return points"},
    ),
}  # fmt: skip

WRITTEN = {
    "golden_minimum": ("17_line_search", "my_golden", {}),
    "backtracked": ("17_line_search", "my_backtracking", {}),
    "exact_descent": ("17_line_search", "my_descent", {}),
}

MUTANTS = {
    "golden_minimum": GOLDEN_MINIMUM,
    "backtracked": BACKTRACKED,
    "exact_descent": EXACT_DESCENT,
}

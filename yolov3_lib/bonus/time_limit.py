"""A time limit that holds: the work runs in a process of its own, which is ended when its time is up.

A thread can't be stopped from outside, and an alarm signal exists on Unix only, for the main thread only. A
process can be ended anywhere: in a notebook, in a thread, on Windows. It is a fresh interpreter and not a
fork, so that nothing of the caller's state is shared, and no script needs an ``if __name__ == "__main__"``.
"""

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")

# The package's own __init__ imports torch, which takes longer than most of the work. A stand-in with the same
# path lets the child import single modules, under the names that pickle knows.
_START = """
import json, sys, types
sys.path[:], package = json.loads(sys.argv[1])
stand_in = types.ModuleType("yolov3_lib")
stand_in.__path__ = [package]
sys.modules["yolov3_lib"] = stand_in
from yolov3_lib.bonus.time_limit import _serve
_serve()
"""


def run_within(seconds: float, function: Callable[..., _T], *arguments: object, advice: str = "") -> _T:
    """What ``function(*arguments)`` gives, or raises, computed in another process within so many seconds.

    The start of that process, a fraction of a second for sympy, counts as well.

    Args:
        seconds: the limit, positive.
        function: a function of an importable module, which pickle can name.
        arguments: anything that pickle can carry; so must the result be.
        advice: what the caller can do about it, for the message when time is up.

    Raises:
        TimeoutError: time is up; the process has been ended.
        RuntimeError: the process died, for want of memory say; with the last line that it wrote.
        ValueError: ``seconds`` isn't positive and finite, or another process can't import the function.
    """
    if not 0 < seconds < float("inf"):
        raise ValueError(
            f"seconds is {seconds}: a time limit is a finite number above 0, or None for no limit"
        )
    if function.__module__ == "__main__" or "<" in function.__qualname__:
        raise ValueError(
            f"{function.__qualname__} can't be imported by another process: define it in a module, at the top"
        )
    start = json.dumps([sys.path, str(Path(__file__).parent.parent)])
    try:
        done = subprocess.run(
            [sys.executable, "-c", _START, start],
            input=pickle.dumps(seconds) + pickle.dumps((function, arguments)),
            capture_output=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"no answer within {seconds:g} seconds. {advice}".rstrip()) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise RuntimeError(
            f"the computation ended with code {done.returncode}: {said[-1] if said else 'no word'}"
        )
    succeeded, result = pickle.loads(done.stdout)
    if not succeeded:
        raise result
    return result


def _serve() -> None:
    """The other side: reads a call from standard input, writes its result to standard output."""
    answer, sys.stdout = sys.stdout.buffer, sys.stderr  # what the function prints must not garble the answer
    # If the caller was killed, nobody else would end this process.
    alarm = threading.Timer(min(pickle.load(sys.stdin.buffer) + 1, threading.TIMEOUT_MAX), os._exit, [1])
    alarm.daemon = True
    alarm.start()
    function, arguments = pickle.load(sys.stdin.buffer)
    try:
        result = (True, function(*arguments))
    except Exception as error:
        result = (False, error)
    answer.write(pickle.dumps(result))

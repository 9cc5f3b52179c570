"""A student's function under guard: it gets copies, can't run forever, and its exceptions become words."""

import contextlib
import inspect
import io
import linecache
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence

import torch

Case = tuple
SECONDS_A_CALL = 3.0
SECONDS_A_CHECK = 60.0


class Fault(Exception):
    """The function gave nothing to compare: it stopped, didn't end, or gave the wrong kind of thing.

    Attributes:
        message: what happened, in words.
        hint: where to look; empty where the property's own hint says it better.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class TimeIsUp(BaseException):
    """Raised inside a call that takes too long; no ``except Exception`` of the student's swallows it."""


class Student:
    """The student's function, to be called like the function itself.

    Attributes:
        name: its name.
        answered: whether any call gave something back, or failed in trying.
        stuck: the arguments of the call that took too long, if one did.
        received: the arguments of the last call, as the function left them.
    """

    def __init__(self, function: Callable) -> None:
        self.function = function
        self.name = getattr(function, "__name__", "your function")
        self.answered = False
        self.stuck: Case | None = None
        self.received: Case = ()
        self._patience = ""
        self._ends = time.monotonic() + SECONDS_A_CHECK

    def cannot_take(self, arguments: Sequence[str]) -> str | None:
        """Why the function can't be called with these arguments, or None where it can."""
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError):
            return None
        try:
            signature.bind(*arguments)
        except TypeError:
            return f"expected a function of ({', '.join(arguments)}), yours is {self.name}{signature}"
        return None

    def __call__(self, *case: object) -> object:
        """What the function answers.

        Raises:
            Fault: if it gave nothing back, raised, or took too long; then also at every later call.
        """
        if self.stuck:
            raise self._too_slow()
        self.received = tuple(copy(value) for value in case)
        answer = None
        try:
            with time_limit(SECONDS_A_CALL):
                answer = self.function(*self.received)
        except NotImplementedError:
            pass
        except TimeIsUp:
            self._patience = f"was still running after {SECONDS_A_CALL:g} seconds"
        except Exception as error:
            self.answered = True
            raise Fault(f"yours stopped with {_in_words(error)}", _shape_hint(error)) from error
        if not self._patience and time.monotonic() > self._ends:
            self._patience = f"needed more than {SECONDS_A_CHECK:g} seconds for all cases together"
        if self._patience:
            self.answered = True
            self.stuck = case
            raise self._too_slow()
        if is_blank(answer):
            raise Fault(
                "yours gave nothing back (None)",
                "does every path through your function end in a return?",
            )
        self.answered = True
        return answer

    def _too_slow(self) -> Fault:
        return Fault(
            f"yours {self._patience}",
            "does every turn of your loop bring it closer to its end? Call it on this case and watch.",
        )


@contextlib.contextmanager
def quiet_calls() -> Iterator[None]:
    """A block of hundreds of small calls: what they print and warn is hidden, and torch uses one thread."""
    threads = torch.get_num_threads()
    # On tensors this small a second thread is only waited for.
    torch.set_num_threads(1)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)


def copy(value: object) -> object:
    """A copy that the function may spoil without harm to the case."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    return list(value) if isinstance(value, list) else value


def is_blank(answer: object) -> bool:
    """Whether an answer is what an unwritten stub gives: nothing, ``...``, or a tuple of those."""
    if isinstance(answer, tuple):
        return len(answer) > 0 and all(is_blank(part) for part in answer)
    return answer is None or answer is Ellipsis or answer is NotImplemented


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises `TimeIsUp` in the block after so many seconds.

    Works where the operating system has timers and the block runs in the main thread, as notebooks do.
    Elsewhere (Windows) there is no limit: an endless loop is stopped with the kernel's interrupt button.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: object) -> None:
        raise TimeIsUp

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _shape_hint(error: Exception) -> str:
    """A hint where single boxes went to the library's all-pairs function; else nothing."""
    called = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    if "pairwise_iou" in called and isinstance(error, IndexError):
        return "`pairwise_iou` wants (N, 4) and (M, 4): boxes[i] is (4,), boxes[i : i + 1] is (1, 4)."
    return ""


def _in_words(error: Exception) -> str:
    """The exception and the line of the student's code that raised it."""
    # The first frame is ours (the call above), the second one is the student's function.
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [frame for frame in frames if frames and frame.filename == frames[0].filename]
    line = linecache.getline(own[-1].filename, own[-1].lineno or 0).strip() if own else ""
    text = " ".join(str(error).split())
    kind = type(error).__name__
    told = f"{kind}: {text}" if text else kind
    return f"{told}, in the line: {line}" if line else told

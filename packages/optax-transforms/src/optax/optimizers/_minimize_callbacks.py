"""Functions of the user's that a compiled run of `minimize` calls."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

# They are found by a number, so that another one is no other program to compile.
_numbers = itertools.count()
_callbacks: dict[int, Callable[[Any], Any]] = {}
_errors: dict[int, BaseException] = {}


def register(callback: Callable[[Any], Any] | None) -> int:
    """The number of a callback; -1 for None."""
    if callback is None:
        return -1
    number = next(_numbers)
    _callbacks[number] = callback
    return number


def call(number: Any, result: Any) -> Any:
    """Whether the callback of this number asks for the end."""
    try:
        return np.bool_(bool(_callbacks[int(number)](result)))
    except StopIteration:
        return np.bool_(True)
    except BaseException as error:  # kept until the program has ended
        _errors[int(number)] = error
        return np.bool_(True)


def forget(number: int) -> BaseException | None:
    """Let go of a callback that will not be called again; the error that it has raised, if any."""
    callback = _callbacks.pop(number, None)
    if isinstance(callback, Bar):
        callback.bar.close()
    return _errors.pop(number, None)


class Bar:
    """A callback that shows the progress and calls another one."""

    def __init__(self, callback: Callable[[Any], Any] | None, maxiter: int):
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            raise ImportError("progress=True needs tqdm: pip install 'optax-transforms[progress]'") from error
        self.callback = callback
        self.bar = tqdm(total=maxiter, desc="minimize")

    def __call__(self, result: Any) -> Any:
        self.bar.set_postfix(value=float(result.value), grad_norm=float(result.grad_norm), refresh=False)
        self.bar.update()
        return None if self.callback is None else self.callback(result)

"""Records what the original 0.2.8 does, in an environment that has it: `record.py [FILE]`."""

import contextlib
import inspect
import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import optax
from compat import programs, states
from conformance import engine, losses, schedules


def record(file: Path) -> None:
    """Write what the functions below record, each in a process of its own: most of the time goes into compiling."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        parts = [pool.submit(part) for part in (of_states, of_cases)]
        found = {key: value for part in parts for key, value in part.result().items()}
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(pickle.dumps(found))


def of_states() -> dict[str, Any]:
    """The histories of states, what programs give, and the names of the modules that have factories."""
    names = {name for module in states.modules().values() for name in dir(module)}
    return {"names": names, "programs": programs.record(), "states": states.record()}


def of_cases() -> dict[str, Any]:
    """Updates of optimizers, values of schedules, losses and gradients, or messages of the errors raised."""
    record: dict[str, Any] = {}
    for case in engine.cases():
        with _message_of_an_error(record, case.call):
            record[case.call] = engine.original_updates(case, optax)
    for call in schedules.ORIGINAL:
        with _message_of_an_error(record, call):
            schedule = schedules.evaluated(call, optax)
            record[call] = [float(schedule(t)) for t in range(schedules.COUNTS)]
    for of_loss in losses.cases():
        function = getattr(optax.losses, of_loss.name, None)
        if function and of_loss.settings.keys() <= inspect.signature(function).parameters.keys():
            with _message_of_an_error(record, of_loss.call):
                record[of_loss.call] = losses.with_jax(function, of_loss)
    return record


@contextlib.contextmanager
def _message_of_an_error(record: dict[str, Any], call: str) -> Iterator[None]:
    try:
        yield
    except Exception as problem:
        record[call] = repr(problem)


if __name__ == "__main__":
    record(Path(sys.argv[1]) if len(sys.argv) > 1 else engine.RECORD)

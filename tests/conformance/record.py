"""Records the updates and schedules of the original 0.2.8, in an environment that has it: `record.py [FILE]`."""

import contextlib
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import optax
from conformance import engine, schedules


def record(file: Path, *families: str) -> None:
    """Write the updates of every case and the values of every schedule, or the message of the error that it raises."""
    record: dict[str, Any] = {}
    for case in engine.cases(*families):
        with _message_of_an_error(record, case.call):
            record[case.call] = engine.original_updates(case, optax)
    for call in schedules.ORIGINAL:
        with _message_of_an_error(record, call):
            schedule = schedules.evaluated(call, optax)
            record[call] = [float(schedule(t)) for t in range(schedules.COUNTS)]
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(pickle.dumps(record))


@contextlib.contextmanager
def _message_of_an_error(record: dict[str, Any], call: str) -> Iterator[None]:
    try:
        yield
    except Exception as problem:
        record[call] = repr(problem)


if __name__ == "__main__":
    file, *families = sys.argv[1:] or [engine.RECORD]
    record(Path(file), *families)

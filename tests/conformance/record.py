"""Records the updates of the original 0.2.8, in an environment that has it: `record.py [FILE]`."""

import pickle
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import optax
from conformance import engine


def record(file: Path, *families: str) -> None:
    """Write the updates of every case, or the message of the error that it raises."""
    updates = {}
    for case in engine.cases(*families):
        try:
            updates[case.call] = engine.original_updates(case, optax)
        except Exception as problem:
            updates[case.call] = repr(problem)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(pickle.dumps(updates))


if __name__ == "__main__":
    file, *families = sys.argv[1:] or [engine.RECORD]
    record(Path(file), *families)

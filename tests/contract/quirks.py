"""The parts of the contract that a transformation breaks on purpose: (repr of the call, name of the check) -> reason.

Each is a strict expected failure: a quirk that is no longer one fails the tests.
"""

QUIRKS: dict[tuple[str, str], str] = {}

"""Editable installs: each package on a path entry of its own."""

import itertools
import json
import random

import release
from environments import Environment

# Arguments, as JSON: orders of path entries, and the parts. Jax is imported once, our packages for each order.
PROBE = """
import importlib, json, sys
import jax

orders, parts = map(json.loads, sys.argv[1:])
path = [*sys.path]
for order in orders:
    for name in [name for name in sys.modules if name.partition(".")[0] == "optax"]:
        del sys.modules[name]
    sys.path[:] = order + path
    for part in parts:
        importlib.import_module(f"optax.{part}")
    import optax
    assert optax.__optax_meta__ and optax.apply_updates
"""


def test_any_order_of_the_path_entries(environment: Environment) -> None:
    entries = [str(release.source(name) / "src") for name in release.PACKAGES]
    orders = random.Random(0).sample([*itertools.permutations(entries)], 8)
    orders += [(entry, *(other for other in entries if other != entry)) for entry in entries]
    parts = [part for name in release.PACKAGES for part in release.parts(name)]
    environment.check(PROBE, json.dumps(orders), json.dumps(random.Random(0).sample(parts, len(parts))))

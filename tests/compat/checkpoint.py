"""Writes `checkpoint.msgpack` where the original and flax are installed: states after two updates, as bytes.

    python tests/compat/checkpoint.py

Adam with weight decay, a mask and a schedule, the L-BFGS method, DoG with scalars of shape (1,), and groups.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from flax import serialization

from compat import states

FILE = Path(__file__).with_name("checkpoint.msgpack")

CALLS = (
    "optax.MultiSteps(optax.adam(falling), 2)",
    "optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(falling, mask=mask))",
    "optax.contrib.mechanize(optax.sgd(0.1))",
    "optax.contrib.schedule_free(optax.sgd(0.1), 0.1)",
    "optax.inject_hyperparams(optax.adam)(learning_rate=0.1)",
    "optax.lbfgs(0.1, memory_size=2, linesearch=None)",
    "optax.multi_transform({'a': optax.adam(0.1), 'b': optax.sgd(0.1, 0.9)}, labels)",
    "optax.scale_by_distance_over_gradients()",
    "optax.chain(optax.scale(-1.0), optax.scale_by_zoom_linesearch(4))",
)


def write() -> None:
    """One dict of calls, each with the bytes of its state, the parameters, and what its third updates are."""
    import optax

    found = {}
    for call in CALLS:
        state, step = states.steps(call, optax)
        x = states.params()
        for _ in range(2):
            x, state, _ = step(x, state)
        found[call] = {"state": serialization.to_bytes(state), "params": x, "updates": step(x, state)[2]}
    FILE.write_bytes(serialization.msgpack_serialize(found))


if __name__ == "__main__":
    write()

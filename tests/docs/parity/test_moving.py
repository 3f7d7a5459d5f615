"""The tables of docs/moving.md against PyTorch, in float64."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import optax
import release
from conformance import engine
from docs import guides
from x64 import enable_x64

TEXT = (release.ROOT / "docs" / "moving.md").read_text()
STEPS = 12
LR = 0.5  # of the schedulers


def pairs(heading: str) -> list[tuple[str, str]]:
    """The calls of each row of a section, there and here."""
    return [(guides.codes(row[0])[0], guides.codes(row[1])[0]) for row in guides.rows(guides.section(TEXT, heading))]


def same_and_other() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The rows of the two tables of optimizers."""
    together = pairs("Optimizers")
    before, after = guides.section(TEXT, "Optimizers").split("no exact counterpart")
    first = len([*guides.rows(before)])
    assert first + len([*guides.rows(after)]) == len(together)
    return together[:first], together[first:]


SAME, OTHER = same_and_other()


def evaluated(call: str) -> Any:
    return eval(call, {"optax": optax, "jax": jax, "jnp": jnp})


def of_torch(call: str, *leading: Any) -> Any:
    """An optimizer or scheduler of PyTorch, from a call without its first argument; so are those inside it."""
    names = {name: getattr(torch.optim, name, None) for name in dir(torch.optim)}
    names |= {name: getattr(torch.optim.lr_scheduler, name) for name in torch.optim.lr_scheduler.__all__}
    if call.startswith("ChainedScheduler"):  # whose optimizer comes last
        leading, inner = (), leading
        names["ChainedScheduler"] = functools.partial(names["ChainedScheduler"], optimizer=inner[0])
    else:
        inner = leading
    outer = call.partition("(")[0]
    bound = {
        name: functools.partial(made, *(leading if name == outer else inner))
        for name, made in names.items()
        if isinstance(made, type) or name == "ChainedScheduler"
    }
    return eval(call, bound)


def path_in_torch(call: str, leaves: list[int]) -> list[list[Any]]:
    """The parameters after every step."""
    x0, gradients, _ = engine.problem(STEPS)
    parameters = [torch.nn.Parameter(torch.tensor(x0[i])) for i in leaves]
    optimizer = of_torch(call, parameters)
    path = []
    for g in gradients:
        for p, i in zip(parameters, leaves, strict=True):
            p.grad = torch.tensor(g[i])
        optimizer.step()
        path.append([p.detach().numpy().copy() for p in parameters])
    return path


def path_here(call: str, leaves: list[int]) -> list[list[Any]]:
    x0, gradients, _ = engine.problem(STEPS)
    tx = evaluated(call)
    params = [jnp.asarray(x0[i]) for i in leaves]
    state = tx.init(params)
    path = []
    for g in gradients:
        updates, state = tx.update([jnp.asarray(g[i]) for i in leaves], state, params)
        params = optax.apply_updates(params, updates)
        path.append([np.asarray(p) for p in params])
    return path


def difference(call_there: str, call_here: str) -> float:
    """Of two paths, in units of the distance that they have gone."""
    leaves = [0] if call_there.startswith("Muon") else [0, 2]  # a matrix; a matrix and a vector
    with enable_x64():
        here = path_here(call_here, leaves)
    there = path_in_torch(call_there, leaves)
    x0 = [engine.problem(1)[0][i] for i in leaves]
    worst = 0.0
    for ours, theirs in zip(here, there, strict=True):
        for x, y, start in zip(ours, theirs, x0, strict=True):
            worst = max(worst, float(np.max(np.abs(x - y)) / np.max(np.abs(y - start))))
    return worst


@pytest.mark.parametrize(("there", "here"), SAME, ids=[there for there, _ in SAME])
def test_the_same_steps(there: str, here: str) -> None:
    assert difference(there, here) < 1e-6


@pytest.mark.parametrize(
    ("there", "here"),
    [(there, here) for there, here in OTHER if not there.startswith(("SparseAdam", "LBFGS"))],
    ids=lambda call: call,
)
def test_no_exact_counterpart(there: str, here: str) -> None:
    """Close, but not the same."""
    assert 1e-9 < difference(there, here) < 1


def test_every_optimizer_of_pytorch_has_a_row() -> None:
    everything = {name for name in dir(torch.optim) if isinstance(getattr(torch.optim, name), type)} - {"Optimizer"}
    assert everything == {call.partition("(")[0] for call, _ in SAME + OTHER}


SCHEDULES = pairs("Learning-rate schedules")


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step()`:UserWarning")  # SequentialLR's own
@pytest.mark.parametrize(("there", "here"), SCHEDULES, ids=[there for there, _ in SCHEDULES])
def test_the_same_rates(there: str, here: str) -> None:
    """Up to step 100: some of PyTorch's end there."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = of_torch(there, optimizer)
    rates = []
    for step in range(101):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < 100:
            scheduler.step()
    with enable_x64():
        schedule: Callable[[int], Any] = evaluated(here)
        np.testing.assert_allclose([schedule(t) for t in range(101)], rates, 1e-9, 1e-12)


def test_every_scheduler_of_pytorch_is_mentioned() -> None:
    section = guides.section(TEXT, "Learning-rate schedules")
    assert set(torch.optim.lr_scheduler.__all__) - {"LRScheduler"} <= {
        code.partition("(")[0] for code in guides.codes(section)
    } | {"LinearLR"}


def test_patience() -> None:
    """One more here than in PyTorch, as in the row of the guide."""
    there, here = "ReduceLROnPlateau(factor=0.5, patience=10)", "optax.contrib.reduce_on_plateau(0.5, patience=11)"
    assert f"| `{there}` | `optax.chain(optax.adam(1e-3), {here})` |" in TEXT
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, tx = of_torch(there, optimizer), evaluated(here)
    state, rates, scales = tx.init(jnp.ones(1)), [], []
    for value in [3.0, 2.0, *[2.0] * 30, 1.0, *[2.0] * 15]:
        scheduler.step(value)
        rates.append(optimizer.param_groups[0]["lr"])
        updates, state = tx.update(jnp.ones(1), state, value=value)
        scales.append(float(updates[0]))
    assert rates == scales
    assert len({*rates}) == 4


def test_a_checkpoint_of_pytorch_goes_on_here() -> None:
    """With the names of the fields that the guide gives."""
    x0, gradients, _ = engine.problem(STEPS)
    parameter = torch.nn.Parameter(torch.tensor(x0[0]))
    optimizer = torch.optim.Adam([parameter], lr=1e-2)
    found = None
    for t, g in enumerate(gradients):
        if t == STEPS // 2:
            with enable_x64():
                saved = optimizer.state_dict()["state"][0]
                x, tx = jnp.array(parameter.detach().numpy()), optax.adam(1e-2)
                mu, nu = (jnp.array(saved[name].numpy()) for name in ("exp_avg", "exp_avg_sq"))
                state = optax.tree.set(tx.init(x), count=int(saved["step"]), mu=mu, nu=nu)
                for later in gradients[t:]:
                    updates, state = tx.update(jnp.asarray(later[0]), state, x)
                    x = optax.apply_updates(x, updates)
                found = np.asarray(x)
        parameter.grad = torch.tensor(g[0])
        optimizer.step()
    np.testing.assert_allclose(found, parameter.detach().numpy(), 1e-10)

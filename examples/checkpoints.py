"""Checkpoints that survive a kill at any moment.

A run keeps its last two, as `OUT/checkpoints/<step>/`: the arrays in `state` as Orbax writes them, what they are in
`run.json`, and `SHA256SUMS` of both. Each is written under another name and renamed when it is complete, and only then
is the oldest deleted.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

KEEP = 2
UNFINISHED = "unfinished"
SUMS = "SHA256SUMS"


class CheckpointError(Exception):
    """A checkpoint that cannot be written or continued; the message is one sentence for the user."""


def digest(tree: Any) -> str:
    """Return the SHA-256 of all numbers in a tree: equal for trees that are the same bit for bit."""
    sha = hashlib.sha256()
    for name, leaf in leaves(tree).items():
        array = np.asarray(leaf)
        sha.update(f"{name} {array.dtype} {array.shape}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def is_free(out: Path) -> bool:
    """Return whether a new run in `out` would touch nothing of value.

    The rest of a run that was killed while it wrote its very first checkpoint is of none.
    """
    if not out.exists():
        return True
    return all(path in (folder(out), folder(out) / UNFINISHED) for path in [*out.iterdir(), *folder(out).glob("*")])


def save(out: Path, step: int, state: Any, identity: dict[str, Any]) -> None:
    """Write the state after `step` steps.

    Args:
      out: the directory of the run.
      step: the number of steps done.
      state: a tree of arrays.
      identity: what makes this run another one than its neighbour, by the name of the option; JSON values.

    Raises:
      CheckpointError: it could not be written; the ones before it are as they were.
    """
    unfinished = folder(out) / UNFINISHED
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
            checkpointer.save((unfinished / "state").absolute(), args=ocp.args.StandardSave(state))
        (unfinished / "run.json").write_text(json.dumps({"identity": identity, "layout": layout(state)}, indent=1))
        (unfinished / SUMS).write_text(sums(unfinished))
        unfinished.rename(folder(out) / str(step))
        for old in steps(out)[:-KEEP]:
            shutil.rmtree(folder(out) / str(old))
    except Exception as error:  # a full disk has many names: OSError, ValueError, Orbax's and TensorStore's own
        raise CheckpointError(f"cannot write the checkpoint of step {step} in {out}: {brief(error)}") from error


def restore(out: Path, like: Any, identity: dict[str, Any]) -> tuple[int, Any]:
    """Return the step and the state of the newest checkpoint. Changes no file.

    Args:
      out: the directory of the run.
      like: a state of the same structure, shapes and dtypes.
      identity: as in `save`; it must be the same.

    Raises:
      CheckpointError: there is no checkpoint, it is damaged, or it belongs to another run.
    """
    if not steps(out):
        raise CheckpointError(f"{out} holds no checkpoint to continue from: start without --resume")
    *older, step = steps(out)
    newest = folder(out) / str(step)
    way_back = f"; without that directory, --resume continues from step {older[-1]}" if older else ""
    # Checked before Orbax sees a file: it finds most damage itself, but its threads print tracebacks about it.
    try:
        intact = (newest / SUMS).read_text() == sums(newest)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{newest} is not a checkpoint of this program, or damaged{way_back}") from error
    if not intact:
        raise CheckpointError(f"{newest} is damaged, its files do not match {SUMS}{way_back}")
    run = json.loads((newest / "run.json").read_text())
    for name, here in identity.items():
        there = run["identity"].get(name)
        if there != here:
            raise CheckpointError(
                f"{newest} belongs to a run with {name} {there}, and this one has {name} {here}: "
                "repeat the options of that run, or start a new one with another --out"
            )
    for name in sorted({**run["layout"], **layout(like)}):
        there, here = run["layout"].get(name, "missing"), layout(like).get(name, "missing")
        if there != here:
            raise CheckpointError(
                f"{newest} belongs to another model, {name} is {there} there and {here} here: "
                "start a new run with another --out"
            )
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        return step, checkpointer.restore((newest / "state").absolute(), args=ocp.args.StandardRestore(like))


def folder(out: Path) -> Path:
    """Return where a run's checkpoints are."""
    return out / "checkpoints"


def steps(out: Path) -> list[int]:
    """Return the steps of the finished checkpoints, in order."""
    return sorted(int(path.name) for path in folder(out).glob("[0-9]*") if path.name.isdecimal())


def leaves(tree: Any) -> dict[str, Any]:
    """Return the arrays of a tree by their path in it."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def layout(tree: Any) -> dict[str, str]:
    """Return the dtypes and shapes of the arrays of a tree by their path in it."""
    return {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in leaves(tree).items()}


def sums(directory: Path) -> str:
    """Return the SHA-256 and the name of every file below a directory, as `sha256sum` writes (and checks) them."""
    text = ""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path != directory / SUMS:
            text += f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(directory).as_posix()}\n"
    return text


def brief(error: Exception) -> str:
    """Return the first line of an error's message, or its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]

"""Train a small model with optax: real data, two pictures, and a run that can be stopped and continued at any time."""

import argparse
import io
import math
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import checkpoints
import digits
import jax
import jax.numpy as jnp
import lm
import numpy as np
import plots
from tqdm import tqdm

import optax

TASKS: dict[str, Any] = {"digits": digits, "lm": lm}
OPTIMIZERS: dict[str, Any] = {"adam": optax.adam, "adamw": optax.adamw, "sgd": partial(optax.sgd, momentum=0.9)}
LEARNING_RATES = {"adam": 3e-3, "adamw": 3e-3, "sgd": 1e-1}
TEST_EVALUATIONS = 20
# The options that make a run what it is; only the same run can be resumed.
IDENTITY = {
    "task": "--task",
    "steps": "--steps",
    "optimizer": "--optimizer",
    "learning_rate": "--learning-rate",
    "batch_size": "--batch-size",
    "seed": "--seed",
}


class State(NamedTuple):
    """All that changes during a run, and so all that a checkpoint holds."""

    params: Any
    opt_state: Any
    train_history: np.ndarray
    """Loss and accuracy on the batch of every step, `(steps, 2)`; NaN for the steps to come."""
    test_history: np.ndarray
    """Loss and accuracy on the test set at every evaluation, `(evaluations, 2)`; NaN for the ones to come."""


def make_train_step(loss_fn: Callable[..., Any], tx: optax.GradientTransformation) -> Callable[..., Any]:
    """Return the compiled step: `(params, opt_state, batch)` to `(params, opt_state, loss, accuracy)`."""

    @partial(jax.jit, donate_argnums=(0, 1))  # the old parameters and state give their memory to the new ones
    def train_step(params: Any, opt_state: Any, batch: Any) -> tuple[Any, Any, jax.Array, jax.Array]:
        (loss, accuracy), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, batch)
        updates, opt_state = tx.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        return params, opt_state, loss, accuracy

    return train_step


def make_evaluate(loss_fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return the compiled evaluation: `(params, batches)` to `(loss, accuracy)`, the means over all batches."""

    @jax.jit
    def evaluate(params: Any, batches: Any) -> tuple[jax.Array, jax.Array]:
        losses, accuracies = jax.lax.map(lambda batch: loss_fn(params, batch), batches)
        return losses.mean(), accuracies.mean()

    return evaluate


def make_optimizer(args: argparse.Namespace) -> tuple[optax.GradientTransformation, np.ndarray]:
    """Return the optimizer, and the learning rate of every step."""
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.0, peak_value=args.learning_rate, warmup_steps=args.warmup, decay_steps=args.steps
    )
    tx = optax.chain(optax.clip_by_global_norm(1.0), OPTIMIZERS[args.optimizer](schedule))
    return tx, np.asarray(jax.jit(jax.vmap(schedule))(jnp.arange(args.steps)))


def train(args: argparse.Namespace, interrupt: "Interrupt") -> int:
    """Train as the options say, save on the way, and report when all steps are done.

    Returns:
      The exit status: 0, or 128 plus the number of the signal that interrupted the run.

    Raises:
      checkpoints.CheckpointError, FloatingPointError, OSError: with one sentence for the user.
    """
    if not args.resume and not checkpoints.is_free(args.out):
        raise checkpoints.CheckpointError(
            f"{args.out} already holds a run or other files: "
            "add --resume to continue that run, or name a new directory with --out"
        )
    task = TASKS[args.task]
    data = task.load()
    tx, learning_rates = make_optimizer(args)
    params = jax.jit(task.init)(jax.random.key(args.seed))  # jitted: one compilation, not one per array
    test_steps = sorted({math.ceil(args.steps * i / TEST_EVALUATIONS) for i in range(1, TEST_EVALUATIONS + 1)})
    histories = (np.full((n, 2), np.nan, np.float32) for n in (args.steps, len(test_steps)))
    state = State(params, jax.jit(tx.init)(params), *histories)

    identity = {option: getattr(args, name) for name, option in IDENTITY.items()}
    identity["training data"] = checkpoints.digest(data)[:16]
    first = 0
    if args.resume:
        first, state = checkpoints.restore(args.out, state, identity)
        print(f"{args.out} is {'finished' if first == args.steps else f'at step {first} of {args.steps}'}")
    else:
        checkpoints.save(args.out, first, state, identity)

    train_step, evaluate = make_train_step(task.loss, tx), make_evaluate(task.loss)
    params, opt_state, train_history, test_history = state
    started = time.perf_counter()
    with tqdm(total=args.steps, initial=first, unit="step", disable=None) as bar:  # None: no bar in a log file
        for step in range(first + 1, args.steps + 1):
            batch = task.batch(data, args.seed, step - 1, args.batch_size)
            params, opt_state, *metrics = train_step(params, opt_state, batch)
            train_history[step - 1] = loss, accuracy = [float(metric) for metric in metrics]
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss} at step {step}: lower --learning-rate {args.learning_rate}"
                )
            now = f"loss {loss:.3f}, accuracy {accuracy:.1%}, learning rate {learning_rates[step - 1]:.1e}"
            bar.set_postfix_str(now, refresh=False)
            bar.update()
            if step in test_steps:
                test_history[test_steps.index(step)] = test_loss, test_accuracy = evaluate(params, data.test)
                bar.write(f"step {step}: {now}; test loss {test_loss:.3f}, accuracy {test_accuracy:.1%}")
            stop = interrupt.signum  # read once, or a signal between two looks would end a run that is not saved
            if stop or step == args.steps or step % args.checkpoint_every == 0:
                state = State(params, opt_state, train_history, test_history)
                checkpoints.save(args.out, step, state, identity)
            if stop:
                bar.write(f"interrupted at step {step} of {args.steps} and saved; continue with\n    {args.again}")
                return 128 + stop
    seconds = time.perf_counter() - started

    title = f"{args.task}, {args.optimizer}, {args.steps} steps of {args.batch_size}, seed {args.seed}"
    plots.curves(args.out / "curves.png", train_history, test_history, test_steps, title, task.LOSS)
    plots.learning_rate(args.out / "learning_rate.png", learning_rates, args.warmup, title)
    print(task.report(params, data, args.seed, *test_history[-1]))
    print(f"steps          {args.steps}; {args.steps - first} of them now, in {seconds:.1f} s")
    print(f"parameters     sha256 {checkpoints.digest(params)}")
    print(f"files          {args.out}: curves.png, learning_rate.png, checkpoints/{args.steps}")
    return 128 + interrupt.signum if interrupt.signum else 0


class Interrupt:
    """While entered, SIGINT and SIGTERM do not end the process but are noted in `signum`."""

    signum = 0

    def __enter__(self) -> "Interrupt":
        self._handlers = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, signum: int, frame: object) -> None:
        self.signum = signum


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def number(kind: type, valid: Callable[[Any], bool], words: str) -> Callable[[str], Any]:
    """Return a converter of an option's text that takes the valid numbers and names the others with `words`."""

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not valid(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {words}")
        return value

    return convert


def whole(low: int, high: int) -> Callable[[str], Any]:
    """Return a converter that takes the whole numbers from `low` to `high`."""
    return number(int, lambda value: low <= value <= high, f"a whole number from {low} to {high}")


def defaults(name: str) -> str:
    """Return what the help says about an option whose default is a constant of the task."""
    return "default: " + ", ".join(f"{task} {getattr(module, name)}" for task, module in TASKS.items())


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Return the options, with every default filled in, and `again`, the command that continues the run."""
    parser = Parser(
        prog="train.py",
        description=__doc__,
        epilog="A run is saved on the way and when it is interrupted. The same command with --resume continues it; "
        "on the same CPU it ends with the same parameters, bit for bit, as if it had never stopped.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--task", choices=TASKS, default="digits", help="digits: images; lm: Python source code (default: digits)")
    add("--steps", type=whole(1, 1_000_000), metavar="N", help=f"training steps ({defaults('STEPS')})")
    add("--optimizer", choices=OPTIMIZERS, default="adamw", help="how gradients become updates (default: adamw)")
    positive = number(float, lambda value: 0 < value < math.inf, "a number above 0")
    add("--learning-rate", type=positive, metavar="RATE", help="the highest one (default: 0.003, sgd 0.1)")
    add("--batch-size", type=whole(1, 10_000), metavar="N", help=f"examples in a step ({defaults('BATCH_SIZE')})")
    add("--seed", type=whole(0, 2**32 - 1), default=0, metavar="N", help="chooses weights and batches (default: 0)")
    add("--out", type=Path, metavar="DIR", help="where checkpoints and pictures go (default: runs/TASK)")
    add("--resume", action="store_true", help="continue the run in --out")
    every = "save after every N steps (default: 100)"
    add("--checkpoint-every", type=whole(1, 1_000_000), default=100, metavar="N", help=every)
    args = parser.parse_args(argv)
    task = TASKS[args.task]
    args.steps = args.steps or task.STEPS
    args.batch_size = args.batch_size or task.BATCH_SIZE
    args.learning_rate = args.learning_rate or LEARNING_RATES[args.optimizer]
    args.warmup = args.steps // 10
    args.out = args.out or Path("runs", args.task)
    args.again = shlex.join(["python", sys.argv[0], *argv, *([] if args.resume else ["--resume"])])
    return args


def main(argv: Sequence[str]) -> int:
    """Run the command line and return its exit status."""
    args = parse(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a log shows each line when it is written
    try:
        with Interrupt() as interrupt:
            return train(args, interrupt)
    except (checkpoints.CheckpointError, FloatingPointError, OSError) as error:
        print(f"train.py: error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

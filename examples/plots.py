"""The two pictures of a run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

TRAIN, TEST = "tab:blue", "tab:orange"


def curves(path: Path, train: np.ndarray, test: np.ndarray, test_steps: Sequence[int], title: str, loss: str) -> None:
    """Draw loss and accuracy over the steps.

    Args:
      path: the PNG file to write.
      train: loss and accuracy on the batch of every step, `(steps, 2)`.
      test: loss and accuracy on the test set after the steps in `test_steps`, `(len(test_steps), 2)`.
      test_steps: when the test set was looked at.
      title: the headline.
      loss: what the loss is called, with its unit.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    figure.suptitle(title)
    width = max(1, len(train) // 50)
    scale = "log" if train[:, 0].max() > 10 * test[:, 0].min() else "linear"
    steps = np.arange(1, len(train) + 1)
    for column, (axes, label) in enumerate(zip(figure.subplots(1, 2), (loss, "accuracy"), strict=True)):
        mean = np.convolve(train[:, column], np.full(width, 1 / width), mode="valid")
        axes.plot(steps, train[:, column], color=TRAIN, alpha=0.25, linewidth=0.8, label="training, one batch")
        axes.plot(steps[width - 1 :], mean, color=TRAIN, label=f"training, mean of {width} batches")
        axes.plot(test_steps, test[:, column], color=TEST, marker="o", markersize=4, label="test set")
        axes.set(xlabel="step", ylabel=label, xlim=(0, None))
        axes.set(ylim=(0, 1.02)) if label == "accuracy" else axes.set(yscale=scale)
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right" if label == "accuracy" else "upper right")
    figure.savefig(path, dpi=120)


def learning_rate(path: Path, rates: np.ndarray, warmup: int, title: str) -> None:
    """Draw the learning-rate schedule.

    Args:
      path: the PNG file to write.
      rates: the learning rate of every step.
      warmup: the number of steps at the start that raise it.
      title: the headline.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, label="learning rate")
    axes.axvline(warmup, color="gray", linestyle="--", linewidth=1, label=f"end of the warm-up, step {warmup}")
    axes.set(title=title, xlabel="step", ylabel="learning rate", xlim=(0, None), ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)

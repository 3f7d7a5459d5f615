"""Draws the picture in the README of optax-schedules: `python examples/schedules.py`."""

import io
from pathlib import Path

from cycler import cycler
from matplotlib.figure import Figure
from PIL import Image

from optax.schedules import (
    inverse_sqrt_schedule,
    multi_step_schedule,
    plot,
    rex_schedule,
    warmup,
    warmup_cosine_decay_schedule,
    warmup_stable_decay_schedule,
)

STEPS, WARMUP = 1000, 100
PICTURE = Path(__file__).parents[1] / "packages" / "optax-schedules" / "schedules.png"

SCHEDULES = {
    "warm-up, stable, decay": warmup_stable_decay_schedule(0.0, 1.0, WARMUP, STEPS, cooldown_steps=200),
    "warm-up, cosine decay": warmup_cosine_decay_schedule(0.0, 1.0, WARMUP, STEPS),
    "warm-up, REX": warmup(rex_schedule(1.0, STEPS - WARMUP), WARMUP),
    "warm-up, inverse square root": warmup(inverse_sqrt_schedule(1.0, WARMUP), WARMUP),
    "warm-up, steps": warmup(multi_step_schedule(1.0, [200, 400, 600], 0.5), WARMUP),
}
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"]  # that everybody can tell apart


def main() -> None:
    """Write the picture."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(cycler(color=COLOURS))
    axes.set(ylabel="fraction of the peak learning rate", xlim=(0, STEPS), ylim=(0, 1.03))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    plot(SCHEDULES, STEPS, ax=axes)
    for line in axes.get_lines():
        line.set_linewidth(2)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100)
    Image.open(drawn).convert("RGB").quantize(64).save(PICTURE, optimize=True)  # a third of the size


if __name__ == "__main__":
    main()

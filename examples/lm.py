"""A language model: a small causal transformer that reads Python's own standard library, byte by byte."""

import bz2
import lzma
import math
import sysconfig
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import optax

STEPS = 1000
BATCH_SIZE = 32
LOSS = "bits per byte"

CONTEXT = 64
WIDTH = 128
HEADS = 4
LAYERS = 2

EVERY_TENTH = 10
TRAIN_BYTES_PER_FILE = 64 * 1024
TEST_BYTES_PER_FILE = 2 * 1024
TEST_BATCH = 32

SAMPLE_BYTES = 240
TEMPERATURE = 0.7

Params = dict[str, Any]
Batch = Any


class Data(NamedTuple):
    """Text as bytes, and the windows of the held-out text as `(batches, TEST_BATCH, CONTEXT + 1)` integers."""

    train: np.ndarray
    test: np.ndarray


def load() -> Data:
    """Return the text of the standard library's top-level modules; every tenth file is held out.

    Raises:
      OSError: this Python has no (or too little) source code beside it.
    """
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = [path.read_bytes() for path in sorted(folder.glob("*.py"))]
    # From the middle of a file: its head is prose, and the share of prose should be that of the training text.
    held_out = b"".join(text[len(text) // 2 :][:TEST_BYTES_PER_FILE] for text in files[::EVERY_TENTH])
    del files[::EVERY_TENTH]
    train = b"".join(text[:TRAIN_BYTES_PER_FILE] for text in files)
    batches = (len(held_out) - 1) // (CONTEXT * TEST_BATCH)
    if batches < 1 or len(train) <= CONTEXT:
        raise OSError(f"the task 'lm' trains on the *.py files of the standard library; {folder} has too few of them")
    # Neighbours share one byte, the last target of one and the first input of the next: every byte is predicted once.
    starts = np.arange(batches * TEST_BATCH) * CONTEXT
    test = windows(np.frombuffer(held_out, np.uint8), starts).reshape(batches, TEST_BATCH, -1)
    return Data(np.frombuffer(train, np.uint8), test)


def windows(text: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return `CONTEXT` + 1 bytes from each start, as int32: the inputs and, one further, the targets."""
    return text[starts[:, None] + np.arange(CONTEXT + 1)].astype(np.int32)


def batch(data: Data, seed: int, step: int, size: int) -> Batch:
    """Return `size` random windows of the training text, a function of seed and step alone."""
    starts = np.random.default_rng((seed, step)).integers(len(data.train) - CONTEXT, size=size)
    return windows(data.train, starts)


def init(key: jax.Array) -> Params:
    """Return random weights: embeddings of bytes and positions, and `LAYERS` blocks."""
    keys = iter(jax.random.split(key, 2 + 4 * LAYERS))

    def normal(rows: int, columns: int, scale: float) -> jax.Array:
        return scale * jax.random.normal(next(keys), (rows, columns), jnp.float32)

    into, out = WIDTH**-0.5, (2 * LAYERS * WIDTH) ** -0.5  # what is added to the residual stream starts smaller
    return {
        "bytes": normal(256, WIDTH, 0.1),
        "positions": normal(CONTEXT, WIDTH, 0.1),
        "norm": jnp.ones(WIDTH, jnp.float32),
        "blocks": [
            {
                "norm1": jnp.ones(WIDTH, jnp.float32),
                "qkv": normal(WIDTH, 3 * WIDTH, into),
                "mix": normal(WIDTH, WIDTH, out),
                "norm2": jnp.ones(WIDTH, jnp.float32),
                "up": normal(WIDTH, 4 * WIDTH, into),
                "down": normal(4 * WIDTH, WIDTH, out / 2),
            }
            for _ in range(LAYERS)
        ],
    }


def rms_norm(x: jax.Array, scale: jax.Array) -> jax.Array:
    """Return `x` with a root mean square of 1 over the last axis, times `scale`."""
    return x * jax.lax.rsqrt(jnp.square(x).mean(axis=-1, keepdims=True) + 1e-6) * scale


def attention(x: jax.Array, qkv: jax.Array) -> jax.Array:
    """Return, for every position of `x`, `(n, length, width)`, a mix of the values at this and the earlier ones."""
    q, k, v = (a.reshape(*x.shape[:2], HEADS, -1) for a in jnp.split(x @ qkv, 3, axis=-1))
    return jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape)


def logits(params: Params, text: jax.Array) -> jax.Array:
    """Return the scores `(n, length, 256)` of the byte after each byte of `text`, `(n, length)`."""
    x: jax.Array = params["bytes"][text] + params["positions"][: text.shape[1]]
    for block in params["blocks"]:
        x = x + attention(rms_norm(x, block["norm1"]), block["qkv"]) @ block["mix"]
        x = x + jnp.square(jax.nn.relu(rms_norm(x, block["norm2"]) @ block["up"])) @ block["down"]
    return rms_norm(x, params["norm"]) @ params["bytes"].T


def loss(params: Params, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Return the mean cross-entropy, in bits per byte, and the share of the bytes that are guessed correctly."""
    scores, targets = logits(params, batch[:, :-1]), batch[:, 1:]
    nats = optax.softmax_cross_entropy_with_integer_labels(scores, targets)
    return nats.mean() / math.log(2), (scores.argmax(axis=-1) == targets).mean()


def sample(params: Params, seed: int, prompt: bytes) -> bytes:
    """Return `prompt` and `SAMPLE_BYTES` random bytes that the model continues it with."""

    @jax.jit
    def following(params: Params, text: jax.Array, last: jax.Array, key: jax.Array) -> jax.Array:
        return jax.random.categorical(key, logits(params, text[None])[0, last] / TEMPERATURE)

    text = prompt
    for key in jax.random.split(jax.random.key(seed), SAMPLE_BYTES):
        seen = np.frombuffer(text[-CONTEXT:], np.uint8).astype(np.int32)
        # Zeros fill the window, for one compilation; they come later than `last` and so cannot be seen from there.
        padded = np.pad(seen, (0, CONTEXT - len(seen)))
        text += bytes([int(following(params, padded, np.int32(len(seen) - 1), key))])
    return text


def report(params: Params, data: Data, seed: int, test_loss: float, test_accuracy: float) -> str:
    """Return the result in words, with three ways to do without a model, and a sample of the model's own text."""
    held_out = data.test[..., 1:].astype(np.uint8).tobytes()
    shares = (np.bincount(data.train, minlength=256) + 1) / (len(data.train) + 256)
    order_0 = -np.log2(shares[np.frombuffer(held_out, np.uint8)]).mean()
    bz2_bits, lzma_bits = (8 * len(way.compress(held_out)) / len(held_out) for way in (bz2, lzma))
    text = sample(params, seed, prompt=b"def ").decode("latin-1")
    printable = "".join(c if c.isascii() and (c.isprintable() or c == "\n") else "?" for c in text)
    return (
        f"held-out text  {test_loss:.3f} bits per byte ({test_accuracy:.2%} of {len(held_out)} bytes guessed)\n"
        f"to compare     {order_0:.3f} by byte frequencies, {bz2_bits:.3f} by bz2, {lzma_bits:.3f} by lzma\n"
        "a sample\n"
    ) + textwrap.indent(printable, "    ")

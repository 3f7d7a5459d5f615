"""Handwritten digits: the 1797 real images of 8 x 8 pixels inside scikit-learn, and a small convolutional network."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import optax

STEPS = 600
BATCH_SIZE = 64
LOSS = "cross-entropy (nats)"

CHANNELS = (16, 32)
HIDDEN = 64
CLASSES = 10
TEST_SHARE = 0.2

Params = dict[str, jax.Array]
Batch = tuple[Any, Any]


class Data(NamedTuple):
    """Images `(n, 8, 8, 1)`, float32 from 0 to 1, with labels `(n,)`; `test` has one more leading axis of length 1."""

    train: Batch
    test: Batch


def load() -> Data:
    """Return the training and the test images: always the same split, with every digit in proportion."""
    from sklearn.datasets import load_digits  # here, because the other task does without scikit-learn
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 8, 8, 1).astype(np.float32) / 16
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels.astype(np.int32), test_size=TEST_SHARE, stratify=labels, random_state=0
    )
    return Data(train=(train_images, train_labels), test=(test_images[None], test_labels[None]))


def batch(data: Data, seed: int, step: int, size: int) -> Batch:
    """Return `size` random training images with their labels, a function of seed and step alone."""
    images, labels = data.train
    chosen = np.random.default_rng((seed, step)).integers(len(images), size=size)
    return images[chosen], labels[chosen]


def init(key: jax.Array) -> Params:
    """Return random weights and zero biases."""
    first, second = CHANNELS
    shapes = {"conv1": (3, 3, 1, first), "conv2": (3, 3, first, second), "dense": (4 * 4 * second, HIDDEN)}
    shapes["out"] = (HIDDEN, CLASSES)
    he = jax.nn.initializers.he_normal()
    params = {}
    for name_key, (name, shape) in zip(jax.random.split(key, len(shapes)), shapes.items(), strict=True):
        params[name] = he(name_key, shape, jnp.float32)
        params[f"{name}_bias"] = jnp.zeros(shape[-1], jnp.float32)
    return params


def logits(params: Params, images: jax.Array) -> jax.Array:
    """Return the scores `(n, 10)` of `images`: two convolutions, a maximum over 2 x 2 pixels, two dense layers."""
    x = images
    for name in ("conv1", "conv2"):
        x = jax.lax.conv_general_dilated(x, params[name], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x + params[f"{name}_bias"])
    n, _, _, channels = x.shape
    x = x.reshape(n, 4, 2, 4, 2, channels).max(axis=(2, 4)).reshape(n, -1)
    x = jax.nn.relu(x @ params["dense"] + params["dense_bias"])
    return x @ params["out"] + params["out_bias"]


def loss(params: Params, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Return the mean cross-entropy, in nats, and the share of the images that are named correctly."""
    images, labels = batch
    scores = logits(params, images)
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
    return cross_entropy.mean(), (scores.argmax(axis=-1) == labels).mean()


def report(params: Params, data: Data, seed: int, test_loss: float, test_accuracy: float) -> str:
    """Return the result in words."""
    images = data.test[1].size
    return f"test accuracy  {test_accuracy:.2%} ({round(test_accuracy * images)} of {images} images never trained on)"

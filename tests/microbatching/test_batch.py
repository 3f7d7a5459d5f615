"""How a batch axis is split."""

import chex
import numpy as np
import pytest

from optax.microbatching import reshape_batch_axis


def test_examples_are_dealt_out_in_turn():
    x = np.arange(24).reshape(12, 2)
    split = reshape_batch_axis({"x": x, "none": None}, 3)
    chex.assert_trees_all_equal(split, {"x": np.stack([x[k::4] for k in range(4)]), "none": None})


@pytest.mark.parametrize("axis", [1, -1])
def test_another_axis(axis):
    x = np.arange(24).reshape(2, 12)
    split = reshape_batch_axis(x, 4, axis)
    np.testing.assert_array_equal(split, np.stack([x[:, k::3] for k in range(3)], axis=1))


def test_an_empty_batch():
    assert reshape_batch_axis(np.zeros((0, 2)), 3).shape == (0, 3, 2)


@pytest.mark.parametrize(
    ("tree", "size", "message"),
    [
        (np.zeros(12), 0, "microbatch_size must be at least 1, not 0"),
        ({"a": np.zeros(12)}, 5, r"microbatch_size must divide .* tree\['a'\] has 12 examples, not a multiple of 5"),
        ([np.zeros(12), np.zeros(4)], 4, r"differ: tree\[0\] has 12, tree\[1\] has 4"),
        ([np.zeros(12), 1.0], 4, r"tree\[1\] has no axis 0 to split"),
        ({}, 4, "no array to split"),
    ],
)
def test_mistakes_are_named(tree, size, message):
    with pytest.raises(ValueError, match=message):
        reshape_batch_axis(tree, size)

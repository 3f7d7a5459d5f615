"""The older spelling of `optax.tree`: the same functions, with the prefix `tree_`."""

from typing import TYPE_CHECKING

from optax import _private
from optax.core import tree as _tree
from optax.core.tree import NamedTupleKey as NamedTupleKey

if TYPE_CHECKING:  # each warns when it is asked for: see the end
    from optax._deprecated import tree_add_scalar_mul as tree_add_scalar_mul
    from optax._deprecated import tree_l1_norm as tree_l1_norm
    from optax._deprecated import tree_l2_norm as tree_l2_norm
    from optax._deprecated import tree_linf_norm as tree_linf_norm
    from optax._deprecated import tree_scalar_mul as tree_scalar_mul
else:
    del TYPE_CHECKING  # no name of ours

tree_add = _tree.add
tree_add_scale = _tree.add_scale
tree_allclose = _tree.allclose
tree_batch_shape = _tree.batch_shape
tree_bias_correction = _tree.bias_correction
tree_cast = _tree.cast
tree_cast_like = _tree.cast_like
tree_clip = _tree.clip
tree_conj = _tree.conj
tree_div = _tree.div
tree_dtype = _tree.dtype
tree_full_like = _tree.full_like
tree_get = _tree.get
tree_get_all_with_path = _tree.get_all_with_path
tree_map_params = _tree.map_params
tree_max = _tree.max
tree_min = _tree.min
tree_mul = _tree.mul
tree_norm = _tree.norm
tree_ones_like = _tree.ones_like
tree_random_like = _tree.random_like
tree_real = _tree.real
tree_scale = _tree.scale
tree_set = _tree.set
tree_size = _tree.size
tree_split_key_like = _tree.split_key_like
tree_sub = _tree.sub
tree_sum = _tree.sum
tree_unwrap_random_key_data = _tree.unwrap_random_key_data
tree_update_infinity_moment = _tree.update_infinity_moment
tree_update_moment = _tree.update_moment
tree_update_moment_per_elem_norm = _tree.update_moment_per_elem_norm
tree_vdot = _tree.vdot
tree_where = _tree.where
tree_zeros_like = _tree.zeros_like

# For `help` and `import *`, as in the packages.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]

_private.adopt(globals())

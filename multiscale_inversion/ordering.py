"""An order between computations that a compiler keeps."""

from typing import Any

import jax
import jax.numpy as jnp


def after(values: Any, late: Any) -> Any:
  """Returns `values`, of which nothing can be computed before `late`.

  `lax.optimization_barrier` says the same, but XLA's compiler for CPUs removes it early: it then
  merges what is computed again with the first computation, whose results it keeps. Here each value
  is selected by a comparison that is always false, of one element of each late array, which the
  compiler does not see through; it becomes part of whatever loop reads the value.

  Args:
    values: a tree of floating-point arrays.
    late: a tree of arrays; those of no floating-point type do not count.
  """
  arrays = [a for a in jax.tree.leaves(late) if jnp.issubdtype(a.dtype, jnp.floating) and a.size]
  never = jnp.zeros((), bool)
  for array in arrays:
    never |= jnp.abs(array.ravel()[0]) < -1
  return jax.tree.map(lambda value: jnp.where(never, jnp.zeros_like(value), value), values)

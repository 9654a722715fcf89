"""Several runs that differ in their seed alone, in one compiled program."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

MODES = ('vectorized', 'sequential')


# The faster one: on a CPU by `benchmarks/seeds.py` (1.05 of a single run's time a step against 1.12
# for the digits, 0.88 against 0.99 for MNIST's size); elsewhere each seed's own kernels would make
# grouped convolutions of vectorized ones, which accelerators run slowly.
DEFAULT_MODE = 'sequential'


def over_seeds(
    function: Callable[..., Any], in_axes: Sequence[Any], mode: str
) -> Callable[..., Any]:
  """Maps a function over the seeds.

  Args:
    function: of one run.
    in_axes: for each argument 0 where it has a leading axis of seeds, None where all share it; a
      tree of these where its parts differ.
    mode: `vectorized`, all seeds at once, or `sequential`, one after the other.

  Returns:
    The function of all runs; its results have a leading axis of seeds.
  """
  if mode == 'vectorized':
    return jax.vmap(function, in_axes=tuple(in_axes))

  def one_after_the_other(*arguments):
    leaves, structure = jax.tree.flatten(arguments)
    axes = jax.tree.leaves(_broadcast(in_axes, arguments), is_leaf=lambda axis: axis is None)
    mapped = [leaf for leaf, axis in zip(leaves, axes, strict=True) if axis == 0]

    def of_one(own):
      own = iter(own)
      merged = [next(own) if axis == 0 else leaf for leaf, axis in zip(leaves, axes, strict=True)]
      return function(*jax.tree.unflatten(structure, merged))

    return jax.lax.map(of_one, mapped)

  return one_after_the_other


def _broadcast(in_axes: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
  """An axis for each leaf of the arguments."""
  is_axis = lambda axis: axis is None
  return [
      jax.tree.map(
          lambda axis, part: jax.tree.map(lambda _: axis, part), axes, argument, is_leaf=is_axis
      )
      for axes, argument in zip(in_axes, arguments, strict=True)
  ]


def stack(trees: Sequence[Any]) -> Any:
  """Joins the seeds' trees along a new leading axis."""

  def join(*leaves):
    if isinstance(leaves[0], jax.Array):
      return jnp.stack(leaves)
    return np.stack(leaves)

  return jax.tree.map(join, *trees)


def unstack(tree: Any, num_seeds: int) -> list[Any]:
  """Takes the seeds' trees apart."""
  return [jax.tree.map(operator.itemgetter(index), tree) for index in range(num_seeds)]

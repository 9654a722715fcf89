"""How programs run: compiled for several devices, and for several seeds at once.

The one place where compilation, devices and seeds are composed. What is computed is written for one
run on one device; `Execution` maps it over the seeds and spreads it over the devices.
"""

import dataclasses
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from multiscale_inversion import parallel

MODES = ('vectorized', 'sequential')
# The faster one: on a CPU by `benchmarks/seeds.py` (1.05 of a single run's time a step against 1.12
# for the digits, 0.88 against 0.99 for MNIST's size); elsewhere each seed's own kernels would make
# grouped convolutions of vectorized ones, which accelerators run slowly.
DEFAULT_MODE = 'sequential'


@dataclasses.dataclass(frozen=True)
class Execution:
  """The devices and the seeds that a program runs for.

  Attributes:
    devices: a single one unless given.
    seeds: of the runs, which differ in nothing else. Several share each compiled program, whose
      arrays then have a leading axis of seeds.
    mode: how several seeds share a program: `vectorized` computes all at once, `sequential` one
      after the other.
  """

  devices: parallel.Devices = dataclasses.field(default_factory=lambda: parallel.devices(1))
  seeds: tuple[int, ...] = (0,)
  mode: str = DEFAULT_MODE

  def compile(
      self, function: Callable[..., Any], num_own: int, donate: int | None = None
  ) -> jax.stages.Wrapped:
    """Compile a function for all seeds and all devices.

    Args:
      function: of one run on one device.
      num_own: how many of its arguments, counted from the first, belong to a seed: with several
        seeds, these and the results have a leading axis of seeds. The seeds share the others.
      donate: index of the argument whose buffers the results may reuse.

    Returns:
      The compiled function. On several devices, arguments and results have another leading axis, of
      this process's devices, before that of the seeds; see `parallel.Devices.compile`.
    """
    return self.devices.compile(self._over_seeds(function, num_own), donate)

  def _over_seeds(self, function: Callable[..., Any], num_own: int) -> Callable[..., Any]:
    if len(self.seeds) == 1:
      return function
    at_once = len(self.seeds) if self.mode == 'vectorized' else None

    def of_all_seeds(*arguments):
      own, shared = arguments[:num_own], arguments[num_own:]
      return jax.lax.map(lambda own: function(*own, *shared), own, batch_size=at_once)

    return of_all_seeds

  def for_each_seed(self, make: Callable[[int], Any]) -> Any:
    """Make a tree of arrays for each seed; join those of several along a new leading axis."""
    trees = [make(seed) for seed in self.seeds]
    return trees[0] if len(trees) == 1 else jax.tree.map(_stack, *trees)

  def fetch(self, tree: Any) -> list[Any]:
    """Copy a result from the first device to the host, as a tree of NumPy arrays for each seed."""
    tree = jax.device_get(self.devices.first(tree))
    if len(self.seeds) == 1:
      return [tree]
    return [jax.tree.map(operator.itemgetter(k), tree) for k in range(len(self.seeds))]


def _stack(*leaves: Any) -> Any:
  """Join arrays along a new axis: on the device where they are there, else on the host."""
  return jnp.stack(leaves) if isinstance(leaves[0], jax.Array) else np.stack(leaves)

"""Networks as sequences of layers: the one place that turns a module into stages."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax

from multiscale_inversion.inversion.stages import Inversion, invert
from multiscale_inversion.networks.network import Network


class LayeredNetwork(Network):
  """Base of networks that are sequences of layers.

  A subclass sets `self.layers` in `setup`, L modules called as `layer(z, train=..., inverse=...)`
  that each map an activation to the next; the last gives the logits.
  """

  def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, ...]:
    """See `Network`; the values inside are the outputs of the layers but the last."""
    activations = [self.as_observations(x, train)]
    for layer in self.layers:
      activations.append(layer(activations[-1], train=train))
    return tuple(activations)

  def apply_layer(self, index: int, z: jax.Array, train: bool = False) -> jax.Array:
    """Runs one layer, in the form that `invert` differentiates."""
    return self.layers[index](z, train=train, inverse=True)

  def num_layers(self) -> int:
    """L, the number of layers."""
    return len(self.layers)

  @nn.nowrap
  def stages(
      self,
      variables: Mapping[str, Any],
      train: bool = False,
      rngs: Mapping[str, jax.Array] | None = None,
  ) -> Sequence[Callable[[jax.Array], Any]]:
    """The network as pure functions of one activation each, for `invert`.

    Args:
      variables: what `init` returned, or as trained: `params` and, where there are any,
        `batch_stats`.
      train: use batch statistics and dropout.
      rngs: `{'dropout': key}` when training with dropout. A stage draws one mask, which its
        forward pass and its inverse share; it is the mask of `apply` with the same key.

    Returns:
      L functions, z^(l) -> z^(l+1) in evaluation, and z^(l) -> (z^(l+1), updated batch statistics)
      in training; `merge_updates` joins the latter into a collection.
    """
    if not isinstance(variables, Mapping):
      raise TypeError(
          f'variables: a {type(variables).__name__}; allowed: a mapping of collections, as init '
          'returns it'
      )
    if isinstance(rngs, Mapping):
      rngs = dict(rngs)
    count = self.bind(variables).num_layers()
    return [self._stage(index, variables, train, rngs) for index in range(count)]

  @nn.nowrap
  def invert(
      self,
      variables: Mapping[str, Any],
      x: jax.Array,
      train: bool = False,
      rngs: Mapping[str, jax.Array] | None = None,
      keep_pullbacks: bool = False,
      rematerialize: bool = False,
  ) -> Inversion:
    """See `Network`: `multiscale_inversion.invert` of the stages."""
    return invert(self.stages(variables, train, rngs), x, keep_pullbacks, rematerialize)

  @nn.nowrap
  def _stage(self, index, variables, train, rngs):
    def enter(z):
      return z if index else self.as_observations(z, train)

    def evaluate(z):
      return self.apply(variables, index, enter(z), method='apply_layer')

    def step(z):
      z, updates = self.apply(
          variables,
          index,
          enter(z),
          train=True,
          method='apply_layer',
          rngs=rngs,
          mutable=['batch_stats'],
      )
      name = f'layers_{index}'
      return z, {k: {name: v[name]} for k, v in updates.items() if name in v}

    return step if train else evaluate

"""The share of each layer's reconstruction in the gradient (Proposition 1)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from multiscale_inversion import losses
from multiscale_inversion.inversion.stages import Inversion


class GradientNorms(NamedTuple):
  """Euclidean norms of the gradients, with respect to all parameters, of mean losses.

  Attributes:
    layers: for each layer's term of the multiscale loss, (1/L) (1/D^(l)) ||z^(l) - r^(l)||^2; shape
      [L].
    predictions: for the loss of the predictions alone, cross-entropy and entropy; scalar.
    multiscale: for the multiscale loss, which is that loss and all layers' terms; scalar.
    global_: for the global loss, which is that loss and (1/D) ||x - r^(0)||^2; scalar.
  """

  layers: jax.Array
  predictions: jax.Array
  multiscale: jax.Array
  global_: jax.Array

  def shares(self) -> jax.Array:
    """Return ||g_l|| / sum_k ||g_k||, each layer's share in the norms of all layers, shape [L]."""
    return self.layers / jnp.sum(self.layers)


def gradient_norms(
    inversion_of: Callable[[Any], Inversion],
    loss_of_predictions: Callable[[Inversion], jax.Array],
    params: Any,
) -> GradientNorms:
  """Measure the gradients of all terms of the loss at the same parameters and observations.

  Args:
    inversion_of: a function from parameters to the inversion of N observations.
    loss_of_predictions: a function from the inversion to the other losses, per observation, [N].
    params: the parameters, a pytree of floating-point arrays.

  Returns:
    The `GradientNorms`. The gradient of the global loss's reconstruction is L g_0.
  """

  def terms(params):
    inversion = inversion_of(params)
    layers = losses.layer_losses(inversion)
    layers = [layer / len(layers) for layer in layers]
    return jnp.mean(jnp.stack([*layers, loss_of_predictions(inversion)]), axis=1)

  values, pullback = jax.vjp(terms, params)
  depth = len(values) - 1
  each = jnp.eye(depth + 1, dtype=values.dtype)
  weights = jnp.stack([*each, jnp.sum(each, 0), depth * each[0] + each[-1]])
  # One after the other: all at once would need the memory of L + 3 backward passes.
  norms = jax.lax.map(lambda weight: _norm(pullback(weight)[0]), weights)
  return GradientNorms(norms[:depth], *norms[depth:])


def _norm(tree: Any) -> jax.Array:
  return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)))

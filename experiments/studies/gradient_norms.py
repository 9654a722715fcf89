"""How much each layer's reconstruction adds to the gradient (Proposition 1)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from multiscale_inversion import losses
from multiscale_inversion.inversion.stages import Inversion


class GradientNorms(NamedTuple):
  """Euclidean norms of gradients with respect to all parameters, of means over the observations.

  Attributes:
    layers: of each layer's term of the multiscale loss, (1/L) (1/D^(l)) ||z^(l) - r^(l)||^2, shape
      [L].
    predictions: of the loss of predictions alone, cross-entropy and entropy; scalar.
    multiscale: of that and all layers' terms, the whole multiscale loss; scalar.
    global_: of that and (1/D) ||x - r^(0)||^2, the whole global loss; scalar.
  """

  layers: jax.Array
  predictions: jax.Array
  multiscale: jax.Array
  global_: jax.Array

  def shares(self) -> jax.Array:
    """||g_l|| / sum_k ||g_k||: each layer's share of the reconstruction's gradients, shape [L]."""
    return self.layers / jnp.sum(self.layers)


def gradient_norms(
    inversion_of: Callable[[Any], Inversion],
    loss_of_predictions: Callable[[Inversion], jax.Array],
    params: Any,
) -> GradientNorms:
  """Measures the gradients of all terms of the loss at the same parameters and observations.

  Args:
    inversion_of: from parameters to activations and reconstructions of N observations.
    loss_of_predictions: the rest of the loss per observation, [N].
    params: the parameters, any pytree of floating-point arrays.

  Returns:
    The `GradientNorms`. The global loss's own reconstruction has the gradient L g_0.
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
  # One after the other: together they would take the memory of so many backward passes.
  norms = jax.lax.map(lambda weight: _norm(pullback(weight)[0]), weights)
  return GradientNorms(norms[:depth], *norms[depth:])


def _norm(tree: Any) -> jax.Array:
  return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)))

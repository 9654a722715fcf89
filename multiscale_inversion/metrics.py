"""Metrics, kept as (sum, count) so that means over steps and devices are exact."""

import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from multiscale_inversion import losses
from multiscale_inversion.inversion.stages import Inversion


class Mean(NamedTuple):
  """A mean, as the sum of values and their number.

  Attributes:
    total: sum of the values, a float32 scalar.
    count: number of the values, a float32 scalar.
  """

  total: jax.Array
  count: jax.Array  # type: ignore[assignment] # hides tuple.count; checkpoints hold this name

  def value(self) -> float:
    """Return the mean; NaN if nothing was counted."""
    return float(self.total) / float(self.count) if float(self.count) else float('nan')


def masked_mean(values: jax.Array, mask: jax.Array) -> Mean:
  """Average per-observation values [N] over the observations where mask [N] is 1."""
  # `where` instead of a product, as a masked value may be infinite.
  total = jnp.sum(jnp.where(mask > 0, values, 0))
  return Mean(total.astype(jnp.float32), jnp.sum(mask > 0).astype(jnp.float32))


def single(value: jax.Array, weight: float = 1.0) -> Mean:
  """Return a single value as a mean in which it counts `weight` times."""
  count = jnp.asarray(weight, jnp.float32)
  return Mean(value.astype(jnp.float32) * count, count)


def add(a, b):
  """Add two trees of `Mean`, leaf by leaf."""
  return jax.tree.map(jnp.add, a, b)


def classification_metrics(
    inversion: Inversion, labels: jax.Array, mask: jax.Array
) -> dict[str, Mean]:
  """Measure `cross_entropy` of labeled and `entropy` of unlabeled observations, in nats."""
  logits = inversion.activations[-1]
  return {
      'cross_entropy': masked_mean(losses.cross_entropy(logits, labels), mask),
      'entropy': masked_mean(losses.entropy(logits), 1 - mask),
  }


def reconstruction_metrics(inversion: Inversion) -> dict[str, Mean]:
  """Measure (1/D^(l)) ||z^(l) - r^(l)||^2, `reconstruction/l`, and their mean over layers."""
  everything = jnp.ones(inversion.activations[0].shape[0])
  layers = losses.layer_losses(inversion)
  mean = functools.reduce(operator.add, layers) / len(layers)
  metrics = {'reconstruction': masked_mean(mean, everything)}
  for layer, values in enumerate(layers):
    metrics[f'reconstruction/{layer}'] = masked_mean(values, everything)
  return metrics

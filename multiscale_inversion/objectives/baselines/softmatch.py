"""SoftMatch: FixMatch with a weight in place of the threshold, a truncated Gaussian of confidence.

Chen et al., "SoftMatch: Addressing the Quantity-Quality Trade-off in Semi-supervised Learning",
ICLR 2023, arXiv:2301.10921.
"""

from typing import Annotated

import jax
import jax.numpy as jnp

from multiscale_inversion import losses, parallel
from multiscale_inversion.objectives.baselines.averaged_weights import moved_average
from multiscale_inversion.objectives.baselines.common import (
    labeled_cross_entropy_alone,
    mean_of_unlabeled,
    strong_logits,
)
from multiscale_inversion.objectives.context import ContextTerm, LossOutput
from multiscale_inversion.objectives.objective import Objective, Reduction, add, unlabeled
from multiscale_inversion.options import Amount, Range, ShareBelowOne


def _divisor(values: jax.Array) -> jax.Array:
  """Return the values, none below the least positive number."""
  return jnp.maximum(values, jnp.finfo(values.dtype).tiny)


def truncated_gaussian(confidence: jax.Array, mean: jax.Array, variance: jax.Array) -> jax.Array:
  """Return exp(-(c - mean)^2 / (2 variance)) below the mean and 1 from there up (Eq. 5)."""
  below = jnp.minimum(confidence - mean, 0)
  return jnp.exp(-jnp.square(below) / (2 * _divisor(variance)))


def uniformly_aligned(predictions: jax.Array, mean: jax.Array) -> jax.Array:
  """Return UA(p) = Normalize(p u / E[p]), u uniform, of predictions [N, C] and E[p] [C] (Eq. 9)."""
  aligned = predictions / _divisor(mean)[None]
  return aligned / jnp.sum(aligned, axis=-1, keepdims=True)


def moved_mean(memory: dict[str, jax.Array], mean: jax.Array, decay: float) -> jax.Array:
  """Return the running mean prediction [C], which is zero before the first and begins with it."""
  begun = jnp.sum(memory['mean']) > 0
  return jnp.where(begun, moved_average(memory['mean'], mean, decay), mean)


def moved_moments(
    memory: dict[str, jax.Array], confidence: jax.Array, mask: jax.Array, decay: float
) -> dict[str, jax.Array]:
  """Return the running `center` and `variance` of the confidence [N] where mask is 0 (Eq. 6, 7)."""
  count = jnp.sum(mask == 0)
  center = mean_of_unlabeled(confidence, mask)
  variance = mean_of_unlabeled(jnp.square(confidence - center), mask)
  batch = {'center': center, 'variance': variance * count / jnp.maximum(count - 1, 1)}
  return moved_average({name: memory[name] for name in batch}, batch, decay)


def soft_pass(decay: float, num_deviations: float, alignment: bool) -> ContextTerm:
  """Return the cross-entropy of strong views, weighted by the confidence of predictions (Eq. 8).

  The memory holds the running mean prediction, and mean and variance of the confidence, which begin
  at 1/C and 1. They take in the batch before it is weighted. The confidence, and so its moments,
  are those of aligned predictions; the classes are those of predictions as they are. It records
  `weight`, the mean weight of unlabeled images.
  """

  def init(initial):
    return {
        'mean': jnp.zeros(initial.num_classes),
        'center': jnp.asarray(1 / initial.num_classes),
        'variance': jnp.asarray(1.0),
    }

  def loss(inversion, labels, mask, context):
    del labels
    weak = jax.lax.stop_gradient(jax.nn.softmax(inversion.activations[-1]))
    whole, whole_mask = parallel.gather_over_devices((weak, mask))
    mean = moved_mean(context.memory, mean_of_unlabeled(whole, whole_mask), decay)
    confidence_of = lambda predictions: jnp.max(
        uniformly_aligned(predictions, mean) if alignment else predictions, axis=-1
    )
    moments = moved_moments(context.memory, confidence_of(whole), whole_mask, decay)
    # A batch without unlabeled observations has no moments.
    memory = jax.tree.map(
        lambda after, before: jnp.where(jnp.any(whole_mask == 0), after, before),
        {'mean': mean, **moments},
        context.memory,
    )
    variance = memory['variance'] / num_deviations**2
    weights = truncated_gaussian(confidence_of(weak), memory['center'], variance)
    values = weights * losses.cross_entropy(strong_logits(context), jnp.argmax(weak, -1))
    return LossOutput(values, memory, {'weight': mean_of_unlabeled(weights, mask)})

  return ContextTerm(loss, init, lambda memory, to_remember, variables: to_remember)


def softmatch(
    weight: Amount = 1.0,
    decay: ShareBelowOne = 0.999,
    num_deviations: Annotated[float, Range(1e-3, 1e3)] = 1.0,
    alignment: bool = True,
    reduction: Reduction = 'group',
) -> Objective:
  """Return the cross-entropy of labeled observations and SoftMatch's of unlabeled ones (Eq. 8).

  Args:
    weight: weight of the unlabeled observations' loss, lambda_max.
    decay: share of the old value that the running means keep, m.
    num_deviations: number by which the running standard deviation of the confidence is divided to
      be the Gaussian's; 1 in Eq. 5, 2 in the authors' program.
    alignment: whether the confidence is that of predictions whose running mean is made uniform.
    reduction: over which observations a loss is averaged, see `objective.labeled`.
  """
  term = unlabeled(soft_pass(decay, num_deviations, alignment), reduction)
  return add(labeled_cross_entropy_alone(reduction), (weight, term))

"""FreeMatch: FixMatch with thresholds that follow the network's own confidence.

Wang et al., "FreeMatch: Self-adaptive Thresholding for Semi-supervised Learning", ICLR 2023,
arXiv:2205.07246.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from multiscale_inversion import losses, parallel
from multiscale_inversion.errors import UserError
from multiscale_inversion.objectives.baselines.averaged_weights import moved_average
from multiscale_inversion.objectives.baselines.common import (
    labeled_cross_entropy_alone,
    mean_of_unlabeled,
    strong_logits,
)
from multiscale_inversion.objectives.context import ContextTerm, LossOutput
from multiscale_inversion.objectives.objective import Objective, Reduction, add, unlabeled
from multiscale_inversion.options import Amount, Share, ShareBelowOne


class Thresholds(NamedTuple):
  """How thresholds follow from the running means.

  Attributes:
    decay: lambda, the share of the old value that the running means keep.
    lowest: no threshold is lower.
    highest: no threshold is higher.
  """

  decay: float
  lowest: float
  highest: float

  def of_classes(self, memory: dict[str, jax.Array]) -> jax.Array:
    """Return tau_t(c) = tau_t p_t(c) / max_c p_t(c), within the bounds, shape [C] (Eq. 7)."""
    relative = memory['mean'] / jnp.max(memory['mean'])
    return jnp.clip(relative * memory['confidence'], self.lowest, self.highest)

  def moved(
      self, memory: dict[str, jax.Array], weak: jax.Array, mask: jax.Array
  ) -> dict[str, jax.Array]:
    """Return the running means after the whole batch's predictions [N, C] (Eq. 5, 6)."""
    values = {
        'confidence': jnp.max(weak, axis=-1),
        'mean': weak,
        'histogram': jax.nn.one_hot(jnp.argmax(weak, -1), weak.shape[-1], dtype=weak.dtype),
    }
    means = {name: mean_of_unlabeled(value, mask) for name, value in values.items()}
    after = moved_average(memory, means, self.decay)
    # A batch without unlabeled observations has no means.
    return jax.tree.map(lambda a, b: jnp.where(jnp.any(mask == 0), a, b), after, memory)


def fairness(
    memory: dict[str, jax.Array], strong: jax.Array, chosen: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Return L_f = sum_c a_c log b_c and its derivative by each chosen prediction (Eq. 9 to 11).

  a is SumNorm(p_t / h_t) of the running means, b is SumNorm(p / h) of the batch: p the mean
  prediction, h the histogram of classes of the chosen observations, constant. Classes that none of
  them is predicted to have are left out: b is 0 / 0 there.

  Args:
    memory: `mean` and `histogram`, shape [C].
    strong: predictions of the whole batch, constant, shape [N, C].
    chosen: of which ones, bool, shape [N].

  Returns:
    L_f, a scalar, and dL_f/dp_n(c) times the number of chosen observations, shape [C].
  """
  positive = lambda x: jnp.where(x > 0, x, 1)
  count = positive(jnp.sum(chosen).astype(strong.dtype))
  total = lambda values: jnp.sum(jnp.where(chosen[:, None], values, 0), axis=0) / count
  classes = jax.nn.one_hot(jnp.argmax(strong, -1), strong.shape[-1], dtype=strong.dtype)
  mean, histogram = total(strong), total(classes)
  there = histogram > 0
  seen = memory['histogram'] > 0
  running = jnp.where(seen, memory['mean'] / positive(memory['histogram']), 0)
  running = running / jnp.sum(running)
  scaled = jnp.where(there, mean / positive(histogram), 0)
  sum_of_scaled = positive(jnp.sum(scaled))
  logarithm = jnp.log(positive(scaled)) - jnp.log(sum_of_scaled)
  value = jnp.sum(jnp.where(there, running * logarithm, 0))
  kept = jnp.sum(jnp.where(there, running, 0))
  slope = (running / positive(scaled) - kept / sum_of_scaled) / positive(histogram)
  return value, jnp.where(there, slope, 0)


def self_adaptive_pass(
    thresholds: Thresholds, weight: float, fairness_weight: float
) -> ContextTerm:
  """Return w_u L_u + w_f L_f: FixMatch's loss with self-adaptive thresholds, and the fairness.

  The memory holds the running means of the confidence, of the predictions and of the predicted
  classes, which begin at 1/C and take in the batch before it is judged. The fairness is of a whole
  batch: each unlabeled observation has its value and its own part of the derivative, so that their
  mean has both. It records `certain`, the share of unlabeled images above their thresholds, and
  `threshold`, the mean of the thresholds.
  """

  def init(initial):
    count = initial.num_classes
    return {
        'confidence': jnp.asarray(1 / count),
        'mean': jnp.full(count, 1 / count),
        'histogram': jnp.full(count, 1 / count),
    }

  def loss(inversion, labels, mask, context):
    del labels
    weak = jax.lax.stop_gradient(jax.nn.softmax(inversion.activations[-1]))
    logits = strong_logits(context)
    strong = jax.nn.softmax(logits)
    whole_weak, whole_strong, whole_mask = parallel.gather_over_devices(
        (weak, jax.lax.stop_gradient(strong), mask)
    )
    memory = thresholds.moved(context.memory, whole_weak, whole_mask)
    of_classes = thresholds.of_classes(memory)
    is_chosen = lambda weak: jnp.max(weak, -1) > of_classes[jnp.argmax(weak, -1)]
    chosen = is_chosen(weak)
    values = jnp.where(chosen, losses.cross_entropy(logits, jnp.argmax(weak, -1)), 0)

    of_all = is_chosen(whole_weak) & (whole_mask == 0)
    value, slope = fairness(memory, whole_strong, of_all)
    # The mean over the unlabeled ones is to have the derivative of a mean over the chosen ones.
    share = jnp.sum(whole_mask == 0) / jnp.maximum(jnp.sum(of_all), 1)
    change = jnp.sum((strong - jax.lax.stop_gradient(strong)) * slope[None], axis=-1)
    values = weight * values + fairness_weight * (value + jnp.where(chosen, share * change, 0))
    scalars = {
        'certain': mean_of_unlabeled(chosen.astype(values.dtype), mask),
        'threshold': jnp.mean(of_classes),
    }
    return LossOutput(values, memory, scalars)

  return ContextTerm(loss, init, lambda memory, to_remember, variables: to_remember)


def freematch(
    weight: Amount = 1.0,
    fairness_weight: Amount = 0.05,
    decay: ShareBelowOne = 0.999,
    lowest_threshold: Share = 0.0,
    highest_threshold: Share = 1.0,
    reduction: Reduction = 'group',
) -> Objective:
  """Return the cross-entropy of labeled observations and FreeMatch's losses of unlabeled ones.

  Args:
    weight: weight of the unlabeled observations' cross-entropy, w_u.
    fairness_weight: weight of the self-adaptive fairness, w_f.
    decay: share of the old value that the running means keep, lambda.
    lowest_threshold: bound of the classes' thresholds from below.
    highest_threshold: bound from above.
    reduction: over which observations a loss is averaged, see `objective.labeled`.

  Raises:
    UserError: if the lowest threshold is above the highest one.
  """
  if lowest_threshold > highest_threshold:
    raise UserError(
        f'{lowest_threshold}; allowed: up to highest_threshold={highest_threshold}',
        'lowest_threshold',
        mentions=('highest_threshold',),
    )
  thresholds = Thresholds(decay, lowest_threshold, highest_threshold)
  term = unlabeled(self_adaptive_pass(thresholds, weight, fairness_weight), reduction)
  return add(labeled_cross_entropy_alone(reduction), term)

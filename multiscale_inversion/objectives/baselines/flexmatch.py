"""FlexMatch: FixMatch with a threshold for each class, lower for classes that are learned slowly.

Zhang et al., "FlexMatch: Boosting Semi-Supervised Learning with Curriculum Pseudo Labeling",
NeurIPS 2021, arXiv:2110.08263.
"""

import math
from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp

from multiscale_inversion import losses, parallel
from multiscale_inversion.errors import UserError
from multiscale_inversion.objectives.baselines.common import (
    confidence_and_class,
    labeled_cross_entropy_alone,
    mean_of_unlabeled,
    strong_logits,
)
from multiscale_inversion.objectives.context import ContextTerm, LossOutput
from multiscale_inversion.objectives.objective import Objective, Reduction, add, unlabeled
from multiscale_inversion.options import Amount, OneOf, Share

# M(beta), from [0, 1] onto it: Eq. 12, and what Section 4.4 compares it with.
MAPPINGS: dict[str, Callable[[jax.Array], jax.Array]] = {
    'convex': lambda beta: beta / (2 - beta),
    'linear': lambda beta: beta,
    'concave': lambda beta: jnp.log1p(beta) / math.log(2),
}
_NONE = -1  # the class of an image that has had no certain prediction yet


def learning_effects(
    predicted: jax.Array, num_classes: int, num_unlabeled: jax.Array, warmup: bool
) -> jax.Array:
  """Return beta(c), the classes' numbers of certain predictions over the largest (Eq. 5, 6, 11).

  Args:
    predicted: the last certain prediction of each image, -1 for none, integers of any shape.
    num_classes: C.
    num_unlabeled: N, of the images that can have one.
    warmup: whether the number of images without a prediction counts among the numbers of which
      the largest is taken (Eq. 11).

  Returns:
    Shape [C], from 0 to 1.
  """
  # Those without a prediction are counted first.
  counts = jnp.bincount(jnp.ravel(predicted) + 1, length=num_classes + 1)[1:]
  largest = jnp.max(counts)
  if warmup:
    largest = jnp.maximum(largest, num_unlabeled - jnp.sum(counts))
  return counts / jnp.maximum(largest, 1)


def remembered(predicted: jax.Array, positions: jax.Array, classes: jax.Array) -> jax.Array:
  """Return `predicted` with a batch's certain predictions put in place (Algorithm 1).

  Args:
    predicted: the class of each training image, -1 for none, shape [num_train].
    positions: the batch's images, shape [N].
    classes: their predictions, -1 where they are not certain, shape [N]. If a batch has an image
      twice, its last certain prediction counts.
  """
  same = (positions[:, None] == positions[None]) & (classes[None] != _NONE)
  replaced = jnp.any(jnp.triu(same, 1), axis=1)
  taken = (classes != _NONE) & ~replaced
  nowhere = len(predicted)  # which is out of range, and dropped
  return predicted.at[jnp.where(taken, positions, nowhere)].set(classes, mode='drop')


def flexible_pass(threshold: float, mapping: str, warmup: bool) -> ContextTerm:
  """Return FixMatch's loss with the threshold M(beta(c)) tau for the predicted class c (Eq. 8, 12).

  The memory holds each training image's last prediction above tau; the counts of the classes are
  taken from it before the batch changes it. It records `certain`, the share of unlabeled images
  above their thresholds, and `threshold`, the mean of the thresholds.
  """

  def init(initial):
    if initial.num_unlabeled < 1:
      raise UserError(
          'flexmatch: the number of unlabeled images is not known; allowed: from 1 up, given to '
          'create_state as num_unlabeled'
      )
    return {
        'predicted': jnp.full(initial.num_train, _NONE, jnp.int32),
        'num_unlabeled': jnp.asarray(initial.num_unlabeled, jnp.int32),
    }

  def loss(inversion, labels, mask, context):
    del labels
    strong, memory = strong_logits(context), context.memory
    confidence, classes = confidence_and_class(inversion.activations[-1])
    effects = learning_effects(
        memory['predicted'], strong.shape[-1], memory['num_unlabeled'], warmup
    )
    thresholds = MAPPINGS[mapping](effects) * threshold
    chosen = confidence > thresholds[classes]
    values = jnp.where(chosen, losses.cross_entropy(strong, classes), 0)
    certain = (confidence > threshold) & (mask == 0)
    to_remember = {
        'positions': context.positions,
        'classes': jnp.where(certain, classes, _NONE).astype(jnp.int32),
    }
    scalars = {
        'certain': mean_of_unlabeled(chosen.astype(values.dtype), mask),
        'threshold': jnp.mean(thresholds),
    }
    return LossOutput(values, parallel.gather_over_devices(to_remember), scalars)

  def update(memory, to_remember, variables):
    del variables
    return memory | {'predicted': remembered(memory['predicted'], **to_remember)}

  return ContextTerm(loss, init, update)


def flexmatch(
    weight: Amount = 1.0,
    threshold: Share = 0.95,
    mapping: Annotated[str, OneOf(MAPPINGS)] = 'convex',
    warmup: bool = True,
    reduction: Reduction = 'group',
) -> Objective:
  """Return the cross-entropy of labeled observations and FlexMatch's of unlabeled ones (Eq. 8).

  Args:
    weight: weight of the unlabeled observations' loss, lambda.
    threshold: the highest threshold, tau, of the class that is learned best; a prediction above it
      counts for its class.
    mapping: the function M from a class's learning effect to the share of tau that is its
      threshold, Eq. 12.
    warmup: whether thresholds stay low until most images have had a prediction above tau, Eq. 11.
    reduction: over which observations a loss is averaged, see `objective.labeled`.
  """
  term = unlabeled(flexible_pass(threshold, mapping, warmup), reduction)
  return add(labeled_cross_entropy_alone(reduction), (weight, term))

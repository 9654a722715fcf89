"""FixMatch: confident predictions as labels of strongly augmented images.

Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence",
NeurIPS 2020, arXiv:2001.07685.
"""

import jax
import jax.numpy as jnp

from multiscale_inversion import losses
from multiscale_inversion.objectives.baselines.common import (
    confidence_and_class,
    labeled_cross_entropy_alone,
    mean_of_unlabeled,
    strong_logits,
)
from multiscale_inversion.objectives.context import ContextTerm, LossOutput
from multiscale_inversion.objectives.objective import Objective, Reduction, add, unlabeled
from multiscale_inversion.options import Amount, Share


def fixmatch_loss(weak: jax.Array, strong: jax.Array, threshold: float) -> jax.Array:
  """Return 1{max q >= threshold} H(argmax q, p(strong)), q = softmax(weak) constant (Eq. 4).

  Args:
    weak: logits of weakly augmented images, shape [N, C].
    strong: logits of the same images, strongly augmented, shape [N, C].
    threshold: tau, in [0, 1].

  Returns:
    Shape [N].
  """
  confidence, predicted = confidence_and_class(weak)
  return jnp.where(confidence >= threshold, losses.cross_entropy(strong, predicted), 0)


def strong_pass(threshold: float) -> ContextTerm:
  """Return `fixmatch_loss` of the main pass and of another one under the strong augmentation.

  It records `certain`, the share of unlabeled images above the threshold.
  """

  def loss(inversion, labels, mask, context):
    del labels
    weak = inversion.activations[-1]
    values = fixmatch_loss(weak, strong_logits(context), threshold)
    certain = (confidence_and_class(weak)[0] >= threshold).astype(values.dtype)
    return LossOutput(values, scalars={'certain': mean_of_unlabeled(certain, mask)})

  return ContextTerm(loss)


def fixmatch(
    weight: Amount = 1.0,
    threshold: Share = 0.95,
    reduction: Reduction = 'group',
) -> Objective:
  """Return the cross-entropy of labeled observations and FixMatch's of unlabeled ones (Eq. 3, 4).

  Strongly augmented images go through the network in a pass of their own. The configuration sets
  the rest of what the paper has: seven unlabeled images for each labeled one are
  `labeled_fraction=0.125`, and `augmentation.strong=flip_shift_strong` changes the flipped and
  shifted image.

  Args:
    weight: weight of the unlabeled observations' loss, lambda_u.
    threshold: probability from which a prediction counts as a label, tau.
    reduction: over which observations a loss is averaged, see `objective.labeled`.
  """
  term = unlabeled(strong_pass(threshold), reduction)
  return add(labeled_cross_entropy_alone(reduction), (weight, term))

"""FixMatch: confident predictions as labels of strongly augmented images.

Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence",
NeurIPS 2020, arXiv:2001.07685.
"""

import jax
import jax.numpy as jnp

from multiscale_inversion import losses
from multiscale_inversion.objectives.baselines.common import labeled_cross_entropy_alone
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
  weak = jax.lax.stop_gradient(weak)
  certain = jnp.max(jax.nn.softmax(weak), axis=-1) >= threshold
  return jnp.where(certain, losses.cross_entropy(strong, jnp.argmax(weak, axis=-1)), 0)


def strong_pass(threshold: float) -> ContextTerm:
  """Return `fixmatch_loss` of the main pass and of another one under the strong augmentation.

  It records `certain`, the share of unlabeled images above the threshold.
  """

  def loss(inversion, labels, mask, context):
    del labels
    augmentation, dropout = jax.random.split(context.key)
    logits = context.predict(context.strong(augmentation, context.images), dropout)
    weak = inversion.activations[-1]
    certain = jnp.max(jax.nn.softmax(weak), axis=-1) >= threshold
    share = jnp.sum(jnp.where(certain, 1 - mask, 0)) / jnp.maximum(jnp.sum(1 - mask), 1)
    return LossOutput(fixmatch_loss(weak, logits, threshold), scalars={'certain': share})

  return ContextTerm(loss)


def fixmatch(
    weight: Amount = 1.0, threshold: Share = 0.95, reduction: Reduction = 'group'
) -> Objective:
  """Return the cross-entropy of labeled observations and FixMatch's of unlabeled ones (Eq. 3, 4).

  Strongly augmented images go through the network in a pass of their own. The paper takes seven
  unlabeled images for each labeled one, and evaluates an average of the weights; here the
  configuration sets the batch, and the trained weights are evaluated.

  Args:
    weight: weight of the unlabeled observations' loss, lambda_u.
    threshold: probability from which a prediction counts as a label, tau.
    reduction: over which observations a loss is averaged, see `objective.labeled`.
  """
  term = unlabeled(strong_pass(threshold), reduction)
  return add(labeled_cross_entropy_alone(reduction), (weight, term))

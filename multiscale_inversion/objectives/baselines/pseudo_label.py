"""Pseudo-label: the network's own prediction as the label.

Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural
Networks", ICML 2013 Workshop on Challenges in Representation Learning.
"""

import jax
import jax.numpy as jnp

from multiscale_inversion import losses
from multiscale_inversion.errors import UserError
from multiscale_inversion.objectives.baselines.common import (
    labeled_cross_entropy_alone,
    linear_ramp,
)
from multiscale_inversion.objectives.objective import Objective, Reduction, unlabeled
from multiscale_inversion.options import Amount, Share


def pseudo_label_loss(logits: jax.Array) -> jax.Array:
  """Return the cross-entropy with the class of the greatest logit (Eq. 14, 15), [N, C] to [N].

  Predictions are a softmax here; Lee has a sigmoid for each class.
  """
  return losses.cross_entropy(logits, jnp.argmax(logits, axis=-1))


def pseudo_label(
    weight: Amount = 3.0,
    ramp_start: Share = 0.1,
    ramp_end: Share = 0.6,
    reduction: Reduction = 'group',
) -> Objective:
  """Return the cross-entropy of labels and, weighted, of unlabeled observations' pseudo-labels.

  Args:
    weight: weight of the unlabeled observations' loss after its ramp, alpha_f.
    ramp_start: share of the training after which the weight begins to grow, Eq. 16's T_1 (Lee's
      T_1 and T_2, 100 and 600, are fixed).
    ramp_end: share of the training after which the weight is reached, T_2; from `ramp_start` up.
    reduction: over which observations a loss is averaged, see `objective.labeled`.

  Raises:
    UserError: if the ramp ends before it starts.
  """
  if ramp_end < ramp_start:
    allowed = f'from ramp_start={ramp_start} up'
    raise UserError(f'{ramp_end}; allowed: {allowed}', 'ramp_end', mentions=('ramp_start',))
  term = lambda inversion, labels, mask: pseudo_label_loss(inversion.activations[-1])
  ramp = linear_ramp(weight, ramp_start, ramp_end)
  terms = [*labeled_cross_entropy_alone(reduction).terms, (ramp, unlabeled(term, reduction))]
  return Objective(terms, inverts=False)

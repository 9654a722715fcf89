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
from multiscale_inversion.objectives.objective import Objective, unlabeled


def pseudo_label_loss(logits: jax.Array) -> jax.Array:
  """Return the cross-entropy with the class of the greatest logit (Eq. 14, 15), [N, C] to [N].

  Predictions are a softmax here; Lee has a sigmoid for each class.
  """
  return losses.cross_entropy(logits, jnp.argmax(logits, axis=-1))


def pseudo_label(
    weight: float = 3.0,
    ramp_start: float = 0.1,
    ramp_end: float = 0.6,
    reduction: str = 'group',
) -> Objective:
  """Return the cross-entropy of labels and, weighted, of unlabeled observations' pseudo-labels.

  Args:
    weight: alpha_f, the final weight of the unlabeled observations' loss.
    ramp_start: where the weight begins to grow, Eq. 16's T_1 as a share of the training (Lee's
      T_1 and T_2, 100 and 600, are fixed).
    ramp_end: where the final weight is reached, T_2; from `ramp_start` up.
    reduction: see `objective.labeled`.

  Raises:
    UserError: if the ramp ends before it starts.
  """
  if ramp_end < ramp_start:
    raise UserError(f'objective.ramp_end: {ramp_end}; allowed: from ramp_start={ramp_start} up')
  term = lambda inversion, labels, mask: pseudo_label_loss(inversion.activations[-1])
  ramp = linear_ramp(weight, ramp_start, ramp_end)
  terms = [*labeled_cross_entropy_alone(reduction).terms, (ramp, unlabeled(term, reduction))]
  return Objective(terms, inverts=False)

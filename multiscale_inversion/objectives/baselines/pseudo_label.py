"""Pseudo-label: the network's own certain answer as the label.

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
  """Cross-entropy with the class of the greatest logit (Eq. 14, 15), shape [N, C] to [N].

  With softmax outputs; Lee's have a sigmoid each.
  """
  return losses.cross_entropy(logits, jnp.argmax(logits, axis=-1))


def pseudo_label(
    weight: float = 3.0,
    ramp_start: float = 0.1,
    ramp_end: float = 0.6,
    reduction: str = 'group',
) -> Objective:
  """Cross-entropy of labeled observations and, weighted, of unlabeled ones' pseudo-labels.

  Args:
    weight: alpha_f, of the unlabeled observations' loss at the end.
    ramp_start: where the weight begins to grow, Eq. 16's T_1 as a share of the training (Lee's
      T_1 and T_2, 100 and 600, are fixed).
    ramp_end: where it is reached, T_2; from `ramp_start` up.
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

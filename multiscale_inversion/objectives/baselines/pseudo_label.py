"""Pseudo-label: the network's own certain answer as the label.

Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural
Networks", ICML 2013 Workshop on Challenges in Representation Learning.
"""

import jax
import jax.numpy as jnp

from multiscale_inversion import losses
from multiscale_inversion.errors import UserError
from multiscale_inversion.objectives.baselines import ramps
from multiscale_inversion.objectives.baselines.supervised import labeled_cross_entropy_alone
from multiscale_inversion.objectives.objective import Objective, Reduction, unlabeled
from multiscale_inversion.options import Amount, Share


def pseudo_label_loss(logits: jax.Array) -> jax.Array:
  """Cross-entropy with the class of the greatest logit (Eq. 14, 15), shape [N, C] to [N].

  With softmax outputs; Lee's have a sigmoid each.
  """
  return losses.cross_entropy(logits, jnp.argmax(logits, axis=-1))


def pseudo_label(
    weight: Amount = 3.0,
    ramp_start: Share = 0.1,
    ramp_end: Share = 0.6,
    reduction: Reduction = 'group',
) -> Objective:
  """Cross-entropy of labeled observations and, weighted, of unlabeled ones' pseudo-labels.

  Args:
    weight: weight of the loss of unlabeled observations after its ramp, alpha_f.
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
  ramp = ramps.linear(weight, ramp_start, ramp_end)
  terms = [*labeled_cross_entropy_alone(reduction).terms, (ramp, unlabeled(term, reduction))]
  return Objective(terms, inverts=False)

"""The Pi model: predictions that agree under noise.

Laine and Aila, "Temporal Ensembling for Semi-Supervised Learning", ICLR 2017, arXiv:1610.02242.
"""

import jax

from multiscale_inversion.objectives.baselines.common import (
    gaussian_ramp,
    labeled_cross_entropy_alone,
    squared_difference,
)
from multiscale_inversion.objectives.context import ContextTerm, LossOutput
from multiscale_inversion.objectives.objective import Objective, Reduction, add
from multiscale_inversion.options import Amount, Share


def second_pass() -> ContextTerm:
  """Return the squared difference to another pass of the network (Algorithm 1).

  The other pass has its own augmentation and dropout; both passes are differentiated.
  """

  def loss(inversion, labels, mask, context):
    del labels, mask
    augmentation, dropout = jax.random.split(context.key)
    other = context.predict(context.weak(augmentation, context.images), dropout)
    values = squared_difference(inversion.activations[-1], jax.nn.softmax(other))
    return LossOutput(values)

  return ContextTerm(loss)


def pi_model(
    weight: Amount = 100.0, rampup: Share = 0.25, reduction: Reduction = 'group'
) -> Objective:
  """Return the cross-entropy of labeled observations and the agreement of two passes of all.

  Args:
    weight: weight of the agreement after the ramp; 100 in the paper, where the cross-entropy is a
      mean over labeled observations.
    rampup: length of the ramp, a share of the training (the paper's: 80 of 300 epochs).
    reduction: reduction of the cross-entropy, see `objective.labeled`.
  """
  ramp = gaussian_ramp(weight, rampup)
  return add(labeled_cross_entropy_alone(reduction), (ramp, second_pass()))

"""Temporal ensembling: predictions that agree with earlier ones of the same image.

Laine and Aila, "Temporal Ensembling for Semi-Supervised Learning", ICLR 2017, arXiv:1610.02242.
"""

import jax
import jax.numpy as jnp

from multiscale_inversion import parallel
from multiscale_inversion.objectives.baselines.common import (
    gaussian_ramp,
    labeled_cross_entropy_alone,
    squared_difference,
)
from multiscale_inversion.objectives.context import ContextTerm, LossOutput
from multiscale_inversion.objectives.objective import Objective, Reduction, add
from multiscale_inversion.options import Amount, Share, ShareBelowOne


def ensemble(decay: float) -> ContextTerm:
  """Return the squared difference to an average of each image's earlier predictions (Algorithm 2).

  The average of an image is updated whenever the image is in a batch: once an epoch if it is
  unlabeled, as in the paper, and more often if it is labeled. After t updates, the average is
  divided by 1 - decay^t. An image that is seen for the first time has no target and no loss.

  Args:
    decay: alpha, the decay of the averages, in [0, 1).
  """

  def init(initial):
    return {
        'sums': jnp.zeros((initial.num_train, initial.num_classes)),
        'count': jnp.zeros(initial.num_train),
    }

  def loss(inversion, labels, mask, context):
    del labels, mask
    sums, count = (context.memory[name][context.positions] for name in ('sums', 'count'))
    logits, seen = inversion.activations[-1], count > 0
    correction = jnp.where(seen, 1 - decay**count, 1)
    values = squared_difference(logits, sums / correction[:, None])
    to_remember = {
        'positions': context.positions,
        'sums': decay * sums + (1 - decay) * jax.lax.stop_gradient(jax.nn.softmax(logits)),
        'count': count + 1,
    }
    return LossOutput(jnp.where(seen, values, 0), parallel.gather_over_devices(to_remember))

  def update(memory, to_remember, variables):
    del variables
    # A batch may hold an image twice, if there are fewer labels than places. Both places then get
    # the mean of its predictions, as which of two values remains is undefined on some backends.
    positions = to_remember['positions']
    same = positions[:, None] == positions[None]
    first = jnp.argmax(same, axis=1)
    share = same / jnp.sum(same, axis=1, keepdims=True)
    return {
        name: memory[name].at[positions].set(jnp.tensordot(share, to_remember[name], 1)[first])
        for name in memory
    }

  return ContextTerm(loss, init, update)


def temporal_ensembling(
    weight: Amount = 30.0,
    rampup: Share = 0.25,
    decay: ShareBelowOne = 0.6,
    reduction: Reduction = 'group',
) -> Objective:
  """Return the cross-entropy of labels and the agreement of predictions with earlier ones.

  Args:
    weight: weight of the agreement after the ramp; 30 in the paper, where the cross-entropy is a
      mean over labeled observations.
    rampup: length of the ramp, a share of the training (the paper's: 80 of 300 epochs).
    decay: share of the old value that the averages of predictions keep, alpha.
    reduction: reduction of the cross-entropy, see `objective.labeled`.
  """
  return add(
      labeled_cross_entropy_alone(reduction), (gaussian_ramp(weight, rampup), ensemble(decay))
  )

"""Temporal ensembling: predictions that agree with earlier ones of the same image.

Laine and Aila, "Temporal Ensembling for Semi-Supervised Learning", ICLR 2017, arXiv:1610.02242.
"""

import jax
import jax.numpy as jnp

from multiscale_inversion import parallel
from multiscale_inversion.objectives.baselines import ramps
from multiscale_inversion.objectives.baselines.consistency import squared_difference
from multiscale_inversion.objectives.baselines.supervised import labeled_cross_entropy_alone
from multiscale_inversion.objectives.context import ContextTerm, Evaluation
from multiscale_inversion.objectives.objective import Objective, Reduction, add
from multiscale_inversion.options import Amount, Share, ShareBelowOne


def ensemble(decay: float) -> ContextTerm:
  """The squared difference to an average of earlier predictions of each image (Algorithm 2).

  The average of an image is updated whenever it is in a batch: once an epoch if unlabeled, as in
  the paper, and more often if labeled. It is divided by 1 - decay^t, t counting its updates. An
  image that comes for the first time has no target and no loss.

  Args:
    decay: alpha, in [0, 1).
  """

  def init(start):
    return {
        'sums': jnp.zeros((start.num_train, start.num_classes)),
        'count': jnp.zeros(start.num_train),
    }

  def loss(inversion, labels, mask, context):
    del labels, mask
    sums, count = (context.memory[name][context.positions] for name in ('sums', 'count'))
    logits, seen = inversion.activations[-1], count > 0
    correction = jnp.where(seen, 1 - decay**count, 1)
    values = squared_difference(logits, sums / correction[:, None])
    news = {
        'positions': context.positions,
        'sums': decay * sums + (1 - decay) * jax.lax.stop_gradient(jax.nn.softmax(logits)),
        'count': count + 1,
    }
    return Evaluation(jnp.where(seen, values, 0), parallel.gather_over_devices(news))

  def update(memory, news, variables):
    del variables
    # A batch may hold an image twice (fewer labels than places): the mean of its predictions, the
    # same in both places, as which of two values stays is not defined on every backend.
    positions = news['positions']
    same = positions[:, None] == positions
    first = jnp.argmax(same, axis=1)
    share = same / jnp.sum(same, axis=1, keepdims=True)
    return {
        name: memory[name].at[positions].set(jnp.tensordot(share, news[name], 1)[first])
        for name in memory
    }

  return ContextTerm(loss, init, update)


def temporal_ensembling(
    weight: Amount = 30.0,
    rampup: Share = 0.25,
    decay: ShareBelowOne = 0.6,
    reduction: Reduction = 'group',
) -> Objective:
  """Cross-entropy of labeled observations, and the agreement of all with their earlier selves.

  Args:
    weight: weight of the agreement after the ramp; the paper's 30 beside a mean over labeled ones.
    rampup: length of the ramp, a share of the training (the paper's: 80 of 300 epochs).
    decay: share of the old value that the averages of predictions keep, alpha.
    reduction: reduction of the cross-entropy, see `objective.labeled`.
  """
  return add(
      labeled_cross_entropy_alone(reduction), (ramps.gaussian(weight, rampup), ensemble(decay))
  )

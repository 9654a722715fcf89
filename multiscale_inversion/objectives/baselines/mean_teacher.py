"""Mean teacher: predictions that agree with those of averaged weights.

Tarvainen and Valpola, "Mean Teachers Are Better Role Models: Weight-Averaged Consistency Targets
Improve Semi-Supervised Deep Learning Results", NIPS 2017, arXiv:1703.01780.
"""

import jax
import jax.numpy as jnp

from multiscale_inversion.objectives.baselines.averaged_weights import ema_decay, moved_average
from multiscale_inversion.objectives.baselines.common import (
    gaussian_ramp,
    labeled_cross_entropy_alone,
    squared_difference,
)
from multiscale_inversion.objectives.context import ContextTerm, LossOutput
from multiscale_inversion.objectives.objective import Objective, Reduction, add
from multiscale_inversion.options import Amount, Share, ShareBelowOne


def teacher(decay: float, later_decay: float, rampup: float) -> ContextTerm:
  """Return the squared difference to the prediction of the teacher, whose weights are averages.

  The teacher sees the images under its own augmentation and dropout, uses batch statistics of its
  own pass, and is constant for the gradient. It is the network that is evaluated. Its running batch
  statistics come from its own passes, as in the authors' program: only the parameters are averaged,
  and the student's statistics do not fit them.

  Args:
    decay: alpha, the decay of the averages, in [0, 1), during the ramp.
    later_decay: the decay after it.
    rampup: length of the ramp, a share of the training.
  """

  def loss(inversion, labels, mask, context):
    del labels, mask
    augmentation, dropout = jax.random.split(context.key)
    images = context.weak(augmentation, context.images)
    passed = context.forward(context.memory, images, dropout)
    logits, batch_stats = jax.lax.stop_gradient(passed)
    values = squared_difference(inversion.activations[-1], jax.nn.softmax(logits))
    current = jnp.where(context.progress < rampup, decay, later_decay)
    rate = ema_decay(context.step, current)
    return LossOutput(values, {'rate': rate, 'batch_stats': batch_stats})

  def update(memory, to_remember, variables):
    return {
        'params': moved_average(memory['params'], variables['params'], to_remember['rate']),
        'batch_stats': to_remember['batch_stats'],
    }

  return ContextTerm(
      loss,
      # Copies, as a step donates each buffer of its state once.
      init=lambda initial: jax.tree.map(jnp.copy, initial.variables),
      update=update,
      averaged=lambda memory: memory,
  )


def mean_teacher(
    weight: Amount = 100.0,
    rampup: Share = 0.25,
    decay: ShareBelowOne = 0.99,
    decay_after_rampup: ShareBelowOne | None = None,
    reduction: Reduction = 'group',
) -> Objective:
  """Return the cross-entropy of labeled observations and the agreement of all with the teacher.

  Args:
    weight: weight of the agreement after the ramp.
    rampup: length of the ramp, a share of the training (the authors': 40,000 of 150,000 steps).
    decay: share of the old value that the averages keep (the authors': 0.99, and 0.999 after the
      ramp; 0.999 for CIFAR-10).
    decay_after_rampup: the share that they keep after the ramp; `decay` unless given.
    reduction: reduction of the cross-entropy, see `objective.labeled`.
  """
  later = decay if decay_after_rampup is None else decay_after_rampup
  ramp = gaussian_ramp(weight, rampup)
  return add(labeled_cross_entropy_alone(reduction), (ramp, teacher(decay, later, rampup)))

"""Averages of weights: how they move, and a term that has them evaluated.

Tarvainen and Valpola, "Mean Teachers Are Better Role Models: Weight-Averaged Consistency Targets
Improve Semi-Supervised Deep Learning Results", NIPS 2017, arXiv:1703.01780.
"""

from typing import Any

import jax
import jax.numpy as jnp

from multiscale_inversion.errors import UserError
from multiscale_inversion.objectives.context import ContextTerm, LossOutput
from multiscale_inversion.objectives.objective import Objective, add


def ema_decay(step: jax.Array, decay: float | jax.Array) -> jax.Array:
  """Return min(1 - 1 / (step + 1), decay), which gives the plain mean over the first steps."""
  return jnp.minimum(1 - 1 / (step + 1), decay)


def moved_average(average: Any, values: Any, decay: float | jax.Array) -> Any:
  """Return decay * average + (1 - decay) * values, leaf by leaf (Eq. 1)."""
  return jax.tree.map(lambda a, v: decay * a + (1 - decay) * v, average, values)


def averaged_weights(decay: float) -> ContextTerm:
  """Return a term without a loss that averages the weights over the steps, for the evaluation.

  The batch statistics are averaged like the parameters, so that they fit: FixMatch's own move by
  the decay of its averaged weights, 0.999.

  Args:
    decay: share of the old value that the averages keep, in [0, 1), after the first steps.
  """

  def loss(inversion, labels, mask, context):
    del inversion, labels
    return LossOutput(jnp.zeros(mask.shape), {'step': context.step})

  def update(memory, to_remember, variables):
    return moved_average(memory, variables, ema_decay(to_remember['step'], decay))

  return ContextTerm(
      loss,
      # Copies, as a step donates each buffer of its state once.
      init=lambda initial: jax.tree.map(jnp.copy, initial.variables),
      update=update,
      averaged=lambda memory: memory,
  )


def with_averaged_weights(objective: Objective, decay: float | None) -> Objective:
  """Return the objective with averaged weights to evaluate; as it is if `decay` is None.

  Raises:
    UserError: if the objective averages weights itself, as mean teacher does.
  """
  if decay is None:
    return objective
  if any(isinstance(term, ContextTerm) and term.averaged for _, term in objective.terms):
    raise UserError(
        f'{decay} beside an objective that averages weights itself; allowed: None', 'average_decay'
    )
  return add(objective, averaged_weights(decay))

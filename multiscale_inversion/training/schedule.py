"""The learning rate as a function of the step."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import optax


def piecewise_schedule(
    learning_rate: float,
    num_steps: int,
    decay_epochs: Sequence[int] = (150, 300),
    reference_epochs: int = 400,
    factor: float = 0.5,
) -> optax.Schedule:
  """Return the paper's learning rate (Section 3.1), halved at the first step of two epochs.

  Args:
    learning_rate: the initial rate, gamma^(0).
    num_steps: length of the whole training, to which the epochs are scaled in proportion.
    decay_epochs: epochs, counted from 0, from whose first step on the rate is multiplied.
    reference_epochs: length, in epochs, of the training that `decay_epochs` refer to.
    factor: what the rate is multiplied by each time.

  Returns:
    A function of the step, counted from 0.
  """
  boundaries: dict[int, float] = {}
  for epoch in decay_epochs:  # in a short training, two may fall on one step
    step = round(num_steps * epoch / reference_epochs)
    boundaries[step] = boundaries.get(step, 1.0) * factor
  return optax.piecewise_constant_schedule(learning_rate, boundaries)


def cosine_schedule(learning_rate: float, num_steps: int) -> optax.Schedule:
  """Return FixMatch's learning rate, eta cos(7 pi k / (16 K)) at step k of K.

  Sohn et al., "FixMatch", NeurIPS 2020, arXiv:2001.07685, Section 2.4. It falls to 0.195 eta.

  Args:
    learning_rate: the initial rate, eta.
    num_steps: length of the whole training, K.
  """
  return lambda step: learning_rate * jnp.cos(7 * math.pi / 16 * jnp.clip(step / num_steps, 0, 1))


def ramped_schedule(
    schedule: optax.Schedule, num_steps: int, rampup: float = 0.0, rampdown: float = 0.0
) -> optax.Schedule:
  """Return a schedule times Laine and Aila's ramps.

  It is multiplied by exp(-5 (1 - T)^2) while T goes from 0 to 1 over the ramp at the beginning, and
  by exp(-12.5 T^2) over the one at the end. Laine and Aila, "Temporal Ensembling for
  Semi-Supervised Learning", ICLR 2017, arXiv:1610.02242, Appendix A, and their program; mean
  teacher has the same.

  Args:
    schedule: a function of the step.
    num_steps: length of the whole training.
    rampup: length of the ramp at the beginning, a share of the training; 0 for none.
    rampdown: length of the one at the end.
  """

  def at(step):
    progress = step / num_steps
    rate = schedule(step)
    if rampup:
      rate *= jnp.exp(-5 * jnp.square(1 - jnp.clip(progress / rampup, 0, 1)))
    if rampdown:
      rate *= jnp.exp(-12.5 * jnp.square(jnp.clip(1 - (1 - progress) / rampdown, 0, 1)))
    return rate

  return at

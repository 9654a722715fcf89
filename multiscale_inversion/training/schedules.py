"""The learning rate as a function of the step, by name."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import optax

from multiscale_inversion.options import Range
from multiscale_inversion.registry import Registry


class Decays(NamedTuple):
  """When the schedule `steps` decays, as the paper says it (Section 3.1).

  Attributes:
    epochs: counted from 0, from whose first step on the rate is multiplied by the factor.
    reference_epochs: length, in epochs, of the training that they refer to.
    factor: of each decay.
  """

  epochs: Sequence[int] = (150, 300)
  reference_epochs: int = 400
  factor: float = 0.5


def steps(learning_rate: float, num_steps: int, decays: Decays = Decays()) -> optax.Schedule:  # noqa: B008 (a constant)
  """Return the paper's learning rate (Section 3.1), halved at the first step of two epochs.

  Args:
    learning_rate: the initial rate, gamma^(0).
    num_steps: length of the whole training, to which the epochs are scaled in proportion.
    decays: the epochs and the factor.

  Returns:
    A function of the step, counted from 0.
  """
  boundaries: dict[int, float] = {}
  for epoch in decays.epochs:  # in a short training, two may fall on one step
    step = round(num_steps * epoch / decays.reference_epochs)
    boundaries[step] = boundaries.get(step, 1.0) * decays.factor
  return optax.piecewise_constant_schedule(learning_rate, boundaries)


def constant(learning_rate: float, num_steps: int, decays: Decays) -> optax.Schedule:
  """Return a learning rate that stays."""
  del num_steps, decays
  return optax.constant_schedule(learning_rate)


def cosine(
    learning_rate: float,
    num_steps: int,
    decays: Decays,
    final_factor: Annotated[float, Range(0, 1)] = 0.0,
) -> optax.Schedule:
  """Return half a period of a cosine, without restarts (Loshchilov and Hutter, arXiv:1608.03983).

  Args:
    learning_rate: the first rate.
    num_steps: where the last one would be reached.
    decays: of no use here.
    final_factor: the last rate divided by the first.
  """
  del decays
  return optax.cosine_decay_schedule(learning_rate, num_steps, final_factor)


def cosine_7_16(learning_rate: float, num_steps: int, decays: Decays) -> optax.Schedule:
  """Return eta cos(7 pi k / 16 K), the schedule of FixMatch (arXiv:2001.07685, Section 2.4)."""
  del decays
  return lambda step: learning_rate * jnp.cos(7 * math.pi / 16 * jnp.clip(step / num_steps, 0, 1))


def with_warmup(schedule: optax.Schedule, warmup_steps: int) -> optax.Schedule:
  """Return a schedule whose first steps rise in proportion, from 1 / warmup_steps of its rate.

  Args:
    schedule: a function of the step, counted from 0.
    warmup_steps: number of the steps until its own rate is reached; 0 for the schedule itself.
  """
  if not warmup_steps:
    return schedule

  def warming(step: jax.Array) -> jax.Array:
    return schedule(step) * jnp.minimum((step + 1) / warmup_steps, 1)

  return warming


def with_ramps(
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
  if not rampup and not rampdown:
    return schedule

  def at(step: jax.Array) -> jax.Array:
    progress = step / num_steps
    rate = schedule(step)
    if rampup:
      rate *= jnp.exp(-5 * jnp.square(1 - jnp.clip(progress / rampup, 0, 1)))
    if rampdown:
      rate *= jnp.exp(-12.5 * jnp.square(jnp.clip(1 - (1 - progress) / rampdown, 0, 1)))
    return rate

  return at


_SCHEDULES: Registry[optax.Schedule] = Registry(
    {'steps': steps, 'constant': constant, 'cosine': cosine, 'cosine_7_16': cosine_7_16},
    positional=3,  # learning rate, number of steps, decays
    reserved=('name', 'warmup_steps', 'rampup', 'rampdown'),
    kind='the schedule',
)
names, options, defaults = _SCHEDULES.names, _SCHEDULES.options, _SCHEDULES.defaults
register: Callable[..., None] = _SCHEDULES.register


def create(
    name: str, learning_rate: float, num_steps: int, decays: Decays, **options: float
) -> optax.Schedule:
  """Return a schedule by its name.

  Args:
    name: one of `names()`.
    learning_rate: the first rate, that of a warm-up's end.
    num_steps: length of the whole training.
    decays: of the schedule `steps`.
    **options: of `options(name)`.

  Raises:
    UserError: for an unknown name or option, or a value out of range.
  """
  return _SCHEDULES.create(name, learning_rate, num_steps, decays, **options)

"""The learning rate as a function of the step."""

from collections.abc import Sequence

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

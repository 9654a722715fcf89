"""The training loop as a contestant of a benchmark."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from multiscale_inversion import training


def repeated(
    loop: training.TrainingLoop, loop_state: training.LoopState, num_steps: int
) -> Callable[[], None]:
  """Return a function that runs the first steps of the first epoch, and waits for them.

  Args:
    loop: the loop.
    loop_state: the state to begin with; its buffers are donated.
    num_steps: number of steps, at most those of an epoch.
  """
  held = [loop_state]

  def dispatch():
    # The loop must not leave an epoch.
    start = jnp.zeros_like(held[0].state.step)
    held[0] = held[0]._replace(state=held[0].state._replace(step=start))
    held[0] = jax.block_until_ready(loop.advance(held[0], num_steps))

  return dispatch

"""The training loop as a contestant of a benchmark."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def repeated(
    loop: Callable[..., Any], progress: Any, data: Any, keys: Any, num_steps: int
) -> Callable[[], None]:
  """A dispatch of the first steps of the first epoch, over and over, until they are done.

  Args:
    loop: as `training.make_loop` makes it.
    progress: where to begin; its buffers are taken over.
    data: of the loop.
    keys: of the loop.
    num_steps: in a dispatch, no more than an epoch has.
  """
  held = [progress]

  def dispatch():
    # The loop must not leave an epoch.
    start = jnp.zeros_like(held[0].state.step)
    held[0] = held[0]._replace(state=held[0].state._replace(step=start))
    held[0] = jax.block_until_ready(loop(held[0], data, keys, jnp.int32(num_steps)))

  return dispatch

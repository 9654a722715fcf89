"""Weights that grow while training, as functions of its progress."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def gaussian(weight: float, length: float) -> Callable[[jax.Array], jax.Array]:
  """Laine and Aila's ramp-up, weight * exp(-5 (1 - T)^2) with T from 0 to 1 over the `length`.

  Args:
    weight: at the end of the ramp and after it.
    length: of the ramp, a share of the training in [0, 1]; 0 for none.
  """

  def at(progress):
    time = jnp.clip(progress / length, 0, 1) if length else jnp.ones_like(progress)
    return weight * jnp.exp(-5 * jnp.square(1 - time))

  return at


def linear(weight: float, start: float, end: float) -> Callable[[jax.Array], jax.Array]:
  """Lee's ramp (Eq. 16): 0 until `start`, `weight` from `end` on, shares of the training."""
  return lambda progress: weight * jnp.clip((progress - start) / max(end - start, 1e-9), 0, 1)

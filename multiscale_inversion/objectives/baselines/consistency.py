"""Squared difference of predictions, what the methods of consistency minimize."""

import jax
import jax.numpy as jnp


def squared_difference(logits: jax.Array, targets: jax.Array) -> jax.Array:
  """(1/C) ||softmax(logits) - targets||^2 (Laine and Aila, Algorithm 1).

  Args:
    logits: shape [N, C].
    targets: probabilities, shape [N, C].

  Returns:
    Shape [N], from 0 to 2/C.
  """
  return jnp.mean(jnp.square(jax.nn.softmax(logits) - targets), axis=-1)

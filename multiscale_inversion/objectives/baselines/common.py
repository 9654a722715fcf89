"""What several methods share: the supervised loss, consistency of predictions, and ramps."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from multiscale_inversion.objectives.context import Context
from multiscale_inversion.objectives.objective import Objective, Reduction
from multiscale_inversion.objectives.paper import labeled_cross_entropy


def labeled_cross_entropy_alone(reduction: Reduction) -> Objective:
  """Return the cross-entropy of labeled observations, in nats, to which methods add their loss."""
  return Objective([(1.0, labeled_cross_entropy(reduction))], inverts=False)


def squared_difference(logits: jax.Array, targets: jax.Array) -> jax.Array:
  """Return (1/C) ||softmax(logits) - targets||^2 (Laine and Aila, Algorithm 1).

  Args:
    logits: shape [N, C].
    targets: probabilities, shape [N, C].

  Returns:
    Shape [N], from 0 to 2/C.
  """
  return jnp.mean(jnp.square(jax.nn.softmax(logits) - targets), axis=-1)


def strong_logits(context: Context) -> jax.Array:
  """Return the logits [N, C] of a pass of its own through strongly augmented images."""
  augmentation, dropout = jax.random.split(context.key)
  return context.predict(context.strong(augmentation, context.images), dropout)


def confidence_and_class(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Return max softmax and argmax of logits [N, C], each of shape [N] and constant."""
  logits = jax.lax.stop_gradient(logits)
  return jnp.max(jax.nn.softmax(logits), axis=-1), jnp.argmax(logits, axis=-1)


def mean_of_unlabeled(values: jax.Array, mask: jax.Array) -> jax.Array:
  """Return the mean [...] of values [N, ...] where mask [N] is 0; zero if it is nowhere."""
  group = (mask == 0).reshape(-1, *[1] * (values.ndim - 1))
  return jnp.sum(jnp.where(group, values, 0), axis=0) / jnp.maximum(jnp.sum(mask == 0), 1)


def gaussian_ramp(weight: float, length: float) -> Callable[[jax.Array], jax.Array]:
  """Return Laine and Aila's ramp, weight * exp(-5 (1 - T)^2) with T from 0 to 1 over the `length`.

  Args:
    weight: value at the end of the ramp and after it.
    length: length of the ramp, a share of the training in [0, 1]; 0 for none.

  Returns:
    A function of the training's progress.
  """

  def at(progress):
    time = jnp.clip(progress / length, 0, 1) if length else jnp.ones_like(progress)
    return weight * jnp.exp(-5 * jnp.square(1 - time))

  return at


def linear_ramp(weight: float, start: float, end: float) -> Callable[[jax.Array], jax.Array]:
  """Return Lee's ramp (Eq. 16): 0 until `start`, `weight` from `end` on, shares of the training."""
  return lambda progress: weight * jnp.clip((progress - start) / max(end - start, 1e-9), 0, 1)

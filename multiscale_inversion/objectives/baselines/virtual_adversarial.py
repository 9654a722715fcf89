"""Virtual adversarial training: predictions that the worst small change of the input keeps.

Miyato, Maeda, Koyama and Ishii, "Virtual Adversarial Training: A Regularization Method for
Supervised and Semi-Supervised Learning", IEEE TPAMI 2018, arXiv:1704.03976.
"""

from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp

from multiscale_inversion.objectives.baselines.common import labeled_cross_entropy_alone
from multiscale_inversion.objectives.context import ContextTerm, LossOutput
from multiscale_inversion.objectives.objective import Objective, Reduction, add
from multiscale_inversion.options import Amount, Range


def divergence(logits: jax.Array, others: jax.Array) -> jax.Array:
  """Return KL(softmax(logits) || softmax(others)), shape [N, C] to [N]."""
  ours, theirs = jax.nn.log_softmax(logits), jax.nn.log_softmax(others)
  return jnp.sum(jnp.exp(ours) * (ours - theirs), axis=-1)


def _unit(vectors: jax.Array) -> jax.Array:
  """Divide each observation's vector by its Euclidean norm; zero stays zero."""
  axes = tuple(range(1, vectors.ndim))
  # Divide by the largest entry first: the squares of a tiny gradient are zero in float32.
  largest = jnp.max(jnp.abs(vectors), axis=axes, keepdims=True)
  vectors = vectors / jnp.where(largest > 0, largest, 1)
  norm = jnp.sqrt(jnp.sum(jnp.square(vectors), axis=axes, keepdims=True))
  return vectors / jnp.where(norm > 0, norm, 1)


def adversarial_direction(
    predict: Callable[[jax.Array], jax.Array],
    images: jax.Array,
    noise: jax.Array,
    xi: float,
    num_iterations: int,
) -> jax.Array:
  """Return the direction that changes predictions most, by power iteration (Section 3.3).

  Args:
    predict: a deterministic function images -> logits.
    images: shape [N, ...].
    noise: where the iteration begins, standard normal, shaped like the images.
    xi: step length of the finite difference.
    num_iterations: K.

  Returns:
    Unit vectors, shaped like the images; constant for a gradient.
  """
  logits = jax.lax.stop_gradient(predict(images))
  direction = _unit(noise)
  for _ in range(num_iterations):
    change = lambda r: jnp.sum(divergence(logits, predict(images + r)))
    direction = _unit(jax.grad(change)(xi * direction))
  return jax.lax.stop_gradient(direction)


def smoothness(epsilon: float, xi: float, num_iterations: int) -> ContextTerm:
  """Return KL(p(x) || p(x + epsilon d)), p(x) constant, d the adversarial direction (Eq. 5, 6)."""

  def loss(inversion, labels, mask, context):
    del inversion, labels, mask
    noise_key, dropout = jax.random.split(context.key)
    predict = lambda images: context.predict(images, dropout)  # one mask in all passes
    images = context.inputs
    noise = jax.random.normal(noise_key, images.shape, images.dtype)
    direction = adversarial_direction(predict, images, noise, xi, num_iterations)
    logits = jax.lax.stop_gradient(predict(images))
    return LossOutput(divergence(logits, predict(images + epsilon * direction)))

  return ContextTerm(loss)


def virtual_adversarial(
    weight: Amount = 1.0,
    epsilon: Amount = 2.5,
    xi: Annotated[float, Range(1e-12, 1e6)] = 0.01,
    num_iterations: Annotated[int, Range(0, 100)] = 1,
    reduction: Reduction = 'group',
) -> Objective:
  """Return the cross-entropy of labels and the local smoothness around all observations (Eq. 8).

  Args:
    weight: weight of the smoothness, alpha.
    epsilon: length of the adversarial change of inputs that are normalized to [-1, 1]. The authors
      take 2.5 for SVHN without augmentation, with their own normalization.
    xi: step length of the finite difference. The paper's 1e-6 is lost in the rounding of float32
      predictions; any length that is small beside epsilon serves. bfloat16 rounds more, and needs a
      longer step.
    num_iterations: iterations of the power method.
    reduction: reduction of the cross-entropy, see `objective.labeled`.
  """
  return add(
      labeled_cross_entropy_alone(reduction), (weight, smoothness(epsilon, xi, num_iterations))
  )

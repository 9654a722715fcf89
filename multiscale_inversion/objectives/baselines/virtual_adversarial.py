"""Virtual adversarial training: predictions that the worst small change does not move.

Miyato, Maeda, Koyama and Ishii, "Virtual Adversarial Training: A Regularization Method for
Supervised and Semi-Supervised Learning", IEEE TPAMI 2018, arXiv:1704.03976.
"""

from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp

from multiscale_inversion.objectives.baselines.supervised import labeled_cross_entropy_alone
from multiscale_inversion.objectives.context import ContextTerm, Evaluation
from multiscale_inversion.objectives.objective import Objective, Reduction, add
from multiscale_inversion.options import Amount, Range


def divergence(logits: jax.Array, others: jax.Array) -> jax.Array:
  """KL(softmax(logits) || softmax(others)), shape [N, C] to [N]."""
  ours, theirs = jax.nn.log_softmax(logits), jax.nn.log_softmax(others)
  return jnp.sum(jnp.exp(ours) * (ours - theirs), axis=-1)


def _unit(vectors: jax.Array) -> jax.Array:
  """Each observation's vector over its Euclidean norm; zero stays zero."""
  axes = tuple(range(1, vectors.ndim))
  # By the greatest entry first: the squares of a tiny gradient are zero in float32.
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
  """The direction that changes predictions most, by power iteration (Section 3.3).

  Args:
    predict: images -> logits, deterministic.
    images: shape [N, ...].
    noise: where the iteration begins, standard normal, of the same shape.
    xi: length of the step of the finite difference.
    num_iterations: K.

  Returns:
    Unit vectors, of the images' shape; constants of a differentiation.
  """
  logits = jax.lax.stop_gradient(predict(images))
  direction = _unit(noise)
  for _ in range(num_iterations):
    change = lambda r: jnp.sum(divergence(logits, predict(images + r)))
    direction = _unit(jax.grad(change)(xi * direction))
  return jax.lax.stop_gradient(direction)


def smoothness(epsilon: float, xi: float, num_iterations: int) -> ContextTerm:
  """KL(p(x), constant || p(x + epsilon d)) along the adversarial direction d (Eq. 5, 6)."""

  def loss(inversion, labels, mask, context):
    del inversion, labels, mask
    noise_key, dropout = jax.random.split(context.key)
    predict = lambda images: context.predict(images, dropout)  # one mask in all passes
    images = context.inputs
    noise = jax.random.normal(noise_key, images.shape, images.dtype)
    direction = adversarial_direction(predict, images, noise, xi, num_iterations)
    logits = jax.lax.stop_gradient(predict(images))
    return Evaluation(divergence(logits, predict(images + epsilon * direction)))

  return ContextTerm(loss)


def virtual_adversarial(
    weight: Amount = 1.0,
    epsilon: Amount = 2.5,
    xi: Annotated[float, Range(1e-12, 1e6)] = 0.01,
    num_iterations: Annotated[int, Range(0, 100)] = 1,
    reduction: Reduction = 'group',
) -> Objective:
  """Cross-entropy of labeled observations, and local smoothness around all (Eq. 8).

  Args:
    weight: weight of the smoothness, alpha.
    epsilon: length of the adversarial change of inputs in [-1, 1]. 2.5 is the authors' value for
      SVHN without augmentation, by their own normalization.
    xi: length of the finite difference. The paper's 1e-6 is lost in the rounding of float32
      predictions; what counts is that it is small beside epsilon. bfloat16 rounds more and
      needs a longer one.
    num_iterations: number of steps of the power iteration.
    reduction: reduction of the cross-entropy, see `objective.labeled`.
  """
  return add(
      labeled_cross_entropy_alone(reduction), (weight, smoothness(epsilon, xi, num_iterations))
  )

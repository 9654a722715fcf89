"""Losses per observation: each takes and returns arrays whose first axis is the observations.

None reduces over the batch: the caller does, with a mask (`metrics.masked_mean`).
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from multiscale_inversion.inversion import Inversion


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Cross-entropy of softmax predictions, -log softmax(logits)[label].

  Args:
    logits: z^(L), shape [N, C], floating point.
    labels: the classes, integers from 0 to C - 1, shape [N]. Where a label lies outside, the
      value is finite and meaningless: mask it.

  Returns:
    Shape [N], from 0 up; finite, with its derivatives, unless the logits' range overflows.
  """
  chex.assert_rank([logits, labels], [2, 1])
  chex.assert_type([logits, labels], [float, int])
  log_probabilities = jax.nn.log_softmax(logits, axis=-1)
  chosen = jnp.clip(labels, 0, logits.shape[-1] - 1)
  return -jnp.take_along_axis(log_probabilities, chosen[:, None], axis=-1)[:, 0]


def entropy(logits: jax.Array) -> jax.Array:
  """Entropy of softmax predictions, -sum_c p_c log p_c (Eq. 4), in nats.

  Args:
    logits: z^(L), shape [N, C], floating point.

  Returns:
    Shape [N], from 0 to log(C); finite, with its derivatives, unless the logits' range overflows.
  """
  chex.assert_rank(logits, 2)
  chex.assert_type(logits, float)
  log_probabilities = jax.nn.log_softmax(logits, axis=-1)
  return -jnp.sum(jnp.exp(log_probabilities) * log_probabilities, axis=-1)


def reconstruction(z: jax.Array, r: jax.Array) -> jax.Array:
  """Squared distance per observation of an activation and its reconstruction, ||z - r||^2 (Eq. 7).

  Args:
    z: an activation z^(l), shape [N, ...].
    r: its reconstruction r^(l), same shape.

  Returns:
    Shape [N], from 0 up; float32 where z is less precise. Divide by `dimension(z)` for the
    renormalized form of Eq. 8.
  """
  chex.assert_equal_shape([z, r])
  z, r = (value.astype(jnp.promote_types(value.dtype, jnp.float32)) for value in (z, r))
  return jnp.sum(jnp.square(z - r), axis=tuple(range(1, z.ndim)))


def dimension(z: jax.Array) -> int:
  """D^(l), the number of entries of one observation's activation (Section 2.2)."""
  return max(1, z.size // z.shape[0])


def global_reconstruction(inversion: Inversion) -> jax.Array:
  """The input's reconstruction loss, (1/D) ||x - r^(0)||^2, the paper's Gamma (Eq. 9).

  Args:
    inversion: activations and reconstructions of N observations.

  Returns:
    Shape [N].
  """
  return layer_reconstruction(inversion, 0)


def layer_reconstruction(inversion: Inversion, layer: int) -> jax.Array:
  """The reconstruction loss of one layer, (1/D^(l)) ||z^(l) - r^(l)||^2 (a term of Eq. 8).

  Args:
    inversion: activations and reconstructions of N observations.
    layer: l, from 0 (the input) to L - 1.

  Returns:
    Shape [N].
  """
  z, r = inversion.activations[layer], inversion.reconstructions[layer]
  return reconstruction(z, r) / dimension(z)


def multiscale_reconstruction(
    inversion: Inversion, layers: Sequence[int] | None = None, stop_target: bool = False
) -> jax.Array:
  """The mean over layers of the reconstruction losses, the paper's lambda (Eq. 10).

  Args:
    inversion: activations and reconstructions of N observations.
    layers: which layers count; all of 0, ..., L - 1 unless given.
    stop_target: whether z^(l) is a constant target, so that only r^(l) is drawn to it.

  Returns:
    Shape [N].
  """
  if stop_target:
    inversion = inversion._replace(
        activations=tuple(map(jax.lax.stop_gradient, inversion.activations))
    )
  if layers is None:
    layers = range(len(inversion.reconstructions))
  return sum(layer_reconstruction(inversion, layer) for layer in layers) / len(layers)

"""Losses per observation: each takes and returns arrays whose first axis is the observations.

The caller reduces over the batch, with a mask (`metrics.masked_mean`).
"""

import functools
import math
import numbers
import operator
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from multiscale_inversion import parallel
from multiscale_inversion.arrays import as_array, as_shaped
from multiscale_inversion.errors import UserError, check_choice
from multiscale_inversion.inversion.stages import Inversion


def _as_logits(logits: Any) -> jax.Array:
  logits = as_shaped(logits, 'logits', ('N', 'C'), 'floating-point numbers')
  if not logits.shape[1]:
    raise UserError(f'logits has the shape {logits.shape}; allowed: [N, C] with C from 1 up')
  return logits


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Return the cross-entropy of softmax predictions, -log softmax(logits)[label].

  Args:
    logits: z^(L), shape [N, C], floating point.
    labels: the classes, integers from 0 to C - 1, shape [N]. For a label out of this range, the
      value is finite and meaningless: mask it.

  Returns:
    Shape [N], from 0 up; finite, with its derivatives, unless the logits' range overflows.
  """
  logits = _as_logits(logits)
  labels = as_shaped(labels, 'labels', logits.shape[:1], 'integers')
  log_probabilities = jax.nn.log_softmax(logits, axis=-1)
  chosen = jnp.clip(labels, 0, logits.shape[-1] - 1)
  return -jnp.take_along_axis(log_probabilities, chosen[:, None], axis=-1)[:, 0]


def entropy(logits: jax.Array) -> jax.Array:
  """Return the entropy of softmax predictions, -sum_c p_c log p_c (Eq. 4), in nats.

  Args:
    logits: z^(L), shape [N, C], floating point.

  Returns:
    Shape [N], from 0 to log(C); finite, with its derivatives, unless the logits' range overflows.
  """
  logits = _as_logits(logits)
  log_probabilities = jax.nn.log_softmax(logits, axis=-1)
  return -jnp.sum(jnp.exp(log_probabilities) * log_probabilities, axis=-1)


def information(logits: jax.Array, mask: jax.Array) -> jax.Array:
  """Return the negative information that observations give on the class, -KL(softmax || mean).

  Its average over the mask is the entropy of predictions minus the entropy of their mean: the
  negative mutual information of observation and class (Bridle, Heading and MacKay, "Unsupervised
  Classifiers, Mutual Information and 'Phantom Targets'", NIPS 1991; Krause, Perona and Gomes,
  "Discriminative Clustering by Regularized Information Maximization", NIPS 2010). Entropy alone
  (Eq. 4) is least when every prediction is certain, even if all are one class; this is least when
  predictions are certain and spread over the classes.

  The mean prediction m is constant for the gradient, so that each observation has its own loss. The
  gradient of the average is still that of the mutual information, as sum_c m_c d log m_c is zero.

  Args:
    logits: z^(L), shape [N, C], floating point.
    mask: 1 for the observations that the mean is taken over, shape [N]; on several devices, the
      mean is over those of all devices.

  Returns:
    Shape [N]; the average over the mask is from -log(C) to 0. Finite, with its derivatives, unless
    the logits' range overflows.
  """
  logits = _as_logits(logits)
  mask = as_shaped(mask, 'mask', logits.shape[:1])
  log_probabilities = jax.nn.log_softmax(logits, axis=-1)
  log_mean = jax.lax.stop_gradient(_log_mean(log_probabilities, mask))
  return jnp.sum(jnp.exp(log_probabilities) * (log_mean[None] - log_probabilities), axis=-1)


def _log_mean(log_probabilities: jax.Array, mask: jax.Array) -> jax.Array:
  """Return the logarithm of the mean of the masked observations' probabilities, shape [C]."""
  probabilities = jnp.where(mask[:, None] > 0, jnp.exp(log_probabilities), 0)
  count = jnp.sum(mask > 0).astype(probabilities.dtype)
  total, count = parallel.sum_over_devices((jnp.sum(probabilities, 0), count))
  tiny = jnp.finfo(probabilities.dtype).tiny  # keeps the logarithm of a zero finite
  return jnp.log(jnp.maximum(total / jnp.maximum(count, 1), tiny))


def reconstruction(z: jax.Array, r: jax.Array) -> jax.Array:
  """Return the squared distance of an activation and its reconstruction, ||z - r||^2 (Eq. 3, 7).

  Args:
    z: an activation z^(l), shape [N, ...].
    r: its reconstruction r^(l), shaped like z.

  Returns:
    Per-observation, shape [N], from 0 up; float32 if z is less precise. Divide by `dimension(z)`
    for the renormalized form of Eq. 8.
  """
  z = as_array(z, 'z')
  r = as_shaped(r, 'r', z.shape)
  z, r = (value.astype(jnp.promote_types(value.dtype, jnp.float32)) for value in (z, r))
  return jnp.sum(jnp.square(z - r), axis=tuple(range(1, z.ndim)))


def dimension(z: jax.Array) -> int:
  """Return D^(l), the number of entries of one observation's activation (Section 2.2), or 1."""
  if not jnp.ndim(z):
    raise UserError('z has the shape (); allowed: (N, ...), the observations along axis 0')
  return max(1, math.prod(jnp.shape(z)[1:]))


def global_reconstruction(inversion: Inversion) -> jax.Array:
  """Return the input's reconstruction loss, (1/D) ||x - r^(0)||^2, the paper's Gamma (Eq. 9).

  Args:
    inversion: activations and reconstructions of N observations.

  Returns:
    Shape [N].
  """
  return layer_reconstruction(inversion, 0)


def layer_reconstruction(inversion: Inversion, layer: int) -> jax.Array:
  """Return the reconstruction loss of one layer, (1/D^(l)) ||z^(l) - r^(l)||^2 (a term of Eq. 8).

  Args:
    inversion: activations and reconstructions of N observations.
    layer: l, from 0 (the input) to L - 1.

  Returns:
    Shape [N].

  Raises:
    UserError: if there is no such layer.
  """
  count = len(inversion.reconstructions)
  if not isinstance(layer, numbers.Integral) or not 0 <= layer < count:
    raise UserError(f'layer: {layer!r}; allowed: 0 to {count - 1}')
  z, r = inversion.activations[layer], inversion.reconstructions[layer]
  return reconstruction(z, r) / dimension(z)


# How a layer is reconstructed:
# `output`: z^(l) from the network's output, r^(l) (Eq. 7).
# `layer`: z^(l) from the next activation, (dz^(l+1)/dz^(l))^T z^(l+1), the local form of stacked
#   autoencoders and ladder networks (Rasmus et al., NIPS 2015, who have a decoder for it).
# `input`: x from the activation z^(l), l = 1, ..., L, (dz^(l)/dx)^T z^(l). Section 2.2 rejects this
#   form, as noise in x reaches every layer's loss.
Form = Literal['output', 'layer', 'input']
FORMS: tuple[str, ...] = get_args(Form)


def layer_losses(
    inversion: Inversion, form: str = 'output', stop_target: bool = False
) -> list[jax.Array]:
  """Return the L reconstruction losses, each divided by its dimension, of shape [N].

  Args:
    inversion: the inversion of N observations; with its `pullbacks` unless the form is `output`.
    form: one of `FORMS`.
    stop_target: whether the reconstructed activation is a constant target, so that the gradient
      only moves the reconstruction towards it.

  Raises:
    UserError: if the pullbacks are needed and missing.
  """
  targets, found = _targets_and_reconstructions(inversion, form)
  if stop_target:
    targets = map(jax.lax.stop_gradient, targets)
  return [reconstruction(z, r) / dimension(z) for z, r in zip(targets, found, strict=True)]


def _targets_and_reconstructions(inversion, form):
  z, count = inversion.activations, len(inversion.reconstructions)
  if form == 'output':
    return z[:-1], inversion.reconstructions
  check_choice('form', form, FORMS)
  back = inversion.pullbacks
  if len(back) != count:
    raise UserError(
        f'{form}; allowed without the pullbacks of a network in layers (invert: '
        'keep_pullbacks=True): output',
        'form',
    )
  if form == 'layer':
    return z[:-1], [back[layer](z[layer + 1]) for layer in range(count)]
  return [z[0]] * count, [_to_input(z[layer + 1], back[: layer + 1]) for layer in range(count)]


def _to_input(r: jax.Array, pullbacks) -> jax.Array:
  for pullback in reversed(pullbacks):
    r = pullback(r)
  return r


def multiscale_reconstruction(
    inversion: Inversion,
    layers: Sequence[int] | None = None,
    stop_target: bool = False,
    layer_weights: Sequence[float] | None = None,
    form: str = 'output',
) -> jax.Array:
  """Return the mean over layers of the reconstruction losses, the paper's lambda (Eq. 10).

  Args:
    inversion: activations and reconstructions of N observations.
    layers: the layers that count; all of 0, ..., L - 1 unless given.
    stop_target: see `layer_losses`.
    layer_weights: weights of the layers that count, in their order; 1 over their number unless
      given.
    form: see `FORMS`.

  Returns:
    Shape [N].

  Raises:
    UserError: if there is no such layer, if the numbers of weights and layers differ, or if the
      pullbacks are needed and missing.
  """
  values = layer_losses(inversion, form, stop_target)
  layers = range(len(values)) if layers is None else layers
  if not isinstance(layers, Iterable) or not layers or not {*layers} <= {*range(len(values))}:
    raise UserError(f'{layers}; allowed: 0 to {len(values) - 1}', 'layers')
  weights = [1 / len(layers)] * len(layers) if layer_weights is None else layer_weights
  if len(weights) != len(layers):
    raise UserError(f'{len(weights)} for {len(layers)} layers', 'layer_weights')
  weighted = [weight * values[layer] for weight, layer in zip(weights, layers, strict=True)]
  return functools.reduce(operator.add, weighted)

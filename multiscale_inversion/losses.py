"""Losses per observation: each takes and returns arrays whose first axis is the observations.

None reduces over the batch: the caller does, with a mask (`metrics.masked_mean`).
"""

import math
import numbers
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
  """Cross-entropy of softmax predictions, -log softmax(logits)[label].

  Args:
    logits: z^(L), shape [N, C], floating point.
    labels: the classes, integers from 0 to C - 1, shape [N]. Where a label lies outside, the
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
  """Entropy of softmax predictions, -sum_c p_c log p_c (Eq. 4), in nats.

  Args:
    logits: z^(L), shape [N, C], floating point.

  Returns:
    Shape [N], from 0 to log(C); finite, with its derivatives, unless the logits' range overflows.
  """
  logits = _as_logits(logits)
  log_probabilities = jax.nn.log_softmax(logits, axis=-1)
  return -jnp.sum(jnp.exp(log_probabilities) * log_probabilities, axis=-1)


def information(logits: jax.Array, mask: jax.Array) -> jax.Array:
  """Negative information that an observation gives on the class, -KL(softmax(logits) || mean).

  Averaged over the observations of the mask it is the entropy of predictions less the entropy of
  their mean, the negative mutual information of observation and class (Bridle, Heading and MacKay,
  "Unsupervised Classifiers, Mutual Information and 'Phantom Targets'", NIPS 1991; Krause, Perona
  and Gomes, "Discriminative Clustering by Regularized Information Maximization", NIPS 2010). Where
  entropy alone (Eq. 4) is least for one class that takes all, this is least for predictions that
  are certain and spread over the classes.

  The mean prediction m is a constant of the differentiation, so that each observation has a loss of
  its own; the average's gradient is the mutual information's all the same, as sum_c m_c d log m_c
  is zero.

  Args:
    logits: z^(L), shape [N, C], floating point.
    mask: 1 for the observations over which the mean is taken, shape [N]; on several devices, over
      those of all devices.

  Returns:
    Shape [N], from -log(C) up to 0 on the average over the mask; finite, with its derivatives,
    unless the logits' range overflows.
  """
  logits = _as_logits(logits)
  mask = as_shaped(mask, 'mask', logits.shape[:1])
  log_probabilities = jax.nn.log_softmax(logits, axis=-1)
  log_mean = jax.lax.stop_gradient(_log_mean(log_probabilities, mask))
  return jnp.sum(jnp.exp(log_probabilities) * (log_mean - log_probabilities), axis=-1)


def _log_mean(log_probabilities: jax.Array, mask: jax.Array) -> jax.Array:
  """Logarithm of the mean of the masked observations' probabilities, shape [C]."""
  probabilities = jnp.where(mask[:, None] > 0, jnp.exp(log_probabilities), 0)
  sums = jnp.append(jnp.sum(probabilities, 0), jnp.sum(mask > 0))  # one message
  sums = parallel.sum_over_devices(sums)
  # A class that nobody predicts has a logarithm all the same: the least that there is.
  tiny = jnp.finfo(log_probabilities.dtype).tiny
  return jnp.log(jnp.maximum(sums[:-1] / jnp.maximum(sums[-1], 1), tiny))


def reconstruction(z: jax.Array, r: jax.Array) -> jax.Array:
  """Squared distance per observation of an activation and its reconstruction, ||z - r||^2 (Eq. 7).

  Args:
    z: an activation z^(l), shape [N, ...].
    r: its reconstruction r^(l), same shape.

  Returns:
    Shape [N], from 0 up; float32 where z is less precise. Divide by `dimension(z)` for the
    renormalized form of Eq. 8.
  """
  z = as_array(z, 'z')
  r = as_shaped(r, 'r', z.shape)
  z, r = (value.astype(jnp.promote_types(value.dtype, jnp.float32)) for value in (z, r))
  return jnp.sum(jnp.square(z - r), axis=tuple(range(1, z.ndim)))


def dimension(z: jax.Array) -> int:
  """D^(l), the number of entries of one observation's activation (Section 2.2), at least 1."""
  if not jnp.ndim(z):
    raise UserError('z has the shape (); allowed: (N, ...), the observations along axis 0')
  return max(1, math.prod(jnp.shape(z)[1:]))


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

  Raises:
    UserError: for a layer that there is not.
  """
  count = len(inversion.reconstructions)
  if not isinstance(layer, numbers.Integral) or not 0 <= layer < count:
    raise UserError(f'layer: {layer!r}; allowed: 0 to {count - 1}')
  z, r = inversion.activations[layer], inversion.reconstructions[layer]
  return reconstruction(z, r) / dimension(z)


# What is compared with each layer's activation z^(l), l = 0, ..., L - 1:
# `output`: r^(l), all the way back from the network's output (Eq. 7).
# `layer`: (dz^(l+1)/dz^(l))^T z^(l+1), back through one layer from its own output, the local form
#   of stacked autoencoders and ladder networks (Rasmus et al., NIPS 2015, has a decoder for it).
# `input`: for l = 1, ..., L the layer's way back to the input, x against (dz^(l)/dx)^T z^(l), the
#   form that Section 2.2 rejects, as noise in x reaches every layer's loss.
Form = Literal['output', 'layer', 'input']
FORMS = get_args(Form)


def layer_losses(
    inversion: Inversion, form: str = 'output', stop_target: bool = False
) -> list[jax.Array]:
  """The L reconstruction losses by dimension, each of shape [N].

  Args:
    inversion: of N observations; with its `pullbacks` where the form is not `output`.
    form: one of `FORMS`.
    stop_target: whether what is reconstructed is a constant target, so that only the
      reconstruction is drawn to it.

  Raises:
    UserError: if the pullbacks are needed and there are none.
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
  """The mean over layers of the reconstruction losses, the paper's lambda (Eq. 10).

  Args:
    inversion: activations and reconstructions of N observations.
    layers: which layers count; all of 0, ..., L - 1 unless given.
    stop_target: whether z^(l) is a constant target, so that only r^(l) is drawn to it.
    layer_weights: of the layers that count, in their order; 1 over their number unless given.
    form: see `FORMS`.

  Returns:
    Shape [N].

  Raises:
    UserError: for a layer that there is not, or if the weights are not as many as the layers; see
      `layer_losses`, too.
  """
  values = layer_losses(inversion, form, stop_target)
  layers = range(len(values)) if layers is None else layers
  if not isinstance(layers, Iterable) or not layers or not {*layers} <= {*range(len(values))}:
    raise UserError(f'{layers}; allowed: 0 to {len(values) - 1}', 'layers')
  weights = [1 / len(layers)] * len(layers) if layer_weights is None else layer_weights
  if len(weights) != len(layers):
    raise UserError(f'{len(weights)} for {len(layers)} layers', 'layer_weights')
  return sum(weight * values[layer] for weight, layer in zip(weights, layers, strict=True))

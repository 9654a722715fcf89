"""MixMatch: guessed and sharpened labels of unlabeled images, all images mixed with each other.

Berthelot et al., "MixMatch: A Holistic Approach to Semi-Supervised Learning", NeurIPS 2019,
arXiv:1905.02249.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp

from multiscale_inversion.objectives.baselines.common import linear_ramp, squared_difference
from multiscale_inversion.objectives.context import ContextTerm, LossOutput
from multiscale_inversion.objectives.objective import Objective, Reduction, of_group
from multiscale_inversion.options import Amount, Range, Share


def sharpened(predictions: jax.Array, temperature: float) -> jax.Array:
  """Return Sharpen(p, T), p_c^(1/T) over its sum, of predictions [N, C] (Eq. 7)."""
  tiny = jnp.finfo(predictions.dtype).tiny  # keeps the logarithm of a zero finite
  return jax.nn.softmax(jnp.log(jnp.maximum(predictions, tiny)) / temperature, axis=-1)


class Mixing(NamedTuple):
  """With which view each of M views is mixed, and how much of itself it keeps.

  Attributes:
    partners: positions of views, int32, shape [M].
    kept: lambda', from 1/2 to 1, shape [M].
  """

  partners: jax.Array
  kept: jax.Array

  def __call__(self, values: jax.Array) -> jax.Array:
    """Return lambda' v + (1 - lambda') v of the partner, for values [M, ...] (Eq. 8 to 11)."""
    kept = self.kept.reshape(-1, *[1] * (values.ndim - 1)).astype(values.dtype)
    return kept * values + (1 - kept) * values[self.partners]


def mixing(key: jax.Array, valid: jax.Array, alpha: float) -> Mixing:
  """Draw partners, a random permutation of the valid views, and lambda' = max(l, 1 - l).

  Args:
    key: random key.
    valid: which of the views there are, bool, shape [M]. The others are mixed with each other.
    alpha: of the distribution Beta(alpha, alpha), which l is drawn from for each view.
  """
  order_key, share_key = jax.random.split(key)
  # Valid views come first in both orders: in their own one, and in a random one.
  order = jax.random.uniform(order_key, valid.shape)
  shuffled = jnp.argsort(jnp.where(valid, order, 2 + order))
  places = jnp.argsort(~valid, stable=True)
  partners = jnp.zeros_like(places).at[places].set(shuffled)
  share = jax.random.beta(share_key, alpha, alpha, valid.shape)
  return Mixing(partners, jnp.maximum(share, 1 - share))


def mixed_passes(
    weight: float,
    rampup: float,
    temperature: float,
    concentration: float,
    num_augmentations: int,
    reduction: Reduction,
) -> ContextTerm:
  """Return the losses of mixed images, L_X + lambda_U L_U (Eq. 2 to 5).

  The first view of an image is what the network saw in the main pass, and a labeled image has no
  other. Mixed views go through the network in passes of their own, one for each of the K
  augmentations. On several devices, each mixes its own share of the batch.
  """
  ramp = linear_ramp(weight, 0, rampup)

  def views(key, inversion, context):
    """Return K views of all images, [K, N, ...], and the mean prediction over them, [N, C]."""
    images, predictions = [context.inputs], [jax.nn.softmax(inversion.activations[-1])]
    for k in range(1, num_augmentations):
      augmentation, dropout = jax.random.split(jax.random.fold_in(key, k))
      images.append(context.weak(augmentation, context.images))
      predictions.append(jax.nn.softmax(context.predict(images[-1], dropout)))
    return jnp.stack(images), jax.lax.stop_gradient(sum(predictions) / num_augmentations)

  def loss(inversion, labels, mask, context):
    view_key, mix_key, pass_key = jax.random.split(context.key, 3)
    images, guessed = views(view_key, inversion, context)
    num_classes, is_labeled = guessed.shape[-1], mask > 0
    known = jax.nn.one_hot(labels, num_classes, dtype=guessed.dtype)
    targets = jnp.where(is_labeled[:, None], known, sharpened(guessed, temperature))
    # Of labeled images, the first view alone.
    valid = ~is_labeled[None] | (jnp.arange(num_augmentations) == 0)[:, None]
    mix = mixing(mix_key, valid.reshape(-1), concentration)
    mixed = mix(images.reshape(-1, *images.shape[2:])).reshape(images.shape)
    soft = mix(jnp.tile(targets, (num_augmentations, 1))).reshape(-1, *targets.shape)

    logits = jnp.stack([
        context.predict(mixed[k], jax.random.fold_in(pass_key, k))
        for k in range(num_augmentations)
    ])
    cross_entropy = -jnp.sum(soft[0] * jax.nn.log_softmax(logits[0]), axis=-1)
    consistency = jnp.mean(jax.vmap(squared_difference)(logits, soft), axis=0)
    values = of_group(cross_entropy, mask, reduction)
    values += ramp(context.progress) * of_group(consistency, 1 - mask, reduction)
    return LossOutput(values)

  return ContextTerm(loss, scheduled=True)


def mixmatch(
    weight: Amount = 75.0,
    rampup: Share = 0.25,
    temperature: Annotated[float, Range(1e-3, 1e3)] = 0.5,
    concentration: Annotated[float, Range(1e-3, 1e3)] = 0.75,
    num_augmentations: Annotated[int, Range(1, 100)] = 2,
    reduction: Reduction = 'group',
) -> Objective:
  """Return MixMatch's losses of mixed labeled and unlabeled images (Eq. 2 to 5).

  The plain cross-entropy of labeled images is not among them: it is that of mixed ones.

  Args:
    weight: weight of the unlabeled observations' loss after its linear ramp, lambda_U.
    rampup: length of the ramp, a share of the training.
    temperature: T, by which guessed labels are sharpened.
    concentration: alpha of the distribution Beta(alpha, alpha) that shares of a mix are drawn from.
    num_augmentations: K, the views of an unlabeled image, over which its label is guessed.
    reduction: over which observations a loss is averaged, see `objective.labeled`.
  """
  term = mixed_passes(weight, rampup, temperature, concentration, num_augmentations, reduction)
  return Objective([(1.0, term)], inverts=False)

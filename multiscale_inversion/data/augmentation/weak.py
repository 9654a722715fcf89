"""Weak augmentations: noise, shifts and flips.

Pixels that move in over a border take the border's value, because zero is an image's mean and not
the background of a digit.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

import chex
import jax
import jax.numpy as jnp

from multiscale_inversion.options import Range, Share, checked

Augmentation = Callable[[jax.Array, jax.Array], jax.Array]

MaxShift = Annotated[int, Range(0, 2**15)]


def none() -> Augmentation:
  """Return the images as they are."""
  return lambda key, images: images


@checked
def noise(std: Annotated[float, Range(0, 2**15)] = 0.15) -> Augmentation:
  """Add Gaussian noise, independent in every value.

  The sum is not clipped and may leave [-1, 1], so that its mean is the image.

  Args:
    std: standard deviation of the noise. The default is that of Laine and Aila, "Temporal
      Ensembling for Semi-Supervised Learning", ICLR 2017, arXiv:1610.02242.
  """

  def augment(key, images):
    return images + std * jax.random.normal(key, images.shape, images.dtype)

  return augment


@checked
def shift(max_shift: MaxShift | None = None) -> Augmentation:
  """Translate by whole pixels, vertically and horizontally, the border's values repeated.

  Args:
    max_shift: largest shift in each direction, in pixels; a sixteenth of the shorter edge unless
      given. Shifts are uniform from -max_shift to max_shift.
  """

  def augment(key, images):
    chex.assert_rank(images, 4)
    count, *shape = images.shape
    margin = default_shift(min(shape[:2])) if max_shift is None else max_shift
    padded = jnp.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode='edge')
    crop = lambda key, image: _random_crop(key, image, shape)
    return jax.vmap(crop)(jax.random.split(key, count), padded)

  return augment


def _random_crop(key: jax.Array, image: jax.Array, shape: Sequence[int]) -> jax.Array:
  """Cut a window of the given shape out of an image, at a uniformly random position."""
  room = [size - wanted + 1 for size, wanted in zip(image.shape, shape, strict=True)]
  keys = jax.random.split(key, len(room))
  starts = [jax.random.randint(own, (), 0, count) for own, count in zip(keys, room, strict=True)]
  return jax.lax.dynamic_slice(image, starts, shape)


def default_shift(edge: int) -> int:
  """Return a sixteenth of the edge: 2 pixels of 32 (Laine and Aila), 1 of 8."""
  return max(1, round(edge / 16))


@checked
def flip(probability: Share = 0.5) -> Augmentation:
  """Exchange left and right in some of the images.

  Args:
    probability: probability of an image's flip.
  """

  def augment(key, images):
    chex.assert_rank(images, 4)
    keys, share = jax.random.split(key, len(images)), float(probability)  # 0 and 1 may be whole
    return flip_where(jax.vmap(lambda own: jax.random.bernoulli(own, share))(keys), images)

  return augment


def flip_where(chosen: jax.Array, images: jax.Array) -> jax.Array:
  """Exchange left and right in the chosen images.

  Args:
    chosen: bool, shape [N].
    images: shape [N, H, W, C].
  """
  return jnp.where(chosen[:, None, None, None], images[:, :, ::-1], images)


def flip_shift(max_shift: MaxShift | None = None, probability: Share = 0.5) -> Augmentation:
  """Flip, then shift: the usual weak augmentation of CIFAR-10.

  Sohn et al., "FixMatch", NeurIPS 2020, arXiv:2001.07685, with shifts of up to an eighth of the
  edge (`max_shift=4` of 32).

  Args:
    max_shift: see `shift`.
    probability: see `flip`.
  """
  return compose(flip(probability), shift(max_shift))


def compose(*augmentations: Augmentation) -> Augmentation:
  """Apply one augmentation after the other, each with a key of its own."""

  def augment(key, images):
    for index, augmentation in enumerate(augmentations):
      images = augmentation(jax.random.fold_in(key, index), images)
    return images

  return augment

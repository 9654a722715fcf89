"""Random changes of images that keep their class, as pure functions on the device, by name.

An augmentation is a function `(key, images) -> images`: normalized images as `normalize` makes
them, float32 in [-1, 1], shape [N, H, W, C], to images of the same shape. Each image has random
draws of its own. What moves in over a border has the value of the border: zero is an image's mean,
and of a digit not the background.
"""

import inspect
from collections.abc import Callable

import chex
import dm_pix as pix
import jax
import jax.numpy as jnp

from multiscale_inversion.data.augmentation.strong import cutout, strong
from multiscale_inversion.errors import check_options, check_range
from multiscale_inversion.registry import Registry

Augmentation = Callable[[jax.Array, jax.Array], jax.Array]

_HUGE = 2**15


def none() -> Augmentation:
  """Images as they are."""
  return lambda key, images: images


def noise(std: float = 0.15) -> Augmentation:
  """Gaussian noise, independent in every value.

  The sum is not clipped and may leave [-1, 1], so that its mean is the image.

  Args:
    std: standard deviation, from 0 up. The default is that of Laine and Aila, "Temporal Ensembling
      for Semi-Supervised Learning", ICLR 2017, arXiv:1610.02242.

  Raises:
    UserError: for a standard deviation out of range.
  """
  check_range('augmentation.std', std, 0, _HUGE)

  def augment(key, images):
    return images + std * jax.random.normal(key, images.shape, images.dtype)

  return augment


def shift(max_shift: int | None = None) -> Augmentation:
  """A translation by whole pixels, up and down and to the sides, the border's values repeated.

  Args:
    max_shift: of the shifts, uniform from -max_shift to max_shift in each direction, in pixels; in
      proportion to the shorter edge unless given, see `default_shift`.

  Raises:
    UserError: for a negative maximum.
  """
  if max_shift is not None:
    check_range('augmentation.max_shift', max_shift, 0, _HUGE)

  def augment(key, images):
    chex.assert_rank(images, 4)
    count, *shape = images.shape
    margin = default_shift(min(shape[:2])) if max_shift is None else max_shift
    padded = jnp.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode='edge')
    crop = lambda key, image: pix.random_crop(key, image, tuple(shape))
    return jax.vmap(crop)(jax.random.split(key, count), padded)

  return augment


def default_shift(edge: int) -> int:
  """A sixteenth of the edge: 2 pixels of 32 (Laine and Aila), 1 of 8."""
  return max(1, round(edge / 16))


def flip(probability: float = 0.5) -> Augmentation:
  """Left and right exchanged in a part of the images.

  Args:
    probability: of an exchange, in [0, 1].

  Raises:
    UserError: for a probability out of range.
  """
  check_range('augmentation.probability', probability, 0, 1)

  def augment(key, images):
    chex.assert_rank(images, 4)
    flip_some = lambda key, image: pix.random_flip_left_right(key, image, probability=probability)
    return jax.vmap(flip_some)(jax.random.split(key, len(images)), images)

  return augment


def flip_shift(max_shift: int | None = None) -> Augmentation:
  """A flip of half of the images, then a shift: the usual weak augmentation of CIFAR-10.

  Sohn et al., "FixMatch", NeurIPS 2020, arXiv:2001.07685, with shifts of up to an eighth of the
  edge (`max_shift=4` of 32).

  Args:
    max_shift: as of `shift`.

  Raises:
    UserError: for a negative maximum.
  """
  return compose(flip(), shift(max_shift))


def compose(*augmentations: Augmentation) -> Augmentation:
  """One augmentation after the other, each with a key of its own."""

  def augment(key, images):
    for index, augmentation in enumerate(augmentations):
      images = augmentation(jax.random.fold_in(key, index), images)
    return images

  return augment


_AUGMENTATIONS: Registry[Callable[..., Augmentation]] = Registry('augmentation', {
    'none': none,
    'noise': noise,
    'shift': shift,
    'flip': flip,
    'flip_shift': flip_shift,
    'cutout': cutout,
    'strong': strong,
})


def names() -> tuple[str, ...]:
  """The names that `create` takes."""
  return _AUGMENTATIONS.names()


def register(name: str, constructor: Callable[..., Augmentation]) -> None:
  """Makes an augmentation known to `create`; the constructor's arguments are its options.

  Raises:
    ValueError: see `Registry.register`.
  """
  _AUGMENTATIONS.register(name, constructor)


def create(name: str, **options) -> Augmentation:
  """Returns the augmentation called `name`.

  Args:
    name: one of `names()`.
    **options: arguments of its constructor, the function of that name in this module.

  Raises:
    UserError: for an unknown name or option, or a value out of range.
  """
  constructor = _AUGMENTATIONS[name]
  check_options('augmentation', name, options, inspect.signature(constructor).parameters)
  return constructor(**options)

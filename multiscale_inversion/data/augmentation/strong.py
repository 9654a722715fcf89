"""A strong augmentation like RandAugment, for images that are normalized one by one.

Two random operations, then Cutout, as in Sohn et al., "FixMatch", NeurIPS 2020, arXiv:2001.07685
(Cubuk et al., "RandAugment", 2020, arXiv:1909.13719; DeVries and Taylor, "Improved Regularization
of Convolutional Neural Networks with Cutout", 2017, arXiv:1708.04552). Four of FixMatch's
operations are left out: the normalization of each image undoes brightness, contrast and
auto-contrast, and equalization does little else to such images. Zoom is added. Sharpness and color
go from 0.05 to 1.95; FixMatch's go to 0.95.

An operation that an image did not draw has neutral parameters, the identity. So there is no branch:
all images go through the same few array operations, and the operations that move pixels are one
affine map with one interpolation. The order is fixed: moves, sharpness, solarize, posterize, color.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from multiscale_inversion.data.augmentation.weak import (
    Augmentation,
    MaxShift,
    compose,
    flip_shift,
    flip_where,
    shift,
)
from multiscale_inversion.options import Range, Share, checked

MAX_ROTATION = 30  # degrees
MAX_SHEAR = 0.3
MAX_TRANSLATION = 0.3  # of the edge
MAX_ZOOM = 1.3  # a factor, or its inverse
ENHANCEMENT = (0.05, 1.95)  # of sharpness and color; below 1 is blur, and gray
BITS = (4, 8)  # of posterize, below the second
THRESHOLD = (0.0, 1.0)  # of solarize
LUMA = (0.2989, 0.5870, 0.1140)  # weights of red, green and blue, ITU-R BT.601

_MOVES = ('rotation', 'shear_x', 'shear_y', 'translation_x', 'translation_y', 'zoom')
_PIXELS = ('sharpness', 'solarize', 'posterize', 'color')
OPERATIONS = ('identity', *_MOVES, *_PIXELS)
NumOperations = Annotated[int, Range(0, len(OPERATIONS) - 1)]


class Draws(NamedTuple):
  """The parameters drawn for N images, each of shape [N]; in brackets the neutral value.

  Attributes:
    rotation: angle, counter-clockwise, in radians (0).
    shear_x, shear_y: pixels to the right for each pixel down, and down for each to the right (0).
    translation_x, translation_y: parts of the edge, to the right and down (0).
    zoom: factor, greater than 1 magnifies (1).
    sharpness: weight of the image against the smoothed one (1).
    solarize: threshold in [0, 1], above which values are inverted (2).
    posterize: number of grey levels; 0 leaves all (0).
    color: weight of the image against its luma (1).
  """

  rotation: jax.typing.ArrayLike
  shear_x: jax.typing.ArrayLike
  shear_y: jax.typing.ArrayLike
  translation_x: jax.typing.ArrayLike
  translation_y: jax.typing.ArrayLike
  zoom: jax.typing.ArrayLike
  sharpness: jax.typing.ArrayLike
  solarize: jax.typing.ArrayLike
  posterize: jax.typing.ArrayLike
  color: jax.typing.ArrayLike


NEUTRAL = Draws(*map(np.float32, (0, 0, 0, 0, 0, 1, 1, 2, 0, 1)))


@checked
def strong(
    num_operations: NumOperations = 2,
    max_cutout: Share = 0.5,
    flip: bool = False,
) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """Apply different random operations to each image, then Cutout.

  Args:
    num_operations: how many of `OPERATIONS` are drawn for each image. `color` is drawn only for
      images of three channels.
    max_cutout: the largest edge of Cutout as a part of the image's shorter one.
    flip: whether left and right are exchanged in half of the images first. Not the default, because
      it changes the class of digits and letters.

  Returns:
    An augmentation, see `augmentation`; its images are clipped to [-1, 1].
  """
  cut = cutout(max_cutout)

  def augment(key, images):
    chex.assert_rank(images, 4)
    flip_key, draw_key, cut_key = jax.random.split(key, 3)
    if flip:
      images = flip_where(jax.random.bernoulli(flip_key, 0.5, [len(images)]), images)
    drawn = draw(draw_key, len(images), num_operations, colored=images.shape[-1] == 3)
    return cut(cut_key, apply(drawn, images))

  return augment


def shift_strong(
    max_shift: MaxShift | None = None, num_operations: NumOperations = 2, max_cutout: Share = 0.5
) -> Augmentation:
  """Shift, then change strongly: FixMatch's strong view where the weak one is `shift`.

  Args:
    max_shift: see `shift`.
    num_operations: see `strong`.
    max_cutout: see `strong`.
  """
  return compose(shift(max_shift), strong(num_operations, max_cutout))


def flip_shift_strong(
    max_shift: MaxShift | None = None,
    probability: Share = 0.5,
    num_operations: NumOperations = 2,
    max_cutout: Share = 0.5,
) -> Augmentation:
  """Flip, shift, then change strongly: FixMatch's strong view where the weak one is `flip_shift`.

  Args:
    max_shift: see `shift`.
    probability: see `flip`.
    num_operations: see `strong`.
    max_cutout: see `strong`.
  """
  return compose(flip_shift(max_shift, probability), strong(num_operations, max_cutout))


@checked
def cutout(max_cutout: Share = 0.5) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """Set a square of each image to zero, the mean of normalized images.

  The edge is uniform from 0 to the maximum, the center any pixel; parts of the square may lie
  outside the image.

  Args:
    max_cutout: the largest edge of the square as a part of the image's shorter one.

  Returns:
    An augmentation, see `augmentation`.
  """

  def augment(key, images):
    chex.assert_rank(images, 4)
    count, height, width, _ = images.shape
    edge_key, row_key, column_key = jax.random.split(key, 3)
    edge = jax.random.randint(edge_key, [count], 0, int(max_cutout * min(height, width)) + 1)
    rows = _within(jax.random.randint(row_key, [count], 0, height), edge, height)
    columns = _within(jax.random.randint(column_key, [count], 0, width), edge, width)
    cut = rows[:, :, None, None] & columns[:, None, :, None]
    return jnp.where(cut, 0, images)

  return augment


def _within(center: jax.Array, length: jax.Array, size: int) -> jax.Array:
  """Return which of `size` pixels lie in each image's interval, shape [N, size]."""
  first = (center - length // 2)[:, None]
  position = jnp.arange(size)[None]
  return (position >= first) & (position < first + length[:, None])


def draw(key: jax.Array, count: int, num_operations: int, colored: bool) -> Draws:
  """Draw different operations for each image, and their strengths.

  Args:
    key: random key.
    count: N, the number of images.
    num_operations: how many are drawn for each image.
    colored: whether `color` is among the operations.
  """
  choice_key, level_key = jax.random.split(key)
  operations = OPERATIONS if colored else OPERATIONS[:-1]
  # The positions of the smallest of independent numbers are a choice without repetition.
  order = jnp.argsort(jax.random.uniform(choice_key, [count, len(operations)]), axis=1)
  chosen = order[:, :num_operations]
  levels = _levels(jax.random.uniform(level_key, [len(Draws._fields), count]))
  values = []
  for name, level, neutral in zip(Draws._fields, levels, NEUTRAL, strict=True):
    is_drawn = jnp.any(chosen == OPERATIONS.index(name), axis=1)
    values.append(jnp.where(is_drawn, level, neutral).astype(jnp.float32))
  return Draws(*values)


def _levels(uniform: jax.Array) -> Draws:
  """Return the operations' levels for numbers uniform in [0, 1), one row an operation."""
  unit = Draws(*uniform)
  both_ways = lambda value, most: most * (2 * value - 1)
  between = lambda value, low, high: low + (high - low) * value
  return Draws(
      rotation=jnp.deg2rad(both_ways(unit.rotation, MAX_ROTATION)),
      shear_x=both_ways(unit.shear_x, MAX_SHEAR),
      shear_y=both_ways(unit.shear_y, MAX_SHEAR),
      translation_x=both_ways(unit.translation_x, MAX_TRANSLATION),
      translation_y=both_ways(unit.translation_y, MAX_TRANSLATION),
      zoom=MAX_ZOOM ** both_ways(unit.zoom, 1),
      sharpness=between(unit.sharpness, *ENHANCEMENT),
      solarize=between(unit.solarize, *THRESHOLD),
      posterize=2 ** jnp.floor(between(unit.posterize, *BITS)),
      color=between(unit.color, *ENHANCEMENT),
  )


def apply(drawn: Draws, images: jax.Array) -> jax.Array:
  """Apply the operations drawn, without Cutout.

  Args:
    drawn: their parameters, for N images.
    images: in [-1, 1], shape [N, H, W, C].

  Returns:
    Images of the same shape, clipped to [-1, 1].
  """
  images = jax.vmap(move)(images, drawn)
  per_image = {name: getattr(drawn, name)[:, None, None, None] for name in _PIXELS}
  images = images + (1 - per_image['sharpness']) * (smooth(images) - images)
  pixels = jnp.clip((images + 1) / 2, 0, 1)
  pixels = jnp.where(pixels < per_image['solarize'], pixels, 1 - pixels)
  pixels = _posterize(pixels, per_image['posterize'])
  images = 2 * pixels - 1
  if images.shape[-1] == 3:
    gray = jnp.tensordot(images, jnp.array(LUMA, images.dtype), 1)[..., None]
    images = jnp.clip(images + (1 - per_image['color']) * (gray - images), -1, 1)
  return images


def move(image: jax.Array, drawn: Draws) -> jax.Array:
  """Shear an image in x, then in y, rotate and zoom it about its center, and translate it.

  Interpolation is linear; beyond the border the border's value is repeated.

  Args:
    image: shape [H, W, C].
    drawn: this image's parameters, scalars.
  """
  height, width, _ = image.shape
  rows, columns = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing='ij')
  y = rows - (height - 1) / 2 - drawn.translation_y * height
  x = columns - (width - 1) / 2 - drawn.translation_x * width
  # Backwards: from the place of a pixel in the result to the place that it comes from.
  cosine, sine = jnp.cos(drawn.rotation) / drawn.zoom, jnp.sin(drawn.rotation) / drawn.zoom
  y, x = cosine * y + sine * x, cosine * x - sine * y
  y = y - drawn.shear_y * x
  x = x - drawn.shear_x * y
  source = [y + (height - 1) / 2, x + (width - 1) / 2]
  take = lambda channel: jax.scipy.ndimage.map_coordinates(channel, source, 1, 'nearest')
  return jax.vmap(take, -1, -1)(image)


def smooth(images: jax.Array) -> jax.Array:
  """Return each value's mean with its eight neighbours, itself counted five times.

  This is the degenerate image of Pillow's `ImageEnhance.Sharpness`, except at the border, whose
  values are repeated outside.

  Args:
    images: shape [N, H, W, C].
  """
  # Sums of shifted images: on a CPU a convolution took several times as long, in a trial.
  _, height, width, _ = images.shape
  padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode='edge')
  rows = padded[:, :height] + padded[:, 1 : 1 + height] + padded[:, 2 : 2 + height]
  total = rows[:, :, :width] + rows[:, :, 1 : 1 + width] + rows[:, :, 2 : 2 + width]
  return (total + 4 * images) / 13


def _posterize(pixels: jax.Array, levels: jax.Array) -> jax.Array:
  """Round pixels in [0, 1] down to one of `levels` levels; 0 levels leave them as they are."""
  count = jnp.maximum(levels, 1)
  return jnp.where(levels > 0, jnp.minimum(jnp.floor(pixels * count), count - 1) / count, pixels)

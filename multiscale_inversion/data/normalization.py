"""The normalization of what a network is given: the paper's, of each image."""

import jax
import jax.numpy as jnp

_IMAGES = 4  # axes

@jax.jit
def normalize(images: jax.Array) -> jax.Array:
  """Center each image and divide it by its maximum absolute value (Section 3.1).

  x <- (x - mean(x)) / max |x - mean(x)|, over all pixels and channels of one image. Sequences and
  features are taken as they are: their values have scales of their own, which an observation's mean
  and maximum would mix.

  Args:
    images: shape [N, H, W, C], [N, time, features] or [N, features]; uint8 or any real type.

  Returns:
    float32, same shape; images in [-1, 1], each image's mean zero and its maximum absolute value
    one. An image of one constant value becomes zeros.
  """
  if images.ndim != _IMAGES:
    return images.astype(jnp.float32)
  axes = tuple(range(1, images.ndim))
  x = images.astype(jnp.float32)
  # The first pixel is taken off before the mean: then a constant image is exactly zero, however
  # the mean is rounded.
  x = x - x[(slice(None), *([slice(0, 1)] * len(axes)))]
  x = x - jnp.mean(x, axes, keepdims=True)
  largest = jnp.max(jnp.abs(x), axes, keepdims=True)
  return x / jnp.where(largest > 0, largest, 1)

"""Dropout whose masks cost little to draw."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend import random as jax_random

from multiscale_inversion import platforms

# Masks are drawn in pieces of so many 32-bit words, which stay in a CPU's cache.
_CHUNK_WORDS = 2**16
_LEVELS = 2**16
# Generators of the masks' bits, by their names in JAX.
GENERATORS = ('threefry', 'rbg')
_THREEFRY = 'threefry2x32'


class Dropout(nn.Module):
  """Dropout (Srivastava et al., JMLR 15, 2014): in training, zero values at random.

  Like `flax.linen.Dropout`, but masks are drawn at 16 bits a value, from both halves of each of
  Threefry's words. In a profile on a CPU, drawing 32 bits a value as `jax.random.bernoulli` does
  took a quarter of a training step of the Large CNN.

  Attributes:
    rate: share of the values dropped, in [0, 1); rounded to a multiple of 2^-16.
  """

  rate: float

  @nn.compact
  def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
    """Drop values of x, and divide the others by the share that is kept.

    Args:
      x: any floating-point array.
      deterministic: return x unchanged; otherwise `apply` needs `rngs={'dropout': key}`.

    Returns:
      An array of the shape and the dtype of x.
    """
    dropped = dropped_levels(self.rate)
    if deterministic or not dropped or not x.size:
      return x
    kept = keep_mask(self.make_rng('dropout'), dropped, x.shape)
    return jnp.where(kept, x / (1 - dropped / _LEVELS), jnp.zeros_like(x))


def dropped_levels(rate: float) -> int:
  """Return a rate in units of 2^-16, at most 2^16 - 1 of them."""
  return min(round(rate * _LEVELS), _LEVELS - 1)


def generator_key(key: jax.Array, generator: str) -> jax.Array:
  """Return a key of another generator for the masks that a key stands for.

  Args:
    key: random key of JAX's default generator, Threefry.
    generator: `threefry` returns the key itself, and a mask is the same on every device and with
      every version. `rbg` is XLA's own generator, `jax.random.key(seed, impl='rbg')`, which a TPU
      has in hardware; its masks are others on other kinds of devices, and may be others with other
      versions of XLA or with several seeds `vectorized`.
  """
  if generator == 'threefry':
    return key
  data = jax.random.key_data(key)
  return jax.random.wrap_key_data(jnp.concatenate([data, data], -1), impl=generator)


def keep_mask(key: jax.Array, dropped: int, shape: tuple[int, ...]) -> jax.Array:
  """Draw a mask of the values to keep.

  Args:
    key: random key, of Threefry or of another generator, whose bits are drawn at once.
    dropped: the probability that a value is dropped, in units of 2^-16.
    shape: shape of the mask.

  Returns:
    An array of bool of that shape, True where a value is kept.
  """
  if str(jax.random.key_impl(key)) != _THREEFRY:
    return jax.random.bits(key, shape, jnp.uint16) >= dropped
  count = math.prod(shape)
  words = -(-count // 2)
  chunk = min(words, _CHUNK_WORDS)

  def draw(index: jax.Array) -> jax.Array:
    drawn = _random_words(key, index, chunk)
    return jnp.stack([drawn & (_LEVELS - 1), drawn >> 16]) >= dropped

  chunks = jnp.arange(-(-words // chunk), dtype=jnp.uint32)
  # A CPU's cache holds a piece at a time. An accelerator would launch kernels for each: there, the
  # same words are drawn at once.
  in_turn = platforms.current() == platforms.CPU
  mask = jax.lax.map(draw, chunks) if in_turn else jax.vmap(draw)(chunks)
  return mask.reshape(-1)[:count].reshape(shape)


def _random_words(key: jax.Array, index: jax.Array, count: int) -> jax.Array:
  """Return the `index`-th chunk of `count` random 32-bit words of a key of Threefry's."""
  # One block of the cipher makes two words; `jax.random.bits` takes a block for each word.
  counters = index * jnp.uint32(count) + jnp.arange(count, dtype=jnp.uint32)
  return jax_random.threefry_2x32(jax.random.key_data(key), counters)

"""Masks against the binomial distribution, and what is done with them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from multiscale_inversion.nn import dropout
from multiscale_inversion.nn.dropout import Dropout

pytestmark = pytest.mark.usefixtures('little_optimization')


def apply(x, rate, seed=0, impl=None):
  key = jax.random.key(seed, impl=impl)
  return Dropout(rate).apply({}, x, deterministic=False, rngs={'dropout': key})


@pytest.mark.parametrize('rate', [0.2, 0.5, 0.9])
@pytest.mark.parametrize('impl', ['threefry2x32', 'rbg'])
def test_share_and_scale(rate, impl):
  count = 300_001  # several chunks, the last not full, an odd number
  y = np.asarray(apply(jnp.ones(count), rate, impl=impl))
  np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - rate)], rtol=1e-3)
  # Far outside the binomial distribution's range only once in a million seeds.
  low, high = scipy.stats.binom.ppf([5e-7, 1 - 5e-7], count, rate)
  assert low <= np.sum(y == 0) <= high


def test_values_are_independent():
  """Of their neighbors, of the other half of their word, of other chunks and other keys."""
  half = dropout._CHUNK_WORDS
  masks = [np.asarray(apply(jnp.ones(4 * half), 0.5, seed)) == 0 for seed in (0, 1)]
  pairs = {'key': (masks[0], masks[1])}
  for name, lag in (('neighbor', 1), ('row', 32), ('half', half), ('chunk', 2 * half)):
    pairs[name] = masks[0][:-lag], masks[0][lag:]
  for name, (a, b) in pairs.items():
    equal = int(np.sum(a == b))
    assert scipy.stats.binomtest(equal, len(a), 0.5).pvalue > 1e-6, name


def test_no_draw_repeats():
  words = [
    np.asarray(dropout._random_words(jax.random.key(3), jnp.uint32(index), 1000))
    for index in range(3)
  ]
  # Among 3,000 words of 32 bits, one in a thousand seeds has a repetition.
  assert len(np.unique(np.concatenate(words))) == 3000


def test_mask_is_a_function_of_the_key_and_not_of_compilation():
  x = jnp.ones((50, 7, 3))
  first = apply(x, 0.2)
  np.testing.assert_array_equal(jax.jit(lambda x: apply(x, 0.2))(x), first)
  assert np.any(apply(x, 0.2, seed=1) != first)
  keys = jnp.stack([jax.random.key(0), jax.random.key(1)])
  draw = lambda key: Dropout(0.2).apply({}, x, deterministic=False, rngs={'dropout': key})
  np.testing.assert_array_equal(jax.vmap(draw)(keys)[0], first)


def test_unchanged_where_nothing_is_dropped():
  x = jnp.arange(4.0)
  np.testing.assert_array_equal(Dropout(0.2).apply({}, x, deterministic=True), x)
  np.testing.assert_array_equal(Dropout(0.0).apply({}, x, deterministic=False), x)


def test_almost_everything_dropped_stays_finite():
  assert np.all(np.isfinite(apply(jnp.ones(10_000), 0.9999999)))


def test_type_and_gradient():
  x = jnp.linspace(1, 2, 100, dtype=jnp.bfloat16)
  y = apply(x, 0.5)
  assert y.dtype == jnp.bfloat16
  gradient = jax.grad(lambda x: jnp.sum(apply(x, 0.5)).astype(float))(x)
  np.testing.assert_array_equal(gradient, np.where(np.asarray(y) == 0, 0, 2))


def test_layers_of_a_network_draw_masks_of_their_own():
  class Two(nn.Module):
    @nn.compact
    def __call__(self, x):
      return Dropout(0.5)(x, deterministic=False), Dropout(0.5)(x, deterministic=False)

  one, other = Two().apply({}, jnp.ones(1000), rngs={'dropout': jax.random.key(0)})
  assert np.any(np.asarray(one) != np.asarray(other))


def test_threefry_keys_are_taken_as_they_are():
  key = jax.random.key(4)
  assert dropout.generator_key(key, 'threefry') is key


def test_a_key_of_xlas_generator_is_jaxs_own():
  # JAX's seed of it is Threefry's, twice.
  found = dropout.generator_key(jax.random.key(4), 'rbg')
  expected = jax.random.key(4, impl='rbg')
  np.testing.assert_array_equal(jax.random.key_data(found), jax.random.key_data(expected))
  assert jax.random.key_impl(found) == jax.random.key_impl(expected)
  many = dropout.generator_key(jax.random.split(jax.random.key(4), 3), 'rbg')
  assert many.shape == (3,)

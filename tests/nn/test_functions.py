import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from multiscale_inversion.errors import UserError
from multiscale_inversion.nn import functions
from multiscale_inversion.nn.blocks import Classifier

pytestmark = pytest.mark.usefixtures('little_optimization')

REDUCE = {'mean': np.mean, 'max': np.max}


def _pool(x, size, pooling):
  """Window by window."""
  n, height, width, channels = x.shape
  y = np.zeros((n, height // size, width // size, channels))
  for i in range(height // size):
    for j in range(width // size):
      window = x[:, i * size : (i + 1) * size, j * size : (j + 1) * size]
      y[:, i, j] = REDUCE[pooling](window, axis=(1, 2))
  return y


@pytest.mark.parametrize('pooling', ['mean', 'max'])
@pytest.mark.parametrize(
    ('height', 'width', 'size'), [(4, 6, 2), (5, 7, 2), (7, 4, 3), (3, 4, 1)]
)
def test_pooling_against_a_loop(pooling, height, width, size):
  x = np.random.RandomState(0).standard_normal((2, height, width, 3)).astype(np.float32)
  found = jax.jit(functions.pool, static_argnums=(1, 2))(x, size, pooling)
  assert found.shape == (2, height // size, width // size, 3)
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, _pool(x, size, pooling), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('pooling', ['mean', 'max'])
def test_the_last_row_and_column_of_an_odd_size_have_no_part(pooling):
  x = np.random.RandomState(1).standard_normal((1, 5, 5, 2))
  other = x.copy()
  other[:, 4], other[:, :, 4] = 1e6, np.inf
  np.testing.assert_array_equal(
      functions.pool(jnp.asarray(other), 2, pooling), functions.pool(jnp.asarray(x), 2, pooling)
  )
  gradient = jax.grad(lambda x: jnp.sum(functions.pool(x, 2, pooling)))(jnp.asarray(x))
  assert not np.any(gradient[:, 4])
  assert not np.any(gradient[:, :, 4])
  np.testing.assert_allclose(np.sum(gradient), 2 * 2 * 2, rtol=1e-6)


def test_the_first_place_of_a_maximum_takes_its_gradient():
  x = np.array(
      [
          [1, 1, 0, 5],
          [1, 0, 2, 3],
          [7, 7, 4, 4],
          [7, 7, -1, 0],
      ],
      np.float32,
  )
  cotangent = np.array([[6, 10], [12, 8]], np.float32)
  expected = np.array(
      [
          [6, 0, 0, 10],
          [0, 0, 0, 0],
          [12, 0, 8, 0],
          [0, 0, 0, 0],
      ]
  )
  images = jnp.asarray(x)[None, :, :, None]
  pooled, pullback = jax.vjp(lambda x: functions.pool(x, 2, 'max'), images)
  np.testing.assert_array_equal(pooled[0, :, :, 0], [[1, 5], [7, 4]])
  (found,) = pullback(jnp.asarray(cotangent)[None, :, :, None])
  np.testing.assert_allclose(found[0, :, :, 0], expected, rtol=1e-6)


def test_the_gradient_of_a_mean_is_spread_evenly():
  gradient = jax.grad(lambda x: jnp.sum(functions.pool(x, 3, 'mean')))(jnp.ones((1, 6, 3, 1)))
  np.testing.assert_allclose(gradient, np.full((1, 6, 3, 1), 1 / 9), rtol=1e-6)


@pytest.mark.parametrize('size', [1, 2])
def test_an_unknown_pooling_is_an_error_that_lists_them(size):
  with pytest.raises(UserError) as info:
    functions.pool(jnp.ones((1, 4, 4, 1)), size, 'sum')
  assert str(info.value) == "pooling: unknown 'sum'; allowed: mean, max"


@pytest.mark.parametrize(('height', 'width'), [(1, 4), (4, 1)])
def test_an_image_smaller_than_a_window_is_an_error(height, width):
  text = f'pooling: {height}x{width} values are smaller than a window of 2; allowed: larger images'
  with pytest.raises(UserError, match=re.escape(text)):
    functions.pool(jnp.ones((1, height, width, 1)), 2, 'mean')


def test_global_mean():
  x = np.random.RandomState(2).standard_normal((2, 3, 5, 4))
  found = functions.global_mean(jnp.asarray(x, jnp.float32))
  expected = [[x[n, :, :, c].sum() / 15 for c in range(4)] for n in range(2)]
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# Nonlinearities

FORMULAS = {
    'leaky_relu': lambda x: np.where(x >= 0, x, 0.03 * x),
    'elu': lambda x: np.where(x > 0, x, np.expm1(x)),
    # The approximation by tanh is the default of both jax and flax.
    'gelu': lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    'relu': lambda x: np.maximum(x, 0),
    'sigmoid': scipy.special.expit,
    'softplus': lambda x: np.logaddexp(x, 0),
    'tanh': np.tanh,
}


def test_the_nonlinearities_are_these():
  assert set(functions.ACTIVATIONS) == set(FORMULAS)
  assert len(functions.ACTIVATIONS) == len(FORMULAS)


@pytest.mark.parametrize('name', FORMULAS)
def test_nonlinearities_against_their_formulas(float64, name):
  x = np.array([-30, -3, -1, -0.2, 0, 0.1, 0.5, 2, 25])
  found = functions.activation(name, 0.03)(jnp.asarray(x))
  np.testing.assert_allclose(found, FORMULAS[name](x), rtol=1e-9, atol=1e-13)


def test_an_unknown_nonlinearity_is_an_error_that_lists_them():
  with pytest.raises(UserError) as info:
    functions.activation('swish', 0.01)
  message = str(info.value)
  assert message.startswith("activation: unknown 'swish'; allowed: ")
  assert set(message.split('allowed: ')[1].split(', ')) == set(FORMULAS)


# Initializers and the classifier

VARIANCES = {  # of a kernel with fan_in inputs and fan_out outputs
    'glorot_uniform': lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    'glorot_normal': lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    'he_normal': lambda fan_in, fan_out: 2 / fan_in,
    'lecun_normal': lambda fan_in, fan_out: 1 / fan_in,
}


def test_initializers_have_their_variance():
  assert set(functions.INITIALIZERS) == set(VARIANCES)
  kernels = jax.jit(
      lambda key: {name: functions.initializer(name)(key, (3, 3, 20, 70)) for name in VARIANCES}
  )(jax.random.key(0))
  for name, kernel in kernels.items():
    assert np.mean(kernel) == pytest.approx(0, abs=0.01)
    assert np.var(kernel) == pytest.approx(VARIANCES[name](9 * 20, 9 * 70), rel=0.05)
    # Of the two that share a variance, one is bounded by sqrt(3) deviations.
    assert (np.abs(kernel).max() < 1.74 * np.std(kernel)) == (name == 'glorot_uniform')


def test_an_unknown_initializer_is_an_error_that_lists_them():
  with pytest.raises(UserError) as info:
    functions.initializer('ones')
  assert str(info.value) == (
      "initializer: unknown 'ones'; "
      'allowed: glorot_uniform, glorot_normal, he_normal, lecun_normal'
  )


def test_the_classifier_flattens_and_is_linear():
  z = np.random.RandomState(3).standard_normal((2, 2, 3, 4)).astype(np.float32)
  classifier = Classifier(5, 'he_normal')
  variables = classifier.init(jax.random.key(0), z)
  assert jax.tree.map(jnp.shape, variables['params']) == {
      'dense': {'kernel': (24, 5), 'bias': (5,)}
  }
  variables['params']['dense']['bias'] = jnp.arange(5.0)
  kernel = np.asarray(variables['params']['dense']['kernel'], np.float64)
  expected = [z[n].reshape(-1).astype(np.float64) @ kernel + np.arange(5) for n in range(2)]
  for options in ({}, {'train': True, 'inverse': True}):
    found = classifier.apply(variables, z, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

"""Winograd convolution under every transformation, against XLA's own convolution in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from multiscale_inversion.nn import winograd

pytestmark = pytest.mark.usefixtures('little_optimization')

MARGINS = {
  'same': ((1, 1), (1, 1)), 'valid': ((0, 0), (0, 0)), 'full': ((2, 2), (2, 2)),
  'uneven': ((0, 2), (1, 0)),
}


def stock(x, kernel, margins):
  return jax.lax.conv_general_dilated(
    x, kernel, (1, 1), margins, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


def twice_backward(c, x, k, u, v):
  def inner(x, k):
    y, pullback = jax.vjp(c, x, k)
    return sum(jnp.sum(jnp.sin(g)) for g in pullback(jnp.cos(y)))

  return jax.grad(inner, (0, 1))(x, k)


def forward_over_backward(c, x, k, u, v):
  gradient = jax.grad(lambda x, k: jnp.sum(c(x, k) ** 3), (0, 1))
  return jax.jvp(gradient, (x, k), (u, v))


def backward_over_forward(c, x, k, u, v):
  tangent = lambda x, k: jnp.sum(jax.jvp(lambda *a: c(*a) ** 2, (x, k), (u, v))[1])
  return jax.grad(tangent, (0, 1))(x, k)


def vectorized(c, x, k, u, v):
  gradient = jax.grad(lambda x, k: jnp.sum(c(x, k) ** 2), (0, 1))
  both = jax.vmap(gradient)(jnp.stack([x, u]), jnp.stack([k, v]))
  one = jax.vmap(gradient, (None, 2), 2)(x, jnp.stack([k, v], 2))
  return both, one


TRANSFORMATIONS = [twice_backward, forward_over_backward, backward_over_forward, vectorized]


@pytest.mark.parametrize('transform', TRANSFORMATIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize('margins', MARGINS.values(), ids=MARGINS)
def test_as_stock_convolution(float64, transform, margins):
  random = np.random.RandomState(0)
  x, u = (random.standard_normal((3, 6, 5, 2)) for _ in range(2))
  k, v = (random.standard_normal((3, 3, 2, 4)) for _ in range(2))
  found, expected = (
    jax.jit(lambda *a, c=c: transform(lambda x, k: c(x, k, margins), *a))(x, k, u, v)
    for c in (winograd.correlate, stock)
  )
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())


@pytest.mark.parametrize('bytes_at_a_time', [1, 3000, 10**9])
@pytest.mark.parametrize('n', [1, 7])
def test_however_many_images_at_a_time(monkeypatch, float64, bytes_at_a_time, n):
  monkeypatch.setattr(winograd, '_CHUNK_BYTES', bytes_at_a_time)
  random = np.random.RandomState(0)
  x, k = random.standard_normal((n, 4, 6, 2)), random.standard_normal((3, 3, 2, 3))
  g = random.standard_normal((n, 4, 6, 3))

  def run(function):
    # A new function each time, traced with the patched constant.
    y, pullback = jax.vjp(lambda x, k: function(x, k, MARGINS['same']), x, k)
    return y, pullback(g)

  jax.clear_caches()
  found, expected = jax.jit(lambda: run(winograd.correlate))(), jax.jit(lambda: run(stock))()
  jax.clear_caches()
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_rounding_is_that_of_single_precision():
  random = np.random.RandomState(0)
  x = random.standard_normal((4, 16, 16, 64)).astype('f')
  k = random.standard_normal((3, 3, 64, 32)).astype('f')
  g = random.standard_normal((4, 16, 16, 32)).astype('f')
  exact = jax.tree.map(np.asarray, _in_double(x, k, g))
  found = jax.jit(_value_and_gradients, static_argnums=0)(winograd.correlate, x, k, g)
  for a, b in zip(found, exact, strict=True):
    assert a.dtype == jnp.float32
    assert np.abs(a - b).max() < 3e-6 * np.abs(b).max()


def _value_and_gradients(function, x, k, g):
  y, pullback = jax.vjp(lambda x, k: function(x, k, MARGINS['same']), x, k)
  return y, *pullback(g)


def _in_double(x, k, g):
  with jax.enable_x64(True) if hasattr(jax, 'enable_x64') else jax.experimental.enable_x64():
    arrays = [jnp.asarray(a, jnp.float64) for a in (x, k, g)]
    return jax.jit(_value_and_gradients, static_argnums=0)(stock, *arrays)


def test_no_transformed_tile_is_kept_for_the_gradient():
  """What the backward pass keeps of a convolution is its input and its filters."""
  x, k = jnp.ones((8, 32, 32, 16)), jnp.ones((3, 3, 16, 16))
  _, pullback = jax.vjp(lambda x, k: winograd.correlate(x, k, MARGINS['same']), x, k)
  kept = sum(leaf.size for leaf in jax.tree.leaves(pullback))
  assert kept <= x.size + k.size

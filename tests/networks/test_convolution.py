import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from multiscale_inversion.networks import convolution
from multiscale_inversion.networks.convolution import Conv, convolve

IMPLEMENTATIONS = ('lax', 'im2col')
PADDINGS = ('same', 'valid', 'full')
KERNELS = [(1, 1), (3, 3), (5, 3)]

each_implementation = pytest.mark.parametrize('implementation', IMPLEMENTATIONS)
each_padding = pytest.mark.parametrize('padding', PADDINGS)
each_kernel = pytest.mark.parametrize('size', KERNELS, ids=str)


def _convolve(x, kernel, padding, implementation):
  """`convolve`, compiled as one."""
  return jax.jit(lambda x, k: convolve(x, k, padding, implementation))(x, kernel)


def _reference(x, kernel, padding):
  """Sums scipy's correlation of each channel."""
  return np.stack(
      [
          np.stack(
              [
                  sum(
                      scipy.signal.correlate2d(image[:, :, c], kernel[:, :, c, f], padding)
                      for c in range(kernel.shape[2])
                  )
                  for f in range(kernel.shape[3])
              ],
              axis=-1,
          )
          for image in x
      ]
  )


def _problem(size, seed=0, n=2, height=6, width=7, channels=3, features=4):
  random = np.random.RandomState(seed)
  x = random.standard_normal((n, height, width, channels))
  return x, random.standard_normal((*size, channels, features))


@each_implementation
@each_padding
@each_kernel
def test_values_against_scipy(float64, implementation, padding, size):
  x, kernel = _problem(size)
  found = _convolve(x, kernel, padding, implementation)
  assert found.dtype == jnp.float64
  np.testing.assert_allclose(found, _reference(x, kernel, padding), rtol=1e-11, atol=1e-12)


@each_padding
@each_kernel
def test_values_in_float32(padding, size):
  x, kernel = _problem(size)
  lax, im2col = (_convolve(x.astype('f'), kernel.astype('f'), padding, e) for e in IMPLEMENTATIONS)
  assert lax.dtype == im2col.dtype == jnp.float32
  expected = _reference(x, kernel, padding)
  np.testing.assert_allclose(lax, expected, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(im2col, expected, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(im2col, lax, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ('padding', 'shape'), [('same', (6, 7)), ('valid', (4, 3)), ('full', (8, 11))]
)
@each_implementation
def test_sizes_of_the_output(implementation, padding, shape):
  found = jax.eval_shape(
      lambda x, k: convolve(x, k, padding, implementation),
      jnp.zeros((2, 6, 7, 3)),
      jnp.zeros((3, 5, 3, 4)),
  )
  assert found.shape == (2, *shape, 4)


@each_implementation
@each_padding
def test_images_smaller_than_the_kernel_where_the_padding_allows(float64, implementation, padding):
  x, kernel = _problem((3, 3), height=3 if padding == 'valid' else 1, width=3)
  found = _convolve(x, kernel, padding, implementation)
  # Zeros all around, and scipy's valid part of that: whichever is larger, the image comes first.
  margin = {'same': 1, 'valid': 0, 'full': 2}[padding]
  padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
  np.testing.assert_allclose(found, _reference(padded, kernel, 'valid'), rtol=1e-11, atol=1e-12)


@each_implementation
@each_padding
@pytest.mark.parametrize('size', [(1, 1), (3, 3)], ids=str)
def test_first_derivatives_entry_by_entry(float64, implementation, padding, size):
  # Convolution is linear in each argument: the derivative by an entry is the convolution of a one.
  x, kernel = _problem(size, n=1, height=3, width=4, channels=2, features=2)
  cotangent = np.random.RandomState(1).standard_normal(_reference(x, kernel, padding).shape)

  @jax.jit
  def derivatives(x, kernel, cotangent):
    return jax.vjp(lambda x, k: convolve(x, k, padding, implementation), x, kernel)[1](cotangent)

  by_x, by_kernel = derivatives(x, kernel, cotangent)
  for found, at, apply in (
      (by_x, x, lambda one: _reference(one, kernel, padding)),
      (by_kernel, kernel, lambda one: _reference(x, one, padding)),
  ):
    expected = np.zeros(at.shape)
    for index in np.ndindex(at.shape):
      one = np.zeros(at.shape)
      one[index] = 1
      expected[index] = np.sum(cotangent * apply(one))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def _scalar_of_the_vjp(padding, implementation):
  """q(x, k) = <u, d/dx> + <v, d/dk> of the convolution, the derivatives those along its value."""

  def q(x, kernel, u, v):
    y, pullback = jax.vjp(lambda x, k: convolve(x, k, padding, implementation), x, kernel)
    by_x, by_kernel = pullback(y)
    return jnp.vdot(u, by_x) + jnp.vdot(v, by_kernel)

  return q


@each_padding
@pytest.mark.parametrize('size', [(1, 1), (3, 3)], ids=str)
def test_second_derivatives_agree_and_are_those_of_scipys_values(float64, padding, size):
  x, kernel = _problem(size, height=4, width=5)
  u, v = _problem(size, seed=1, height=4, width=5)
  gradients = [
      jax.jit(jax.grad(_scalar_of_the_vjp(padding, each), (0, 1)))(x, kernel, u, v)
      for each in IMPLEMENTATIONS
  ]
  for lax, im2col in zip(*gradients):
    np.testing.assert_allclose(im2col, lax, rtol=1e-11, atol=1e-11)

  def q(x, kernel):  # By transposition: <u, A^T y> = <A u, y>.
    y = _reference(x, kernel, padding)
    return np.sum(y * (_reference(u, kernel, padding) + _reference(x, v, padding)))

  random, step = np.random.RandomState(2), 1e-5
  for _ in range(3):
    dx, dk = random.standard_normal(x.shape), random.standard_normal(kernel.shape)
    ahead, behind = (q(x + s * step * dx, kernel + s * step * dk) for s in (1, -1))
    expected = (ahead - behind) / (2 * step)
    for by_x, by_kernel in gradients:
      found = np.sum(by_x * dx) + np.sum(by_kernel * dk)
      np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-6)


@each_padding
def test_first_and_second_derivatives_agree_in_float32(padding):
  random = np.random.RandomState(0)
  x, kernel, u, v = (
      random.standard_normal(shape).astype('f') for shape in [(2, 6, 7, 3), (3, 3, 3, 4)] * 2
  )

  def derivatives(implementation):
    square = lambda x, k: jnp.sum(convolve(x, k, padding, implementation) ** 2)
    second = _scalar_of_the_vjp(padding, implementation)
    return jax.jit(
        lambda *at: (*jax.grad(square, (0, 1))(*at[:2]), *jax.grad(second, (0, 1))(*at))
    )(x, kernel, u, v)

  for lax, im2col in zip(*map(derivatives, IMPLEMENTATIONS)):
    assert lax.dtype == im2col.dtype == jnp.float32
    scale = np.abs(lax).max()
    np.testing.assert_allclose(np.asarray(im2col) / scale, np.asarray(lax) / scale, atol=2e-6)


@each_implementation
@each_padding
@pytest.mark.parametrize('use_bias', [False, True])
def test_module_is_flaxs_with_the_same_parameters(float64, implementation, padding, use_bias):
  size = (3, 5)
  x, kernel = _problem(size)
  module = Conv(4, size, padding, use_bias=use_bias, implementation=implementation)
  flax_padding = [(2, 2), (4, 4)] if padding == 'full' else padding.upper()
  expected = nn.Conv(4, size, padding=flax_padding, use_bias=use_bias, param_dtype=jnp.float64)
  shapes, expected_shapes = (
      jax.eval_shape(each.init, jax.random.key(0), jnp.asarray(x)) for each in (module, expected)
  )
  assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, expected_shapes)
  params = {'kernel': jnp.asarray(kernel)}
  if use_bias:
    params['bias'] = jnp.array([0.1, -0.2, 0.3, 0.4])
  found, wanted = (jax.jit(each.apply)({'params': params}, x) for each in (module, expected))
  np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)


def test_module_initializes_as_it_is_told():
  x = jnp.ones((1, 4, 4, 16))
  module = Conv(32, (3, 3), use_bias=True, kernel_init=nn.initializers.constant(0.25))
  params = module.init(jax.random.key(0), x)['params']
  np.testing.assert_array_equal(params['kernel'], np.full((3, 3, 16, 32), 0.25))
  np.testing.assert_array_equal(params['bias'], np.zeros(32))


@pytest.mark.parametrize(('backend', 'uses_lax'), [('cpu', False), ('gpu', True), ('tpu', True)])
def test_the_backend_chooses(monkeypatch, backend, uses_lax):
  monkeypatch.setattr(jax, 'default_backend', lambda: backend)
  trace = lambda *named: str(
      jax.make_jaxpr(lambda x, k: convolve(x, k, 'same', *named))(
          jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 2, 3))
      )
  )
  assert ('conv_general_dilated' in trace()) == uses_lax
  assert 'conv_general_dilated' in trace('lax')  # by name, wherever it is
  assert 'conv_general_dilated' not in trace('im2col')


def test_an_unknown_padding_is_an_error_that_lists_the_paddings():
  with pytest.raises(ValueError) as info:
    convolve(jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 2, 3)), 'reflect')
  assert str(info.value) == "convolution: unknown padding 'reflect'; allowed: same, valid, full"
  assert convolution.PADDINGS == PADDINGS


def test_an_unknown_implementation_is_an_error_that_lists_them():
  with pytest.raises(ValueError) as info:
    convolve(jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 2, 3)), 'same', 'fft')
  assert str(info.value) == "convolution: unknown implementation 'fft'; allowed: lax, im2col"


@pytest.mark.parametrize(('height', 'width'), [(2, 5), (5, 2), (1, 1)])
@each_implementation
def test_too_small_an_image_is_an_error_that_names_both_sizes(implementation, height, width):
  with pytest.raises(ValueError) as info:
    convolve(jnp.ones((1, height, width, 2)), jnp.ones((3, 3, 2, 3)), 'valid', implementation)
  assert str(info.value) == (
      f"convolution: images of {height}x{width} are too small for a 3x3 kernel with padding 'valid'"
  )

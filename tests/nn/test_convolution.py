import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from multiscale_inversion.nn import convolution
from multiscale_inversion.nn.convolution import Conv, convolve

pytestmark = pytest.mark.usefixtures('little_optimization')

IMPLEMENTATIONS = ('lax', 'im2col', 'winograd')
PADDINGS = ('same', 'valid', 'full')
KERNELS = [(1, 1), (3, 3), (5, 3)]

each_implementation = pytest.mark.parametrize('implementation', IMPLEMENTATIONS)
each_padding = pytest.mark.parametrize('padding', PADDINGS)
each_kernel = pytest.mark.parametrize('size', KERNELS, ids=str)


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


# All implementations and paddings of one problem are compiled at once, which is quicker.


def _serving(size):
  """The implementations that take kernels of a size."""
  return [name for name in IMPLEMENTATIONS if name != 'winograd' or tuple(size) == (3, 3)]


def _each(size, compute):
  """{(padding, implementation): compute(padding, implementation)}."""
  return {named: compute(*named) for named in itertools.product(PADDINGS, _serving(size))}


@functools.cache
def _values(size):
  """Two values of each convolution of `_problem(size)`: in float64, and in float32."""

  @jax.jit
  def compute(x, kernel):
    at = [(x, kernel), (x.astype('f'), kernel.astype('f'))]
    return _each(size, lambda *named: [convolve(*arrays, *named) for arrays in at])

  return compute(*_problem(size))


@each_padding
@each_kernel
def test_values_against_scipy(float64, padding, size):
  expected = _reference(*_problem(size), padding)
  for name in _serving(size):
    double, single = _values(size)[padding, name]
    assert (double.dtype, single.dtype) == (jnp.float64, jnp.float32)
    np.testing.assert_allclose(double, expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ('padding', 'shape'), [('same', (6, 7)), ('valid', (4, 5)), ('full', (8, 9))]
)
@each_implementation
def test_sizes_of_the_output(implementation, padding, shape):
  found = jax.eval_shape(
      lambda x, k: convolve(x, k, padding, implementation),
      jnp.zeros((2, 6, 7, 3)),
      jnp.zeros((3, 3, 3, 4)),
  )
  assert found.shape == (2, *shape, 4)


def test_images_smaller_than_the_kernel_where_the_padding_allows(float64):
  x, kernel = _problem((3, 3), height=1, width=2)
  for padding, margin in (('same', 1), ('full', 2)):
    # Zeros all around, and scipy's valid part of that.
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    expected = _reference(padded, kernel, 'valid')
    for name in IMPLEMENTATIONS:
      found = jax.jit(convolve, static_argnums=(2, 3))(x, kernel, padding, name)
      np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize('size', [(1, 1), (3, 3)], ids=str)
def test_first_derivatives_entry_by_entry(float64, size):
  # Convolution is linear in each argument: the derivative by an entry is the convolution of a one.
  x, kernel = _problem(size, n=1, height=3, width=4, channels=2, features=2)
  random = np.random.RandomState(1)
  cotangents = {p: random.standard_normal(_reference(x, kernel, p).shape) for p in PADDINGS}

  @jax.jit
  def derivatives(x, kernel):
    return _each(
        size,
        lambda p, name: jax.vjp(lambda x, k: convolve(x, k, p, name), x, kernel)[1](cotangents[p]),
    )

  for (padding, _), (by_x, by_kernel) in derivatives(x, kernel).items():
    expected_x, expected_kernel = np.zeros(x.shape), np.zeros(kernel.shape)
    for index in np.ndindex(x.shape):
      one = np.zeros(x.shape)
      one[index] = 1
      expected_x[index] = np.sum(cotangents[padding] * _reference(one, kernel, padding))
    for index in np.ndindex(kernel.shape):
      one = np.zeros(kernel.shape)
      one[index] = 1
      expected_kernel[index] = np.sum(cotangents[padding] * _reference(x, one, padding))
    np.testing.assert_allclose(by_x, expected_x, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(by_kernel, expected_kernel, rtol=1e-10, atol=1e-12)


def _scalar_of_the_vjp(padding, implementation):
  """q(x, k) = <u, d/dx> + <v, d/dk> of the convolution, the derivatives those along its value."""

  def q(x, kernel, u, v):
    y, pullback = jax.vjp(lambda x, k: convolve(x, k, padding, implementation), x, kernel)
    by_x, by_kernel = pullback(y)
    return jnp.vdot(u, by_x) + jnp.vdot(v, by_kernel)

  return q


@jax.jit
def _second_derivatives(*at):
  return _each(at[1].shape[:2], lambda *named: jax.grad(_scalar_of_the_vjp(*named), (0, 1))(*at))


@pytest.mark.parametrize('size', [(1, 1), (3, 3)], ids=str)
def test_second_derivatives_agree_and_are_those_of_scipys_values(float64, size):
  x, kernel = _problem(size, height=4, width=5)
  u, v = _problem(size, seed=1, height=4, width=5)
  gradients = _second_derivatives(x, kernel, u, v)
  for padding in PADDINGS:
    lax, *others = (gradients[padding, name] for name in _serving(size))
    for other in others:
      for a, b in zip(lax, other):
        np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-11)

    def q(x, kernel, padding=padding):  # By transposition: <u, A^T y> = <A u, y>.
      y = _reference(x, kernel, padding)
      return np.sum(y * (_reference(u, kernel, padding) + _reference(x, v, padding)))

    random, step = np.random.RandomState(2), 1e-5
    for _ in range(3):
      dx, dk = random.standard_normal(x.shape), random.standard_normal(kernel.shape)
      ahead, behind = (q(x + s * step * dx, kernel + s * step * dk) for s in (1, -1))
      expected = (ahead - behind) / (2 * step)
      for by_x, by_kernel in (lax, *others):
        found = np.sum(by_x * dx) + np.sum(by_kernel * dk)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize('size', [(1, 1), (3, 3)], ids=str)
def test_products_of_few_images_at_a_time(float64, monkeypatch, size):
  x, kernel = _problem(size, n=6, height=3, width=2)
  u, v = _problem(size, seed=1, n=6, height=3, width=2)
  # Of 6 images of 6 pixels: pairs have 12.
  monkeypatch.setattr(convolution, '_MIN_ROWS', 12)
  assert convolution._num_groups(6, 6) == 3
  q = {name: _scalar_of_the_vjp('same', name) for name in ('lax', 'im2col')}
  run = jax.jit(lambda *at: {name: jax.value_and_grad(q[name], (0, 1))(*at) for name in q})
  assert f'f64[3,12,{np.prod(kernel.shape[:3])}]' in str(jax.make_jaxpr(run)(x, kernel, u, v))
  found = run(x, kernel, u, v)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11),
    found['im2col'], found['lax'],
  )


@pytest.mark.parametrize(
    ('count', 'pixels', 'groups'),
    [(50, 1024, 50), (50, 256, 10), (50, 64, 2), (50, 1, 1), (7, 300, 1), (7, 2000, 7), (1, 9, 1)],
)
def test_groups_are_equal_and_have_a_thousand_rows(count, pixels, groups):
  assert convolution._num_groups(count, pixels) == groups


def test_second_derivatives_agree_in_float32():
  random = np.random.RandomState(0)
  at = [random.standard_normal(shape).astype('f') for shape in [(2, 6, 7, 3), (3, 3, 3, 4)] * 2]
  gradients = _second_derivatives(*at)
  for padding in PADDINGS:
    for lax, *others in zip(*(gradients[padding, name] for name in IMPLEMENTATIONS)):
      scale = np.abs(lax).max()
      for other in others:
        assert lax.dtype == other.dtype == jnp.float32
        np.testing.assert_allclose(np.asarray(other) / scale, np.asarray(lax) / scale, atol=2e-6)


@pytest.mark.parametrize(
    ('padding', 'implementation', 'use_bias'),
    [
        ('same', 'lax', True),
        ('same', 'im2col', True),
        ('valid', 'im2col', False),
        ('full', 'lax', False),
        ('full', None, True),
    ],
)
def test_module_is_flaxs_with_the_same_parameters(float64, padding, implementation, use_bias):
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
  assert 'winograd' in trace('winograd')


@pytest.mark.parametrize(
    ('image', 'kernel', 'dtype', 'expected'),
    [
        ((16, 16, 32), (3, 3, 32, 32), 'float32', 'winograd'),
        ((16, 16, 32), (3, 3, 32, 32), 'bfloat16', 'im2col'),
        ((16, 16, 32), (1, 1, 32, 32), 'float32', 'im2col'),
        ((16, 16, 3), (3, 3, 3, 32), 'float32', 'im2col'),  # few channels
        ((4, 4, 64), (3, 3, 64, 64), 'float32', 'im2col'),  # few pixels
    ],
)
def test_the_choice_on_cpu(monkeypatch, image, kernel, dtype, expected):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'cpu')
  shapes = (jax.ShapeDtypeStruct((50, *image), dtype), jax.ShapeDtypeStruct(kernel, dtype))
  assert convolution.default_implementation(*shapes) == expected


def test_winograd_refuses_other_kernels():
  with pytest.raises(ValueError) as info:
    convolve(jnp.ones((1, 9, 9, 2)), jnp.ones((5, 3, 2, 3)), 'same', 'winograd')
  assert str(info.value) == 'convolution: winograd takes 3x3 kernels, not 5x3'


def test_an_unknown_padding_is_an_error_that_lists_the_paddings():
  with pytest.raises(ValueError) as info:
    convolve(jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 2, 3)), 'reflect')
  assert str(info.value) == "convolution: unknown padding 'reflect'; allowed: same, valid, full"
  assert convolution.PADDINGS == PADDINGS


def test_an_unknown_implementation_is_an_error_that_lists_them():
  with pytest.raises(ValueError) as info:
    convolve(jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 2, 3)), 'same', 'fft')
  allowed = 'allowed: lax, im2col, winograd'
  assert str(info.value) == f"convolution: unknown implementation 'fft'; {allowed}"


@pytest.mark.parametrize(('height', 'width'), [(2, 5), (5, 2), (1, 1)])
@each_implementation
def test_too_small_an_image_is_an_error_that_names_both_sizes(implementation, height, width):
  with pytest.raises(ValueError) as info:
    convolve(jnp.ones((1, height, width, 2)), jnp.ones((3, 3, 2, 3)), 'valid', implementation)
  assert str(info.value) == (
      f"convolution: images of {height}x{width} are too small for a 3x3 kernel with padding 'valid'"
  )

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from multiscale_inversion import Inversion, UserError, invert, losses

pytestmark = pytest.mark.usefixtures('little_optimization')

SATURATED = [
    [1e4, -1e4, 0, 1],
    [-1e4, -1e4, -1e4, 1e4],
    [1e4, 1e4, 1e4, 1e4],
    [88, -88, 88, 0],
    [89, 0, -104, 90],
    [1e30, -1e30, 0, 1e30],
    [-1e30, -1e30, -1e30, -1e30],
    [1e30, 1e29, 1, 2],
]


def _softmax(logits):
  return scipy.special.softmax(np.asarray(logits, np.float64), -1)


def _cross_entropy(logits, labels):
  log_p = scipy.special.log_softmax(np.asarray(logits, np.float64), -1)
  return np.array([-row[label] for row, label in zip(log_p, labels)])


def _logits(n=7, classes=4, scale=3.0, seed=0):
  return scale * np.random.RandomState(seed).standard_normal((n, classes))


# Cross-entropy and entropy


def test_cross_entropy_against_float64():
  logits, labels = _logits(), [0, 1, 2, 3, 0, 1, 3]
  found = losses.cross_entropy(jnp.asarray(logits, jnp.float32), jnp.asarray(labels))
  assert found.shape == (7,)
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, _cross_entropy(logits, labels), rtol=1e-5, atol=1e-6)


def test_entropy_against_float64():
  logits = _logits()
  found = losses.entropy(jnp.asarray(logits, jnp.float32))
  assert found.shape == (7,)
  assert found.dtype == jnp.float32
  expected = scipy.special.entr(_softmax(logits)).sum(1)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_derivatives_of_cross_entropy(float64):
  logits = _logits(1)[0]
  p = _softmax(logits)
  f = lambda z: losses.cross_entropy(z[None], jnp.array([2]))[0]
  np.testing.assert_allclose(jax.jit(jax.grad(f))(logits), p - np.eye(4)[2], rtol=1e-10, atol=1e-14)
  np.testing.assert_allclose(
      jax.jit(jax.hessian(f))(logits), np.diag(p) - np.outer(p, p), rtol=1e-10, atol=1e-14
  )


def test_derivatives_of_entropy(float64):
  logits = _logits(1)[0]

  def gradient(z):
    p = _softmax(z)
    return -p * (np.log(p) + scipy.special.entr(p).sum())

  f = lambda z: losses.entropy(z[None])[0]
  found = jax.jit(jax.grad(f))(logits)
  np.testing.assert_allclose(found, gradient(logits), rtol=1e-10, atol=1e-14)
  step = 1e-5
  expected = [
      (gradient(logits + step * e) - gradient(logits - step * e)) / (2 * step) for e in np.eye(4)
  ]
  np.testing.assert_allclose(jax.jit(jax.hessian(f))(logits), expected, rtol=1e-7, atol=1e-9)


def test_saturated_cross_entropy_and_its_derivatives():
  value = lambda z, label: losses.cross_entropy(z[None], label[None])[0]
  derivatives = lambda *at: (value(*at), jax.grad(value)(*at), jax.hessian(value)(*at))
  run = jax.jit(jax.vmap(derivatives))
  for label in range(4):
    z = np.array(SATURATED, np.float32)
    values, gradients, hessians = run(z, jnp.full(len(z), label))
    p = _softmax(z)
    np.testing.assert_allclose(values, _cross_entropy(z, [label] * len(z)), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradients, p - np.eye(4)[label], rtol=1e-5, atol=1e-6)
    expected = np.stack([np.diag(row) - np.outer(row, row) for row in p])
    np.testing.assert_allclose(hessians, expected, rtol=1e-5, atol=1e-6)


def test_saturated_entropy_and_its_derivatives():
  value = lambda z: losses.entropy(z[None])[0]
  run = jax.jit(jax.vmap(lambda z: (value(z), jax.grad(value)(z), jax.hessian(value)(z))))
  z = np.array(SATURATED, np.float32)
  values, gradients, hessians = run(z)
  p = _softmax(z)
  entropies = scipy.special.entr(p).sum(1)
  np.testing.assert_allclose(values, entropies, rtol=1e-5, atol=1e-6)
  with np.errstate(divide='ignore', invalid='ignore'):
    p_log_p = np.where(p > 0, p * np.log(p), 0)
  np.testing.assert_allclose(gradients, -(p_log_p + p * entropies[:, None]), rtol=1e-5, atol=1e-6)
  assert np.isfinite(hessians).all()


@pytest.mark.parametrize('label', [-1, 4, 1000])
def test_a_label_outside_gives_finite_values_and_derivatives(label):
  z = jnp.array([*SATURATED, [0.1, -0.2, 0.3, 0.4]], jnp.float32)
  labels = jnp.full(len(z), label)
  one = lambda row, label: losses.cross_entropy(row[None], label[None])[0]
  for derivative in (one, jax.grad(one), jax.hessian(one)):
    assert np.isfinite(jax.jit(jax.vmap(derivative))(z, labels)).all()


def _mutual_information(logits):
  p = _softmax(logits)
  return scipy.special.entr(p.mean(0)).sum() - scipy.special.entr(p).sum(1).mean()


def test_information_and_its_gradient(float64):
  """The mean over the mask against mutual information, its gradient against finite differences."""
  random = np.random.RandomState(0)
  logits, mask = 2 * random.standard_normal((6, 4)), np.array([1.0, 0, 1, 1, 0, 1])
  chosen = mask > 0

  def mean(z):
    return jnp.mean(losses.information(z, jnp.asarray(mask))[chosen])

  value, gradient = jax.jit(jax.value_and_grad(mean))(logits)
  np.testing.assert_allclose(value, -_mutual_information(logits[chosen]), rtol=1e-12)
  step = 1e-6
  for place in np.ndindex(logits.shape):
    moved = [logits.copy(), logits.copy()]
    for sign, z in zip((1, -1), moved):
      z[place] += sign * step
    difference = np.subtract(*(_mutual_information(z[chosen]) for z in moved))
    np.testing.assert_allclose(gradient[place], -difference / (2 * step), rtol=1e-6, atol=1e-9)


def test_information_of_saturated_logits_and_of_no_observation_is_finite():
  z = jnp.array(SATURATED, jnp.float32)
  for mask in (jnp.ones(len(z)), jnp.zeros(len(z)), jnp.eye(len(z))[0]):
    f = lambda z, mask=mask: jnp.sum(losses.information(z, mask))
    assert np.isfinite(f(z)) and np.isfinite(jax.grad(f)(z)).all()


@pytest.mark.parametrize('classes', [2, 100])
def test_entropy_lies_between_zero_and_the_logarithm_of_the_classes(classes):
  entropy = jax.jit(losses.entropy)
  for scale in (0, 1e-3, 1, 30, 1e4):
    found = np.asarray(entropy(_logits(classes, classes, scale).astype(np.float32)))
    assert found.min() >= 0
    assert found.max() <= np.log(classes) * (1 + 1e-6)
  uniform = entropy(np.full((classes, classes), -5, np.float32))
  np.testing.assert_allclose(uniform, np.log(classes), rtol=1e-6)
  certain = entropy(1e3 * np.eye(classes, dtype=np.float32))
  np.testing.assert_array_equal(certain, np.zeros(classes))


@pytest.mark.parametrize(('call', 'error', 'message'), [
  (lambda: losses.cross_entropy(jnp.ones(3), [0, 1, 1]), UserError,
   r'logits has the shape \(3,\); allowed: \[N, C\]'),
  (lambda: losses.cross_entropy(jnp.ones((3, 2)), jnp.ones((3, 2), int)), UserError,
   r'labels has the shape \(3, 2\); allowed: \[3\]'),
  (lambda: losses.cross_entropy(jnp.ones((3, 2)), [0, 1]), UserError, r'labels .*allowed: \[3\]'),
  (lambda: losses.cross_entropy(jnp.ones((3, 2)), jnp.ones(3)), TypeError,
   'labels is an array of float32; allowed: integers'),
  (lambda: losses.cross_entropy(jnp.ones((3, 2)), None), TypeError, 'labels is a NoneType'),
  (lambda: losses.entropy(jnp.ones((3, 2, 2))), UserError, r'logits .*allowed: \[N, C\]'),
  (lambda: losses.entropy(jnp.ones((3, 0))), UserError, 'logits .*C from 1 up'),
  (lambda: losses.entropy(jnp.ones((3, 2), int)), TypeError,
   'logits is an array of int32; allowed: floating-point numbers'),
  (lambda: losses.information(jnp.ones((3, 2)), jnp.ones(2)), UserError, r'mask .*allowed: \[3\]'),
  (lambda: losses.reconstruction(jnp.ones((3, 2)), jnp.ones((3, 1))), UserError,
   r'r has the shape \(3, 1\); allowed: \[3, 2\]'),
  (lambda: losses.dimension(jnp.ones(())), UserError, r'z has the shape \(\)'),
], ids=lambda value: value if isinstance(value, str) else getattr(value, '__name__', ''))
def test_ranks_and_types_are_checked(call, error, message):
  with pytest.raises(error, match=message):
    call()


def test_sequences_of_numbers_are_arrays():
  """By hand: log 2 for equal logits."""
  assert losses.cross_entropy([[1.0, 1.0]], [0]).tolist() == pytest.approx([np.log(2)])
  assert losses.entropy([[1.0, 1.0]]).tolist() == pytest.approx([np.log(2)])
  assert losses.information([[1.0, 1.0]], [1]).tolist() == pytest.approx([0])
  assert losses.reconstruction([[1.0, 2.0]], [[0.0, 0.0]]).tolist() == [5]


def test_a_batch_of_none_has_no_losses():
  z, logits = jnp.ones((0, 4, 2)), jnp.ones((0, 3))
  empty = Inversion((z, logits), (z,), (None,))
  assert losses.dimension(z) == 8
  for values in (
    losses.entropy(logits), losses.cross_entropy(logits, jnp.ones(0, int)),
    losses.information(logits, jnp.ones(0)), losses.multiscale_reconstruction(empty),
    losses.global_reconstruction(empty),
  ):
    assert values.shape == (0,)


# Reconstructions

SHAPES = [(3, 4, 5, 2), (3, 7), (3, 2, 2, 6), (3, 4)]


def _inversion(seed=0):
  random = np.random.RandomState(seed)
  z = [random.standard_normal(shape) for shape in SHAPES]
  r = [random.standard_normal(shape) for shape in SHAPES[:-1]]
  arrays = (tuple(jnp.asarray(a, jnp.float32) for a in part) for part in (z, r))
  # ||z - r||^2 / D of each layer and observation, entry by entry.
  expected = np.zeros((3, 3))
  for layer in range(3):
    for n in range(3):
      entries = zip(z[layer][n].reshape(-1), r[layer][n].reshape(-1))
      expected[layer, n] = sum((a - b) ** 2 for a, b in entries) / z[layer][n].size
  return Inversion(*arrays, (None,) * 3), expected


def test_reconstruction_is_a_sum_and_dimension_its_length():
  inversion, expected = _inversion()
  for layer, length in enumerate([40, 7, 24]):
    z, r = inversion.activations[layer], inversion.reconstructions[layer]
    assert losses.dimension(z) == length
    found = losses.reconstruction(z, r)
    assert found.shape == (3,)
    np.testing.assert_allclose(found, expected[layer] * length, rtol=1e-5)
  assert losses.dimension(jnp.ones(5)) == 1


def test_each_layer_is_divided_by_its_own_dimension():
  inversion, expected = _inversion()
  for layer in range(3):
    found = losses.layer_reconstruction(inversion, layer)
    np.testing.assert_allclose(found, expected[layer], rtol=1e-5)
  np.testing.assert_allclose(losses.global_reconstruction(inversion), expected[0], rtol=1e-5)


@pytest.mark.parametrize('stop_target', [False, True])
@pytest.mark.parametrize('layers', [None, (0,), [1, 2], range(3)])
def test_multiscale_is_the_mean_over_the_chosen_layers(layers, stop_target):
  inversion, expected = _inversion()
  found = losses.multiscale_reconstruction(inversion, layers, stop_target)
  chosen = [0, 1, 2] if layers is None else list(layers)
  assert found.shape == (3,)
  np.testing.assert_allclose(found, expected[chosen].mean(0), rtol=1e-5)


def test_stop_target_stops_the_gradient_to_the_activations_only():
  inversion, _ = _inversion()
  for stop_target in (False, True):
    total = lambda z, r, stop=stop_target: jnp.sum(
        losses.multiscale_reconstruction(Inversion(z, r, ()), stop_target=stop)
    )
    to_z, to_r = jax.jit(jax.grad(total, (0, 1)))(
        inversion.activations, inversion.reconstructions
    )
    for layer in range(3):
      z, r = (np.asarray(part[layer]) for part in inversion[:2])
      expected = 2 * (r - z) / (z[0].size * 3)
      np.testing.assert_allclose(to_r[layer], expected, rtol=1e-5, atol=1e-7)
      np.testing.assert_allclose(to_z[layer], 0 if stop_target else -expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(to_z[3], np.zeros(SHAPES[3]))


@pytest.mark.parametrize('stop_target', [False, True])
def test_stop_target_in_a_network_of_two_numbers(float64, stop_target):
  x, w, v = 1.3, 0.7, -0.4

  def loss(parameters):
    stages = [lambda z: z * parameters[0], lambda z: z * parameters[1]]
    inversion = invert(stages, jnp.full((1, 1), x))
    return losses.multiscale_reconstruction(inversion, stop_target=stop_target)[0]

  # z^(0) = x and z^(1) = w x; r^(0) = w^2 v^2 x and r^(1) = v^2 w x.
  d0, d1 = x - w**2 * v**2 * x, w * x - v**2 * w * x
  value, (by_w, by_v) = jax.jit(jax.value_and_grad(loss))((w, v))
  assert float(value) == pytest.approx((d0**2 + d1**2) / 2, rel=1e-12)
  target = 0 if stop_target else x
  expected_w = d0 * (-2 * w * v**2 * x) + d1 * (target - v**2 * x)
  assert float(by_w) == pytest.approx(expected_w, rel=1e-12)
  expected_v = d0 * (-2 * w**2 * v * x) + d1 * (-2 * v * w * x)
  assert float(by_v) == pytest.approx(expected_v, rel=1e-12)


# Other forms of reconstruction, against explicit Jacobian matrices, one observation at a time.

_WEIGHTS = [np.random.RandomState(k).standard_normal((3 + k, 4 + k)) for k in range(3)]


def _stages():
  return [lambda z, w=w: jnp.tanh(z @ w) + 0.1 * jnp.square(z @ w) for w in _WEIGHTS]


def _compose(stages, z):
  for stage in stages:
    z = stage(z)
  return z


def _by_jacobians(form, x):
  """The losses of each layer of one observation x [3]."""
  stages, found = _stages(), []
  z = [_compose(stages[:count], x) for count in range(4)]
  for layer in range(3):
    if form == 'output':
      start, end, target = layer, 3, z[layer]
    elif form == 'layer':
      start, end, target = layer, layer + 1, z[layer]
    else:
      start, end, target = 0, layer + 1, x
    jacobian = jax.jacfwd(lambda v, s=start, e=end: _compose(stages[s:e], v))(z[start])
    found.append(np.mean((np.asarray(target) - np.asarray(jacobian).T @ np.asarray(z[end])) ** 2))
  return np.array(found)


@pytest.mark.parametrize('form', losses.FORMS)
def test_forms(float64, form):
  x = jnp.asarray(np.random.RandomState(9).standard_normal((2, 3)))
  inversion = invert(_stages(), x, keep_pullbacks=True)
  expected = np.stack([_by_jacobians(form, row) for row in x], axis=1)
  np.testing.assert_allclose(losses.layer_losses(inversion, form), expected, rtol=1e-9)
  chosen = losses.multiscale_reconstruction(inversion, (2, 0), layer_weights=(0.5, 2), form=form)
  np.testing.assert_allclose(chosen, 0.5 * expected[2] + 2 * expected[0], rtol=1e-9)


def test_forms_differ():
  found = [_by_jacobians(form, np.array([0.3, -1, 2.0]))[:2] for form in losses.FORMS]
  assert all(np.all(found[a] != found[b]) for a, b in [(0, 1), (0, 2)])


def test_wrong_forms_and_weights():
  inversion = invert(_stages(), jnp.ones((2, 3)))
  with pytest.raises(ValueError, match='keep_pullbacks'):
    losses.layer_losses(inversion, 'layer')
  with pytest.raises(ValueError, match='allowed: output, layer, input'):
    losses.layer_losses(inversion, 'other')
  with pytest.raises(ValueError, match='2 for 3 layers'):
    losses.multiscale_reconstruction(inversion, layer_weights=(1, 2))

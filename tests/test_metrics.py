import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from multiscale_inversion import Inversion, metrics


def test_masked_mean_counts_where_the_mask_is_one():
  mean = metrics.masked_mean(jnp.array([1.0, 2.0, 4.0, 8.0]), jnp.array([1.0, 0.0, 1.0, 0.0]))
  assert (float(mean.total), float(mean.count)) == (5, 2)
  assert mean.value() == 2.5
  assert isinstance(mean.value(), float)


@pytest.mark.parametrize('masked', [np.inf, -np.inf, np.nan])
def test_masked_values_may_be_infinite(masked):
  mean = metrics.masked_mean(jnp.array([3.0, masked, 5.0]), jnp.array([1.0, 0.0, 1.0]))
  assert (float(mean.total), float(mean.count)) == (8, 2)
  # A value that counts is not hidden.
  mean = metrics.masked_mean(jnp.array([3.0, masked, 5.0]), jnp.array([1.0, 1.0, 0.0]))
  assert not math.isfinite(mean.value())


def test_the_mean_of_nothing_is_not_a_number():
  mean = metrics.masked_mean(jnp.array([1.0, 2.0]), jnp.zeros(2))
  assert (float(mean.total), float(mean.count)) == (0, 0)
  assert math.isnan(mean.value())
  assert math.isnan(metrics.Mean(jnp.float32(0), jnp.float32(0)).value())


def test_totals_and_counts_are_float32_whatever_the_values_are(float64):
  for dtype in (jnp.bfloat16, jnp.float32, jnp.float64, jnp.int32):
    mean = metrics.masked_mean(jnp.ones(3, dtype), jnp.ones(3, dtype))
    assert mean.total.dtype == mean.count.dtype == jnp.float32
    assert mean.total.shape == mean.count.shape == ()


def test_parts_add_up_to_the_mean_of_the_whole():
  random = np.random.RandomState(0)
  values, mask = random.standard_normal(17).astype('f'), random.randint(0, 2, 17).astype('f')
  parts = [
      {'a': metrics.masked_mean(values[part], mask[part]), 'b': metrics.Mean(1.0, 2.0)}
      for part in (slice(0, 3), slice(3, 10), slice(10, 17))
  ]
  total = metrics.add(metrics.add(parts[0], parts[1]), parts[2])
  assert set(total) == {'a', 'b'}
  assert isinstance(total['a'], metrics.Mean)
  assert total['a'].value() == pytest.approx(values[mask == 1].astype(float).mean(), rel=1e-5)
  assert (float(total['b'].total), float(total['b'].count)) == (3, 6)


def test_differentiation_does_not_see_masked_values():
  gradient = jax.grad(
      lambda v: metrics.masked_mean(jnp.log(v), jnp.array([1.0, 0.0])).total
  )(jnp.array([2.0, 4.0]))
  np.testing.assert_allclose(gradient, [0.5, 0], rtol=1e-6)


def _inversion():
  random = np.random.RandomState(1)
  shapes = [(5, 4, 3, 2), (5, 6), (5, 3)]
  z = [random.standard_normal(shape) for shape in shapes]
  r = [random.standard_normal(shape) for shape in shapes[:-1]]
  arrays = (tuple(jnp.asarray(a, jnp.float32) for a in part) for part in (z, r))
  return z, r, Inversion(*arrays, (None, None))


def test_classification_metrics_are_those_of_the_labeled_and_of_the_others():
  z, _, inversion = _inversion()
  labels, mask = np.array([2, 0, -1, 1, -1]), np.array([1, 1, 0, 1, 0])
  found = metrics.classification_metrics(inversion, jnp.asarray(labels), jnp.asarray(mask, 'f'))
  p = scipy.special.softmax(z[-1], 1)
  cross_entropy = -np.log([p[0, 2], p[1, 0], p[3, 1]])
  entropy = scipy.special.entr(p[[2, 4]]).sum(1)
  assert set(found) == {'cross_entropy', 'entropy'}
  assert float(found['cross_entropy'].count) == 3
  assert float(found['entropy'].count) == 2
  assert found['cross_entropy'].value() == pytest.approx(cross_entropy.mean(), rel=1e-5)
  assert found['entropy'].value() == pytest.approx(entropy.mean(), rel=1e-5)


def test_reconstruction_metrics_are_those_of_each_layer_and_their_mean():
  z, r, inversion = _inversion()
  found = metrics.reconstruction_metrics(inversion)
  layers = [np.mean((z[layer] - r[layer]) ** 2) for layer in (0, 1)]
  assert set(found) == {'reconstruction', 'reconstruction/0', 'reconstruction/1'}
  for layer in (0, 1):
    assert found[f'reconstruction/{layer}'].value() == pytest.approx(layers[layer], rel=1e-5)
  assert found['reconstruction'].value() == pytest.approx(np.mean(layers), rel=1e-5)
  assert {float(mean.count) for mean in found.values()} == {5}

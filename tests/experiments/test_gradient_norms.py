"""Norms of gradients against explicit Jacobians in NumPy, differentiated by finite differences."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies.gradient_norms import gradient_norms
from multiscale_inversion import invert

SIZES = (5, 4, 3)  # of x, z^(1), z^(2); the logits z^(3) are 2
CLASSES = 2


@pytest.fixture
def problem(float64):
  """Weights of a network of three layers, tanh(z W), tanh(z W), z W; observations; labels."""
  random = np.random.RandomState(0)
  sizes = (*SIZES, CLASSES)
  weights = [random.standard_normal(shape) / 2 for shape in itertools.pairwise(sizes)]
  return weights, random.standard_normal((6, SIZES[0])), random.randint(CLASSES, size=6)


def explicit_terms(weights, x, labels):
  """The mean of each term of the loss, in NumPy, one observation and one Jacobian at a time."""
  totals = np.zeros(4)
  for observation, label in zip(x, labels):
    z = [observation]
    jacobians = []  # of each layer, [outputs, inputs]
    for weight in weights[:-1]:
      z.append(np.tanh(z[-1] @ weight))
      jacobians.append((1 - z[-1][:, None] ** 2) * weight.T)
    z.append(z[-1] @ weights[-1])
    jacobians.append(weights[-1].T)
    whole = np.eye(CLASSES)
    for layer in (2, 1, 0):
      whole = whole @ jacobians[layer]  # dz^(3) / dz^(layer)
      distance = z[layer] - whole.T @ z[-1]
      totals[layer] += distance @ distance / SIZES[layer] / 3
    totals[3] -= z[-1][label] - np.log(np.exp(z[-1]).sum())
  return totals / len(x)


def finite_differences(weights, x, labels):
  """The gradient of each of the four terms with respect to all weights, a row a term."""
  step, columns = 1e-6, []
  for index, weight in enumerate(weights):
    for position in np.ndindex(*weight.shape):
      values = []
      for sign in (1, -1):
        moved = [w.copy() for w in weights]
        moved[index][position] += sign * step
        values.append(explicit_terms(moved, x, labels))
      columns.append((values[0] - values[1]) / (2 * step))
  return np.array(columns).T


def test_against_explicit_jacobians(problem):
  weights, x, labels = problem
  gradients = finite_differences(weights, x, labels)

  def inversion_of(params):
    stages = [lambda z, w=w: jnp.tanh(z @ w) for w in params[:-1]]
    return invert([*stages, lambda z: z @ params[-1]], jnp.asarray(x))

  def cross_entropy(inversion):
    logits = jax.nn.log_softmax(inversion.activations[-1])
    return -logits[jnp.arange(len(x)), labels]

  params = [jnp.asarray(w) for w in weights]
  found = jax.jit(lambda p: gradient_norms(inversion_of, cross_entropy, p))(params)
  norm = np.linalg.norm
  np.testing.assert_allclose(found.layers, norm(gradients[:3], axis=1), rtol=1e-7)
  np.testing.assert_allclose(found.predictions, norm(gradients[3]), rtol=1e-7)
  np.testing.assert_allclose(found.multiscale, norm(gradients.sum(0)), rtol=1e-7)
  np.testing.assert_allclose(found.global_, norm(3 * gradients[0] + gradients[3]), rtol=1e-7)
  shares = norm(gradients[:3], axis=1) / norm(gradients[:3], axis=1).sum()
  np.testing.assert_allclose(found.shares(), shares, rtol=1e-7)

"""Our loss, activations, reconstructions and gradients against an independent PyTorch program."""

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest

from multiscale_inversion import objectives

pytest.importorskip('torch', reason='PyTorch is not installed: no independent implementation')
import torch_oracle

pytestmark = pytest.mark.usefixtures('little_optimization')

OBJECTIVES = {
    'supervised': {},
    'entropy': {},
    'global': {},
    'multiscale': {},
    'convex': {'alpha': 0.7, 'beta': 0.2},
}


def _oracle(case, problem, objective, mode, train):
  name, options, _ = {**problems.CASES, **problems.FULL_CASES}[case]
  network = {'name': name, 'activation': 'leaky_relu', 'pooling': 'mean', 'negative_slope': 0.01}
  network |= {'batch_norm_epsilon': 1e-5, **options}
  return torch_oracle.loss_and_gradients(
      network, problem.params, problem.batch_stats, problem.x, problem.labels, problem.mask,
      objective, mode, train, **OBJECTIVES[objective],
  )


def _ours(problem, objective, train):
  function = objectives.create(objective, **OBJECTIVES[objective])

  @jax.jit
  def loss_and_inversion(params):
    inversion = problem.inversion(params, train)
    loss = function(inversion, jnp.asarray(problem.labels), jnp.asarray(problem.mask))
    return jnp.mean(loss), inversion[:2]

  return jax.value_and_grad(loss_and_inversion, has_aux=True)(problem.params)


def _compare(case, objective, mode, train, rtol, atol):
  problem = problems.make(case, mode)
  (loss, (activations, reconstructions)), gradients = _ours(problem, objective, train)
  expected = _oracle(case, problem, objective, mode, train)
  np.testing.assert_allclose(loss, expected[0], rtol=rtol)
  assert len(activations) == len(expected[2]) and len(reconstructions) == len(expected[3])
  for ours, theirs in zip((*activations, *reconstructions), (*expected[2], *expected[3])):
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)

  def compare(path, ours, theirs):
    scale = max(1e-3, np.abs(theirs).max())
    np.testing.assert_allclose(
        ours / scale, theirs / scale, rtol=rtol, atol=atol, err_msg=jax.tree_util.keystr(path)
    )

  jax.tree_util.tree_map_with_path(compare, gradients, expected[1])


@pytest.mark.parametrize('mode', torch_oracle.INVERSE_MODES)
@pytest.mark.parametrize('case', problems.CASES)
def test_multiscale_in_training(float64, case, mode):
  _compare(case, 'multiscale', mode, True, rtol=1e-8, atol=1e-10)


def test_the_papers_width(float64):
  _compare('large_cnn_full', 'multiscale', 'frozen', True, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize('objective', OBJECTIVES)
def test_every_objective(float64, objective):
  _compare('resnet', objective, 'frozen', True, rtol=1e-8, atol=1e-10)


def test_in_evaluation(float64):
  _compare('resnet', 'multiscale', 'frozen', False, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize('case', ['large_cnn', 'resnet_deep'])
def test_in_float32(case):
  _compare(case, 'multiscale', 'frozen', True, rtol=1e-3, atol=2e-4)

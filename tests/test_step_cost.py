"""What a multiscale step costs beside a supervised one, by the compiler's own counts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from multiscale_inversion import networks, objectives, training
from multiscale_inversion.nn import convolution

OWN = convolution.default_implementation


@pytest.fixture(scope='module', autouse=True)
def stock_convolutions(little_optimization):
  """XLA's own, whose operations the compiler counts, however little it optimizes."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(convolution, 'default_implementation', lambda x, kernel: 'lax')
    yield


def make(objective, blocks=1, rematerialize=False):
  network = networks.create('resnet', 10, blocks_per_group=blocks, width=16)
  training_step = training.TrainingStep(
    network, objectives.create(objective), optax.adam(0.002), rematerialize=rematerialize
  )
  state = training.create_state(network, training_step.optimizer, jax.random.key(0), (16, 16, 3))
  random = np.random.RandomState(0)
  images = jnp.asarray(random.standard_normal((4, 16, 16, 3)), jnp.float32)
  batch = training.Batch(images, jnp.array([3, 1, -1, -1]), jnp.array([1.0, 1, 0, 0]))
  return training_step, (state, batch, jax.random.key(1))


@functools.cache
def compiled(objective, blocks=1, rematerialize=False):
  training_step, arguments = make(objective, blocks, rematerialize)
  return jax.jit(training_step).lower(*arguments).compile()


def flops(*setting):
  return compiled(*setting).cost_analysis()['flops']


def temporary(*setting):
  return compiled(*setting).memory_analysis().temp_size_in_bytes


def test_arithmetic_is_twice_the_supervised_steps():
  assert flops('supervised') > 1e7
  assert 1.9 < flops('multiscale') / flops('supervised') <= 2.05


def test_arithmetic_grows_linearly_with_depth():
  one, two, three = (flops('multiscale', blocks) for blocks in (1, 2, 3))
  assert three - two == pytest.approx(two - one, rel=0.01)


def test_memory():
  assert temporary('multiscale') / temporary('supervised') <= 2.2


def test_memory_with_the_convolutions_in_use(monkeypatch):
  monkeypatch.setattr(convolution, 'default_implementation', OWN)
  sizes = []
  for objective in ('supervised', 'multiscale'):
    training_step, arguments = make(objective)
    step = jax.jit(training_step).lower(*arguments).compile()
    sizes.append(step.memory_analysis().temp_size_in_bytes)
  assert sizes[1] / sizes[0] <= 1.9  # 1.65 found; 2.2 is allowed of a large batch
  assert sizes[1] < 1.6e6  # 1.3 found; zeros made early and kept for each layer would be seen here


def test_rematerialization_lowers_the_memory():
  # Found: 0.61. XLA's merging of what is computed again with the first computation would give 1.
  assert temporary('multiscale', 1, True) <= 0.75 * temporary('multiscale', 1, False)


def test_rematerialization_computes_again_and_changes_nothing():
  assert flops('multiscale', 1, True) > 1.2 * flops('multiscale', 1, False)
  results = []
  for rematerialize in (False, True):
    _, arguments = make('multiscale')
    results.append(jax.device_get(compiled('multiscale', 1, rematerialize)(*arguments)))
  for a, b in zip(*map(jax.tree.leaves, results), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)

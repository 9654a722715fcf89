"""Programs for several seeds, collectives with and without devices, and both training loops."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from multiscale_inversion import networks, objectives, parallel, training
from multiscale_inversion.data import Sampler
from multiscale_inversion.execution import MODES, Execution

pytestmark = pytest.mark.usefixtures('little_optimization')

SEEDS = (4, 5, 6)


def affine(own, key, scale, shift):
  return {'value': own['x'] * scale + shift, 'bits': jax.random.bits(key), 'twice': own['k'] * 2}


@pytest.mark.parametrize('mode', MODES)
def test_seeds_have_their_own_arguments_and_share_the_others(mode):
  execution = Execution(seeds=SEEDS, mode=mode)
  own = execution.for_each_seed(lambda seed: {'x': jnp.arange(2.0) + seed, 'k': np.int32(seed)})
  keys = execution.for_each_seed(jax.random.key)
  shift = jnp.array([10.0, 20.0])
  found = execution.fetch(execution.compile(affine, num_own=2)(own, keys, 3.0, shift))
  assert len(found) == len(SEEDS)
  for seed, result in zip(SEEDS, found):
    np.testing.assert_array_equal(result['value'], [3 * seed + 10, 3 * (seed + 1) + 20])
    assert result['bits'] == jax.random.bits(jax.random.key(seed))
    assert result['twice'] == 2 * seed and result['twice'].dtype == np.int32


def test_a_single_seed_has_no_axis():
  execution = Execution(seeds=(4,))
  own = execution.for_each_seed(lambda seed: {'x': jnp.float32(seed), 'k': seed})
  assert own['x'].shape == ()
  (found,) = execution.fetch(execution.compile(affine, num_own=2)(own, jax.random.key(0), 2.0, 1.0))
  assert found['value'] == 9


TREE = {'a': jnp.arange(4.0), 'b': {'c': jnp.float32(3)}}


@pytest.mark.parametrize('collective', [
  parallel.sum_over_devices, parallel.mean_over_devices, parallel.gather_over_devices,
  parallel.share, parallel.fold_in_device,
])
def test_collectives_change_nothing_on_a_single_device(collective):
  assert collective(TREE) is TREE
  assert parallel.num_devices() == 1


@pytest.mark.parametrize('nested', [False, True])
def test_collectives_over_devices(nested):
  def on_device(own):
    own, whole = own['own'], jnp.arange(6)
    found = {
      'sum': parallel.sum_over_devices({'x': own, 'y': (own[0] * 2,)}),
      'mean': parallel.mean_over_devices(own), 'gather': parallel.gather_over_devices(own),
      'share': parallel.share(whole), 'count': parallel.num_devices(),
    }
    return found

  function = jax.jit(jax.checkpoint(on_device)) if nested else on_device
  own = np.array([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]])
  found = jax.vmap(function, axis_name=parallel.AXIS)({'own': own})
  for device in range(3):
    one = jax.tree.map(lambda leaf, device=device: np.asarray(leaf)[device], found)
    np.testing.assert_array_equal(one['sum']['x'], [111, 222])
    assert one['sum']['y'][0] == 222 and one['count'] == 3
    np.testing.assert_array_equal(one['mean'], [37, 74])
    np.testing.assert_array_equal(one['gather'], [1, 2, 10, 20, 100, 200])
    np.testing.assert_array_equal(one['share'], [2 * device, 2 * device + 1])


def make_loops():
  network = networks.create('mlp', 5, depth=1, width=3)
  step = training.TrainingStep(
    network, objectives.create('entropy'), optax.adam(0.01), num_steps=8
  )
  sampler = Sampler(5, 12, 2, 3)  # 4 steps an epoch
  random = np.random.default_rng(1)
  data = training.TrainData(
    random.integers(0, 256, (17, 4, 4, 1)).astype(np.uint8), np.arange(17, dtype=np.int32) % 5,
    np.arange(5, dtype=np.int32), np.arange(5, 17, dtype=np.int32),
  )
  keys = training.keys_from_seed(3)
  state = training.create_state(network, step.optimizer, keys.init, (4, 4, 1))
  initial = training.LoopState(state, step.zero_sums(state, 5, (4, 4, 1)))
  kinds = (training.ResidentLoop, training.StreamedLoop)
  return initial, [kind(step, sampler, data, keys) for kind in kinds]


def test_both_loops_are_functions_of_the_state():
  """Whatever a loop did before: a state of an earlier or a later step gets its own batch."""
  initial, (resident, streamed) = make_loops()
  copy = lambda tree: jax.tree.map(jnp.copy, tree)
  two = resident.advance(copy(initial), 2)
  six = resident.advance(resident.advance(copy(two), 2), 2)
  for start, count, expected in ((initial, 2, two), (initial, 2, two), (two, 2, None)):
    found = streamed.advance(copy(start), count)
    if expected is not None:
      for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
  found = streamed.advance(found, 2)
  for a, b in zip(*map(jax.tree.leaves, (found, six)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_both_loops_diagnose_the_last_batch_of_the_given_state():
  initial, (resident, streamed) = make_loops()
  states = [initial]
  for _ in range(5):
    states.append(resident.advance(jax.tree.map(jnp.copy, states[-1]), 1))
  found = []
  for one in (states[5], states[2], states[3], states[0]):  # no steps in between
    expected, measured = (loop.diagnose(one.state) for loop in (resident, streamed))
    assert set(measured) == set(expected) >= {'reconstruction', 'reconstruction/0'}
    found.append(measured['reconstruction'].value())
    assert found[-1] == pytest.approx(expected['reconstruction'].value(), rel=1e-5)
  assert len(set(found)) == len(found)

"""A training that starts from given weights: another run's, a saved network's, a Flax module's."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import multiscale_inversion as mi
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import build
from multiscale_inversion.runs import loop as run
from tests import tiny

pytestmark = pytest.mark.usefixtures('quick_compilation')


def config_of(**changes):
  made = tiny.config(**{'num_steps': 2, 'data.num_labeled': 50, **changes})
  made.network.blocks_per_group = None
  made.network.update({'name': 'mlp', 'width': 8, 'depth': 2})
  return made


@pytest.fixture(scope='module')
def earlier(tmp_path_factory):
  folder = tmp_path_factory.mktemp('earlier')
  run.train_and_evaluate(config_of(), str(folder))
  return folder


def first_state(config, given=None):
  return build.build(config, given_variables=given).initial_state()


def check_equal(found, wanted):
  assert jax.tree.structure(found) == jax.tree.structure(wanted)
  jax.tree.map(np.testing.assert_array_equal, found, wanted)


@pytest.mark.parametrize('as_file', [False, True])
def test_it_starts_where_the_other_ended(earlier, as_file, tmp_path):
  network, path = mi.load(earlier), str(earlier)
  if as_file:
    path = str(tmp_path / 'network.npz')
    network.save(path)
  state = first_state(config_of(init_from=path, seed=7))
  check_equal(state.params, network.variables['params'])
  assert int(state.step) == 0
  drawn = first_state(config_of(seed=7)).params
  assert not np.array_equal(*(jax.tree.leaves(p)[-1] for p in (drawn, state.params)))


def test_a_teacher_starts_there_too(earlier):
  state = first_state(config_of(**{'init_from': str(earlier), 'objective.name': 'mean_teacher'}))
  wanted = mi.load(earlier).variables['params']
  (teacher,) = (memory for memory in jax.tree.leaves(
    state.memory, is_leaf=lambda m: isinstance(m, dict) and 'params' in m
  ) if isinstance(memory, dict))
  check_equal(teacher['params'], wanted)


def test_the_variables_of_a_flax_module():
  """As a Flax user has them, by `init` of the same module, batch statistics and all."""
  config = tiny.config(num_steps=2)
  setup = build.build(config)
  variables = setup.training_step.network.init(jax.random.key(99), jnp.zeros((1, 8, 8, 1)))
  state = first_state(config, variables)
  check_equal(state.params, variables['params'])
  check_equal(state.batch_stats, variables['batch_stats'])
  without = first_state(config, {'params': variables['params']})
  check_equal(without.batch_stats, setup.initial_state().batch_stats)


def test_all_seeds_start_there(earlier):
  params = mi.load(earlier).variables['params']
  state = first_state(config_of(init_from=str(earlier), num_seeds=2))
  check_equal(state.params, jax.tree.map(lambda leaf: np.stack([leaf, leaf]), params))


def test_fit_goes_on_from_a_network(tmp_path):
  random = np.random.RandomState(0)
  x = random.randn(60, 3).astype(np.float32)
  y = np.where(np.arange(60) < 20, (x[:, 0] > 0).astype(int), -1)
  common = {
    'network': {'name': 'mlp', 'width': 8, 'depth': 1}, 'num_steps': 1, 'progress': False,
  }
  first = mi.fit(x, y, **common)
  still = mi.fit(x, y, init=first, **{**common, 'learning_rate': 1e-12})
  close = lambda one, other: np.testing.assert_allclose(one, other, atol=1e-6)
  jax.tree.map(close, still.variables['params'], first.variables['params'])
  first.save(tmp_path / 'first.npz')
  for init in (first.variables, tmp_path / 'first.npz'):
    same = mi.fit(x, y, init=init, **{**common, 'learning_rate': 1e-12})
    np.testing.assert_array_equal(same.predict_proba(x), still.predict_proba(x))
  with pytest.raises(TypeError, match='init: a float; allowed: a trained network, its variables'):
    mi.fit(x, y, init=0.5, **common)


def test_a_run_is_not_resumed_with_other_weights(earlier, tmp_path):
  weights = mi.load(earlier).variables
  folder = tmp_path / 'run'
  with pytest.raises(run.Interrupted):
    run.train_and_evaluate(
      config_of(), str(folder), lambda step: step >= 1, initial_variables=weights
    )
  recorded = json.loads((folder / 'data.json').read_text())
  assert len(recorded['initial_variables']) == 64
  other = jax.tree.map(lambda leaf: leaf + 1, dict(weights))
  for wrong in (None, other):
    copy = shutil.copytree(folder, tmp_path / f'copy_{wrong is None}')
    with pytest.raises(UserError, match='the weights that the training starts from are others'):
      run.train_and_evaluate(config_of(), str(copy), initial_variables=wrong)
  resumed = run.train_and_evaluate(config_of(), str(folder), initial_variables=weights)
  whole = run.train_and_evaluate(config_of(), str(tmp_path / 'whole'), initial_variables=weights)
  assert resumed.train == whole.train and resumed.test_error == whole.test_error


@pytest.mark.parametrize(('change', 'message'), [
  (lambda v: {'batch_stats': {}}, 'initial variables: batch_stats; allowed: params and'),
  (lambda v: {**v, 'cache': {}}, 'initial variables: batch_stats, cache, params; allowed'),
  (lambda v: {'params': {**v['params'], 'extra': np.zeros(1)}},
   'initial variables: params/extra: not of the network'),
  (lambda v: {'params': dict([*v['params'].items()][1:])}, 'missing; allowed: those of'),
  (lambda v: {'params': jax.tree.map(lambda leaf: leaf[:1], v['params'])}, 'of shape'),
  (lambda v: {'params': jax.tree.map(lambda leaf: leaf * np.nan, v['params'])}, 'not finite'),
])
def test_wrong_weights(earlier, change, message):
  with pytest.raises(UserError, match=message):
    first_state(config_of(), change(dict(mi.load(earlier).variables)))


def test_a_path_to_nothing(tmp_path):
  with pytest.raises(UserError, match='gone: not there'):
    first_state(config_of(init_from=str(tmp_path / 'gone')))

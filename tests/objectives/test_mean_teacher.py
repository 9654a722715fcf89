"""The mean teacher that is evaluated, weights and statistics, against a program in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from multiscale_inversion import execution, networks, objectives, parallel, training
from multiscale_inversion.errors import UserError

pytestmark = pytest.mark.usefixtures('little_optimization')

STEPS, N, SIDE, C, DECAY = 5, 12, 3, 4, 0.7
LABELS = np.array([0, 1, 2, 3, 0, 1] + [-1] * 6)
AXIS = parallel.AXIS


def batches(seed=0):
  random = np.random.RandomState(seed)
  # Far from zero and unequal: a running statistic that lags behind is seen.
  return [random.standard_normal((N, SIDE, SIDE, 1)) * (1 + t) + t for t in range(STEPS)]


def make_step(decay, axis_name=None, **options):
  network = networks.create(
    'mlp', C, depth=1, width=5, axis_name=axis_name, **{'dropout_rate': 0.0, **options}
  )
  objective = objectives.create('mean_teacher', decay=decay, weight=3.0, rampup=0.0)
  return training.TrainingStep(
    network, objective, optax.sgd(0.3), weak=lambda key, x: 2 * x
  )


def initial(training_step, seed=0):
  state = training.create_state(
    training_step.network, training_step.optimizer, jax.random.key(seed), (SIDE, SIDE, 1),
    training_step.objective, N
  )
  return jax.tree.map(lambda leaf: leaf.astype(float) if leaf.dtype == jnp.float32 else leaf, state)


def batch_of(images, order=slice(None)):
  labels = jnp.asarray(LABELS)[order]
  return training.Batch(jnp.asarray(images)[order], labels, (labels >= 0).astype(float))


def train(training_step, state, images):
  """The states before the first and after each step."""
  states, run = [state], jax.jit(training_step)
  for one in images:
    states.append(run(states[-1], batch_of(one), jax.random.key(1))[0])
  return states


def hidden(params, x):
  kernel = np.asarray(params['layers_0']['dense']['kernel'])
  return x.reshape(len(x), -1) @ kernel


def teacher_in_numpy(students, images, decay):
  """The averages of the student's parameters, and the running statistics of passes with them.

  Tarvainen and Valpola: the teacher's pass of a step is with its parameters before the step.
  """
  copy = lambda tree: jax.tree.map(lambda leaf: np.array(leaf, float), tree)
  params, mean, variance = copy(students[0].params), np.zeros(5), np.ones(5)
  for t, x in enumerate(images):
    values = hidden(params, 2 * x)  # the augmentation
    mean = 0.9 * mean + 0.1 * values.mean(0)
    variance = 0.9 * variance + 0.1 * ((values - values.mean(0)) ** 2).mean(0)
    rate = min(1 - 1 / (t + 1), decay)
    average = lambda own, new, rate=rate: rate * own + (1 - rate) * new
    params = jax.tree.map(average, params, copy(students[t + 1].params))
  return params, mean, variance


def logits_in_numpy(params, mean, variance, x):
  norm, dense = params['layers_0']['norm'], params['layers_1']['dense']
  y = (hidden(params, x) - mean) / np.sqrt(variance + 1e-5) * norm['scale'] + norm['bias']
  return np.where(y > 0, y, 0.01 * y) @ dense['kernel'] + dense['bias']


@pytest.mark.usefixtures('float64')
@pytest.mark.parametrize('decay', [0.0, DECAY])
def test_the_evaluated_network_is_the_teacher_with_its_own_statistics(decay):
  training_step, images = make_step(decay), batches()
  states = train(training_step, initial(training_step), images)
  params, mean, variance = teacher_in_numpy(states, images, decay)
  found = training_step.evaluated(states[-1])
  own = found['batch_stats']['layers_0']['norm']
  # The rate of the averages is in single precision.
  np.testing.assert_allclose(own['mean'], mean, rtol=1e-6)
  np.testing.assert_allclose(own['var'], variance, rtol=1e-6)
  x = np.random.RandomState(9).standard_normal((7, SIDE, SIDE, 1))
  expected = logits_in_numpy(params, mean, variance, x)
  np.testing.assert_allclose(training_step.network.apply(found, x)[-1], expected, rtol=1e-6)
  # The student's statistics, which do not fit the averages, give something else.
  students = states[-1].batch_stats['layers_0']['norm']
  others = logits_in_numpy(params, np.asarray(students['mean']), np.asarray(students['var']), x)
  assert (np.abs(others - expected).max() > 0.01) == (decay > 0)


@pytest.mark.usefixtures('float64')
def test_without_averaging_the_teacher_is_the_student():
  training_step = make_step(0.0)
  for state in train(training_step, initial(training_step), batches()):
    found, student = training_step.evaluated(state), state.variables()
    assert jax.tree.structure(found) == jax.tree.structure(student)
    for a, b in zip(*map(jax.tree.leaves, (found, student)), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.usefixtures('float64')
def test_statistics_over_all_devices():
  """Two shares of a batch leave the teacher that the whole batch does, the same on each."""
  one, many = make_step(DECAY), make_step(DECAY, AXIS)
  images = batches()
  expected = one.evaluated(train(one, initial(one), images)[-1])
  order = np.arange(N).reshape(2, 2, 3).swapaxes(0, 1).reshape(-1)  # 3 labeled images in each
  state = initial(many)
  run = jax.vmap(many, in_axes=(None, 0, None), axis_name=AXIS)
  for x in images:
    shares = jax.tree.map(
      lambda leaf: leaf.reshape(2, -1, *leaf.shape[1:]),
      batch_of(x, order)._replace(positions=None),
    )
    states, _ = run(state, shares, jax.random.key(1))
    for leaf in jax.tree.leaves(states):
      np.testing.assert_array_equal(leaf[0], leaf[1])
    state = jax.tree.map(lambda leaf: leaf[0], states)
  for a, b in zip(*map(jax.tree.leaves, (many.evaluated(state), expected)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('mode', execution.MODES)
def test_each_seed_has_its_own_teacher(mode):
  training_step, (x, *_) = make_step(DECAY, dropout_rate=0.3), batches()
  keys = jax.random.split(jax.random.key(5), 2)
  step = lambda state, key: training_step(state, batch_of(x.astype(np.float32)), key)[0]
  states = [initial(training_step, seed) for seed in (0, 1)]
  both_seeds = execution.Execution(seeds=(0, 1), mode=mode)
  together = both_seeds.compile(step, num_own=2)
  state = both_seeds.for_each_seed(lambda seed: states[seed])
  both = training_step.evaluated(together(together(state, keys), keys))
  for own, state, key in zip(both_seeds.fetch(both), states, keys, strict=True):
    expected = training_step.evaluated(step(step(state, key), key))
    for a, b in zip(*map(jax.tree.leaves, (own, expected)), strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('averaged', 'where'), [
  (lambda memory: {'params': memory['params']}, "['batch_stats']['layers_0']['norm']['mean']"),
  (lambda memory: memory['params'], "['batch_stats']['layers_0']['norm']['mean']"),
  (lambda memory: memory | {'params': {}}, "['params']['layers_0']['dense']['kernel']"),
  (lambda memory: jax.tree.map(jnp.sum, memory), "['batch_stats']['layers_0']['norm']['mean']"),
])
def test_an_average_that_lacks_a_part_of_the_network_is_refused_before_training(averaged, where):
  training_step = make_step(DECAY)
  term = objectives.ContextTerm(
    lambda *arguments: None, init=lambda start: start.variables, averaged=averaged
  )
  with pytest.raises(UserError) as error:
    training.create_state(
      training_step.network, training_step.optimizer, jax.random.key(0), (SIDE, SIDE, 1),
      objectives.add(term)
    )
  assert f'its term 0 differ from the trained ones in {where}; allowed' in str(error.value)


def test_of_a_network_without_statistics_the_parameters_alone_are_averaged():
  network = networks.create('gru', C, depth=1, width=3)
  objective = objectives.create('mean_teacher')
  training_step = training.TrainingStep(network, objective, optax.sgd(0.1))
  state = training.create_state(
    network, training_step.optimizer, jax.random.key(0), (SIDE, SIDE, 1), objective
  )
  state, _ = training_step(
    state, batch_of(batches()[0].astype(np.float32)), jax.random.key(0)
  )
  found = training_step.evaluated(state)
  assert not jax.tree.leaves(found['batch_stats'])
  assert jax.tree.structure(found['params']) == jax.tree.structure(state.params)

"""The learning rate, a training step and the objectives against independent computations."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special

from multiscale_inversion import invert, losses, networks, objectives, training
from multiscale_inversion.data import Sampler
from multiscale_inversion.errors import UserError
from multiscale_inversion.inversion.stages import Inversion
from multiscale_inversion.networks import resnet
from multiscale_inversion.runs import build
from multiscale_inversion.training import schedules
from tests import tiny

CLASSES = 5
# Groups of different sizes, so that no mean over one is mistaken for a mean over all.
LABELS = np.array([3, 0, -1, -1, 1, -1, -1, -1], np.int32)
MASK = (LABELS >= 0).astype(np.float32)
LEARNING_RATE = 0.05


pytestmark = pytest.mark.usefixtures('little_optimization')


# The learning rate.


@pytest.mark.parametrize(('epochs', 'halved'), [(400, (150, 300)), (40, (15, 30))])
@pytest.mark.parametrize('steps_per_epoch', [1, 7, 2931])
def test_schedule(epochs, halved, steps_per_epoch):
  schedule = schedules.steps(0.002, epochs * steps_per_epoch)
  first, second = (epoch * steps_per_epoch for epoch in halved)
  rates = {
    0: 0.002, first - 1: 0.002, first: 0.001, second - 1: 0.001, second: 0.0005,
    epochs * steps_per_epoch - 1: 0.0005,
  }
  for step, rate in rates.items():
    assert float(schedule(step)) == pytest.approx(rate, rel=1e-6), step
    assert float(jax.jit(schedule)(jnp.int32(step))) == pytest.approx(rate, rel=1e-6), step


def test_schedule_of_other_epochs():
  schedule = schedules.steps(1.0, 100, schedules.Decays((2, 5, 8), 10, factor=0.1))
  steps = [0, 19, 20, 49, 50, 79, 80, 99]
  expected = [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
  assert [float(schedule(step)) for step in steps] == pytest.approx(expected, rel=1e-5)
  constant = schedules.steps(0.3, 100, schedules.Decays(()))
  assert [float(constant(step)) for step in steps] == pytest.approx([0.3] * 8)


def test_ramps_of_the_learning_rate():
  """Of the program of Laine and Aila: 80 epochs up, the last 50 of 300 down, 10 steps an epoch."""
  schedule = schedules.with_ramps(lambda step: 0.003, 3000, 80 / 300, 50 / 300)
  for step in (0, 1, 400, 799, 800, 2000, 2499, 2500, 2501, 2800, 2999):
    epoch = step / 10
    rate = 0.003
    if epoch < 80:
      p = 1 - epoch / 80
      rate *= math.exp(-p * p * 5)
    if epoch >= 250:
      half = (epoch - 250) * 0.5
      rate *= math.exp(-(half * half) / 50)
    assert float(schedule(step)) == pytest.approx(rate, rel=1e-4), step
    assert float(jax.jit(schedule)(jnp.int32(step))) == pytest.approx(rate, rel=1e-4), step


@pytest.mark.parametrize(('changes', 'expected'), [
  ({}, [1, 1, 0.5, 0.25]),
  ({'schedule.name': 'cosine_7_16'},
   [math.cos(7 * math.pi * k / 64) for k in range(4)]),
  ({'schedule.rampup': 0.5, 'schedule.rampdown': 0.5, 'decay_factor': 1.0},
   [math.exp(-5), math.exp(-5 / 4), 1, math.exp(-12.5 / 4)]),
])
def test_the_schedule_of_a_configuration(changes, expected):
  """With a constant gradient, each of Adam's steps is as long as its learning rate."""
  config = tiny.config(**{'num_steps': 4, 'learning_rate': 0.01, **changes})
  optimizer = build.build(config).training_step.optimizer
  state, rates = optimizer.init(jnp.zeros(1)), []
  for _ in range(4):
    change, state = optimizer.update(jnp.ones(1), state)
    rates.append(-float(change[0]))
  np.testing.assert_allclose(rates, 0.01 * np.array(expected), rtol=1e-3)


def test_optimizer_takes_the_rate_of_the_step_counted_from_0():
  """With a constant gradient, each of Adam's steps is as long as its learning rate."""
  optimizer = optax.adam(schedules.steps(0.002, 40))
  parameter = jnp.zeros(1)
  state = optimizer.init(parameter)
  rates = []
  for _ in range(40):
    changes, state = optimizer.update(jnp.ones(1), state, parameter)
    rates.append(-float(changes[0]))
  assert rates == pytest.approx([0.002] * 15 + [0.001] * 15 + [0.0005] * 10, rel=1e-4)


# A step of the supervised objective.


@pytest.fixture(scope='module')
def step():
  """One step of gradient descent, and all that went into it."""
  network = networks.create(
    'resnet', num_classes=CLASSES, blocks_per_group=1, width=3, dropout_rate=0.0
  )
  optimizer = optax.sgd(LEARNING_RATE)
  training_step = training.TrainingStep(network, objectives.create('supervised'), optimizer)
  state = training.create_state(network, optimizer, jax.random.key(1), (8, 8, 2))
  random = np.random.default_rng(0)
  draw = lambda leaf: jnp.asarray(random.uniform(0.5, 1.5, leaf.shape), jnp.float32)
  state = state._replace(
    step=jnp.int32(4),
    params=jax.tree.map(lambda leaf: leaf + 0.1 * draw(leaf), state.params),
    batch_stats=jax.tree.map(draw, state.batch_stats),
  )
  images = random.normal(size=(len(LABELS), 8, 8, 2)).astype(np.float32)
  batch = training.Batch(jnp.asarray(images), jnp.asarray(LABELS), jnp.asarray(MASK))
  after, measured = jax.jit(training_step)(state, batch, jax.random.key(2))
  return {
    'network': network, 'training_step': training_step, 'before': state, 'batch': batch,
    'after': after,
    'measured': {name: mean.value() for name, mean in measured.items()},
  }


def supervised_loss(network, params, batch_stats, batch):
  """(1/N) sum over the labeled of L_CE / log C, with the network in training."""
  variables = {'params': params, 'batch_stats': batch_stats}
  activations, _ = network.apply(variables, batch.images, train=True, mutable=['batch_stats'])
  labeled = np.flatnonzero(MASK)
  nats = optax.softmax_cross_entropy_with_integer_labels(
    activations[-1][labeled], LABELS[labeled]
  )
  return jnp.sum(nats) / len(LABELS) / math.log(CLASSES)


def test_step_goes_down_the_gradient(step):
  before, after = step['before'], step['after']
  loss, gradient = jax.jit(jax.value_and_grad(supervised_loss, argnums=1), static_argnums=0)(
    step['network'], before.params, before.batch_stats, step['batch']
  )
  expected = jax.tree.map(lambda p, g: p - LEARNING_RATE * g, before.params, gradient)
  assert max(float(jnp.max(jnp.abs(g))) for g in jax.tree.leaves(gradient)) > 0.1
  changes = jax.tree.map(lambda a, b: np.asarray(a - b), after.params, before.params)
  expected_changes = jax.tree.map(lambda a, b: np.asarray(a - b), expected, before.params)
  for (path, change), wanted in zip(
    jax.tree_util.tree_leaves_with_path(changes), jax.tree.leaves(expected_changes)
  ):
    np.testing.assert_allclose(
      change, wanted, rtol=2e-3, atol=5e-7, err_msg=jax.tree_util.keystr(path)
    )
    assert np.any(change != 0)
  assert step['measured']['loss'] == pytest.approx(float(loss), rel=1e-5)
  assert after.step == before.step + 1


def test_step_measures_in_nats(step):
  """Cross-entropy over the labeled, entropy over the unlabeled, nothing that is not computed."""
  before = step['before']
  activations, _ = step['network'].apply(
    before.variables(), step['batch'].images, train=True, mutable=['batch_stats']
  )
  logits = np.asarray(activations[-1], np.float64)
  logs = logits - np.log(np.sum(np.exp(logits), -1, keepdims=True))
  labeled, unlabeled = MASK > 0, MASK == 0
  ce = -np.mean(logs[labeled, LABELS[labeled]])
  entropy = np.mean(-np.sum(np.exp(logs) * logs, -1)[unlabeled])
  assert step['measured'] == {
    'loss': pytest.approx(ce * 3 / 8 / math.log(CLASSES), rel=1e-5),
    'cross_entropy': pytest.approx(ce, rel=1e-5),
    'entropy': pytest.approx(entropy, rel=1e-5),
  }


def convolve(x, kernel):
  """3x3 cross-correlation with zeros around, in NumPy."""
  padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  height, width = x.shape[1:3]
  return sum(
    padded[:, i:i + height, j:j + width] @ kernel[i, j] for i in range(3) for j in range(3)
  )


def test_step_updates_the_running_statistics(step):
  before, after = step['before'], step['after']
  activations, _ = step['network'].apply(
    before.variables(), step['batch'].images, train=True, mutable=['batch_stats']
  )
  assert set(after.batch_stats) == {'layers_0', 'layers_1', 'layers_2'}
  for index in range(3):
    name = f'layers_{index}'
    kernel = np.asarray(before.params[name]['block']['conv']['kernel'], np.float64)
    y = convolve(np.asarray(activations[index], np.float64), kernel).reshape(-1, kernel.shape[-1])
    old, new = (state.batch_stats[name]['block']['norm'] for state in (before, after))
    np.testing.assert_allclose(new['mean'], 0.9 * old['mean'] + 0.1 * np.mean(y, 0), rtol=1e-5)
    variance = np.mean((y - np.mean(y, 0)) ** 2, 0)  # biased
    np.testing.assert_allclose(new['var'], 0.9 * old['var'] + 0.1 * variance, rtol=1e-5)


def test_unlabeled_images_enter_a_supervised_step_by_the_statistics_alone(step):
  """Labels where the mask is 0 count for nothing; images there still do."""
  run = jax.jit(step['training_step'])
  key = jax.random.key(2)
  labels = jnp.where(step['batch'].mask > 0, step['batch'].labels, 2)
  other, _ = run(step['before'], step['batch']._replace(labels=labels), key)
  for a, b in zip(jax.tree.leaves(other), jax.tree.leaves(step['after'])):
    np.testing.assert_array_equal(a, b)
  images = step['batch'].images.at[2].multiply(2)  # 2 is unlabeled
  other, _ = run(step['before'], step['batch']._replace(images=images), key)
  assert not np.array_equal(
    other.params['layers_3']['dense']['kernel'], step['after'].params['layers_3']['dense']['kernel']
  )


def test_dropout_is_a_function_of_key_and_step(monkeypatch):
  monkeypatch.setattr(resnet, 'NUM_GROUPS', 1)  # for speed
  network = networks.create(
    'resnet', num_classes=CLASSES, blocks_per_group=1, width=4, dropout_rate=0.5
  )
  optimizer = optax.sgd(LEARNING_RATE)
  training_step = training.TrainingStep(network, objectives.create('supervised'), optimizer)
  state = training.create_state(network, optimizer, jax.random.key(0), (4, 4, 1))
  images = jnp.asarray(np.random.default_rng(3).normal(size=(8, 4, 4, 1)), jnp.float32)
  batch = training.Batch(images, jnp.asarray(LABELS), jnp.asarray(MASK))
  run = jax.jit(training_step)
  losses_of = [
    run(state._replace(step=jnp.int32(step)), batch, jax.random.key(seed))[1]['loss'].value()
    for step, seed in ((0, 0), (0, 0), (1, 0), (0, 1))
  ]
  assert losses_of[0] == losses_of[1]
  assert len(set(losses_of)) == 3


# The loop.


def test_batches_hold_the_right_images():
  images = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1) * np.array(
    [[[1], [2]]], np.uint8
  )  # two pixels: i and 2 i
  data = training.TrainData(
    jnp.asarray(images), jnp.arange(12) % CLASSES, jnp.array([3, 8]), jnp.array([1, 5, 9, 11])
  )
  batch = training.gather_batch(data, jnp.array([1, 0, 1]), jnp.array([3, 0]))
  np.testing.assert_array_equal(batch.labels, [8 % CLASSES, 3, 8 % CLASSES, -1, -1])
  np.testing.assert_array_equal(batch.mask, [1, 1, 1, 0, 0])
  # Centered and divided by the greatest absolute value, each image is (-1, 1).
  np.testing.assert_allclose(batch.images.reshape(5, 2), [[-1, 1]] * 5, rtol=1e-6)


def test_loop_is_its_steps(monkeypatch):
  """The sums of three steps of the loop, and their end, are those of three calls of the step."""
  monkeypatch.setattr(resnet, 'NUM_GROUPS', 1)  # for speed
  network = networks.create('resnet', num_classes=CLASSES, blocks_per_group=1, width=2)
  optimizer = optax.adam(0.01)
  training_step = training.TrainingStep(network, objectives.create('entropy'), optimizer)
  sampler = Sampler(5, 12, 2, 3)
  keys = training.keys_from_seed(3)
  random = np.random.default_rng(1)
  data = training.TrainData(
    jnp.asarray(random.integers(0, 256, (17, 8, 8, 1)), jnp.uint8), jnp.arange(17) % CLASSES,
    jnp.arange(5), jnp.arange(5, 17)
  )
  state = training.create_state(network, optimizer, keys.init, (8, 8, 1))
  sums = training_step.zero_sums(state, 5, (8, 8, 1))
  assert all(float(leaf) == 0 for leaf in jax.tree.leaves(sums))
  loop_state = training.LoopState(jax.tree.map(jnp.copy, state), sums)
  loop_state = training.ResidentLoop(training_step, sampler, data, keys).advance(loop_state, 3)

  run, measured = jax.jit(training_step), []
  for index in range(3):
    batch = training.gather_batch(data, *sampler.batch(keys.sampling, jnp.int32(index)))
    state, values = run(state, batch, keys.dropout)
    measured.append({name: value.value() for name, value in values.items()})
  assert loop_state.state.step == 3
  for name, mean in loop_state.sums.items():
    assert mean.value() == pytest.approx(np.mean([m[name] for m in measured]), rel=1e-4)
  for a, b in zip(jax.tree.leaves(loop_state.state.params), jax.tree.leaves(state.params)):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


# Objectives on an inversion made by hand.


@pytest.fixture
def inversion():
  random = np.random.default_rng(2)
  draw = lambda *shape: jnp.asarray(random.normal(size=(8, *shape)), jnp.float32)
  z, r = (draw(4, 3, 2), draw(7), draw(CLASSES)), (draw(4, 3, 2), draw(7))
  return Inversion(z, r, (None, None))


def in_numpy(inversion):
  """L_CE where labeled, L_E where not, and L_R, of each observation."""
  z, r = ([np.asarray(a, np.float64) for a in arrays] for arrays in inversion[:2])
  logs = z[-1] - np.log(np.sum(np.exp(z[-1]), -1, keepdims=True))
  ce = np.where(MASK > 0, -logs[np.arange(8), LABELS], 0)
  entropy = np.where(MASK > 0, 0, -np.sum(np.exp(logs) * logs, -1))
  distances = [np.sum((a - b).reshape(8, -1) ** 2, -1) for a, b in zip(z, r)]
  return ce, entropy, distances


@pytest.mark.parametrize(('alpha', 'beta'), [(0.7, 0.2), (0.25, 0.5), (1.0, 0.3), (0.0, 1.0)])
@pytest.mark.parametrize('normalized', [False, True])
def test_convex(inversion, alpha, beta, normalized):
  ce, entropy, distances = in_numpy(inversion)
  expected = (
    alpha * ce + (1 - alpha) * beta * entropy
    + (1 - alpha) * (1 - beta) * distances[0] / (24 if normalized else 1)
  )
  objective = objectives.create('convex', alpha=alpha, beta=beta, normalized=normalized)
  np.testing.assert_allclose(objective(inversion, LABELS, MASK), expected, rtol=1e-5)


def test_convex_does_not_normalize_unless_asked(inversion):
  default, plain = (
    objectives.create('convex', alpha=0.5, beta=0.0, **options)(inversion, LABELS, MASK)
    for options in ({}, {'normalized': False})
  )
  np.testing.assert_array_equal(default, plain)


@pytest.mark.parametrize(('options', 'key'), [
  ({}, 'alpha'), ({'alpha': 0.5}, 'beta'), ({'beta': 0.5}, 'alpha'),
  ({'alpha': 1.5, 'beta': 0.5}, 'alpha'), ({'alpha': 0, 'beta': -1}, 'beta'),
], ids=str)
def test_convex_needs_its_weights(options, key):
  with pytest.raises(UserError, match=rf'^{key}: .*allowed: \[0, 1\]$'):
    objectives.create('convex', **options)


def reconstruction_of(name, distances):
  return {
    'supervised': 0, 'entropy': 0, 'global': distances[0] / 24,
    'multiscale': (distances[0] / 24 + distances[1] / 7) / 2,
  }[name]


@pytest.mark.parametrize('name', ['supervised', 'entropy', 'global', 'multiscale'])
def test_objectives_per_observation(inversion, name):
  ce, entropy, distances = in_numpy(inversion)
  expected = (ce + (name != 'supervised') * entropy) / math.log(CLASSES)
  expected = expected + reconstruction_of(name, distances)
  value = objectives.create(name)(inversion, LABELS, MASK)
  np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('name', ['supervised', 'entropy', 'global', 'multiscale', 'convex'])
def test_group_reduction_is_the_mean_of_each_group(inversion, name):
  """The batch's mean is L_CE's mean over 3 labeled and L_E's over 5 unlabeled observations."""
  ce, entropy, distances = in_numpy(inversion)
  ce_mean, entropy_mean = np.sum(ce) / 3, np.sum(entropy) / 5
  if name == 'convex':
    options = {'alpha': 0.7, 'beta': 0.2}
    expected = 0.7 * ce_mean + 0.3 * 0.2 * entropy_mean + 0.3 * 0.8 * np.mean(distances[0])
  else:
    options = {}
    expected = (ce_mean + (name != 'supervised') * entropy_mean) / math.log(CLASSES)
    expected += np.mean(reconstruction_of(name, distances))
  objective = objectives.create(name, reduction='group', **options)
  value = objective(inversion, LABELS, MASK)
  assert value.shape == (8,)
  np.testing.assert_allclose(np.mean(value), expected, rtol=1e-5)


@pytest.mark.parametrize('name', ['entropy', 'global', 'multiscale', 'convex'])
@pytest.mark.parametrize('reduction', ['batch', 'group'])
def test_information_in_place_of_entropy(inversion, name, reduction):
  """The batch's mean falls by the entropy of the unlabeled observations' mean prediction."""
  options = {'alpha': 0.7, 'beta': 0.2} if name == 'convex' else {}
  means = [
    np.mean(objectives.create(name, reduction=reduction, unlabeled=unlabeled, **options)(
      inversion, LABELS, MASK
    )) for unlabeled in ('entropy', 'information')
  ]
  logits = np.asarray(inversion.activations[-1], float)[MASK == 0]
  marginal = scipy.special.entr(np.mean(scipy.special.softmax(logits, 1), 0)).sum()
  weight = 0.3 * 0.2 if name == 'convex' else 1 / math.log(CLASSES)
  share = 1 if reduction == 'group' else 5 / 8
  assert means[0] - means[1] == pytest.approx(weight * share * marginal, rel=1e-4)


def test_without_a_loss_of_unlabeled_observations(inversion):
  ce, _, distances = in_numpy(inversion)
  value = objectives.create('multiscale', unlabeled='none')(inversion, LABELS, MASK)
  expected = ce / math.log(CLASSES) + reconstruction_of('multiscale', distances)
  np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('mask', [np.zeros(8, np.float32), np.ones(8, np.float32)])
def test_group_reduction_of_an_empty_group_is_finite(inversion, mask):
  labels = np.where(mask > 0, 1, -1)
  value = np.asarray(objectives.create('entropy', reduction='group')(inversion, labels, mask))
  assert np.all(np.isfinite(value)) and np.all(value > 0)


def test_multiscale_of_chosen_layers(inversion):
  ce, entropy, distances = in_numpy(inversion)
  expected = (ce + entropy) / math.log(CLASSES) + distances[1] / 7
  value = objectives.create('multiscale', layers=(1,))(inversion, LABELS, MASK)
  np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_only_reconstructions_are_drawn_to_constant_targets(inversion):
  def value(z, stop_target):
    changed = inversion._replace(activations=(z, *inversion.activations[1:]))
    return jnp.sum(losses.multiscale_reconstruction(changed, (0,), stop_target))

  z, r = inversion.activations[0], inversion.reconstructions[0]
  assert np.all(np.asarray(jax.grad(value)(z, True)) == 0)
  np.testing.assert_allclose(jax.grad(value)(z, False), 2 * (z - r) / 24, rtol=1e-4, atol=1e-6)


def test_what_inverts_says_so():
  weights = jnp.eye(CLASSES)
  x = jnp.ones((8, CLASSES))
  result = invert([lambda z: z @ weights], x)
  broken = result._replace(reconstructions=(jnp.full((8, CLASSES), jnp.nan),))
  for name in ('supervised', 'entropy', 'global', 'multiscale'):
    objective = objectives.create(name)
    reads = bool(jnp.any(jnp.isnan(objective(broken, LABELS, MASK))))
    assert objective.inverts == reads, name


# The surroundings that an objective may know.


def test_what_the_network_and_the_objective_see():
  def loss(inversion, labels, mask, context):
    scalars = {
      'z0': jnp.sum(inversion.activations[0]), 'inputs': jnp.sum(context.inputs),
      'images': jnp.sum(context.images), 'progress': context.progress,
      'positions': jnp.sum(context.positions),
      'strong': jnp.sum(context.strong(context.key, context.images)),
    }
    return objectives.LossOutput(jnp.zeros(mask.shape), scalars=scalars)

  network = networks.create('mlp', CLASSES, depth=1, width=4, dropout_rate=0.0)
  training_step = training.TrainingStep(
    network, objectives.add(objectives.ContextTerm(loss)), optax.sgd(0.0), num_steps=8,
    weak=lambda key, x: 2 * x, strong=lambda key, x: 5 * x,
  )
  state = training.create_state(network, training_step.optimizer, jax.random.key(0), (4, 4, 1))
  images = np.random.RandomState(0).standard_normal((8, 4, 4, 1)).astype(np.float32)
  batch = training.Batch(
    jnp.asarray(images), jnp.asarray(LABELS), jnp.asarray(MASK), jnp.arange(8) + 3
  )
  state, _ = training_step(state, batch, jax.random.key(1))
  _, measured = training_step(state, batch, jax.random.key(1))
  total = images.sum()
  expected = {
    'z0': 2 * total, 'inputs': 2 * total, 'images': total, 'strong': 5 * total,
    'progress': 1 / 8, 'positions': 28 + 24,
  }
  assert {name: measured[name].value() for name in expected} == {
    name: pytest.approx(float(value), rel=1e-4) for name, value in expected.items()
  }


def test_another_pass_has_the_same_parameters_and_leaves_the_statistics():
  """Without dropout and augmentation, it gives the logits of the main pass."""
  def loss(inversion, labels, mask, context):
    again = context.predict(context.images, context.key)
    difference = jnp.max(jnp.abs(again - inversion.activations[-1]))
    return objectives.LossOutput(jnp.mean(again, -1), scalars={'difference': difference})

  network = networks.create('mlp', CLASSES, depth=1, width=4, dropout_rate=0.0)
  images = jnp.asarray(np.random.RandomState(0).standard_normal((8, 4, 4, 1)), jnp.float32)
  batch = training.Batch(images, jnp.asarray(LABELS), jnp.asarray(MASK))
  states = []
  mean_logit = lambda inversion, labels, mask: jnp.mean(inversion.activations[-1], -1)
  for term in (objectives.ContextTerm(loss), mean_logit):
    training_step = training.TrainingStep(network, objectives.add(term), optax.sgd(0.1))
    state = training.create_state(network, training_step.optimizer, jax.random.key(0), (4, 4, 1))
    state, measured = training_step(state, batch, jax.random.key(1))
    states.append(state)
    if 'difference' in measured:
      assert measured['difference'].value() < 1e-6
  for a, b in zip(*map(jax.tree.leaves, (states[0][:3], states[1][:3])), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)

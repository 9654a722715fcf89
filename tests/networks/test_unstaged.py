"""Networks that are not in layers, against explicit Jacobians and the same network in layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from multiscale_inversion import networks, objectives, training
from multiscale_inversion.errors import UserError
from tests import problems

pytestmark = pytest.mark.usefixtures('little_optimization')
CLASSES = 3


class Skipping(nn.Module):
  """The second and the last map see the input's features too."""

  statistics: bool = True
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, train):
    x = x.reshape(len(x), -1)
    first = nn.Dense(4, name='first')(x)
    if self.statistics:
      norm = nn.BatchNorm(not train, axis_name=self.axis_name, name='norm')
      first = norm(first)
    second = nn.Dense(4, name='second')(jnp.concatenate([x, jnp.tanh(first)], -1))
    return nn.Dense(CLASSES, name='head')(jnp.concatenate([jnp.tanh(second), first], -1))


class Network(networks.UnstagedNetwork):
  num_classes: int = CLASSES
  inverted: tuple = ('module/second', 'module/first')
  statistics: bool = True

  def setup(self):
    self.module = Skipping(self.statistics)

  def logits(self, x, train, inverse):
    return self.module(x, train)


def draw(network, x):
  random = np.random.RandomState(1)
  shapes = jax.eval_shape(network.init, jax.random.key(0), x)

  def values(path, leaf):
    positive = path[-1].key in ('scale', 'var')
    return random.uniform(0.5, 1.5, leaf.shape) if positive else random.standard_normal(leaf.shape)

  return jax.tree_util.tree_map_with_path(values, shapes)


@pytest.fixture
def x(float64):
  return jnp.asarray(np.random.RandomState(0).standard_normal((4, 2, 3)))


@pytest.mark.parametrize('train', [False, True])
def test_inverse_is_the_transposed_jacobian(x, train):
  """Written again by hand, the Jacobians taken forward; Flax's statistics vary with the batch."""
  network = Network()
  variables = draw(network, x)
  p, running = variables['params']['module'], variables['batch_stats']['module']['norm']
  dense = lambda name, z: z @ p[name]['kernel'] + p[name]['bias'][None]

  def by_hand(x, added):
    x = x.reshape(4, 6)
    first = dense('first', x) + added['first']
    mean, var = (first.mean(0), first.var(0)) if train else (running['mean'], running['var'])
    mean, var, scale, bias = (v[None] for v in (mean, var, p['norm']['scale'], p['norm']['bias']))
    z = (first - mean) / jnp.sqrt(var + 1e-5) * scale + bias
    second = dense('second', jnp.concatenate([x, jnp.tanh(z)], -1)) + added['second']
    logits = dense('head', jnp.concatenate([jnp.tanh(second), z], -1))
    return logits, (first, second)

  zeros = {name: jnp.zeros((4, 4)) for name in ('first', 'second')}
  logits, (first, second) = by_hand(x, zeros)
  jacobians = jax.jacfwd(lambda *a: by_hand(*a)[0], (0, 1))(x, zeros)
  expected = [
    jnp.einsum('nc,nc...->...', logits, jacobian)
    for jacobian in (jacobians[0], jacobians[1]['second'], jacobians[1]['first'])
  ]
  found = jax.jit(lambda v, x: network.invert(v, x, train))(variables, x)
  for z, wanted in zip(found.activations, (x, second, first, logits), strict=True):
    np.testing.assert_allclose(z, wanted, rtol=1e-9)
  for r, wanted in zip(found.reconstructions, expected, strict=True):
    np.testing.assert_allclose(r, wanted, rtol=1e-9, atol=1e-12)
  if train:
    applied, updates = network.apply(variables, x, train=True, mutable=['batch_stats'])
    merged = networks.merge_updates(found.auxiliary)
    assert jax.tree.structure(merged) == jax.tree.structure(updates)
    mean = found.auxiliary[0]['batch_stats']['module']['norm']['mean']
    np.testing.assert_allclose(mean, 0.99 * running['mean'] + 0.01 * first.mean(0), rtol=1e-6)
  else:
    applied = network.apply(variables, x)
  for z, wanted in zip(applied, found.activations, strict=True):
    np.testing.assert_allclose(z, wanted, rtol=1e-12)


def test_trains_as_the_same_network_in_layers(float64):
  """With dropout, batch statistics and the inverse that takes these as given."""
  options = {'depth': 2, 'width': 5, 'activation': 'tanh'}
  found = []
  for network in (networks.create('mlp', CLASSES, **options),
                  problems.UnstagedMLP(CLASSES, **options)):
    training_step = training.TrainingStep(network, objectives.create('multiscale'), optax.sgd(0.1))
    state = training.create_state(network, training_step.optimizer, jax.random.key(0), (2, 2, 1))
    assert network.bind(state.variables()).num_layers() == 3
    state = jax.tree.map(lambda leaf: leaf.astype(float) if leaf.ndim else leaf, state)
    random = np.random.RandomState(0)
    batch = training.Batch(
      jnp.asarray(random.standard_normal((6, 2, 2, 1))), jnp.array([0, 1, 2, -1, -1, -1]),
      jnp.array([1.0, 1, 1, 0, 0, 0]), jnp.arange(6),
    )
    found.append(jax.jit(training_step)(state, batch, jax.random.key(1)))
  (layered, metrics), (unstaged, others) = found
  assert metrics.keys() == others.keys()
  for ours, theirs in zip(jax.tree.leaves(unstaged), jax.tree.leaves(layered), strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
  for ours, theirs in zip(jax.tree.leaves(others), jax.tree.leaves(metrics), strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)  # single precision


@pytest.mark.parametrize('name', ['module/third', 'first', 'module/first:1'])
def test_a_name_that_does_not_occur(x, name):
  with pytest.raises(UserError, match=rf"'{name}' .*allowed: module/first, module/norm, "):
    Network(inverted=(name,)).init(jax.random.key(0), x)


def test_what_needs_layers_is_refused(x):
  network = Network(statistics=False)
  variables = network.init(jax.random.key(0), x)
  with pytest.raises(UserError, match='rematerialize: True'):
    network.invert(variables, x, rematerialize=True)
  inversion = network.invert(variables, x, keep_pullbacks=True)
  for form in ('layer', 'input'):
    with pytest.raises(UserError, match=f'form: {form}; .*: output'):
      objectives.create('multiscale', form=form)(inversion, jnp.zeros(4, int), jnp.ones(4))


class Counting(nn.Module):
  @nn.compact
  def __call__(self, x, train):
    self.variable('counts', 'calls', lambda: jnp.zeros(())).value += 1
    return nn.Dense(CLASSES)(x.reshape(len(x), -1))


class CountingNetwork(networks.UnstagedNetwork):
  num_classes: int = CLASSES

  def setup(self):
    self.module = Counting()

  def logits(self, x, train, inverse):
    return self.module(x, train)


class Sowing(CountingNetwork):
  def setup(self):
    self.module = nn.Dense(CLASSES)

  def logits(self, x, train, inverse):
    self.sow('losses', 'mean', x.mean())
    return self.module(x.reshape(len(x), -1))


def test_what_a_network_sows_is_not_needed(float64):
  state = training.create_state(Sowing(), optax.sgd(0.1), jax.random.key(0), (2, 2, 1))
  assert state.params.keys() == {'module'}


class Aware(Network):
  def setup(self):
    self.module = Skipping(axis_name=self.axis_name)


def test_variables_that_a_train_state_does_not_hold(float64):
  with pytest.raises(UserError, match='variables in counts; allowed: params, batch_stats'):
    training.create_state(CountingNetwork(), optax.sgd(0.1), jax.random.key(0), (2, 2, 1))


def test_statistics_that_know_nothing_of_the_devices(float64):
  with_statistics, without = (
    training.create_state(network, optax.sgd(0.1), jax.random.key(0), (2, 3, 1))
    for network in (Network(), Network(statistics=False))
  )
  training.check_axis(Network(), with_statistics, None)
  training.check_axis(Network(statistics=False), without, 'batch')
  with pytest.raises(UserError, match="axis_name=None; allowed: 'batch'"):
    training.check_axis(Network(), with_statistics, 'batch')
  training.check_axis(Network(axis_name='batch'), with_statistics, 'batch')


def test_batch_norm_that_ignores_the_axis(float64):
  create = lambda network: training.create_state(
    network, optax.sgd(0.1), jax.random.key(0), (2, 3, 1)
  )
  with pytest.raises(UserError, match=r'num_devices: .*statistics that are not taken over its'):
    create(Network(axis_name='batch'))
  aware = problems.UnstagedMLP(CLASSES, depth=1, width=4, axis_name='batch')
  for network in (Aware(axis_name='batch'), aware, Network(statistics=False, axis_name='batch')):
    create(network)


class Flat(CountingNetwork):
  def setup(self):
    self.module = nn.Dense(CLASSES + 1)

  def logits(self, x, train, inverse):
    return self.module(x.reshape(len(x), -1))


def test_logits_that_are_not_as_many_as_the_classes(float64):
  with pytest.raises(UserError, match=r'the shape \(1, 4\) for one image; allowed: \(1, 3\)'):
    training.create_state(Flat(), optax.sgd(0.1), jax.random.key(0), (2, 2, 1))


@pytest.mark.parametrize('other', [nn.Dense, Skipping(), lambda num_classes: None])
def test_what_is_no_network_is_not_registered(other):
  with pytest.raises(UserError, match=r'network mine: .*; allowed: a subclass of networks\.'):
    networks.register('mine', other)

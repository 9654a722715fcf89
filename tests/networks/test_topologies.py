"""Networks of other topologies: inverses against explicit Jacobians, training, shapes, options."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from multiscale_inversion import invert, networks, objectives, training
from multiscale_inversion.errors import UserError

pytestmark = pytest.mark.usefixtures('little_optimization')
CLASSES = 3
# Options, shape of an observation, number of layers L.
CASES = {
  'mlp': ({'depth': 2, 'width': 4}, (3, 3, 2), 3),
  'cnn_1d': ({'depth': 2, 'width': 2, 'kernel_size': 3}, (6, 2), 3),
  'lstm': ({'depth': 2, 'width': 3}, (4, 2), 3),
  'gru': ({'depth': 2, 'width': 3}, (4, 2), 3),
  'vit': ({'depth': 1, 'width': 4, 'num_heads': 2, 'patch_size': 2}, (4, 4, 1), 3),
}
MODES = {'mlp': ('frozen', 'batch', 'running'), 'cnn_1d': ('frozen', 'batch', 'running')}
BATCH = 3

each_case = pytest.mark.parametrize('case', CASES)


def make(case, **more):
  options, shape, _ = CASES[case]
  network = networks.create(case, CLASSES, dropout_rate=0.0, **options, **more)
  random = np.random.RandomState(0)
  x = random.standard_normal((BATCH, *shape))
  shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.asarray(x))

  def draw(path, leaf):
    positive = path[-1].key in ('scale', 'var')
    return random.uniform(0.5, 1.5, leaf.shape) if positive else random.standard_normal(leaf.shape)

  return network, jax.tree_util.tree_map_with_path(draw, shapes), jnp.asarray(x)


@each_case
def test_inverse_is_the_transposed_jacobian(float64, case):
  """In evaluation, layer by layer, the Jacobian taken forward."""
  network, variables, x = make(case)

  @jax.jit
  def run(variables, x):
    stages = network.stages(variables)
    inversion = invert(stages, x)
    expected = []
    for layer, z in enumerate(inversion.activations[:-1]):
      rest = lambda z, layer=layer: functools.reduce(lambda z, stage: stage(z), stages[layer:], z)
      jacobian = jax.jacfwd(rest)(z).reshape(BATCH * CLASSES, -1)
      expected.append((jacobian.T @ inversion.activations[-1].reshape(-1)).reshape(z.shape))
    return inversion, expected

  inversion, expected = run(variables, x)
  assert len(inversion.reconstructions) == CASES[case][2]
  for r, wanted in zip(inversion.reconstructions, expected, strict=True):
    assert np.abs(wanted).max() > 1e-6
    np.testing.assert_allclose(r, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(('case', 'mode'), [(c, m) for c, modes in MODES.items() for m in modes])
def test_inverse_in_training(float64, case, mode):
  """The first layer's inverse mixes observations only where it goes through their statistics."""
  network, variables, x = make(case, batch_norm_inverse=mode, activation='tanh')
  stage = network.stages(variables, train=True)[0]
  pullback = jax.jit(lambda x, ct: jax.vjp(lambda x: stage(x)[0], x)[1](ct)[0])
  alone = np.zeros(jax.eval_shape(stage, x)[0].shape)
  alone[0] = np.random.RandomState(1).standard_normal(alone.shape[1:])
  spread = np.asarray(pullback(x, jnp.asarray(alone)))
  assert np.abs(spread[0]).max() > 1e-6
  assert (np.abs(spread[1:]).max() > 1e-6) == (mode == 'batch')


@each_case
def test_gradient_against_finite_differences(float64, case):
  network, variables, x = make(case)
  labels, mask = jnp.array([0, 2, -1]), jnp.array([1.0, 1, 0])
  objective = objectives.create('multiscale')

  @jax.jit
  def loss(params):
    stages = network.stages({**variables, 'params': params}, train=True)
    return jnp.mean(objective(invert(stages, x), labels, mask))

  params = variables['params']
  random, step = np.random.RandomState(1), 1e-6
  direction = jax.tree.map(lambda leaf: random.standard_normal(leaf.shape), params)
  moved = lambda s: jax.tree.map(lambda p, d: p + s * step * d, params, direction)
  expected = (loss(moved(1)) - loss(moved(-1))) / (2 * step)
  gradient = jax.jit(jax.grad(loss))(params)
  found = sum(jax.tree.leaves(jax.tree.map(lambda g, d: np.sum(g * d), gradient, direction)))
  np.testing.assert_allclose(found, expected, rtol=1e-5)


@each_case
def test_training_lowers_the_loss(case):
  options, shape, _ = CASES[case]
  network = networks.create(case, CLASSES, **{**options, 'width': 16})
  training_step = training.TrainingStep(network, objectives.create('multiscale'), optax.adam(0.01))
  state = training.create_state(network, training_step.optimizer, jax.random.key(0), shape)
  random = np.random.RandomState(0)
  images = jnp.asarray(random.standard_normal((8, *shape)), jnp.float32)
  labels = jnp.array([0, 1, 2, 0, -1, -1, -1, -1])
  batch = training.Batch(images, labels, (labels >= 0).astype(jnp.float32))
  step = jax.jit(training_step)
  losses = []
  for _ in range(60):
    state, measured = step(state, batch, jax.random.key(1))
    losses.append(measured['loss'].value())
  assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


@each_case
def test_bfloat16(case):
  options, shape, _ = CASES[case]
  network = networks.create(case, CLASSES, dtype='bfloat16', **options)
  x = jnp.ones((2, *shape))
  variables = jax.eval_shape(network.init, jax.random.key(0), x)
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
  types = [z.dtype for z in jax.eval_shape(network.apply, variables, x)]
  assert types[0] == types[-1] == jnp.float32
  assert set(types[1:-1]) == {jnp.dtype('bfloat16')}


@pytest.mark.parametrize('case', ['cnn_1d', 'lstm', 'gru'])
def test_images_are_sequences_of_rows(case):
  options, _, _ = CASES[case]
  network = networks.create(case, CLASSES, **options)
  images = jax.random.normal(jax.random.key(0), (2, 6, 5, 3))
  variables = network.init(jax.random.key(1), images)
  logits = network.apply(variables, images)[-1]
  sequences = images.reshape(2, 6, 15)
  np.testing.assert_allclose(network.apply(variables, sequences)[-1], logits, rtol=1e-6)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'patch_size': 3}, r'patch_size: 3 for images of 4x4'),
    ({'width': 6}, r'width: 6; .*num_heads=4'),
  ],
)
def test_wrong_sizes(options, message):
  network = networks.create('vit', CLASSES, **options)
  with pytest.raises(UserError, match=message):
    jax.eval_shape(network.init, jax.random.key(0), jnp.ones((1, 4, 4, 1)))


@pytest.mark.parametrize(('name', 'options', 'message'), [
  ('mlp', {'depth': 0}, r'depth: 0 is out of range'),
  ('gru', {'depth': -1}, r'depth: -1 is out of range'),
  ('lstm', {'dropout_rate': 2.0}, r'dropout_rate: 2\.0 is out of range'),
  ('vit', {'num_heads': 0}, r'num_heads: 0 is out of range'),
  ('resnet', {'blocks_per_group': 0}, r'blocks_per_group: 0 is out of range'),
  ('cnn_1d', {'batch_norm_inverse': 'x'}, r"batch_norm_inverse: unknown 'x'; allowed"),
])
def test_options_out_of_range(name, options, message):
  with pytest.raises(UserError, match=message):
    networks.create(name, CLASSES, **options)

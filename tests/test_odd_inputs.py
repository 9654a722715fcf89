"""The Python API with inputs that are easily given by mistake, and with Flax's own forms."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import DenyList, freeze

from multiscale_inversion import (
  UserError,
  data,
  invert,
  invert_module,
  networks,
  objectives,
  trained,
)
from multiscale_inversion.inversion.stages import Inversion

pytestmark = pytest.mark.usefixtures('little_optimization')

C = 3
# Images that each network takes.
SHAPES = {
  'large_cnn': (12, 12, 1), 'resnet': (4, 4, 1), 'mlp': (2, 2, 1), 'cnn_1d': (4, 2), 'lstm': (3, 2),
  'gru': (3, 2, 1), 'vit': (4, 4, 1),
}
SMALL = {
  'large_cnn': {'width': 2}, 'resnet': {'width': 2, 'blocks_per_group': 1},
  'mlp': {'depth': 1, 'width': 3}, 'cnn_1d': {'depth': 2, 'width': 2},
  'lstm': {'depth': 1, 'width': 2}, 'gru': {'depth': 1, 'width': 2},
  'vit': {'depth': 1, 'width': 4, 'num_heads': 2},
}


def small(name, **options):
  return networks.create(name, C, **{**SMALL[name], **options})


@pytest.mark.parametrize('name', SHAPES)
def test_no_observations(name):
  """In evaluation there is nothing to say of none; there are no statistics to train on."""
  network, x = small(name), jnp.zeros((0, *SHAPES[name]))
  variables = jax.eval_shape(network.init, jax.random.key(0), x)
  variables = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), variables)
  found = jax.eval_shape(network.invert, variables, x)
  assert found.activations[-1].shape == (0, C)
  assert found.reconstructions[0].shape == x.shape
  with pytest.raises(UserError, match=r'^x has the shape \(0, .*at least one along each axis'):
    network.invert(variables, x, train=True, rngs={'dropout': jax.random.key(1)})
  with pytest.raises(UserError, match=r'^x has the shape \(0, '):
    network.apply(
      variables, x, train=True, rngs={'dropout': jax.random.key(1)}, mutable=['batch_stats']
    )


@pytest.mark.parametrize('name', SHAPES)
@pytest.mark.parametrize('axis', [1, -1])
def test_images_without_a_row_or_a_channel(name, axis):
  shape = [2, *SHAPES[name]]
  shape[axis] = 0
  with pytest.raises(UserError, match=r'^x has the shape \(2, .*along each axis but the first'):
    small(name).init(jax.random.key(0), jnp.zeros(shape))


@pytest.mark.parametrize(('name', 'shape', 'allowed'), [
  ('resnet', (8, 8, 1), '4 axes'), ('resnet', (3, 64), '4 axes'), ('vit', (3, 4, 4), '4 axes'),
  ('large_cnn', (5,), '4 axes'), ('lstm', (3, 5), 'from 3 to 32 axes'), ('mlp', (), 'from 2 to'),
])
def test_axes_that_a_network_does_not_take(name, shape, allowed):
  network, x = small(name), np.zeros(shape, np.float32)
  good = jnp.zeros((1, *SHAPES[name]))
  variables = jax.jit(network.init)(jax.random.key(0), good)
  for call in (
    lambda: network.init(jax.random.key(0), x), lambda: network.apply(variables, x),
    lambda: network.invert(variables, x),
  ):
    with pytest.raises(UserError, match=r'has the shape .*; allowed: ') as error:
      call()
    assert allowed in str(error.value) or shape == ()


@pytest.mark.parametrize('dtype', [jnp.int32, jnp.uint8, jnp.bool_, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize('name', SHAPES)
def test_numbers_of_every_type(name, dtype):
  """Ones are the same in each; without `dtype` a network computes in its parameters' type."""
  network, x = small(name), np.ones((2, *SHAPES[name]), np.float32)
  variables = jax.jit(network.init)(jax.random.key(0), jnp.asarray(x))
  same = jax.eval_shape(network.init, jax.random.key(0), jnp.asarray(x, dtype))
  assert jax.tree.map(jnp.shape, same) == jax.tree.map(jnp.shape, variables)
  found = jax.jit(network.apply)(variables, jnp.asarray(x, dtype))[-1]
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, jax.jit(network.apply)(variables, x)[-1], rtol=1e-6, atol=1e-7)


def test_lists_and_other_numbers():
  network = small('mlp')
  x = np.arange(8.0).reshape(2, 2, 2, 1)
  variables = network.init(jax.random.key(0), x)
  expected = network.apply(variables, x)[-1]
  for same in (x.tolist(), x.astype(int), x.astype(np.uint8), jnp.asarray(x, jnp.bfloat16)):
    np.testing.assert_allclose(network.apply(variables, same)[-1], expected, rtol=0.05)
  np.testing.assert_allclose(network.invert(variables, x.tolist()).activations[-1], expected)
  for wrong in (None, 'images', [[1.0], [1.0, 2.0]]):
    with pytest.raises(TypeError, match=r'^x is a \w+ that makes no array'):
      network.apply(variables, wrong)
  with pytest.raises(TypeError, match='x is an array of uint8; allowed: a floating-point array'):
    network.invert(variables, x.astype(np.uint8))


@pytest.mark.parametrize('key', [
  jax.random.key(1), jax.random.PRNGKey(1), {'dropout': jax.random.key(1)},
  freeze({'dropout': jax.random.key(1)}), {'dropout': np.asarray(jax.random.PRNGKey(1))},
], ids=['key', 'old', 'dict', 'frozen', 'numpy'])
def test_random_keys_in_all_forms(key):
  """As `apply` with the same keys; those that are given for all purposes serve each."""
  network, x = small('mlp', dropout_rate=0.5), jnp.ones((4, 2, 2, 1))
  variables = freeze(network.init(jax.random.key(0), x))
  for_flax = dict(key) if not isinstance(key, jax.Array) else key
  expected, _ = network.apply(variables, x, train=True, rngs=for_flax, mutable=['batch_stats'])
  found = network.invert(variables, x, train=True, rngs=key)
  np.testing.assert_allclose(found.activations[-1], expected[-1], rtol=1e-6)


class Outsider(nn.Module):
  """A module that keeps statistics and sows a value."""

  @nn.compact
  def __call__(self, x, train=False):
    z = nn.BatchNorm(use_running_average=not train, name='norm')(nn.Dense(4, name='first')(x))
    self.sow('seen', 'z', z)
    return nn.Dense(2)(z)


@pytest.mark.parametrize('mutable', [
  ['batch_stats'], 'batch_stats', ('batch_stats', 'seen'), {'batch_stats'}, True, False, (),
  DenyList('params'), DenyList(['params', 'seen']),
], ids=str)
def test_mutable_means_what_it_does_in_flax(mutable):
  module, x = Outsider(), jnp.asarray(np.random.RandomState(0).standard_normal((5, 3)))
  variables = {k: v for k, v in module.init(jax.random.key(0), x).items() if k != 'seen'}
  train = mutable not in (False, ())
  applied = module.apply(variables, x, train=train, mutable=mutable)
  output, updates = applied if mutable is not False else (applied, {})
  found = invert_module(module, freeze(variables), x, ['first'], mutable=mutable, train=train)
  np.testing.assert_allclose(found.activations[-1], output, rtol=1e-6)
  assert jax.tree.structure(found.auxiliary[0]) == jax.tree.structure(updates)
  for a, b in zip(jax.tree.leaves(found.auxiliary[0]), jax.tree.leaves(updates), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_captured_intermediates_are_auxiliary():
  module, x = Outsider(), jnp.ones((5, 3))
  variables = module.init(jax.random.key(0), x)
  found = invert_module(module, variables, x, ['first'], capture_intermediates=True)
  assert 'first' in found.auxiliary[0]['intermediates']


@pytest.mark.parametrize(('change', 'message'), [
  ({'module': Outsider}, 'invert_module: the class Outsider; allowed: a flax.linen.Module'),
  ({'module': None}, 'invert_module: a NoneType'), ({'module': len}, 'invert_module: a builtin'),
  ({'variables': None}, 'variables: a NoneType; allowed: a mapping'),
  ({'variables': [1]}, 'variables: a list'), ({'names': None}, 'names: a NoneType; allowed: a seq'),
  ({'names': {'first'}}, 'names: a set'), ({'names': 'first'}, "names: the string 'first'"),
  ({'x': None}, 'x is a NoneType'), ({'x': np.ones((5, 3), int)}, 'x is an array of int'),
])
def test_arguments_of_invert_module(change, message):
  x = jnp.ones((5, 3))
  arguments = {
    'module': Outsider(), 'variables': Outsider().init(jax.random.key(0), x), 'x': x,
    'names': ['first'],
  }
  with pytest.raises(TypeError) as error:
    invert_module(**{**arguments, **change})
  assert str(error.value).startswith(message)


def test_names_from_a_generator():
  x = jnp.ones((5, 3))
  variables = Outsider().init(jax.random.key(0), x)
  assert len(invert_module(Outsider(), variables, x, iter(['first'])).activations) == 3


@pytest.mark.parametrize(('stages', 'x', 'message'), [
  (lambda z: z, [1.0], 'stages is a function; allowed: a sequence of functions'),
  (None, [1.0], 'stages is a NoneType'), ([3], [1.0], 'stage 0 is a int; allowed: a function'),
  ([lambda z: z], 'abc', 'invert: x is a str'),
  ([lambda z: [z]], [1.0], 'stage 0 returned is a list'),
])
def test_arguments_of_invert(stages, x, message):
  with pytest.raises(TypeError, match=message):
    invert(stages, x)


def test_invert_needs_an_axis_of_observations_that_may_be_empty():
  with pytest.raises(UserError, match=r'invert: x has the shape \(\); allowed: \(N, \.\.\.\)'):
    invert([lambda z: z], 1.0)
  assert invert([lambda z: 2 * z], jnp.ones((0, 3))).reconstructions[0].shape == (0, 3)
  constant = invert([lambda z: np.ones((2, 3), np.float32)], jnp.ones((2, 3)))
  np.testing.assert_array_equal(constant.reconstructions[0], 0)


def inversion(count, classes):
  z = jnp.ones((count, 4))
  return Inversion((z, jnp.ones((count, classes))), (z / 2,), (None,))


@pytest.mark.parametrize('name', ['supervised', 'entropy', 'global', 'multiscale'])
def test_objectives_of_one_class_and_of_no_observations(name):
  objective = objectives.create(name)
  with pytest.raises(UserError, match=r'the number of classes is 1, .*; allowed: at least 2'):
    objective(inversion(4, 1), [0, 0, -1, -1], [1, 1, 0, 0])
  for reduction in objectives.REDUCTIONS:
    objective = objectives.create(name, reduction=reduction)
    assert objective(inversion(0, 3), np.zeros(0, int), np.zeros(0)).shape == (0,)
  # Sequences, and other types of numbers, are what they say.
  labels, mask = [0, 2, -1, -1], [1, 1, 0, 0]
  expected = objective(inversion(4, 3), jnp.asarray(labels), jnp.asarray(mask, jnp.float32))
  for kind in (list, np.asarray, jnp.asarray):
    np.testing.assert_array_equal(objective(inversion(4, 3), kind(labels), kind(mask)), expected)


@pytest.mark.parametrize(('change', 'error', 'message'), [
  ({'labels': [0, 1]}, UserError, r'labels has the shape \(2,\); allowed: \[4\]'),
  ({'labels': [0.0] * 4}, TypeError, 'labels is an array of float32; allowed: integers'),
  ({'labels': None}, TypeError, 'labels is a NoneType'),
  ({'mask': [[1]] * 4}, UserError, r'mask has the shape \(4, 1\); allowed: \[4\]'),
  ({'mask': None}, TypeError, 'mask is a NoneType'),
  ({'inversion': jnp.ones((4, 3))}, TypeError, 'inversion is a .*allowed: the Inversion'),
])
def test_arguments_of_objectives(change, error, message):
  arguments = {'inversion': inversion(4, 3), 'labels': [0, 1, -1, -1], 'mask': [1, 1, 0, 0]}
  with pytest.raises(error, match=f'^objective: {message}'):
    objectives.create('multiscale')(**{**arguments, **change})


@pytest.mark.parametrize(('call', 'message'), [
  (lambda: networks.create('resnet', '5'), "num_classes: '5'; allowed: a whole number"),
  (lambda: networks.create('resnet', 5.0), 'num_classes: 5.0; allowed'),
  (lambda: networks.create('resnet', True), 'num_classes: True; allowed'),
  (lambda: networks.create('resnet', 1), 'num_classes: 1 is out of range; allowed: [2, '),
  (lambda: networks.create(['resnet'], 5), "name: unknown ['resnet']; allowed"),
  (lambda: networks.create('resnet', 5, width=8.5), 'width: 8.5; allowed: a whole number'),
  (lambda: networks.create('resnet', 5, width=None), 'width: None; allowed'),
  (lambda: networks.create('resnet', 5, dropout_rate='x'), "dropout_rate: 'x'; allowed: a number"),
  (lambda: networks.create('resnet', 5, dtype='float99'), "dtype: 'float99'; allowed"),
  (lambda: networks.create('resnet', 5, dtype='int32'), "dtype: 'int32'; allowed"),
  (lambda: data.split([0.0, 1.0], 2, 0), 'labels: of shape (2,) and type float64; allowed: int'),
  (lambda: data.split([[0, 1]], 2, 0), 'labels: of shape (1, 2)'),
  (lambda: data.split([0, 1], '2', 0), "num_labeled: '2'; allowed: a whole number"),
  (lambda: data.split([0, 1], 2, -1), 'seed: -1 is out of range; allowed: [0, '),
  (lambda: data.split([-1, -1], 0, 0), 'num_labeled: 0; allowed'),
  (lambda: data.Sampler(5.0, 5, 2, 2), 'num_labeled: 5.0; allowed: a whole number'),
  (lambda: data.Sampler(5, 5, None, 2), 'labeled_per_batch: None; allowed: a whole number'),
  (lambda: objectives.create(None), 'name: unknown None; allowed'),
  (lambda: objectives.create('convex', alpha='a', beta=0.5), "alpha: 'a'; allowed: a number"),
  (lambda: objectives.create('mean_teacher', decay='x'), "decay: 'x'; allowed: a number"),
  (lambda: objectives.create('multiscale', layers=0), 'layers: 0; allowed: a tuple'),
  (lambda: objectives.create('multiscale', layer_weights=1.0), 'layer_weights: 1.0; all'),
])
def test_options_of_another_type(call, message):
  with pytest.raises(UserError) as error:
    call()
  assert str(error.value).startswith(message)


def test_whole_numbers_of_numpy_are_options():
  assert networks.create('resnet', np.int64(5), width=np.int32(8)).width == 8


def test_images_of_a_trained_network():
  network = small('mlp')
  variables = network.init(jax.random.key(0), jnp.ones((1, 2, 2, 1)))
  loaded = trained.TrainedNetwork(network, variables, ('a', 'b', 'c'), (2, 2, 1), 1)
  images = np.random.RandomState(0).randint(0, 256, (3, 2, 2, 1)).astype(np.uint8)
  expected = loaded.predict_proba(images)
  for same in (images.tolist(), images.astype(float), jnp.asarray(images)):
    np.testing.assert_allclose(loaded.predict_proba(same), expected, rtol=1e-5)
  assert loaded.predict_proba(images[:0]).shape == (0, 3)
  assert loaded.activations(images[:0])[-1].shape == (0, 3)
  assert loaded.invert(images[:0]).reconstructions[0].shape == (0, 2, 2, 1)
  for call in (loaded.predict, loaded.activations, loaded.invert):
    for wrong in (None, 3, [], [[1], [1, 2]], images[0], images[:, :0]):
      with pytest.raises(UserError, match=r'^images: '):
        call(wrong)
    for wrong in (images.astype(complex), images.astype(str), images.astype(bool)):
      with pytest.raises(TypeError, match=r'^images: an array of .*; allowed: real numbers'):
        call(wrong)

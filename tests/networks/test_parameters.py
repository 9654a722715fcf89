"""The names and shapes of each network's variables, written out: checkpoints hold them."""

import jax
import jax.numpy as jnp
import pytest

from multiscale_inversion import networks

C = 3  # classes


def norm(features):
  return {'norm': {'scale': (features,), 'bias': (features,)}}


def dense(inputs, outputs):
  return {'kernel': (inputs, outputs), 'bias': (outputs,)}


def conv(size, inputs, outputs):
  return {'block': {'conv': {'kernel': (size, size, inputs, outputs)}, **norm(outputs)}}


def residual(inputs, outputs):
  return {'shortcut': {'kernel': (1, 1, inputs, outputs)}, **conv(3, inputs, outputs)}


def signal(inputs, outputs):
  return {'conv': {'kernel': (1, 5, inputs, outputs)}, **norm(outputs)}


def cell(with_bias, without_bias):
  biased = {gate: dense(2, 2) for gate in with_bias.split()}
  return {'cell': biased | {gate: {'kernel': (2, 2)} for gate in without_bias.split()}}


def head(inputs, outputs):
  """A projection of the attention: 2 heads of 2 features."""
  return {'kernel': (*inputs, *outputs), 'bias': outputs}


ENCODER = {
  'norm_attention': norm(4)['norm'],
  'attention': {
    'query': head((4,), (2, 2)), 'key': head((4,), (2, 2)), 'value': head((4,), (2, 2)),
    'out': head((2, 2), (4,)),
  },
  'norm_perceptron': norm(4)['norm'],
  'expand': dense(4, 16),
  'contract': dense(16, 4),
  **norm(4),
}
LARGE = [
  conv(3, 1, 2), conv(3, 2, 2), conv(3, 2, 2), conv(3, 2, 4), conv(3, 4, 4), conv(3, 4, 4),
  conv(3, 4, 4), conv(1, 4, 4), {'dense': dense(4, C)},
]
# Name: options, shape of an observation, parameters of each layer.
CASES = {
  'large_cnn': ({'width': 2}, (12, 12, 1), LARGE),
  'resnet': (
    {'width': 2, 'blocks_per_group': 1}, (4, 4, 1),
    [residual(1, 2), residual(2, 4), residual(4, 8), {'dense': dense(8, C)}],
  ),
  'mlp': (
    {'depth': 1, 'width': 5}, (2, 2, 1),
    [{'dense': {'kernel': (4, 5)}, **norm(5)}, {'dense': dense(5, C)}],
  ),
  'cnn_1d': (
    {'depth': 2, 'width': 2}, (4, 2), [signal(2, 2), signal(2, 4), {'dense': dense(4, C)}],
  ),
  'lstm': (
    {'depth': 1, 'width': 2}, (3, 2),
    [cell('hi hf hg ho', 'ii if ig io'), {'dense': dense(2, C)}],
  ),
  'gru': (
    {'depth': 1, 'width': 2}, (3, 2), [cell('in ir iz hn', 'hr hz'), {'dense': dense(2, C)}],
  ),
  'vit': (
    {'depth': 1, 'width': 4, 'num_heads': 2}, (4, 4, 1),
    [{'patches': dense(4, 4), 'places': (4, 4)}, ENCODER, {'dense': dense(4, C)}],
  ),
}


def statistics(tree):
  """The batch statistics beside the parameters of batch norm; a layer norm's has none."""
  found = {}
  for name, value in tree.items():
    if name == 'norm':
      found[name] = {'mean': value['scale'], 'var': value['scale']}
    elif isinstance(value, dict) and (inner := statistics(value)):
      found[name] = inner
  return found


def test_every_network_is_here():
  assert set(CASES) <= set(networks.names())
  assert {'large_cnn', 'resnet', 'mlp', 'cnn_1d', 'lstm', 'gru', 'vit'} == set(CASES)


@pytest.mark.parametrize('name', CASES)
def test_names_and_shapes(name):
  options, shape, layers = CASES[name]
  network = networks.create(name, C, **options)
  x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
  variables = jax.eval_shape(network.init, jax.random.key(0), x)
  expected = {'params': {f'layers_{index}': layer for index, layer in enumerate(layers)}}
  if name != 'vit' and (running := statistics(expected['params'])):
    expected['batch_stats'] = running
  assert jax.tree.map(jnp.shape, variables) == expected

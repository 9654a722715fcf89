"""Exported networks, run by JAX alone, against the network that was exported."""

import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import multiscale_inversion as mi
from multiscale_inversion import UserError, exporting, networks, trained

pytestmark = pytest.mark.usefixtures('little_optimization')

SHAPES = {
  'large_cnn': (12, 12, 1), 'resnet': (8, 8, 3), 'mlp': (5,), 'cnn_1d': (8, 2), 'lstm': (4, 2),
  'gru': (4, 2), 'vit': (4, 4, 1),
}
SMALL = {
  'large_cnn': {'width': 2}, 'resnet': {'width': 16, 'blocks_per_group': 1},
  'mlp': {'depth': 1, 'width': 3}, 'cnn_1d': {'depth': 2, 'width': 2},
  'lstm': {'depth': 1, 'width': 2}, 'gru': {'depth': 1, 'width': 2},
  'vit': {'depth': 1, 'width': 4, 'num_heads': 2},
}


def make(name):
  shape = SHAPES[name]
  module = networks.create(name, 3, **SMALL[name])
  variables = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, *shape)))
  options = {'network': {'name': name, **SMALL[name]}, 'precision': 'float32'}
  return trained.from_options(options, variables, ('a', 'b', 'c'), shape, 1)


@pytest.mark.parametrize('name', SHAPES)
def test_every_network_for_any_number_of_observations(name):
  network = make(name)
  program = jax.export.deserialize(bytearray(exporting.export(network)))
  assert set(program.platforms) == {'cpu', 'cuda', 'tpu'}
  for count in (1, 5):
    x = np.random.RandomState(count).rand(count, *SHAPES[name]).astype(np.float32) * 255
    np.testing.assert_allclose(
      program.call(x), network.predict_proba(x), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize('name', SHAPES)
def test_onnx_as_the_page_on_python_shows_it(name, tmp_path, monkeypatch):
  pytest.importorskip('jax2onnx')
  runtime = pytest.importorskip('onnxruntime')
  page = (pathlib.Path(__file__).parents[1] / 'docs' / 'python.md').read_text(encoding='utf-8')
  (code,) = re.findall(r'```\n([^`]*jax2onnx.*?)```', page, re.DOTALL)
  network = make(name)
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(mi, 'load_pretrained', lambda _: network)
  exec(code, {'mi': mi, 'jax': jax})
  session = runtime.InferenceSession('network.onnx')
  (entry,) = session.get_inputs()
  for count in (1, 5):
    x = np.random.RandomState(count).rand(count, *SHAPES[name]).astype(np.float32) * 255
    (found,) = session.run(None, {entry.name: x})
    np.testing.assert_allclose(found, network.predict_proba(x), rtol=1e-4, atol=1e-5)


def test_is_read_by_jax_alone(tmp_path):
  network = make('resnet')
  x = np.random.RandomState(0).randint(0, 256, (3, 8, 8, 3)).astype(np.float32)
  (tmp_path / 'program').write_bytes(exporting.export(network))
  np.save(tmp_path / 'x.npy', x)
  code = '''
import sys
import jax, jax.export, numpy
program = jax.export.deserialize(bytearray(open('program', 'rb').read()))
numpy.save('found.npy', program.call(numpy.load('x.npy')))
assert 'flax' not in sys.modules and 'multiscale_inversion' not in sys.modules
'''
  subprocess.run([sys.executable, '-c', code], cwd=tmp_path, check=True, timeout=120)
  found = np.load(tmp_path / 'found.npy')
  np.testing.assert_allclose(found, network.predict_proba(x), rtol=1e-4, atol=1e-5)


def test_a_network_that_counts_its_observations():
  class Counts(type(make('mlp').network)):
    def __call__(self, x, train=False):
      return super().__call__(x * float(x.shape[0]), train)

  network = make('mlp')
  own = trained.TrainedNetwork(
    Counts(3, **SMALL['mlp']), network.variables, network.class_names, network.image_shape, 1
  )
  with pytest.raises(UserError, match='cannot be exported for any number of observations'):
    exporting.export(own)

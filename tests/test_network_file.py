"""A trained network in one file: the same network again, and damage is noticed."""

import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import multiscale_inversion as mi
from multiscale_inversion import UserError, trained

OPTIONS = {
  'network': {'name': 'resnet', 'blocks_per_group': 1, 'width': 2, 'dropout_rate': None},
  'precision': 'float32',
}
X = np.random.RandomState(0).randint(0, 256, (5, 6, 6, 3)).astype(np.uint8)


@pytest.fixture(scope='module')
def network():
  made = trained.from_options(OPTIONS, {}, ('a', 'b', 'ü'), (6, 6, 3), 7).network
  variables = jax.jit(made.init)(jax.random.key(0), jnp.zeros((1, 6, 6, 3)))
  variables = jax.tree.map(lambda leaf: leaf + 0.1, variables)
  return trained.from_options(OPTIONS, variables, ('a', 'b', 'ü'), (6, 6, 3), 7)


@pytest.fixture(scope='module')
def saved(network, tmp_path_factory):
  path = tmp_path_factory.mktemp('saved') / 'network.bin'
  network.save(path)
  return path


def test_is_the_same_again(network, saved):
  found = mi.load(saved)
  jax.tree.map(np.testing.assert_array_equal, found.variables, network.variables)
  assert found.class_names == network.class_names and found.image_shape == (6, 6, 3)
  assert found.step == 7 and found.options == network.options
  np.testing.assert_array_equal(found.predict_proba(X), network.predict_proba(X))
  assert repr(found) == repr(network)
  assert [path.name for path in saved.parent.iterdir()] == ['network.bin']


def test_pickles(network):
  network.predict(X)  # so that there is a compiled function, which is left out
  found = pickle.loads(pickle.dumps(network))
  np.testing.assert_array_equal(found.predict_proba(X), network.predict_proba(X))


def test_every_change_of_a_byte_is_noticed(network, saved, tmp_path):
  """Or it is of no consequence, as in the archive's times of writing."""
  content, refused = saved.read_bytes(), 0
  changed = tmp_path / 'changed.bin'
  random = np.random.RandomState(0)
  for place in random.choice(len(content), 150, replace=False):
    damaged = bytearray(content)
    damaged[place] ^= 1 << random.randint(8)
    changed.write_bytes(damaged)
    try:
      found = mi.load(changed)
    except UserError as error:
      assert str(error).startswith(f'{changed}: ') and '\n' not in str(error)
      refused += 1
    else:
      jax.tree.map(np.testing.assert_array_equal, found.variables, network.variables)
      assert found.class_names == network.class_names
  assert refused > 50


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04', b'\0' * 100, b'not an archive'])
def test_other_files(content, tmp_path):
  path = tmp_path / 'other'
  path.write_bytes(content)
  with pytest.raises(UserError, match='not a trained network, or damaged'):
    mi.load(path)


def test_halved(saved, tmp_path):
  path = tmp_path / 'half'
  path.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
  with pytest.raises(UserError, match='not a trained network, or damaged'):
    mi.load(path)


def test_other_archives(saved, tmp_path):
  path = tmp_path / 'other.npz'
  np.savez(path, x=np.zeros(3))
  with pytest.raises(UserError, match='holds arrays, but no trained network'):
    mi.load(path)
  np.savez(path, about=np.array([{}], object), allow_pickle=True)  # would run code if it were read
  with pytest.raises(UserError, match='not a trained network, or damaged'):
    mi.load(path)
  with np.load(saved) as found:
    arrays = dict(found)
  about = json.loads(str(arrays['about']))
  for change, message in (
    ({'format': 2}, 'of format 2; allowed: 1'),
    ({'options': {'network': {'name': 'resnet', 'width': 'x'}, 'precision': 'float32'}}, 'width'),
    ({'options': []}, 'not of a trained network'),
  ):
    np.savez(path, **arrays | {'about': np.array(json.dumps(about | change))})
    with pytest.raises(UserError, match=message):
      mi.load(path)


def test_a_seed_of_a_file(saved):
  with pytest.raises(UserError, match='seed: 0; allowed: none for a file'):
    mi.load(saved, seed=0)


def test_a_network_of_ones_own_is_not_saved(network, tmp_path):
  own = trained.TrainedNetwork(
    network.network, network.variables, network.class_names, network.image_shape, 1
  )
  with pytest.raises(UserError, match='ResNet that was not made from options'):
    own.save(tmp_path / 'own')
  assert not [*tmp_path.iterdir()]

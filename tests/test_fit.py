"""Training from arrays, against the program on a registered data set of the same images."""

import itertools
import json

import jax
import numpy as np
import pytest

import multiscale_inversion as mi
from multiscale_inversion import UserError, data
from multiscale_inversion.runs import loop as run
from tests import tiny

pytestmark = pytest.mark.usefixtures('quick_compilation')

QUICK = {'num_steps': 3, 'batch_size': 8, 'progress': False}


def images(shape=(6, 6, 1), count=24):
  x = np.random.RandomState(0).randint(0, 256, (count, *shape)).astype(np.uint8)
  labels = np.array(([0, 1, 2] * count)[:count])
  labels[count // 2 :] = -1
  return x, labels


def test_equals_the_program(tmp_path, registrations):
  """The same images as a data set of one's own, by the configuration that a user would write."""
  x, labels = images()
  test = (x[:9], labels[:9])
  data.register('mine', lambda folder: data.Dataset('mine', x, labels, *test, ('0', '1', '2')))
  config = tiny.config(**{'data.name': 'mine', 'data.num_labeled': None, 'seed': 5})
  config.recipe, config.num_steps, config.batch_size = 'few_labels', 3, 8
  written = run.train_and_evaluate(config, str(tmp_path / 'program'))
  wanted = mi.load(tmp_path / 'program')

  network = {'name': 'resnet', 'blocks_per_group': 1, 'width': 2}
  found = mi.fit(
    x, labels, test=test, network=network, seed=5, workdir=tmp_path / 'fit', **QUICK
  )
  jax.tree.map(np.testing.assert_array_equal, found.variables, wanted.variables)
  assert found.class_names == ('0', '1', '2') and found.step == 3
  summary = json.loads((tmp_path / 'fit' / 'summary.json').read_text())
  assert summary['test_error'] == written.test_error
  assert summary['dataset'] == 'arrays' and summary['num_labeled'] == 12
  assert found.evaluate(*test).error == pytest.approx(written.test_error)


@pytest.mark.parametrize(('shape', 'dtype', 'name'), [
  ((6, 6, 1), np.float64, 'resnet'), ((16, 3), np.float32, 'cnn_1d'), ((5,), np.int64, 'mlp'),
])
def test_a_network_for_each_shape(shape, dtype, name, tmp_path):
  """Without test images there is no error; the folder and the network say the shape."""
  x, labels = images(shape)
  options = {'mlp': {'width': 4}, 'cnn_1d': {'width': 2}, 'resnet': {'width': 2}}[name]
  chosen = {'name': name, **options}
  found = mi.fit(x.astype(dtype), labels, network=chosen, workdir=tmp_path, **QUICK)
  assert found.options['network']['name'] == name
  assert found.image_shape == shape
  probabilities = found.predict_proba(x.astype(dtype))
  np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
  summary = json.loads((tmp_path / 'summary.json').read_text())
  assert summary['test_error'] is None
  for line in (tmp_path / 'metrics.jsonl').read_text().splitlines():
    assert 'test/error' not in json.loads(line)
  again = mi.load(tmp_path)
  np.testing.assert_array_equal(again.predict_proba(x.astype(dtype)), probabilities)


def test_features_are_taken_as_they_are():
  """Images are normalized one by one; the first activation shows it."""
  x, labels = images((5,))
  found = mi.fit(x.astype(float), labels, network={'name': 'mlp', 'width': 4}, **QUICK)
  np.testing.assert_array_equal(found.activations(x.astype(float))[0], x.astype(np.float32))
  x, labels = images()
  found = mi.fit(x, labels, network={'name': 'mlp', 'width': 4}, **QUICK)
  centered = x - x.mean((1, 2, 3), keepdims=True)
  wanted = centered / np.abs(centered).max((1, 2, 3), keepdims=True)
  np.testing.assert_allclose(found.activations(x)[0], wanted, atol=1e-6)


def test_the_network_by_default():
  x, labels = images((5,))
  assert mi.fit(x, labels, **QUICK).options['network']['name'] == 'mlp'


def test_more_unlabeled_ones_are_the_same_as_in_one_array(tmp_path):
  x, labels = images()
  options = {'network': {'name': 'mlp', 'width': 4}, **QUICK}
  whole = mi.fit(x, labels, **options)
  apart = mi.fit(x[:12], labels[:12], unlabeled=x[12:], **options)
  jax.tree.map(np.testing.assert_array_equal, whole.variables, apart.variables)


def test_all_labeled_and_few(capfd):
  """Labeled ones serve as unlabeled ones, in smaller batches where there are few."""
  x, _ = images((3,), 6)
  found = mi.fit(x, [0, 1, 0, 1, 0, 1], network={'name': 'mlp', 'width': 4}, num_steps=2)
  assert found.step == 2
  assert '6 labeled, 6 unlabeled, 0 test images' in capfd.readouterr().err
  mi.fit(x, np.arange(6) % 2 == 0, network={'name': 'mlp', 'width': 4}, **QUICK | {
    'batch_size': 4
  })
  assert capfd.readouterr().err == ''


class Listener(mi.Callback):
  def __init__(self, stop_at=None):
    self.records, self.calls, self.stop_at = [], [], stop_at

  def on_record(self, record):
    self.records.append({'step': record.step, 'epoch': record.epoch, **record.scalars})
    assert len(record.by_seed) == 1 and record.by_seed[0] == record.scalars
    self.calls.append('record')
    if record.step == self.stop_at:
      raise RuntimeError('the tracker is gone')

  def on_checkpoint(self, step):
    self.calls.append(f'checkpoint {step}')

  def on_end(self, run):
    self.calls.append(f'end {run.num_steps}')


def test_callbacks_are_told_what_is_written(tmp_path):
  x, labels = images()
  options = {'network': {'name': 'mlp', 'width': 4}, **QUICK, 'log_every_steps': 2}
  listener = Listener()
  mi.fit(x, labels, test=(x[:9], labels[:9]), workdir=tmp_path, callbacks=[listener], **options)
  written = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
  assert listener.records == written and 'test/error' in written[-1]
  assert listener.calls == ['record'] * len(written) + ['checkpoint 3', 'end 3']


def test_resumes_and_is_finished(tmp_path):
  """As after any interruption: the same network as without one, and nothing to do after it."""
  x, labels = images()
  options = {'network': {'name': 'mlp', 'width': 4}, **QUICK, 'num_steps': 7}
  options |= {'log_every_steps': 1, 'checkpoint_every_seconds': 0.0}
  whole = mi.fit(x, labels, **options)
  with pytest.raises(RuntimeError, match='the tracker is gone'):
    mi.fit(x, labels, workdir=tmp_path, callbacks=[Listener(stop_at=4)], **options)
  assert 0 < mi.load(tmp_path).step < 7
  listener = Listener()
  resumed = mi.fit(x, labels, workdir=tmp_path, callbacks=[listener], **options)
  jax.tree.map(np.testing.assert_array_equal, resumed.variables, whole.variables)
  assert listener.records[0]['step'] > 1 and listener.calls[-1] == 'end 7'

  listener = Listener()
  again = mi.fit(x, labels, workdir=tmp_path, callbacks=[listener], **options)
  jax.tree.map(np.testing.assert_array_equal, again.variables, whole.variables)
  assert not listener.calls
  with pytest.raises(UserError, match='another configuration: seed was 0, now 1'):
    mi.fit(x, labels, workdir=tmp_path, seed=1, **options)


def test_other_data_in_the_same_folder(tmp_path):
  x, labels = images()
  options = {'network': {'name': 'mlp', 'width': 4}, **QUICK, 'num_steps': 7}
  options |= {'log_every_steps': 1, 'checkpoint_every_seconds': 0.0}
  with pytest.raises(RuntimeError):
    mi.fit(x, labels, workdir=tmp_path, callbacks=[Listener(stop_at=4)], **options)
  with pytest.raises(UserError, match='a run on other data: images, labels or their order'):
    mi.fit(x[::-1], labels, workdir=tmp_path, **options)
  mi.fit(x, labels, workdir=tmp_path, **options)
  mi.fit(x, labels, workdir=tmp_path, **options)  # finished, of the same data
  with pytest.raises(UserError, match='a run on other data: images, labels or their order'):
    mi.fit(x, labels[::-1], workdir=tmp_path, **options)


X, LABELS = images((5,))


@pytest.mark.parametrize(('changes', 'message'), [
  ({'images': 'a.png'}, 'images: an array of <U5; allowed: real numbers'),
  ({'images': [[1.0], [1.0, 2.0]]}, 'images: a list that makes no array'),
  ({'images': X[:, 0]}, 'images: of shape (24,); allowed: [N, H, W, C], [N, time, features] or'),
  ({'images': np.where(X[7, 2] == X, np.nan, X)}, 'holds NaN, infinity or a number beyond float32'),
  ({'labels': LABELS[:-1]}, 'labels: of shape (23,); allowed: (24,), one for each of the images'),
  ({'labels': LABELS.astype(float)}, 'labels: labels of float64 and shape (24,); allowed: whole'),
  ({'labels': LABELS - 1}, 'labels: -2; allowed: -1 for none, and 0 to C - 1'),
  ({'labels': np.minimum(LABELS, 0)}, 'labels: 1 classes with a label; allowed: at least 2'),
  ({'labels': np.full(24, -1)}, 'labels: 0 classes with a label; allowed: at least 2'),
  ({'labels': np.where(LABELS == 1, 3, LABELS)}, 'labels: no image of class 1; allowed: at least'),
  ({'class_names': ['a', 'b']}, 'class_names: 2 names; allowed: 3, all different'),
  ({'class_names': ['a', 'b', 'b']}, 'class_names: 3 names; allowed: 3, all different'),
  ({'class_names': ['a', 'b', 'c', 'd']}, 'labels: no image of class 3'),
  ({'class_names': 'abc'}, "class_names: 'abc'; allowed: a sequence of strings"),
  ({'unlabeled': X[:, :3]}, 'unlabeled: uint8 of shape (24, 3); allowed: uint8 of shape (N, 5)'),
  ({'unlabeled': X / 255}, 'unlabeled: float32 of shape (24, 5); allowed: uint8'),
  ({'test': X}, 'test: a ndarray; allowed: a pair of images and labels'),
  ({'test': (X, LABELS)}, 'test_labels from -1 to 2; allowed: 0 to 2'),
  ({'network': 'resnett'}, "network.name: unknown 'resnett', nearest resnet; allowed: "),
  ({'network': 'resnet'}, 'allowed: 4 axes'),
  ({'network': {'width': 3}}, "network: {'width': 3}; allowed: a name, or a mapping of name and"),
  ({'network': {'name': 'mlp', 'widht': 3}}, 'network.widht: unknown key, nearest network.width'),
  ({'network': {'name': 'mlp', 'width': 0}}, 'network.width: 0 is out of range; allowed: [1, '),
  ({'objective': 'multi'}, "objective.name: unknown 'multi'"),
  ({'augmentation': 'flip'}, "augmentation: 'flip'; allowed: a mapping"),
  ({'recipe': 'fast'}, "recipe: unknown 'fast'; allowed: paper, few_labels"),
  ({'seed': -1}, 'seed: -1 is out of range; allowed: [0, '),
  ({'num_step': 3}, 'num_step: not an option of fit, nearest num_steps; allowed: '),
  ({'num_seeds': 3}, 'num_seeds: not an option of fit, nearest num_steps; allowed: '),
  ({'learning_rate': 'high'}, "learning_rate: 'high'"),
])
def test_wrong_arguments_are_named(changes, message):
  given = {'images': X, 'labels': LABELS, **QUICK, **changes}
  with pytest.raises(UserError) as info:
    mi.fit(given.pop('images'), given.pop('labels'), **given)
  assert message in str(info.value) and '\n' not in str(info.value)


def test_nothing_is_left_without_a_folder(tmp_path, monkeypatch):
  monkeypatch.setenv('TMPDIR', str(tmp_path))
  monkeypatch.setattr('tempfile.tempdir', None)
  mi.fit(X, LABELS, network={'name': 'mlp', 'width': 4}, **QUICK)
  assert not [*itertools.chain(tmp_path.iterdir())]

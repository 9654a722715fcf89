"""scikit-learn's classifiers on our labels."""

import json
import sys

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import SVC

from experiments import classical
from experiments.reporting import classical as reporting
from multiscale_inversion import data
from multiscale_inversion.data.dataset import Dataset
from multiscale_inversion.errors import UserError


@pytest.fixture(scope='module')
def digits():
  dataset = data.load('digits')
  return dataset, data.split(dataset.train_labels, 50, seed=3)


def vectors(images):
  return images.reshape(len(images), -1) / 16


def test_svm_knows_the_labeled_images_alone(digits):
  dataset, split = digits
  reference = SVC().fit(
    vectors(dataset.train_images[split.labeled]), dataset.train_labels[split.labeled]
  )
  expected = 100 * np.mean(reference.predict(vectors(dataset.test_images)) != dataset.test_labels)
  hidden = dataset.train_labels.copy()
  hidden[split.unlabeled] = 0
  for labels in (dataset.train_labels, hidden):
    result = classical.classify('svm', dataset._replace(train_labels=labels), split, 3)
    assert result.test_error == pytest.approx(expected)


@pytest.mark.parametrize('method', ['self_training', 'label_spreading'])
def test_labels_of_unlabeled_images_are_not_seen(digits, method):
  dataset, split = digits
  hidden = dataset.train_labels.copy()
  hidden[split.unlabeled] = 0
  errors = [
    classical.classify(method, dataset._replace(train_labels=labels), split, 3).test_error
    for labels in (dataset.train_labels, hidden)
  ]
  assert errors[0] == errors[1]


def spread(features, labels, num_classes, alpha=0.2, neighbors=7, rounds=30):
  """Zhou et al., "Learning with Local and Global Consistency", as scikit-learn defines it."""
  graph = NearestNeighbors(n_neighbors=neighbors).fit(features).kneighbors_graph(features).toarray()
  np.fill_diagonal(graph, 0)
  degree = np.sqrt(graph.sum(0))
  degree[degree == 0] = 1
  normalized = graph / degree[:, None] / degree[None, :]
  targets = np.eye(num_classes)[labels] * (labels >= 0)[:, None]
  scores = targets.copy()
  for _ in range(rounds):
    scores = alpha * normalized @ scores + (1 - alpha) * targets
  return scores


def test_label_spreading_against_the_equation(digits):
  """Where every image is linked to a label, its own nearest neighbors decide about a test image."""
  dataset, split = digits
  result = classical.classify('label_spreading', dataset, split, 3)
  order = np.concatenate([split.labeled, split.unlabeled])
  labels = dataset.train_labels[order].copy()
  labels[len(split.labeled):] = -1
  features = vectors(dataset.train_images[order]).astype(np.float32)
  scores = spread(features, labels, 10)
  totals = scores.sum(1, keepdims=True)
  scores = np.divide(scores, totals, out=np.full_like(scores, np.nan), where=totals > 0)
  test = vectors(dataset.test_images).astype(np.float32)
  near = NearestNeighbors(n_neighbors=7).fit(features).kneighbors(test, return_distance=False)
  expected = scores[near].sum(1).argmax(1)
  assert result.test_error == pytest.approx(100 * np.mean(expected != dataset.test_labels), abs=1)


@pytest.fixture
def small(monkeypatch):
  """A set of two classes that any classifier separates."""
  random = np.random.default_rng(0)
  labels = np.arange(40, dtype=np.int32) % 2
  noise = random.integers(0, 20, (40, 4, 4, 1), np.uint8)
  images = labels[:, None, None, None].astype(np.uint8) * np.uint8(200) + noise
  dataset = Dataset('digits', images, labels, images[:10], labels[:10], ('a', 'b'))
  monkeypatch.setattr(classical.build, 'load_dataset', lambda config: dataset)


def run(monkeypatch, *flags):
  from multiscale_inversion.cli import program

  argv = ['classical', '--config=experiments/digits_50.py', *flags]
  monkeypatch.setattr(sys, 'argv', argv)
  return classical.main(program.parse(argv))


def test_results_are_added(monkeypatch, tmp_path, small, capsys):
  file = tmp_path / 'results.json'
  run(monkeypatch, '--seeds=1', f'--out={file}', '--methods=svm', '--config.data.num_labeled=4')
  run(monkeypatch, '--seeds=1-2', f'--out={file}', '--config.data.num_labeled=4')
  found = reporting.read_results(str(file))
  assert sorted((one.method, one.seed) for one in found) == sorted(
    (method, seed) for method in ('svm', 'self_training', 'label_spreading') for seed in (1, 2)
  )
  assert {one.num_labeled for one in found} == {4} and found[0].test_error == 0
  assert 'label_spreading, seed 2: 0.00 %' in capsys.readouterr().out
  entry = json.loads(file.read_text())[0]
  assert str(tmp_path) not in entry['command']
  assert {'options', 'hardware', 'versions', 'commit', 'commit_dirty'} <= set(entry)


@pytest.mark.parametrize(('flags', 'error'), [
  ([], '--out: missing'),
  (['--out=x.json', '--methods=forest'], '--methods: .*forest.*allowed: svm, self_training'),
  (['--out=x.json', '--seeds=3-1'], '--seeds'),
  (['--out=x.json', '--config.data.num_labeled=1'], 'num_labeled'),
])
def test_wrong_input(monkeypatch, tmp_path, small, flags, error):
  here = [flag.replace('x.json', str(tmp_path / 'x.json')) for flag in flags]
  with pytest.raises(UserError, match=error):
    run(monkeypatch, *here)
  assert not (tmp_path / 'x.json').exists()


def result(method, seed, error, seconds=1.0):
  return reporting.ClassicalResult(method, seed, error, 'digits', 50, seconds)


def test_table():
  table = reporting.of_results([
    result('svm', 0, 10.0, 1.0), result('svm', 1, 12.0, 2.0), result('label_spreading', 0, 5.0),
  ])
  assert table.splitlines()[2:] == [
    '| digits | 50 | svm | 11.00 ± 1.41 | 1.5 | 2 |',
    '| digits | 50 | label spreading | 5.00 | 1.0 | 1 |',
  ]


@pytest.mark.parametrize('change', [
  {'test_error': 101}, {'test_error': None}, {'seed': -1}, {'method': 3}, {'num_labeled': 0},
])
def test_damaged_file(tmp_path, change):
  file = tmp_path / 'results.json'
  file.write_text(json.dumps([{**result('svm', 0, 1.0).to_json(), **change}]))
  with pytest.raises(UserError, match=f'results.json: run 1: {next(iter(change))}'):
    reporting.read_results(str(file))

"""Validation images: held out, measured, and what is kept or stopped by them."""

import json
import struct

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

import multiscale_inversion as mi
from multiscale_inversion import data
from multiscale_inversion.data.dataset import Dataset
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import loop as run
from multiscale_inversion.runs.kept import Kept
from tests import tiny

pytestmark = pytest.mark.usefixtures('quick_compilation')

NUM_VALIDATION = 200
# Steps so large that the validation error rises and falls.
CHANGES = {
  'data.num_validation': NUM_VALIDATION, 'num_steps': 12, 'eval_every_steps': 2,
  'network': {'name': 'mlp', 'width': 16, 'depth': 1}, 'learning_rate': 1.0,
}


def config_of(**changes):
  made = tiny.config()
  for key, value in {**CHANGES, **changes}.items():
    section, _, name = key.rpartition('.')
    if key == 'network':
      made.network.update(value)
      made.network.blocks_per_group = None
    else:
      (made[section] if section else made)[name] = value
  return made


def validation_part():
  """What is held out of the digits, chosen here a second time."""
  digits = data.load('digits')
  drawn = np.sort(np.random.RandomState(0).permutation(1297)[:NUM_VALIDATION])
  return digits.train_images[drawn], digits.train_labels[drawn]


def records_of(folder):
  lines = [json.loads(line) for line in (folder / 'metrics.jsonl').open()]
  return {line['step']: line for line in lines if 'validation/error' in line}


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A run that keeps the best: its folder and its result."""
  folder = tmp_path_factory.mktemp('whole')
  return folder, run.train_and_evaluate(config_of(keep_best=True), str(folder))


def events_of(content):
  """The events of a file of TFRecords: length, its checksum, content, its checksum."""
  while content:
    end = 12 + struct.unpack('<Q', content[:8])[0]
    yield Event.FromString(content[12:end])
    content = content[end + 4:]


def first_lowest(errors):
  return min(errors, key=lambda step: (errors[step], step))


# Holding out.


def small_dataset(labels):
  labels = np.array(labels, np.int32)
  images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
  return Dataset('small', images, labels, images[:1], np.zeros(1, np.int32), ('a', 'b'))


def test_every_image_is_in_one_part():
  dataset = small_dataset([0, 1, -1, 0, 1, -1, 0, 1])
  held = data.hold_out(dataset, 3)
  assert len(held.validation_labels) == 3 and len(held.train_labels) == 5
  assert (held.validation_labels >= 0).all() and (held.train_labels < 0).sum() == 2
  for images, labels in (
    (held.train_images, held.train_labels), (held.validation_images, held.validation_labels)
  ):
    np.testing.assert_array_equal(labels, dataset.train_labels[images.ravel()])
  numbers = np.concatenate([held.train_images.ravel(), held.validation_images.ravel()])
  assert sorted(numbers) == [*range(8)]
  assert data.hold_out(dataset, 0) is dataset


@pytest.mark.parametrize(('labels', 'count', 'message'), [
  ([0, 1, 0, 1], 5, 'num_validation: 5 of 4 training images with a label'),
  ([0, 1, -1, -1], 1, 'num_validation: 1 of 2 training images with a label leave some class'),
  ([0, 1, 0, 1], -1, 'num_validation: -1 is out of range'),
])
def test_too_many(labels, count, message):
  with pytest.raises(UserError, match=message):
    data.hold_out(small_dataset(labels), count)


def test_no_second_validation_part():
  dataset = data.hold_out(small_dataset([0, 1, 0, 1, 0, 1]), 1)
  with pytest.raises(UserError, match='num_validation: 1, but the data set has a validation part'):
    data.hold_out(dataset, 1)


def test_all_that_is_left_is_trained_on():
  dataset = data.hold_out(data.load('digits'), NUM_VALIDATION)
  images, labels = validation_part()
  np.testing.assert_array_equal(dataset.validation_images, images)
  np.testing.assert_array_equal(dataset.validation_labels, labels)


# A run.


def test_errors_are_those_of_the_saved_networks(whole, tmp_path):
  folder, finished = whole
  records = records_of(folder)
  assert [*records] == [2, 4, 6, 8, 10, 12]
  errors = {step: record['validation/error'] for step, record in records.items()}
  best = first_lowest(errors)
  assert 2 < best < 12  # or this would show little
  assert finished.best == {
    'step': best, 'validation_error': errors[best], 'test_error': records[best]['test/error']
  }
  assert finished.validation_error == errors[12]
  assert finished.test_error == records[12]['test/error']
  assert finished.num_steps == 12 and finished.stopped_early is None

  kept = mi.load(folder)
  assert kept.step == best
  images, labels = validation_part()
  assert kept.evaluate(images, labels).error == pytest.approx(errors[best], abs=1e-4)
  # The network of a run that ended there.
  with pytest.raises(run.Interrupted):
    run.train_and_evaluate(config_of(), str(tmp_path), lambda step: step >= best)
  there = mi.load(tmp_path)
  np.testing.assert_array_equal(kept.predict_proba(images), there.predict_proba(images))


def test_classes_are_told_apart(whole):
  folder, finished = whole
  confusion = np.array(finished.confusion)
  _, test_labels = data.load('digits')[3:5]
  np.testing.assert_array_equal(confusion.sum(1), np.bincount(test_labels))
  assert 100 * (1 - np.trace(confusion) / 500) == pytest.approx(finished.test_error)
  of_classes = [100 * (1 - row[label] / sum(row)) for label, row in enumerate(finished.confusion)]
  record = records_of(folder)[12]
  assert record['test/balanced_error'] == pytest.approx(np.mean(of_classes))
  assert finished.balanced_error == pytest.approx(np.mean(of_classes))
  assert json.loads((folder / 'summary.json').read_text())['confusion'] == confusion.tolist()
  found = {}
  for path in folder.glob('events*'):
    for event in events_of(path.read_bytes()):
      for value in event.summary.value:
        if value.tag.startswith('test/class_error/') and event.step == 12:
          found[value.tag.rpartition('/')[2]] = value.simple_value
  assert found == pytest.approx(dict(zip('0123456789', of_classes, strict=True)), abs=1e-4)


def test_resumed_is_uninterrupted(whole, tmp_path):
  folder, finished = whole
  for step in (4, 10):
    with pytest.raises(run.Interrupted):
      run.train_and_evaluate(
        config_of(keep_best=True), str(tmp_path), lambda done, step=step: done >= step
      )
  again = run.train_and_evaluate(config_of(keep_best=True), str(tmp_path))
  assert (again.best, again.test_error) == (finished.best, finished.test_error)
  assert (tmp_path / 'metrics.jsonl').read_text() == (folder / 'metrics.jsonl').read_text()
  images, _ = validation_part()
  np.testing.assert_array_equal(
    mi.load(tmp_path).predict_proba(images), mi.load(folder).predict_proba(images)
  )


@pytest.mark.parametrize('patience', [1, 2, 3])
def test_patience_ends_the_training(patience, whole, tmp_path):
  errors = {step: record['validation/error'] for step, record in records_of(whole[0]).items()}
  steps = [*errors]
  ends = [
    steps[index] for index in range(patience, len(steps))
    if min(errors[s] for s in steps[index - patience + 1:index + 1])
    >= min(errors[s] for s in steps[:index - patience + 1])
  ]
  finished = run.train_and_evaluate(config_of(patience=patience), str(tmp_path))
  assert finished.num_steps == (ends[0] if ends else 12)
  assert finished.stopped_early is (True if ends and ends[0] < 12 else None)
  assert finished.best['step'] == first_lowest({s: e for s, e in errors.items()
                                                if s <= finished.num_steps})
  again = run.train_and_evaluate(config_of(patience=patience), str(tmp_path))  # it is finished
  assert again.num_steps == finished.num_steps
  assert mi.load(tmp_path).step == finished.num_steps  # the last one: nothing is kept


def test_each_seed_keeps_its_own(tmp_path):
  gentle = {'keep_best': True, 'learning_rate': 0.3}  # so that rounding does not grow
  several = run.train_and_evaluate(
    config_of(num_seeds=2, seeds_mode='vectorized', **gentle), str(tmp_path / 'both')
  )
  assert several.best is None
  images, _ = validation_part()
  for seed in (0, 1):
    folder = tmp_path / f'{seed}'
    alone = run.train_and_evaluate(config_of(seed=seed, **gentle), str(folder))
    own = several.single_runs()[seed]
    assert own.best == pytest.approx(alone.best, abs=1e-4)
    assert own.validation_error == pytest.approx(alone.validation_error, abs=1e-4)
    of_seed = mi.load(tmp_path / 'both', seed)
    assert of_seed.step == alone.best['step']
    np.testing.assert_allclose(
      of_seed.predict_proba(images), mi.load(folder).predict_proba(images), atol=1e-4
    )


@pytest.mark.parametrize(('changes', 'message'), [
  ({'keep_best': True, 'data.num_validation': 0}, 'keep_best: True needs validation images'),
  ({'patience': 2, 'data.num_validation': 0}, 'patience: 2 needs validation images'),
  ({'patience': 2, 'num_seeds': 2}, 'patience: 2 with several seeds; allowed: num_seeds=1'),
  ({'data.num_validation': 1290}, 'data.num_validation: 1290 of 1297 training images'),
])
def test_wrong_use(changes, message, tmp_path):
  with pytest.raises(UserError, match=message):
    run.train_and_evaluate(config_of(**changes), str(tmp_path))


# Which one is kept.


def test_the_first_of_equal_errors_is_kept():
  kept = Kept(1, 2, keeps_variables=True)
  exhausted = []
  for step, error in enumerate([5.0, 3.0, 3.0, 4.0, 2.0]):
    kept.update(step, [error], [], {'w': np.array(step)})
    exhausted.append(kept.is_exhausted())
  assert exhausted == [False, False, False, True, False]
  assert kept.best[0].step == 4
  assert kept.variables['w'] == 4


def test_of_seeds_by_brute_force():
  random = np.random.RandomState(0)
  errors = random.randint(10, size=(8, 3)).astype(float)
  kept = Kept(3, None, keeps_variables=True)
  for step, row in enumerate(errors):
    kept.update(step, [*row], [*(row + 1)], {'w': np.full((3, 2), step)})
  for seed, column in enumerate(errors.T):
    first = int(np.argmin(column))
    assert kept.best[seed].step == first
    assert kept.best[seed].test_error == column[first] + 1
    assert (kept.variables['w'][seed] == first).all()


# From Python.


def test_fit_with_validation():
  random = np.random.RandomState(0)
  x = random.randn(120, 3).astype(np.float32)
  y = (x[:, 0] > 0).astype(int)
  few = np.where(np.arange(60) < 30, y[:60], -1)
  network = {'name': 'mlp', 'width': 8, 'depth': 1}
  common = {'network': network, 'num_steps': 6, 'eval_every_steps': 1, 'progress': False}
  steps = []

  class Watch(mi.Callback):
    def on_record(self, record):
      steps.append((record.scalars['validation/error'], record.step))

  pair = x[60:], y[60:]
  fitted = mi.fit(x[:60], few, validation=pair, keep_best=True, callbacks=[Watch()], **common)
  assert fitted.step == min(steps)[1]
  assert fitted.evaluate(*pair).error == pytest.approx(min(steps)[0], abs=1e-4)
  assert mi.fit(x[:60], few, validation=10, patience=1, **common).step <= 6
  with pytest.raises(TypeError, match='validation: a list; allowed: a pair of images and labels'):
    mi.fit(x[:60], few, validation=[x[60:]], **common)

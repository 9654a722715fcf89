"""Prepared sets: what is read of them, and what is said of those that cannot be."""

import json
import os
import types

import numpy as np
import pytest
import tensorflow_datasets as tfds

from multiscale_inversion import data
from multiscale_inversion.data.sources import tfds_source
from multiscale_inversion.errors import UserError
from tests.faults import sound_files

VERSION = str(tfds.builder_cls('mnist').VERSION)
PREPARE = 'python -m experiments.prepare mnist'


def describe(**changes):
  """The content of a `dataset_info.json`."""
  splits = [
    {'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}', 'name': name,
     'numBytes': '3', 'shardLengths': ['1']}
    for name in ('train', 'test')
  ]
  info = {'fileFormat': 'array_record', 'moduleName': 'tensorflow_datasets.x', 'name': 'mnist',
          'splits': splits, 'version': VERSION}
  return json.dumps({**info, **changes})


def write(root, content, version=VERSION):
  folder = root / 'mnist' / version
  folder.mkdir(parents=True)
  (folder / 'dataset_info.json').write_text(content)
  (folder / 'features.json').write_text('{}')
  return folder


def message_of(root):
  with pytest.raises(UserError) as info:
    data.load('mnist', str(root))
  assert '\n' not in str(info.value)
  return str(info.value)


@pytest.mark.parametrize(('content', 'what'), [
  ('', 'is empty'),
  (describe()[:100], 'is not JSON ('),
  ('\0' * 50, 'is not JSON ('),
  ('[' * 100_000, 'is not JSON ('),
  ('null', 'does not describe a data set'),
  ('{}', 'does not describe a data set'),
  (describe(splits=3), 'does not describe a data set'),
  (describe(name='cifar10'), "has the name 'cifar10', not mnist"),
  (describe(version='1.0.0'), f"has the version '1.0.0', not {VERSION}"),
], ids=lambda value: value[:20])
def test_a_broken_description(tmp_path, content, what):
  folder = write(tmp_path, content)
  text = message_of(tmp_path)
  assert text.startswith(f'data set mnist: {folder}/dataset_info.json {what}')
  assert text.endswith(f'remove the folder {folder} and prepare the set anew: {PREPARE}')


@pytest.mark.parametrize('content', [
  describe(splits=[]), describe(splits=[3]), describe(splits=[{'name': 7}]), describe(),
  describe(supervisedKeys=3), describe(alternativeFileFormats=3, citation=[]),
])
def test_a_description_that_tfds_cannot_read(tmp_path, content):
  folder = write(tmp_path, content)
  text = message_of(tmp_path)
  assert text.startswith(f'data set mnist: {folder} cannot be read: ')
  assert text.endswith(f'remove the folder {folder} and prepare the set anew: {PREPARE}')


@pytest.mark.parametrize('changes', [{'fileFormat': 'tfrecord'}, {'fileFormat': None}])
def test_a_set_in_another_format(tmp_path, changes):
  folder = write(tmp_path, describe(**changes))
  assert message_of(tmp_path) == (
    f'data set mnist: {folder} was prepared as tfrecord; allowed: array_record, for which remove '
    f'this folder, or name another by data_dir, and prepare the set: {PREPARE}'
  )
  with pytest.raises(UserError, match='was prepared as tfrecord'):  # what `prepare` asks first
    tfds_source.is_prepared('mnist', str(tmp_path))


def test_a_set_in_another_version(tmp_path):
  write(tmp_path, describe(version='1.2.3'), '1.2.3')
  text = f'data set mnist: {tmp_path}/mnist holds version 1.2.3; allowed: {VERSION}, '
  assert message_of(tmp_path).startswith(text)


@pytest.mark.parametrize('inside', ['mnist', f'mnist/{VERSION}', 'cifar10'])
def test_a_folder_of_the_set_itself(tmp_path, inside):
  write(tmp_path, describe())
  assert message_of(tmp_path / inside) == (
    f'data set mnist: not found in {tmp_path / inside}; allowed: the folder that holds mnist, '
    f'data_dir={tmp_path}'
  )


@pytest.mark.parametrize('name', [
  'dataset_info.json', 'features.json', 'mnist-test.array_record-00000-of-00001'
])
def test_a_pipe_in_place_of_a_file(tmp_path, name):
  folder = write(tmp_path, describe())
  (folder / name).unlink(missing_ok=True)
  os.mkfifo(folder / name)
  text = f'data set mnist: {folder / name}: a named pipe; allowed: a regular file'
  assert message_of(tmp_path) == text


def test_where_it_was_looked_for_is_said_of_a_relative_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert message_of('near').startswith(f'data set mnist: not found in {tmp_path}/near ')


@pytest.mark.parametrize(('count', 'chunk'), [(7, 3), (6, 3), (2, 5), (1, 1)])
def test_a_prepared_split_is_read_whole_and_in_order(monkeypatch, count, chunk):
  random = np.random.RandomState(0)
  images = random.randint(0, 256, (count, 4, 5, 3)).astype(np.uint8)
  labels = random.randint(0, 10, count)

  class Source:
    def __len__(self):
      return count

    def __getitems__(self, indices):
      return [{'image': images[i], 'label': int(labels[i])} for i in indices]

  image = types.SimpleNamespace(shape=(4, 5, 3))
  builder = types.SimpleNamespace(
      info=types.SimpleNamespace(features={'image': image}),
      as_data_source=lambda split: {'train': Source()}[split],
  )
  monkeypatch.setattr(tfds_source, '_CHUNK', chunk)
  found = tfds_source._read_split(builder, 'train')
  np.testing.assert_array_equal(found[0], images)
  np.testing.assert_array_equal(found[1], labels)
  assert found[0].dtype == np.uint8
  assert found[1].dtype == np.int32


def test_a_set_is_read_from_its_files(tmp_path):
  sound_files.write_mnist(tmp_path)
  found = data.load('mnist', str(tmp_path))
  random = np.random.default_rng(4)
  images = random.integers(0, 256, (20, 28, 28, 1), np.uint8)
  np.testing.assert_array_equal(found.train_images, images[:10])
  np.testing.assert_array_equal(found.test_images, images[10:])
  for labels in (found.train_labels, found.test_labels):
    np.testing.assert_array_equal(labels, np.arange(10))

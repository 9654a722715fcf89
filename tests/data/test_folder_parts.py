"""The parts of a data set among the sub-folders, or classes that are named like them."""

import pytest

from tests.data.folders import levels, load, message_of, write, write_classes


@pytest.mark.parametrize('unlabeled', ['train/unlabeled', 'unlabeled'])
def test_train_and_test_folders(tmp_path, unlabeled):
  write_classes(tmp_path / 'train', 'b a', unlabeled=0)
  write_classes(tmp_path / 'test', 'b a', count=3, unlabeled=0)
  write(tmp_path / unlabeled / 'u.png', 222)
  found = load(tmp_path)
  assert found.class_names == ('a', 'b')
  assert levels(found.train_images).count(222) == 1
  assert sorted(levels(found.train_images)) == [*range(10), *range(50, 60), 222]
  assert sorted(levels(found.test_images)) == [0, 1, 2, 50, 51, 52]
  by_level = dict(zip(levels(found.test_images), found.test_labels.tolist()))
  assert by_level == {0: 1, 1: 1, 2: 1, 50: 0, 51: 0, 52: 0}


def test_train_and_test_folders_and_what_does_not_fit(tmp_path):
  write_classes(tmp_path / 'train', unlabeled=0)
  write_classes(tmp_path / 'test', count=3, unlabeled=2)
  found = load(tmp_path)
  assert [reason for _, reason in found.skipped] == ['unlabeled, so of no use for testing'] * 2
  write(tmp_path / 'test' / 'bird' / '1.png')
  assert f'{tmp_path}/test/bird: a class without images in train' in message_of(tmp_path)
  write(tmp_path / 'bird' / '1.png')
  assert 'beside train and test the sub-folder bird; allowed: unlabeled' in message_of(tmp_path)


@pytest.mark.parametrize('parts', ['train', 'train val', 'Train test_2 Validation'])
def test_parts_of_a_set_are_no_classes(tmp_path, parts):
  for part in parts.split():
    write_classes(tmp_path / part)
  text = message_of(tmp_path)
  listed = ', '.join(sorted(parts.split()))
  assert text.startswith(f'data_dir: {tmp_path} has the sub-folders {listed}; ')
  assert 'allowed: train and test, each with a sub-folder a class' in text


def test_a_class_named_train(tmp_path):
  write_classes(tmp_path, 'train plane')
  assert load(tmp_path).class_names == ('plane', 'train')


PART_NAMES = [
  ('Training', 'Testing'), ('training_set', 'test_set'), ('train_images', 'test_images'),
  ('TrainSet', 'TestSet'), ('TRAIN', 'TEST'), ('Train Data', 'Test Data'), ('train', 'eval'),
  ('train2017', 'test2017'), ('seg_train', 'seg_test'), ('imgs-train', 'hold-out'),
  ('trainval', 'test'), ('trainingset', 'Evaluation'), ('mnist_training', 'mnist_testing'),
]


@pytest.mark.parametrize(('train', 'test'), PART_NAMES)
def test_parts_by_other_names(tmp_path, train, test):
  write_classes(tmp_path / train, 'b a', unlabeled=2)
  write_classes(tmp_path / test, 'b a', count=3, unlabeled=0)
  write(tmp_path / 'unlabeled_images' / 'u.png', 222)
  found = load(tmp_path)
  assert found.class_names == ('a', 'b')
  assert sorted(levels(found.train_images)) == [*range(10), *range(50, 60), 200, 201, 222]
  assert sorted(levels(found.test_images)) == [0, 1, 2, 50, 51, 52]
  assert (found.train_labels < 0).sum() == 3


def test_a_part_within_itself(tmp_path):
  write_classes(tmp_path / 'seg_train' / 'seg_train', unlabeled=0)
  write_classes(tmp_path / 'seg_test' / 'seg_test', count=3, unlabeled=0)
  found = load(tmp_path)
  assert found.class_names == ('cat', 'dog')
  assert len(found.test_labels) == 6


@pytest.mark.parametrize('parts', [
  'Training valid', 'train_set test_set val_set', 'trainA testA trainB testB',
  'train Training test', 'test val', 'Training', 'test holdout', 'train_test',
])
def test_parts_that_are_not_certain_are_a_question(tmp_path, parts):
  for part in parts.split():
    write_classes(tmp_path / part)
  if parts == 'train_test':
    write_classes(tmp_path, 'plane', unlabeled=0)
  text = message_of(tmp_path)
  listed = ', '.join(sorted(parts.split()))
  assert text.startswith(f'data_dir: {tmp_path} has the sub-folders {listed}; are they parts')
  assert 'allowed: train and test, each with a sub-folder a class' in text


@pytest.mark.parametrize('names', ['Training Testing', 'train_a test_a', 'testing valid'])
def test_folders_named_like_parts_with_images_are_a_question(tmp_path, names):
  write_classes(tmp_path, names)
  assert 'are they parts of the set or classes?' in message_of(tmp_path)


@pytest.mark.parametrize('names', [
  'Testing plane', 'valid invalid', 'crash_test train_station', 'contest trainer', 'latest trains'
])
def test_classes_that_cannot_be_parts(tmp_path, names):
  write_classes(tmp_path, names)
  assert load(tmp_path).class_names == tuple(sorted(names.split()))


def test_a_class_with_only_folders_in_it_that_is_named_like_a_part_is_a_question(tmp_path):
  write_classes(tmp_path, 'plane ship')
  write_classes(tmp_path / 'Training')
  assert 'has the sub-folders Training; are they parts' in message_of(tmp_path)


def test_other_folders_beside_parts(tmp_path):
  write_classes(tmp_path / 'Training', unlabeled=0)
  write_classes(tmp_path / 'Testing', unlabeled=0)
  write(tmp_path / 'pred' / '1.png')
  text = f'{tmp_path} has beside Training and Testing the sub-folder pred; allowed: unlabeled alone'
  assert message_of(tmp_path) == f'data_dir: {text}'


def test_parts_within_classes_or_further_down(tmp_path):
  for name in ('cat', 'dog'):
    write_classes(tmp_path / 'a' / name, 'train test', unlabeled=0)
  assert message_of(tmp_path / 'a') == (
    f'data_dir: {tmp_path}/a/cat has the sub-folders test, train; allowed: them outside, the '
    'classes in each'
  )
  for part in ('Training', 'Testing'):
    write_classes(tmp_path / 'b' / 'archive' / part, unlabeled=0)
  assert message_of(tmp_path / 'b') == (
    f'data_dir: {tmp_path}/b/archive has the sub-folders Testing, Training; allowed: '
    f'data_dir={tmp_path}/b/archive'
  )

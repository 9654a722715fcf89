"""The data set of custom images: each a square of one grey level that tells which it is."""

import numpy as np
import pytest

from multiscale_inversion import data
from multiscale_inversion.errors import UserError
from tests.data.folders import levels, load, message_of, write, write_classes


def test_a_folder(tmp_path):
  write_classes(tmp_path)
  (tmp_path / 'cat' / 'notes.txt').write_text('no image')
  (tmp_path / 'cat' / '._0.png').write_text('of another system')
  (tmp_path / '.hidden').mkdir()
  (tmp_path / '__MACOSX').mkdir()
  found = load(tmp_path)
  assert found.name == 'folder'
  assert found.class_names == ('cat', 'dog')
  assert found.skipped == ()
  assert found.train_images.shape == (22, 32, 32, 1)
  assert found.test_images.shape == (4, 32, 32, 1)
  train = dict(zip(levels(found.train_images), found.train_labels.tolist()))
  test = dict(zip(levels(found.test_images), found.test_labels.tolist()))
  assert not set(train) & set(test)
  assert train | test == (
    dict.fromkeys(range(10), 0) | dict.fromkeys(range(50, 60), 1)
    | dict.fromkeys(range(200, 206), -1)
  )
  assert sorted(test.values()) == [0, 0, 1, 1]  # a fifth of each class


def test_a_folder_in_deeper_folders_with_upper_case_and_three_channels(tmp_path):
  write_classes(tmp_path, unlabeled=0)
  write(tmp_path / 'cat' / 'more' / 'deep' / 'X.JPEG', 30)
  write(tmp_path / 'Unlabelled' / 'Y.JPG', 222, mode='RGB')
  found = load(tmp_path, channels=3, image_size=16)
  assert found.train_images.shape[1:] == found.test_images.shape[1:] == (16, 16, 3)
  assert {30, 222} <= {*levels(found.train_images), *levels(found.test_images)}
  assert (found.train_labels < 0).sum() == 1


def test_the_held_out_images_depend_on_the_names_alone(tmp_path):
  for root, size in (('a', (7, 9)), ('b', (60, 8))):
    for n in range(40):
      write(tmp_path / root / 'x' / f'{n}.png', n, size)
      write(tmp_path / root / 'y' / f'{n}.png', 100 + n, size)
  first, second = (load(tmp_path / root) for root in 'ab')
  assert levels(first.test_images) == levels(second.test_images)
  assert sorted(first.test_labels.tolist()) == [0] * 8 + [1] * 8
  assert levels(first.test_images) != sorted(levels(first.test_images))  # not the first by name
  # One image more: all others but one, at most, stay where they were.
  write(tmp_path / 'b' / 'x' / '999.png', 99)
  again = load(tmp_path / 'b')
  assert len({*levels(first.test_images)} - {*levels(again.test_images)}) <= 1


def test_the_share_of_the_held_out(tmp_path):
  write_classes(tmp_path)
  assert len(load(tmp_path, test_fraction=0.5).test_labels) == 10
  assert len(load(tmp_path, test_fraction=0.001).test_labels) == 2  # one of each class
  assert len(load(tmp_path, test_fraction=0.999).test_labels) == 18  # all but one of each class
  for wrong in (0.0, 1.0):
    assert message_of(tmp_path, test_fraction=wrong).startswith(f'test_fraction: {wrong}')


def test_classes_that_are_numbers_are_in_their_order(tmp_path):
  write_classes(tmp_path, '10 9 2', count=2)
  assert load(tmp_path).class_names == ('2', '9', '10')


def test_broken_images_are_skipped_and_named(tmp_path):
  write_classes(tmp_path)
  whole = (tmp_path / 'cat' / '3.png').read_bytes()
  (tmp_path / 'cat' / '3.png').write_bytes(whole[:-30])
  (tmp_path / 'unlabeled' / 'text.jpg').write_text('no image')
  write(tmp_path / 'stray.png')
  found = load(tmp_path)
  assert 3 not in [*levels(found.train_images), *levels(found.test_images)]
  assert len(found.train_labels) + len(found.test_labels) == 25
  assert [path for path, _ in found.skipped] == [
    str(tmp_path / 'stray.png'), str(tmp_path / 'cat' / '3.png'),
    str(tmp_path / 'unlabeled' / 'text.jpg'),
  ]
  assert 'truncated' in found.skipped[1].reason


def test_what_is_wrong_with_a_folder(tmp_path):
  start = f'data_dir: {tmp_path}'
  assert message_of('').startswith('data_dir: folder needs it; allowed: a folder')
  assert message_of(tmp_path / 'absent') == f'{start}/absent: no such folder or file'
  assert message_of(tmp_path).startswith(f'{start} has no labeled images; allowed: files that end')
  write(tmp_path / 'unlabeled' / '1.png')
  assert message_of(tmp_path).startswith(f'{start} has no labeled images')
  write(tmp_path / 'cat' / '1.png')
  assert message_of(tmp_path).startswith(f'{start} has one class alone (cat); allowed: at least 2')
  (tmp_path / 'dog').mkdir()
  assert message_of(tmp_path).startswith(f'{start}/dog: a class without images; allowed')
  (tmp_path / 'dog' / '1.png').write_text('no image')
  text = message_of(tmp_path)
  assert text.startswith(f'{start}: no image of the class dog can be used for training (1 cannot')
  assert f'{tmp_path}/dog/1.png: not a PNG or JPEG image' in text
  write(tmp_path / 'dog' / '1.png')
  assert message_of(tmp_path).startswith(f'{start} leaves no image for testing')
  write(tmp_path / 'dog' / '2.png')
  assert len(load(tmp_path).test_labels) == 1


def test_a_folder_named_minus_one_is_unlabeled(tmp_path):
  write_classes(tmp_path, '0 1', unlabeled=0)
  write(tmp_path / '-1' / '1.png', 222)
  found = load(tmp_path)
  assert found.class_names == ('0', '1')
  assert dict(zip(levels(found.train_images), found.train_labels))[222] == -1


def test_too_large_images_are_skipped_with_the_reason(tmp_path):
  write_classes(tmp_path)
  write(tmp_path / 'cat' / 'large.png', 20, size=(200, 100))
  found = load(tmp_path, max_megapixels=0.01)
  assert [path for path, _ in found.skipped] == [f'{tmp_path}/cat/large.png']
  assert 'allowed: at most 0.01 (data.max_megapixels)' in found.skipped[0].reason
  assert load(tmp_path).skipped == ()
  assert message_of(tmp_path, max_megapixels=0).startswith('max_megapixels: 0 is out of range')


def test_images_of_other_formats_are_named(tmp_path):
  write_classes(tmp_path)
  left_out = ['cat/1.webp', 'cat/deeper/2.BMP', 'unlabeled/3.tiff']
  for name in (*left_out, 'cat/notes.csv', 'dog/._4.gif'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('')
  found = load(tmp_path)
  reason = 'allowed: .png, .jpg, .jpeg'
  assert found.skipped == tuple((str(tmp_path / name), reason) for name in left_out)


def test_folders_with_underscores_are_the_users(tmp_path):
  write_classes(tmp_path)
  write(tmp_path / 'cat' / '__more__' / '1.png', 40)
  found = load(tmp_path)
  assert 40 in levels(found.train_images) + levels(found.test_images)


def test_options():
  text = message_of('x', channels=2)
  assert text == 'channels: unknown 2; allowed: 1, 3'
  assert message_of('x', image_size=0).startswith('image_size: 0 is out of range')
  with pytest.raises(UserError) as info:
    data.load('digits', image_size=16)
  assert str(info.value) == 'image_size: not an option of the data set digits; allowed: none'


# Labeled and unlabeled


def test_the_split_never_takes_images_without_a_label():
  labels = np.array([0, -1, 1, 0, -1, 1, 2, -1, 2])
  everything = data.split(labels, None, seed=0)
  assert everything.labeled.tolist() == [0, 2, 3, 5, 6, 8]
  assert everything.unlabeled.tolist() == [1, 4, 7]
  assert everything.labeled.dtype == everything.unlabeled.dtype == np.int32
  for seed in range(20):
    some = data.split(labels, 3, seed)
    assert sorted(labels[some.labeled]) == [0, 1, 2]
    assert sorted([*some.labeled, *some.unlabeled]) == list(range(9))
  assert data.split(labels, None, 0, 'all').unlabeled.tolist() == list(range(9))
  with pytest.raises(UserError, match=r'num_labeled: 7; allowed: 3 \(one a class\) to 6'):
    data.split(labels, 7, seed=0)


def test_no_unlabeled_image_is_an_error_that_says_what_to_do():
  with pytest.raises(UserError) as info:
    data.Sampler(12, 0, 2, 2)
  assert str(info.value) == (
    'num_labeled: all 12 training images have a label, so there are no unlabeled ones; allowed: '
    'fewer, or unlabeled=all'
  )

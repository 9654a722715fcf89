"""The data set of a user's own images, each a square of one grey level that tells which it is."""

import errno
import os

import numpy as np
import pytest
from PIL import Image

from multiscale_inversion import data
from multiscale_inversion.errors import UserError


def write(path, level=0, size=(7, 9), mode='L'):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.new(mode, size, level if mode == 'L' else (level,) * 3).save(path)


def write_classes(root, classes='cat dog', count=10, unlabeled=6):
  """Grey level n is image n: 0, ... of the first class, 50, ... of the second, 200 unlabeled."""
  for index, name in enumerate(classes.split()):
    for n in range(count):
      write(root / name / f'{n}.png', 50 * index + n, size=(5 + n, 30 - n))
  for n in range(unlabeled):
    write(root / 'unlabeled' / f'{n}.png', 200 + n)


def levels(images):
  assert images.dtype == np.uint8
  assert (images == images[:, :1, :1]).all()
  return images[:, 0, 0, 0].tolist()


def load(path, **options):
  found = data.load('folder', str(path), **options)
  assert found.train_labels.dtype == found.test_labels.dtype == np.int32
  assert len(found.train_labels) == len(found.train_images)
  assert len(found.test_labels) == len(found.test_images)
  return found


def message_of(path, **options):
  with pytest.raises(UserError) as info:
    load(path, **options)
  text = str(info.value)
  assert '\n' not in text
  return text


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
    assert message_of(tmp_path, test_fraction=wrong).startswith(f'data.test_fraction: {wrong}')


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
  start = f'data.data_dir: {tmp_path}'
  assert message_of('').startswith('data.data_dir: folder needs it; allowed: a folder')
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


@pytest.mark.parametrize('parts', ['train', 'train val', 'Train test_2 Validation'])
def test_parts_of_a_set_are_no_classes(tmp_path, parts):
  for part in parts.split():
    write_classes(tmp_path / part)
  text = message_of(tmp_path)
  listed = ', '.join(sorted(parts.split()))
  assert text.startswith(f'data.data_dir: {tmp_path} has the sub-folders {listed}; ')
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
  'Training valid', 'train_set test_set val_set', 'trainA testA trainB testB', 'train Training test',
  'test val', 'Training', 'test holdout', 'train_test',
])
def test_parts_that_are_not_certain_are_a_question(tmp_path, parts):
  for part in parts.split():
    write_classes(tmp_path / part)
  if parts == 'train_test':
    write_classes(tmp_path, 'plane', unlabeled=0)
  text = message_of(tmp_path)
  listed = ', '.join(sorted(parts.split()))
  assert text.startswith(f'data.data_dir: {tmp_path} has the sub-folders {listed}; are they parts')
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
  assert message_of(tmp_path) == f'data.data_dir: {text}'


def test_parts_within_classes_or_further_down(tmp_path):
  for name in ('cat', 'dog'):
    write_classes(tmp_path / 'a' / name, 'train test', unlabeled=0)
  assert message_of(tmp_path / 'a') == (
    f'data.data_dir: {tmp_path}/a/cat has the sub-folders test, train; allowed: them outside, the '
    'classes in each'
  )
  for part in ('Training', 'Testing'):
    write_classes(tmp_path / 'b' / 'archive' / part, unlabeled=0)
  assert message_of(tmp_path / 'b') == (
    f'data.data_dir: {tmp_path}/b/archive has the sub-folders Testing, Training; allowed: '
    f'data.data_dir={tmp_path}/b/archive'
  )


MISSING = ['NaN', 'nan', 'None', 'NULL', 'null', 'NA', 'N/A', 'n/a', '<NA>', 'NaT', '?', 'missing',
           'Nil', '#N/A', '-', '--', '.', '(null)', '[]', '\\N', 'undefined', '-999', '-999.0',
           'no label', '???']


@pytest.mark.parametrize('value', MISSING)
def test_a_missing_label_is_no_class(tmp_path, value):
  lines = ['file,label', *(f'images/{n}.png,{"cat" if n < 5 else "dog"}' for n in range(10))]
  lines.append(f'images/10.png,{value}')
  table = write_table(tmp_path, '\n'.join(lines))
  assert message_of(table) == (
    f'{table}, line 12: label is {value!r}; allowed: empty or -1 where there is none, else the name '
    'of a class (rename one that is called so)'
  )
  if '/' not in value and value != '.':
    write_classes(tmp_path / 'folder', unlabeled=0)
    write(tmp_path / 'folder' / value / '1.png')
    assert message_of(tmp_path / 'folder') == (
      f'data.data_dir: {tmp_path}/folder/{value}: a sub-folder called {value}; allowed: unlabeled '
      'where there is no label, else the name of a class (rename one that is called so)'
    )


@pytest.mark.parametrize('value', ['', '-1', '-1.0', ' -1 ', '"-1"', 'unlabeled', 'Unlabelled'])
def test_unlabeled_cells(tmp_path, value):
  lines = ['file,label', *(f'images/{n}.png,{n % 2}' for n in range(10))]
  lines += [f'images/{n}.png,{value}' for n in range(10, 20)]
  found = load(write_table(tmp_path, '\n'.join(lines)))
  assert found.class_names == ('0', '1')
  by_level = dict(zip(levels(found.train_images), found.train_labels.tolist()))
  assert all(by_level[n] == -1 for n in range(10, 20))


def test_a_folder_named_minus_one_is_unlabeled(tmp_path):
  write_classes(tmp_path, '0 1', unlabeled=0)
  write(tmp_path / '-1' / '1.png', 222)
  found = load(tmp_path)
  assert found.class_names == ('0', '1')
  assert dict(zip(levels(found.train_images), found.train_labels))[222] == -1


@pytest.mark.parametrize('label', ['nanny', 'Nathan', 'a none', '-2', 'na_1', '(', '*', 'nope'])
def test_labels_that_only_look_a_little_like_missing_ones(tmp_path, label):
  lines = ['file,label', *(f'images/{n}.png,{"cat" if n < 5 else label}' for n in range(10))]
  assert set(load(write_table(tmp_path, '\n'.join(lines))).class_names) == {'cat', label}


@pytest.mark.parametrize(('cell', 'is_test'), [
  ('train', False), ('Training', False), ('TRAIN_SET', False), ('test', True), ('Testing', True),
  ('eval', True),
])
def test_a_split_by_other_names(tmp_path, cell, is_test):
  lines = ['file,label,split', 'images/0.png,a,train', 'images/1.png,b,train', 'images/2.png,a,test',
           f'images/3.png,b,{cell}']
  found = load(write_table(tmp_path, '\n'.join(lines)))
  assert (3 in levels(found.test_images)) == is_test


SYSTEM = ['__MACOSX', '@eaDir', '.thumbnails', '.AppleDouble', '#recycle', '$RECYCLE.BIN',
          'System Volume Information', 'lost+found', '.ipynb_checkpoints', '.Trash-1000', '@Recycle',
          '.@__thumb', '#snapshot', '@tmp']


@pytest.mark.parametrize('name', SYSTEM)
def test_folders_of_systems_do_not_count(tmp_path, name):
  write_classes(tmp_path)
  before = load(tmp_path)
  write(tmp_path / name / '0.png', 99)
  write(tmp_path / 'cat' / name / '0.png' / 'SYNOPHOTO_THUMB.png', 98)
  write(tmp_path / 'unlabeled' / name / '0.png', 97)
  (tmp_path / 'cat' / 'Thumbs.db').write_text('')
  (tmp_path / 'cat' / '._1.png').write_text('')
  found = load(tmp_path)
  assert found.class_names == before.class_names
  assert found.skipped == ()
  assert levels(found.train_images) == levels(before.train_images)
  assert levels(found.test_images) == levels(before.test_images)


def test_links_to_folders_are_followed(tmp_path):
  write_classes(tmp_path / 'set', count=3, unlabeled=1)
  for n in range(5):
    write(tmp_path / 'elsewhere' / 'deep' / f'{n}.png', 100 + n)
    write(tmp_path / 'birds' / f'{n}.png', 150 + n)
  (tmp_path / 'set' / 'cat' / 'more').symlink_to(tmp_path / 'elsewhere')
  (tmp_path / 'set' / 'bird').symlink_to('../birds')
  (tmp_path / 'birds' / 'loop').symlink_to(tmp_path / 'birds')
  (tmp_path / 'elsewhere' / 'deep' / 'again').symlink_to(tmp_path / 'set' / 'cat')
  found = load(tmp_path / 'set')
  assert found.skipped == ()
  assert found.class_names == ('bird', 'cat', 'dog')
  known = [*zip(levels(found.train_images), found.train_labels.tolist()),
           *zip(levels(found.test_images), found.test_labels.tolist())]
  assert sorted(known) == sorted([
    *((n, 1) for n in (0, 1, 2, *range(100, 105))), *((n, 2) for n in range(50, 53)),
    *((n, 0) for n in range(150, 155)), (200, -1),
  ])


def test_a_folder_that_two_classes_share_by_links_is_an_error(tmp_path):
  write_classes(tmp_path)
  (tmp_path / 'cat' / 'other').symlink_to(tmp_path / 'dog')
  assert message_of(tmp_path) == (
    f'data.data_dir: {tmp_path}/cat/other and {tmp_path}/dog are one folder, {tmp_path}/dog, by '
    'links; allowed: each in one class and one part'
  )


def test_a_folder_that_both_parts_share_by_a_link_is_an_error(tmp_path):
  write_classes(tmp_path / 'train')
  write_classes(tmp_path / 'test', 'dog', unlabeled=0)
  (tmp_path / 'test' / 'cat').symlink_to(tmp_path / 'train' / 'cat')
  assert 'train/cat and ' in message_of(tmp_path)


def test_links_that_lead_nowhere_or_around_are_named(tmp_path):
  write_classes(tmp_path / 'set')
  (tmp_path / 'set' / 'bird').symlink_to(tmp_path / 'absent')
  (tmp_path / 'set' / 'cat' / 'more').symlink_to(tmp_path / 'absent')
  (tmp_path / 'set' / 'cat' / 'all').symlink_to(tmp_path / 'set')
  (tmp_path / 'set' / 'cat' / 'root').symlink_to('/')
  (tmp_path / 'set' / 'cat' / 'self').symlink_to('self')
  found = load(tmp_path / 'set')
  assert len(found.train_labels) + len(found.test_labels) == 26
  around = 'a link to a folder around this one, not followed'
  assert sorted((path.removeprefix(f'{tmp_path}/set/'), why) for path, why in found.skipped) == [
    ('bird', 'a link to nothing'), ('cat/all', around), ('cat/more', 'a link to nothing'),
    ('cat/root', around), ('cat/self', 'a link to nothing'),
  ]


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
  write_classes(tmp_path)
  listdir = os.listdir

  def refuse(path):
    if str(path).endswith('/dog'):
      raise PermissionError(errno.EACCES, 'Permission denied', path)
    return listdir(path)

  monkeypatch.setattr(os, 'listdir', refuse)
  text = f'data.data_dir: {tmp_path}/dog cannot be listed: Permission denied'
  assert message_of(tmp_path) == text


def test_a_pipe_in_place_of_a_table_or_an_image(tmp_path):
  os.mkfifo(tmp_path / 'labels.csv')
  assert message_of(tmp_path / 'labels.csv') == (
    f'data.data_dir: {tmp_path}/labels.csv cannot be read as CSV in UTF-8: a named pipe; allowed: a '
    'regular file'
  )
  assert message_of('/dev/null').endswith('a device; allowed: a regular file')
  write_classes(tmp_path / 'set')
  os.mkfifo(tmp_path / 'set' / 'cat' / 'pipe.png')
  found = load(tmp_path / 'set')
  assert found.skipped == (
    (f'{tmp_path}/set/cat/pipe.png', 'a named pipe; allowed: a regular file'),
  )


def test_too_large_images_are_skipped_with_the_reason(tmp_path):
  write_classes(tmp_path)
  write(tmp_path / 'cat' / 'large.png', 20, size=(200, 100))
  found = load(tmp_path, max_megapixels=0.01)
  assert [path for path, _ in found.skipped] == [f'{tmp_path}/cat/large.png']
  assert 'allowed: at most 0.01 (data.max_megapixels)' in found.skipped[0].reason
  assert load(tmp_path).skipped == ()
  assert message_of(tmp_path, max_megapixels=0).startswith('data.max_megapixels: 0 is out of range')


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
  assert text == 'data.channels: unknown 2; allowed: 1, 3'
  assert message_of('x', image_size=0).startswith('data.image_size: 0 is out of range')
  with pytest.raises(UserError) as info:
    data.load('digits', image_size=16)
  assert str(info.value) == 'data.image_size: not an option of the data set digits; allowed: none'


# CSV


def write_table(root, text, encoding='utf-8'):
  for n in range(20):
    write(root / 'images' / f'{n}.png', n)
  root.mkdir(exist_ok=True)
  path = root / 'labels.csv'
  path.write_text(text, encoding=encoding)
  return path


ROWS = [(f'images/{n}.png', 'cat' if n < 5 else 'a dog' if n < 10 else '') for n in range(20)]


@pytest.mark.parametrize('delimiter', [',', ';', '\t'])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig'])
def test_a_table(tmp_path, delimiter, encoding):
  lines = ['file,label', *(','.join(row) for row in ROWS)]
  found = load(write_table(tmp_path, '\n'.join(lines).replace(',', delimiter) + '\n', encoding))
  assert found.class_names == ('a dog', 'cat')
  train = dict(zip(levels(found.train_images), found.train_labels.tolist()))
  test = dict(zip(levels(found.test_images), found.test_labels.tolist()))
  assert train | test == {n: 1 if n < 5 else 0 if n < 10 else -1 for n in range(20)}
  assert sorted(test.values()) == [0, 1]


def test_a_table_with_a_split_further_columns_and_absolute_paths(tmp_path):
  write(tmp_path / 'elsewhere.png', 77)
  lines = ['Label,when,File,Split', 'cat,1,images/0.png,train', '"a, b",2,images/1.png,',
           f' unlabeled ,3,{tmp_path}/elsewhere.png,train', '', 'cat,4,images/2.png,TEST']
  found = load(write_table(tmp_path / 'table', '\r\n'.join(lines)))
  assert found.class_names == ('a, b', 'cat')
  assert dict(zip(levels(found.train_images), found.train_labels)) == {0: 1, 1: 0, 77: -1}
  assert levels(found.test_images) == [2] and found.test_labels.tolist() == [1]


def test_quotes_in_cells_that_do_not_count(tmp_path):
  lines = ['file,note,label', *(f'{file},"so-called" {label},{label}' for file, label in ROWS)]
  assert load(write_table(tmp_path, '\n'.join(lines))).class_names == ('a dog', 'cat')


def test_a_table_with_spaces_and_one_file_by_two_paths(tmp_path):
  lines = ['"file", "label"', *(f'"{file}", "{label}"' for file, label in ROWS)]
  assert load(write_table(tmp_path, '\n'.join(lines))).class_names == ('a dog', 'cat')
  lines.append(f'{tmp_path}/images/0.png, dog')
  text = message_of(write_table(tmp_path, '\n'.join(lines)))
  assert f'line 22: {tmp_path}/images/0.png stands in line 2 already' in text


def test_a_table_that_names_files_that_do_not_exist(tmp_path):
  lines = ['file,label', *(','.join(row) for row in ROWS), 'gone.png,cat']
  found = load(write_table(tmp_path, '\n'.join(lines)))
  assert found.skipped == ((str(tmp_path / 'gone.png'), 'no such file'),)
  assert len(found.train_labels) + len(found.test_labels) == 20


@pytest.mark.parametrize(('lines', 'text'), [
  ([], "labels.csv, line 1: ''; allowed: the names of the columns, file,label or"),
  (['images/0.png,cat'], "labels.csv, line 1: 'images/0.png,cat'; allowed: the names of the"),
  (['file,label', 'images/0.png,cat', ',dog'], 'labels.csv, line 3: no file; allowed: a path'),
  (['file,label', 'images/0.png,a', 'images/0.png,b'],
   'labels.csv, line 3: images/0.png stands in line 2 already; allowed: once'),
  (['file,label', 'images/0.png,a', './images/0.png,b'],
   'labels.csv, line 3: ./images/0.png stands in line 2 already; allowed: once'),
  (['file,label,label', 'images/0.png,a,b'], "line 1: 'file,label,label'; allowed: the names of"),
  (['file,label', '"images/', '0.png",a'], 'of several lines; allowed: one (open quote?)'),
  (['file,label', '"images/0.png,a', '"images/1.png,b'], 'line 3: '),
  (['file,label', 'images/0.png,"a', 'images/1.png,b'], 'of several lines; allowed: one (open'),
  (['file,label,split', 'images/0.png,a,val'],
   "labels.csv, line 2: split is 'val'; allowed: train, test"),
  (['file,label,split', 'images/0.png,,test'], 'labels.csv, line 2: a test image without a label'),
  (['file,label', 'images/0.png'], 'labels.csv has no labeled images'),
  (['file,label', 'images/0.png,a'], 'labels.csv has one class alone (a); allowed: at least 2'),
  (['file,label,split', 'images/0.png,a', 'images/1.png,b,test'],
   'no image of the class b can be used for training; allowed: at least one'),
], ids=str)
def test_what_is_wrong_with_a_table(tmp_path, lines, text):
  assert text in message_of(write_table(tmp_path, '\n'.join(lines)))


def test_a_file_that_is_no_table(tmp_path):
  write(tmp_path / 'image.png')
  assert 'image.png cannot be read as CSV in UTF-8' in message_of(tmp_path / 'image.png')


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
  with pytest.raises(UserError, match=r'data\.num_labeled: 7; allowed: 3 \(one a class\) to 6'):
    data.split(labels, 7, seed=0)


def test_no_unlabeled_image_is_an_error_that_says_what_to_do():
  with pytest.raises(UserError) as info:
    data.Sampler(12, 0, 2, 2)
  assert str(info.value) == (
    'data.num_labeled: all 12 training images are labeled, and none is left unlabeled; allowed: '
    'fewer, or data.unlabeled=all'
  )

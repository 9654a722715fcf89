"""The data set of a user's own images, each a square of one grey level that tells which it is."""

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

"""The data set of custom images, as a CSV file lists it."""

import pytest

from tests.data.folders import levels, load, message_of, write, write_classes, write_table

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


MISSING = ['NaN', 'nan', 'None', 'NULL', 'null', 'NA', 'N/A', 'n/a', '<NA>', 'NaT', '?', 'missing',
           'Nil', '#N/A', '-', '--', '.', '(null)', '[]', '\\N', 'undefined', '-999', '-999.0',
           'no label', '???']


@pytest.mark.parametrize('value', MISSING)
def test_a_missing_label_is_no_class(tmp_path, value):
  lines = ['file,label', *(f'images/{n}.png,{"cat" if n < 5 else "dog"}' for n in range(10))]
  lines.append(f'images/10.png,{value}')
  table = write_table(tmp_path, '\n'.join(lines))
  assert message_of(table) == (
    f'{table}, line 12: label is {value!r}; allowed: empty or -1 where there is none, else the '
    'name of a class (rename one that is called so)'
  )
  if '/' not in value and value != '.':
    write_classes(tmp_path / 'folder', unlabeled=0)
    write(tmp_path / 'folder' / value / '1.png')
    assert message_of(tmp_path / 'folder') == (
      f'data_dir: {tmp_path}/folder/{value}: a sub-folder called {value}; allowed: unlabeled '
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


@pytest.mark.parametrize('label', ['nanny', 'Nathan', 'a none', '-2', 'na_1', '(', '*', 'nope'])
def test_labels_that_only_look_a_little_like_missing_ones(tmp_path, label):
  lines = ['file,label', *(f'images/{n}.png,{"cat" if n < 5 else label}' for n in range(10))]
  assert set(load(write_table(tmp_path, '\n'.join(lines))).class_names) == {'cat', label}


@pytest.mark.parametrize(('cell', 'is_test'), [
  ('train', False), ('Training', False), ('TRAIN_SET', False), ('test', True), ('Testing', True),
  ('eval', True),
])
def test_a_split_by_other_names(tmp_path, cell, is_test):
  lines = ['file,label,split', 'images/0.png,a,train', 'images/1.png,b,train',
           'images/2.png,a,test', f'images/3.png,b,{cell}']
  found = load(write_table(tmp_path, '\n'.join(lines)))
  assert (3 in levels(found.test_images)) == is_test

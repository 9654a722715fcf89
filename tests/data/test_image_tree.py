"""What a folder of images may hold beside images: links, pipes and what systems put there."""

import errno
import os

import pytest

from tests.data.folders import levels, load, message_of, write, write_classes

SYSTEM = ['__MACOSX', '@eaDir', '.thumbnails', '.AppleDouble', '#recycle', '$RECYCLE.BIN',
          'System Volume Information', 'lost+found', '.ipynb_checkpoints', '.Trash-1000',
          '@Recycle', '.@__thumb', '#snapshot', '@tmp']


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
    f'data_dir: {tmp_path}/cat/other and {tmp_path}/dog are one folder, {tmp_path}/dog, by '
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
  text = f'data_dir: {tmp_path}/dog cannot be listed: Permission denied'
  assert message_of(tmp_path) == text


def test_a_pipe_in_place_of_a_table_or_an_image(tmp_path):
  os.mkfifo(tmp_path / 'labels.csv')
  assert message_of(tmp_path / 'labels.csv') == (
    f'data_dir: {tmp_path}/labels.csv cannot be read as CSV in UTF-8: a named pipe; allowed: '
    'a regular file'
  )
  assert message_of('/dev/null').endswith('a device; allowed: a regular file')
  write_classes(tmp_path / 'set')
  os.mkfifo(tmp_path / 'set' / 'cat' / 'pipe.png')
  found = load(tmp_path / 'set')
  assert found.skipped == (
    (f'{tmp_path}/set/cat/pipe.png', 'a named pipe; allowed: a regular file'),
  )

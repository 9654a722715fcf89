"""Folders of images for tests: each image a square of one grey level that tells which it is."""

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


def write_table(root, text, encoding='utf-8'):
  for n in range(20):
    write(root / 'images' / f'{n}.png', n)
  root.mkdir(exist_ok=True)
  path = root / 'labels.csv'
  path.write_text(text, encoding=encoding)
  return path

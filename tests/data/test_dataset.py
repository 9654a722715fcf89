import hashlib
import os
import pathlib
import re
import socket
import tempfile

import numpy as np
import pytest
import scipy.io

from multiscale_inversion import data
from multiscale_inversion.data import registry as dataset
from multiscale_inversion.data.sources import tfds_source
from multiscale_inversion.errors import UserError

REAL = pathlib.Path(__file__).resolve().parents[3] / 'shared' / 'tfds'

MNIST_TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.fixture(autouse=True)
def _nothing_outside(monkeypatch, tmp_path_factory):
  """Whatever would download fails instead; the temporary folders that TFDS leaves go with ours."""
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path_factory.mktemp('tfds')))

  def refuse(*unused, **also_unused):
    raise AssertionError('a test of the data sets reached for the network')

  monkeypatch.setattr(socket.socket, 'connect', refuse)
  monkeypatch.setattr(socket, 'getaddrinfo', refuse)


def _real(name):
  if not (REAL / name).is_dir():
    pytest.skip(f'{name} is not in ../shared/tfds, seen from the repository')
  return str(REAL)


# scikit-learn's digits


@pytest.fixture(scope='module')
def digits():
  return data.load('digits')


def test_digits_have_their_sizes_and_types(digits):
  assert digits.name == 'digits'
  assert digits.train_images.shape == (1297, 8, 8, 1)
  assert digits.test_images.shape == (500, 8, 8, 1)
  assert digits.train_labels.shape == (1297,)
  assert digits.test_labels.shape == (500,)
  assert {digits.train_images.dtype, digits.test_images.dtype} == {np.dtype(np.uint8)}
  assert {digits.train_labels.dtype, digits.test_labels.dtype} == {np.dtype(np.int32)}
  assert digits.class_names == tuple('0123456789')


def test_digits_are_scikit_learns_each_exactly_once(digits):
  from sklearn.datasets import load_digits

  original = load_digits()
  pairs = lambda images, labels: sorted(
      (*image.reshape(-1).astype(int).tolist(), int(label)) for image, label in zip(images, labels)
  )
  found = pairs(
      np.concatenate([digits.train_images, digits.test_images]),
      np.concatenate([digits.train_labels, digits.test_labels]),
  )
  assert len(found) == 1797
  assert found == pairs(original.images, original.target)


def test_digits_are_always_split_alike(digits):
  # The hashes of scikit-learn's arrays under RandomState(0).permutation(1797), one byte a value.
  labels = np.concatenate([digits.train_labels, digits.test_labels]).astype(np.uint8)
  assert labels[:12].tolist() == [2, 8, 2, 6, 6, 7, 1, 9, 8, 5, 2, 8]
  assert hashlib.sha256(labels.tobytes()).hexdigest() == (
      '0f9ffd7948cafb397f7a000b667568d2e6ff757cc70e9e96e7ac289f51898d6f'
  )
  images = np.concatenate([digits.train_images, digits.test_images])
  assert hashlib.sha256(images.tobytes()).hexdigest() == (
      '22ccb51d1417f8119764af32a91d6d7351b6b6f703ee31920487dcfdf6a4e72a'
  )


def test_digits_need_no_folder(digits, tmp_path):
  elsewhere = data.load('digits', str(tmp_path / 'absent'))
  np.testing.assert_array_equal(elsewhere.train_labels, digits.train_labels)


# Sets that TFDS prepared


def test_mnist():
  mnist = data.load('mnist', _real('mnist'))
  assert mnist.name == 'mnist'
  assert mnist.train_images.shape == (60000, 28, 28, 1)
  assert mnist.test_images.shape == (10000, 28, 28, 1)
  assert {mnist.train_images.dtype, mnist.test_images.dtype} == {np.dtype(np.uint8)}
  assert {mnist.train_labels.dtype, mnist.test_labels.dtype} == {np.dtype(np.int32)}
  assert np.bincount(mnist.train_labels).tolist() == MNIST_TRAIN
  assert np.bincount(mnist.test_labels).tolist() == MNIST_TEST
  assert mnist.class_names == tuple('0123456789')
  # MNIST's published mean, 0.1307 of 255.
  assert mnist.train_images.mean() == pytest.approx(0.1307 * 255, abs=0.02)
  # Images and labels belong together: the nearest mean of a class is right for 82 % of MNIST.
  train, test = (
      images.reshape(len(images), -1).astype(np.float32)
      for images in (mnist.train_images, mnist.test_images)
  )
  means = np.stack([train[mnist.train_labels == digit].mean(0) for digit in range(10)])
  nearest = np.argmin((means**2).sum(1) - 2 * test @ means.T, 1)
  assert np.mean(nearest == mnist.test_labels) == pytest.approx(0.82, abs=0.005)


@pytest.mark.parametrize(
    ('name', 'shape', 'sizes', 'mean', 'classes'),
    [
        (
            'fashion_mnist',
            (28, 28, 1),
            (60000, 10000),
            [73.15],
            'T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot',
        ),
        (
            'cifar10',
            (32, 32, 3),
            (50000, 10000),
            [126.02, 123.71, 114.85],
            'airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck',
        ),
    ],
)
def test_other_prepared_sets(monkeypatch, name, shape, sizes, mean, classes):
  folder = _real(name)
  read_split, counts = tfds_source._read_split, []

  def read_test_split_only(builder, split):
    counts.append(builder.info.splits[split].num_examples)
    if split == 'test':
      return read_split(builder, split)
    return np.zeros((1, *shape), np.uint8), np.zeros(1, np.int32)

  monkeypatch.setattr(tfds_source, '_read_split', read_test_split_only)
  found = data.load(name, folder)
  assert tuple(counts) == sizes
  assert found.test_images.shape == (sizes[1], *shape)
  assert found.test_images.dtype == np.uint8
  assert found.test_labels.dtype == np.int32
  assert np.bincount(found.test_labels).tolist() == [1000] * 10
  # The published means; CIFAR-10's copy at hand was recompressed.
  np.testing.assert_allclose(found.test_images.mean((0, 1, 2)), mean, atol=0.2)
  assert found.class_names == tuple(classes.split(','))


# SVHN in its authors' format


def _write_svhn(folder, file, count=6, seed=0, compress=True, **changes):
  """Writes a file as SVHN's authors did; returns images [N, 32, 32, 3] and labels from 1 to 10."""
  random = np.random.RandomState(seed)
  images = random.randint(0, 256, (count, 32, 32, 3)).astype(np.uint8)
  labels = np.resize([10, 1, 9, 10, 5, 2, 3], count)
  x = np.empty((32, 32, 3, count), np.uint8)
  for n in range(count):
    x[:, :, :, n] = images[n]
  content = {'X': x, 'y': labels.astype(np.uint8)[:, None], **changes}
  content = {key: value for key, value in content.items() if value is not None}
  (folder / 'svhn_cropped').mkdir(exist_ok=True)
  path = folder / 'svhn_cropped' / file
  scipy.io.savemat(path, content, do_compression=compress)
  return images, labels, path


@pytest.mark.parametrize('compress', [False, True])
def test_svhn(tmp_path, compress):
  train = _write_svhn(tmp_path, 'train_32x32.mat', count=7, compress=compress)
  test = _write_svhn(tmp_path, 'test_32x32.mat', count=4, seed=1, compress=compress)
  found = data.load('svhn_cropped', str(tmp_path))
  assert found.name == 'svhn_cropped'
  np.testing.assert_array_equal(found.train_images, train[0])
  np.testing.assert_array_equal(found.test_images, test[0])
  assert found.train_labels.tolist() == [0, 1, 9, 0, 5, 2, 3]
  assert found.test_labels.tolist() == [0, 1, 9, 0]
  assert {found.train_images.dtype, found.test_images.dtype} == {np.dtype(np.uint8)}
  assert {found.train_labels.dtype, found.test_labels.dtype} == {np.dtype(np.int32)}
  assert found.class_names == tuple('0123456789')


@pytest.mark.parametrize(
    ('present', 'missing'),
    [('train_32x32.mat', 'test_32x32.mat'), ('test_32x32.mat', 'train_32x32.mat')],
)
def test_svhn_without_its_second_file(tmp_path, present, missing):
  _write_svhn(tmp_path, present)
  with pytest.raises(UserError) as info:
    data.load('svhn_cropped', str(tmp_path))
  path = tmp_path / 'svhn_cropped' / missing
  assert str(info.value) == f'data set svhn_cropped: {path} is missing beside the other'


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'X': np.zeros((28, 28, 3, 6), np.uint8)}, 'shape (28, 28, 3, 6) and 6 labels'),
        ({'X': np.zeros((6, 32, 32, 3), np.uint8)}, 'shape (6, 32, 32, 3) and 6 labels'),
        ({'X': np.zeros((32, 32, 3, 5), np.uint8)}, 'shape (32, 32, 3, 5) and 6 labels'),
        ({'X': np.zeros((32, 32), np.uint8)}, 'shape (32, 32) and 6 labels'),
    ],
)
def test_svhn_of_a_wrong_shape(tmp_path, changes, text):
  _write_svhn(tmp_path, 'train_32x32.mat')
  *_, path = _write_svhn(tmp_path, 'test_32x32.mat', **changes)
  with pytest.raises(UserError) as info:
    data.load('svhn_cropped', str(tmp_path))
  message = str(info.value)
  assert message.startswith(f'data set svhn_cropped: {path} holds X of ')
  assert text in message
  assert message.endswith('allowed: X [32, 32, 3, N] and N labels')


@pytest.mark.parametrize('missing', ['X', 'y'])
def test_svhn_without_a_variable(tmp_path, missing):
  *_, path = _write_svhn(tmp_path, 'train_32x32.mat', **{missing: None})
  _write_svhn(tmp_path, 'test_32x32.mat')
  with pytest.raises(UserError) as info:
    data.load('svhn_cropped', str(tmp_path))
  assert f'{path} is not in the format of SVHN' in str(info.value)
  assert f"'{missing}'" in str(info.value)


def test_svhn_of_files_that_are_none(tmp_path):
  *_, path = _write_svhn(tmp_path, 'train_32x32.mat')
  _write_svhn(tmp_path, 'test_32x32.mat')
  for make, kind in ((os.mkfifo, 'a named pipe'), (os.mkdir, 'a folder')):
    path.unlink()
    make(path)
    with pytest.raises(UserError) as info:
      data.load('svhn_cropped', str(tmp_path))
    assert str(info.value) == f'data set svhn_cropped: {path}: {kind}; allowed: a regular file'


def test_the_folder_of_the_set_itself_is_answered_with_that_around_it(tmp_path):
  for file in ('train_32x32.mat', 'test_32x32.mat'):
    *_, path = _write_svhn(tmp_path, file)
  for given in (path.parent, path):
    with pytest.raises(UserError) as info:
      data.load('svhn_cropped', str(given))
    assert str(info.value) == (
        f'data set svhn_cropped: not found in {given}; allowed: the folder that holds '
        f'svhn_cropped, data_dir={tmp_path}'
    )


@pytest.mark.parametrize('compress', [False, True])
@pytest.mark.parametrize(
    'damage',
    [
        pytest.param(lambda content: b'<html>404 Not Found</html>' * 20, id='page'),
        pytest.param(lambda content: content[: len(content) // 2], id='cut'),
        pytest.param(lambda content: content[:100], id='cut-in-header'),
        pytest.param(lambda content: b'', id='empty'),
        pytest.param(lambda content: bytes(500), id='zeros'),
    ],
)
def test_svhn_corrupt(tmp_path, damage, compress):
  *_, path = _write_svhn(tmp_path, 'train_32x32.mat', compress=compress)
  _write_svhn(tmp_path, 'test_32x32.mat')
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(UserError) as info:
    data.load('svhn_cropped', str(tmp_path))
  assert f'{path} is not in the format of SVHN' in str(info.value)
  assert '\n' not in str(info.value)


def test_svhn_compressed_and_its_second_half_zeros(tmp_path):
  *_, path = _write_svhn(tmp_path, 'train_32x32.mat')
  _write_svhn(tmp_path, 'test_32x32.mat')
  content, half = path.read_bytes(), path.stat().st_size // 2
  path.write_bytes(content[:half] + bytes(len(content) - half))
  with pytest.raises(UserError) as info:
    data.load('svhn_cropped', str(tmp_path))
  assert f'{path} is not in the format of SVHN' in str(info.value)


# What is absent, and where it was looked for


@pytest.mark.parametrize('name', ['mnist', 'fashion_mnist', 'cifar10', 'svhn_cropped'])
@pytest.mark.parametrize('folder_exists', [False, True])
def test_an_absent_set_is_one_line_with_the_set_the_folder_and_the_way(
    tmp_path, name, folder_exists
):
  if folder_exists:  # a folder in which nothing was prepared
    (tmp_path / name).mkdir()
  with pytest.raises(UserError) as info:
    data.load(name, str(tmp_path))
  message = str(info.value)
  assert '\n' not in message
  assert message.startswith(f'data set {name}: not found in {tmp_path} ')
  assert f'python -m experiments.prepare {name}' in message
  svhn = [
      'train_32x32.mat',
      'test_32x32.mat',
      'http://ufldl.stanford.edu/housenumbers',
      str(tmp_path / 'svhn_cropped'),
  ]
  assert [part in message for part in svhn] == [name == 'svhn_cropped'] * 4


def test_the_folder_is_the_arguments_else_the_environments_else_the_default(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path / 'home'))
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'environment'))
  assert dataset.data_folder(str(tmp_path / 'given')) == str(tmp_path / 'given')
  assert dataset.data_folder(None) == str(tmp_path / 'environment')
  monkeypatch.setenv('TFDS_DATA_DIR', '~/prepared')
  assert dataset.data_folder(None) == str(tmp_path / 'home' / 'prepared')
  for empty in ('', None):
    if empty is None:
      monkeypatch.delenv('TFDS_DATA_DIR')
    else:
      monkeypatch.setenv('TFDS_DATA_DIR', empty)
    assert dataset.data_folder(None) == str(tmp_path / 'home' / 'tensorflow_datasets')
  monkeypatch.chdir(tmp_path)
  assert dataset.data_folder('near') == str(tmp_path / 'near')


def test_load_looks_where_data_folder_says(tmp_path, monkeypatch):
  given, environment = tmp_path / 'given', tmp_path / 'environment'
  for folder, seed in ((given, 2), (environment, 3)):
    folder.mkdir()
    for file in ('train_32x32.mat', 'test_32x32.mat'):
      _write_svhn(folder, file, seed=seed)
  monkeypatch.setenv('TFDS_DATA_DIR', str(environment))
  images = lambda seed: np.random.RandomState(seed).randint(0, 256, (6, 32, 32, 3))
  np.testing.assert_array_equal(data.load('svhn_cropped').train_images, images(3))
  np.testing.assert_array_equal(data.load('svhn_cropped', str(given)).train_images, images(2))


# The registry


def test_an_unknown_name_lists_the_known_ones():
  with pytest.raises(UserError) as info:
    data.load('imagenet')
  message = str(info.value)  # other tests may have registered more sets
  assert message.startswith(
      "name: unknown 'imagenet'; allowed: digits, mnist, fashion_mnist, cifar10, svhn_cropped, "
      'folder, arrays, '
  )
  assert message.endswith(
      ', or what a file of yours registers (--config=FILE; in Python, import it)'
  )


def mine(**changes):
  images = np.zeros((4, 2, 3, 1), np.uint8)
  labels = np.array([0, 1, 1, 0])  # int64
  plain = data.Dataset('mine', images, labels, images[:2], labels[:2], ('a', 'b'))
  return plain._replace(**changes)


@pytest.mark.parametrize(('changes', 'message'), [
  ({'train_images': np.zeros((4, 2, 3, 1), int)}, 'train_images of int64 and shape'),
  ({'train_images': np.zeros(4, np.uint8)}, 'train_images of uint8 and shape (4,);'),
  ({'train_images': np.array([[1.0], [2], [np.nan], [3]])}, 'train_images: number 2 holds NaN'),
  ({'test_images': np.full((2, 2, 3, 1), 1e39)}, 'test_images: number 0 holds NaN, infinity or a'),
  ({'train_images': np.zeros((0, 2, 3, 1), np.uint8)}, 'train_images of shape (0, '),
  ({'test_images': np.zeros((2, 2, 0, 1), np.uint8)}, 'test_images of shape (2, 2, 0, 1); '),
  ({'test_images': np.zeros((2, 3, 3, 1), np.uint8)}, '(2, 3, 1) for training and (3, 3, 1) for'),
  ({'train_labels': np.zeros(4)}, 'train_labels of float64 and shape (4,); allowed: int32, [4]'),
  ({'train_labels': np.zeros(3, int)}, 'train_labels of int64 and shape (3,); allowed: int32, [4]'),
  ({'train_labels': np.array([0, 1, 2, 0])}, 'train_labels from 0 to 2; allowed: -1 to 1, for 2'),
  ({'test_labels': np.array([0, -1])}, 'test_labels from -1 to 0; allowed: 0 to 1, for 2'),
  ({'class_names': ('a',)}, '1 class names; allowed: at least 2'),
])
def test_a_set_of_ones_own_that_is_not_as_it_must_be(registrations, changes, message):
  data.register('mine', lambda folder: mine(**changes))
  with pytest.raises(UserError, match=re.escape(message)) as info:
    data.load('mine')
  assert str(info.value).startswith('data set mine: ')


def test_sequences_features_and_no_test_images(registrations):
  for shape in ((4, 3), (4, 5, 3), (4, 2, 3, 1)):
    x = np.random.RandomState(0).randn(*shape)
    data.register('mine', lambda folder, x=x: mine(
        train_images=x, test_images=x[:0], test_labels=np.zeros(0, int)
    ))
    found = data.load('mine')
    assert found.train_images.dtype == found.test_images.dtype == np.float32
    np.testing.assert_array_equal(found.train_images, x.astype(np.float32))
    assert found.test_images.shape == (0, *shape[1:])


def test_labels_of_a_set_of_ones_own_become_int32(registrations):
  data.register('mine', lambda folder: mine(train_labels=np.array([0, -1, 1, -1])))
  found = data.load('mine')
  assert found.train_labels.dtype == found.test_labels.dtype == np.int32
  data.register('mine', lambda folder: mine(test_images=[*mine().test_images]))
  assert data.load('mine').test_images.shape == (2, 2, 3, 1)
  data.register('mine', lambda folder: tuple(mine()))
  with pytest.raises(UserError, match=r'data set mine: a tuple; allowed: a data\.Dataset'):
    data.load('mine')


def test_a_registered_set_is_loaded_by_name_once(registrations):
  folders = []
  data.register('mine', lambda folder: folders.append(folder) or mine())
  assert data.names()[-1] == 'mine'
  assert data.load('mine', 'somewhere').class_names == ('a', 'b')
  assert folders == ['somewhere']
  data.register('mine', lambda folder: mine(class_names=('c', 'd')))
  assert data.load('mine').class_names == ('c', 'd')
  with pytest.raises(ValueError, match="'mnist' is the library's own"):
    data.register('mnist', lambda folder: None)

"""Corruptions against NumPy by hand: what they change, how much, and that they always do alike."""

import jax
import numpy as np
import pytest

from multiscale_inversion import data
from multiscale_inversion.data import normalize
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import build as setup
from multiscale_inversion.runs.config import validate
from tests import tiny

LEVELS = {'gaussian': 0.5, 'occlusion': 0.25, 'pattern': 0.5}


def images(count=40, shape=(8, 8, 1), largest=16, seed=0):
  x = np.random.RandomState(seed).randint(0, largest + 1, (count, *shape)).astype(np.uint8)
  x[0, 0, 0, 0] = largest
  return x


def test_none_are_the_images_themselves():
  x = images()
  assert data.corrupt(x, 'none', 0.0, 3) is x


@pytest.mark.parametrize('largest', [16, 255])
@pytest.mark.parametrize(('name', 'level'), LEVELS.items())
def test_a_function_of_the_seed(name, level, largest):
  x = images(largest=largest)
  before = x.copy()
  found = data.corrupt(x, name, level, 3)
  np.testing.assert_array_equal(x, before)
  assert found.dtype == np.uint8 and found.shape == x.shape
  np.testing.assert_array_equal(data.corrupt(x, name, level, 3), found)
  assert np.any(data.corrupt(x, name, level, 4) != found)


@pytest.mark.parametrize('name', LEVELS)
@pytest.mark.parametrize(('largest', 'factor'), [(16, 15), (255, 1), (200, 1), (100, 2)])
def test_level_zero_scales_by_a_whole_number_alone(name, largest, factor):
  x = images(largest=largest)
  found = data.corrupt(x, name, 0.0, 0)
  np.testing.assert_array_equal(found, x.astype(int) * factor)
  np.testing.assert_allclose(normalize(found), normalize(x), atol=1e-6)


def test_images_that_are_black():
  x = np.zeros((3, 8, 8, 1), np.uint8)
  for name, level in LEVELS.items():
    np.testing.assert_array_equal(data.corrupt(x, name, level, 0), x)


@pytest.mark.parametrize(('largest', 'scaled'), [(16, 240), (255, 255)])
def test_gaussian(largest, scaled):
  """Noise of the standard deviation asked for, where nothing is clipped."""
  x = np.full((400, 16, 16, 1), largest // 2, np.uint8)
  x[0] = largest
  found = data.corrupt(x, 'gaussian', 0.1, 0).astype(float)
  middle = largest // 2 * (scaled // largest)
  noise = found[1:] - middle
  assert noise.mean() == pytest.approx(0, abs=0.4)
  assert noise.std() == pytest.approx(0.1 * scaled, rel=0.01)
  left, right = noise[:, :, :-1].ravel(), noise[:, :, 1:].ravel()
  assert np.corrcoef(left, right)[0, 1] == pytest.approx(0, abs=0.02)
  assert np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1] == pytest.approx(0, abs=0.3)


def test_gaussian_is_clipped_to_the_range():
  x = images(400)
  found = data.corrupt(x, 'gaussian', 2.0, 0)
  assert (found.min(), found.max()) == (0, 240)
  # P(noise of deviation 2 M carries a black pixel above M) = P(z > 1/2) = 0.3085.
  black = found[x == 0]
  assert np.mean(black == 240) == pytest.approx(0.3085, abs=0.03)
  assert np.mean(black == 0) == pytest.approx(0.5, abs=0.03)


def test_gaussian_does_not_depend_on_how_it_is_cut(monkeypatch):
  x = images(11, (5, 5, 3))
  whole = data.corrupt(x, 'gaussian', 0.3, 1)
  monkeypatch.setattr('multiscale_inversion.data.corruption._CHUNK', 3)
  np.testing.assert_array_equal(data.corrupt(x, 'gaussian', 0.3, 1), whole)


@pytest.mark.parametrize(
    ('shape', 'level', 'box'),
    [
        ((8, 8, 1), 0.25, (4, 4)),
        ((12, 20, 3), 0.25, (6, 10)),
        ((10, 10, 3), 0.09, (3, 3)),
        ((8, 8, 1), 1, (8, 8)),
    ],
)
def test_occlusion(shape, level, box):
  x = images(500, shape, 255)
  x[x == 127] = 128
  found = data.corrupt(x, 'occlusion', level, 0)
  corners = set()
  for image, original in zip(found, x):
    hidden = np.all(image == 127, axis=-1)
    rows, columns = np.flatnonzero(hidden.any(1)), np.flatnonzero(hidden.any(0))
    assert (len(rows), len(columns)) == box
    assert hidden.sum() == box[0] * box[1]
    np.testing.assert_array_equal(image[~hidden], original[~hidden])
    corners.add((rows[0], columns[0]))
  places = (shape[0] - box[0] + 1) * (shape[1] - box[1] + 1)
  assert len(corners) > 0.9 * places


def test_pattern():
  """The same for all images, blended with each; as uniform noise has it."""
  x = images(300, (32, 32, 1), 255)
  found = data.corrupt(x, 'pattern', 0.4, 0).astype(float)
  pattern = (found - 0.6 * x) / 0.4
  spread = pattern.max(0) - pattern.min(0)
  assert spread.max() <= 1 / 0.4 + 1e-6  # rounding alone
  one = pattern.mean(0)
  assert one.mean() == pytest.approx(127.5, abs=8)
  assert one.std() == pytest.approx(255 / np.sqrt(12), rel=0.05)


@pytest.mark.parametrize(
    ('name', 'level', 'message'),
    [
        ('salt', 0.1, "(name|data.corruption): unknown 'salt'; allowed: none, gaussian"),
        ('gaussian', -0.1, 'level: -0.1 is out of range'),
        ('occlusion', 1.5, r'level: 1.5 is out of range; allowed: \[0, 1\]'),
        ('pattern', 2.5, r'level: 2.5 is out of range; allowed: \[0, 1\]'),
        ('none', 0.5, 'level: 0.5 without a corruption'),
    ],
)
def test_wrong_corruptions(name, level, message):
  with pytest.raises(UserError, match=message):
    data.corrupt(images(), name, level, 0)
  config = tiny.config()
  config.data.corruption, config.data.corruption_level = name, level
  with pytest.raises(UserError, match=message):
    validate(config)


def test_several_seeds_share_the_images():
  changes = {'data.corruption': 'gaussian', 'data.corruption_level': 0.5, 'num_seeds': 2}
  with pytest.raises(UserError, match=r'data.corruption: gaussian is drawn for one seed'):
    validate(tiny.config(**changes))


def test_training_images_alone_are_corrupted():
  """Labels, the choice of labeled images and the test set are those without corruption."""
  changes = {'data.corruption': 'gaussian', 'data.corruption_level': 0.5, 'seed': 7}
  clean, found = setup.build(tiny.config(seed=7)), setup.build(tiny.config(**changes))
  expected = data.corrupt(data.load('digits').train_images, 'gaussian', 0.5, 7)
  np.testing.assert_array_equal(found.train_data.images, expected)
  assert np.mean(expected != 15 * data.load('digits').train_images) > 0.5
  for part in ('labels', 'labeled', 'unlabeled'):
    np.testing.assert_array_equal(getattr(found.train_data, part), getattr(clean.train_data, part))
  jax.tree.map(np.testing.assert_array_equal, found.test_data, clean.test_data)

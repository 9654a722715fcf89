import jax.numpy as jnp
import numpy as np
import pytest

from multiscale_inversion.data import normalize

SHAPES = [(1, 1, 1), (5, 7, 3), (28, 28, 1), (32, 32, 3)]


def _reference(images):
  """Image by image, in float64."""
  results = []
  for image in images:
    x = image.astype(np.float64)
    x = x - x.sum() / x.size
    largest = np.abs(x).max()
    results.append(x / largest if largest > 0 else np.zeros_like(x))
  return np.stack(results)


@pytest.mark.parametrize('shape', SHAPES[1:])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_against_float64(shape, dtype):
  random = np.random.RandomState(0)
  images = random.randint(0, 256, (6, *shape)).astype(dtype)
  images[1] = np.minimum(images[1], 3)  # dark
  images[2] = np.maximum(images[2], 253)  # bright
  if dtype == np.float32:
    images = images / 255 - np.float32(0.3)
  found = normalize(jnp.asarray(images))
  assert found.shape == images.shape
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, _reference(images), rtol=1e-5, atol=2e-6)


def test_range_mean_and_maximum():
  images = np.random.RandomState(1).randint(0, 256, (9, 32, 32, 3)).astype(np.uint8)
  found = np.asarray(normalize(images))
  assert found.min() >= -1
  assert found.max() <= 1
  np.testing.assert_array_equal(np.abs(found).max((1, 2, 3)), np.ones(9))
  np.testing.assert_allclose(found.astype(np.float64).mean((1, 2, 3)), 0, atol=1e-6)


@pytest.mark.parametrize('shape', SHAPES)
def test_constant_images_become_zeros(shape):
  bytes_ = np.arange(0, 256, 5, dtype=np.uint8)
  images = np.broadcast_to(bytes_[:, None, None, None], (len(bytes_), *shape))
  np.testing.assert_array_equal(normalize(jnp.asarray(images)), np.zeros(images.shape))
  reals = np.array([0.1, 1 / 3, -0.7, 1e-7, 1e30, -3e38], np.float32)
  images = np.broadcast_to(reals[:, None, None, None], (len(reals), *shape))
  np.testing.assert_array_equal(normalize(jnp.asarray(images)), np.zeros(images.shape))


def test_a_constant_image_leaves_its_neighbours_alone():
  images = np.random.RandomState(2).randint(0, 256, (3, 8, 8, 3)).astype(np.uint8)
  images[1] = 77
  found = normalize(images)
  np.testing.assert_array_equal(found[1], np.zeros((8, 8, 3)))
  np.testing.assert_allclose(found, _reference(images), rtol=1e-5, atol=2e-6)


def test_bytes_do_not_overflow():
  image = np.array([0, 255, 255, 255], np.uint8).reshape(1, 2, 2, 1)  # mean 191.25
  found = np.asarray(normalize(image)).reshape(-1)
  np.testing.assert_allclose(found, [-1, 1 / 3, 1 / 3, 1 / 3], rtol=1e-6)
  image = np.array([255, 0, 0, 0], np.uint8).reshape(1, 2, 2, 1)
  found = np.asarray(normalize(image)).reshape(-1)
  np.testing.assert_allclose(found, [1, -1 / 3, -1 / 3, -1 / 3], rtol=1e-6)


def test_one_pixel_that_differs_by_one_grey_level():
  image = np.full((1, 32, 32, 3), 200, np.uint8)
  image[0, 4, 5, 1] = 201
  found = np.asarray(normalize(image))
  expected = np.full(image.shape, -1 / (32 * 32 * 3 - 1))
  expected[0, 4, 5, 1] = 1
  np.testing.assert_allclose(found, expected, rtol=1e-5)

"""Augmentations: draws of each image's own, and results against NumPy and SciPy."""


import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image, ImageEnhance

from multiscale_inversion.data import augmentation, normalize
from multiscale_inversion.data.augmentation import strong
from multiscale_inversion.errors import UserError

pytestmark = pytest.mark.usefixtures('little_optimization')

SHAPES = [(8, 8, 1), (32, 32, 3), (9, 12, 2)]
RANDOM = (
  'noise', 'shift', 'flip', 'flip_shift', 'cutout', 'strong', 'shift_strong', 'flip_shift_strong'
)


def images(count, shape, seed=0):
  random = np.random.RandomState(seed)
  return np.asarray(normalize(random.randint(0, 256, (count, *shape)).astype(np.uint8)))


def augmented(name, x, seed=0, **options):
  result = jax.jit(augmentation.create(name, **options))(jax.random.key(seed), jnp.asarray(x))
  assert result.shape == x.shape and result.dtype == jnp.float32
  return np.asarray(result)


def test_names():
  assert {'none', 'noise', 'shift', 'flip_shift', 'strong'} <= set(augmentation.names())


@pytest.mark.parametrize('shape', SHAPES)
def test_none(shape):
  x = images(5, shape)
  np.testing.assert_array_equal(augmented('none', x), x)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('name', RANDOM)
def test_a_function_of_the_key_with_draws_of_each_images_own(name, shape):
  one = images(1, shape)
  x = np.repeat(one, 40, axis=0)
  found = augmented(name, x)
  np.testing.assert_array_equal(augmented(name, x), found)
  assert np.any(augmented(name, x, seed=1) != found)
  different = len(np.unique(found.reshape(40, -1), axis=0))
  assert different == 2 if name == 'flip' else different > 5
  if name != 'noise':
    assert np.abs(found).max() <= 1


# Noise.


@pytest.mark.parametrize(('options', 'std'), [({}, 0.15), ({'std': 0.4}, 0.4), ({'std': 0}, 0)])
def test_noise(options, std):
  x = images(50, (32, 32, 3))
  added = augmented('noise', x, **options) - x
  assert added.mean() == pytest.approx(0, abs=5 * std / np.sqrt(added.size))
  assert added.std() == pytest.approx(std, rel=0.01)
  kurtosis = np.mean(added**4) / max(std, 1e-9) ** 4
  assert kurtosis == pytest.approx(3 if std else 0, rel=0.05)


# Shift and flip.


def shifts(image, most):
  """Every shift of an image, in NumPy: rows and columns beyond the border are the border's."""
  height, width, _ = image.shape
  return {
      (down, right): image[
          np.clip(np.arange(height) - down, 0, height - 1)[:, None],
          np.clip(np.arange(width) - right, 0, width - 1),
      ]
      for down in range(-most, most + 1)
      for right in range(-most, most + 1)
  }


@pytest.mark.parametrize(
    ('shape', 'options', 'most'),
    [
        ((8, 8, 1), {}, 1),
        ((32, 32, 3), {}, 2),
        ((28, 28, 1), {}, 2),
        ((9, 12, 2), {'max_shift': 3}, 3),
        ((8, 8, 1), {'max_shift': 0}, 0),
    ],
)
def test_shift(shape, options, most):
  """Each image is one of its shifts, and all shifts occur alike."""
  x = images(1, shape)
  allowed, count = shifts(x[0], most), 40 * (2 * most + 1) ** 2
  found = augmented('shift', np.repeat(x, count, axis=0), **options)
  matches = np.array([np.all(found == shifted, axis=(1, 2, 3)) for shifted in allowed.values()])
  np.testing.assert_array_equal(matches.sum(0), np.ones(count))
  # 40 are expected of each; the deviation is 6.3.
  np.testing.assert_allclose(matches.sum(1), 40, atol=28 if most else 0)


@pytest.mark.parametrize(('options', 'probability'), [({}, 0.5), ({'probability': 0.1}, 0.1)])
def test_flip(options, probability):
  x = images(1000, (8, 8, 3))
  found = augmented('flip', x, **options)
  flipped = np.all(found == x[:, :, ::-1], axis=(1, 2, 3))
  kept = np.all(found == x, axis=(1, 2, 3))
  assert np.all(flipped ^ kept)
  deviation = np.sqrt(probability * (1 - probability) / 1000)
  assert flipped.mean() == pytest.approx(probability, abs=4 * deviation)


def test_flip_shift():
  x = images(1, (8, 8, 1))
  allowed = [*shifts(x[0], 2).values(), *shifts(x[0, :, ::-1], 2).values()]
  found = augmented('flip_shift', np.repeat(x, 2000, axis=0), max_shift=2)
  matches = np.array([np.all(found == each, axis=(1, 2, 3)) for each in allowed])
  np.testing.assert_array_equal(matches.sum(0), np.ones(2000))
  np.testing.assert_allclose(matches.sum(1), 40, atol=28)


# Cutout.


@pytest.mark.parametrize(('shape', 'most'), [((32, 32, 3), 0.5), ((9, 12, 1), 0.5), ((8, 8, 1), 1)])
def test_cutout(shape, most):
  """What is zero is a rectangle: a square of at most the edge, but where the border cuts it."""
  x = np.ones((2000, *shape), np.float32)
  found = augmented('cutout', x, max_cutout=most)
  height, width, _ = shape
  largest = int(most * min(height, width))
  areas, inside = [], []
  for image in found:
    assert set(np.unique(image)) <= {0, 1}
    cut = image == 0
    assert np.all(cut == cut[:, :, :1])
    rows, columns = np.flatnonzero(cut.any((1, 2))), np.flatnonzero(cut.any((0, 2)))
    areas.append(len(rows) * len(columns))
    assert cut[:, :, 0].sum() == areas[-1]
    if areas[-1]:
      touches = {0, height - 1} & set(rows) or {0, width - 1} & set(columns)
      assert touches or len(rows) == len(columns)
      assert max(len(rows), len(columns)) <= largest
      inside.append(0 if touches else len(rows))
  # Whole squares of every size that can be clear of the border occur; and none is cut in 1 of
  # `largest + 1` images.
  assert set(inside) >= set(range(1, min(largest, min(height, width) - 2) + 1))
  nothing = 1 / (largest + 1)
  assert np.mean(np.equal(areas, 0)) == pytest.approx(nothing, abs=4 * np.sqrt(nothing / 2000))


def test_no_cutout():
  x = images(20, (8, 8, 1))
  np.testing.assert_array_equal(augmented('cutout', x, max_cutout=0), x)


# The strong augmentation's operations, with parameters given.


def draws(count=1, **values):
  return strong.Draws(*(
      jnp.full([count], values.get(name, neutral), jnp.float32)
      for name, neutral in strong.NEUTRAL._asdict().items()
  ))


def applied(x, **values):
  return np.asarray(jax.jit(strong.apply)(draws(len(x), **values), jnp.asarray(x)))


@pytest.mark.parametrize('shape', SHAPES)
def test_neutral_parameters_are_the_identity(shape):
  x = images(3, shape)
  np.testing.assert_allclose(applied(x), x, atol=2e-6)


def pulled(image, matrix, offset=(0, 0)):
  """SciPy's affine map of each channel about the center: the output at o is the input's at M o."""
  center = (np.array(image.shape[:2]) - 1) / 2
  shift = center - matrix @ (center + offset)
  return np.stack(
      [
          scipy.ndimage.affine_transform(channel, matrix, shift, order=1, mode='nearest')
          for channel in np.moveaxis(image.astype(np.float64), -1, 0)
      ],
      axis=-1,
  )


def push(**values):
  """The matrix that takes a pixel (y, x), y downwards, to where it comes to stand."""
  shear_x = np.array([[1, 0], [values.get('shear_x', 0), 1]])
  shear_y = np.array([[1, values.get('shear_y', 0)], [0, 1]])
  angle = values.get('rotation', 0)
  # Counter-clockwise as it is seen: what was to the right, (0, 1), comes to stand above.
  rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
  return values.get('zoom', 1) * rotation @ shear_y @ shear_x


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize(
    'values',
    [
        {'rotation': 0.4},
        {'rotation': -0.3},
        {'shear_x': 0.25},
        {'shear_y': -0.2},
        {'zoom': 1.3},
        {'zoom': 0.8},
        {'rotation': 0.5, 'zoom': 0.9, 'shear_x': 0.2, 'shear_y': 0.1},
    ],
)
def test_moves_against_scipy(shape, values):
  x = images(2, shape)
  expected = [pulled(image, np.linalg.inv(push(**values))) for image in x]
  np.testing.assert_allclose(applied(x, **values), expected, atol=2e-4)


def test_a_quarter_turn_is_counter_clockwise():
  x = images(2, (9, 9, 3))
  found = applied(x, rotation=np.pi / 2)
  np.testing.assert_allclose(found, np.rot90(x, axes=(1, 2)), atol=1e-4)


@pytest.mark.parametrize(('down', 'right'), [(2, 0), (0, -3), (-1, 2)])
def test_translation_by_whole_pixels(down, right):
  x = images(1, (8, 10, 1))
  found = applied(x, translation_y=down / 8, translation_x=right / 10)
  np.testing.assert_allclose(found[0], shifts(x[0], 3)[down, right], atol=1e-5)


def test_translation_comes_last():
  x = images(1, (8, 10, 2))
  values = {'rotation': 0.3, 'zoom': 1.2}
  found = applied(x, **values, translation_y=0.25, translation_x=-0.1)
  expected = pulled(x[0], np.linalg.inv(push(**values)), (0.25 * 8, -0.1 * 10))
  np.testing.assert_allclose(found[0], expected, atol=2e-4)


@pytest.mark.parametrize('factor', [0.05, 0.6, 1.5])
def test_sharpness_against_pillow(factor):
  bytes_ = np.random.RandomState(3).randint(60, 190, (16, 16, 3)).astype(np.uint8)
  expected = np.asarray(ImageEnhance.Sharpness(Image.fromarray(bytes_)).enhance(factor))
  found = applied(bytes_[None] / np.float32(127.5) - 1, sharpness=factor)[0]
  inner = (slice(1, -1), slice(1, -1))
  # Pillow rounds the smoothed image and the result.
  np.testing.assert_allclose((found[inner] + 1) * 127.5, expected[inner], atol=2)


@pytest.mark.parametrize('factor', [0.05, 0.6, 1.5])
def test_color_against_pillow(factor):
  bytes_ = np.random.RandomState(4).randint(60, 190, (16, 16, 3)).astype(np.uint8)
  expected = np.asarray(ImageEnhance.Color(Image.fromarray(bytes_)).enhance(factor))
  found = applied(bytes_[None] / np.float32(127.5) - 1, color=factor)[0]
  np.testing.assert_allclose((found + 1) * 127.5, expected, atol=2)


def test_color_leaves_images_without_three_channels():
  x = images(3, (8, 8, 1))
  np.testing.assert_allclose(applied(x, color=0.1), x, atol=2e-6)


def test_solarize():
  x = np.array([-1, -0.5, 0.2, 0.7, 1], np.float32).reshape(1, 1, 5, 1)
  found = applied(x, solarize=0.75).ravel()  # 0.5 of [-1, 1]
  np.testing.assert_allclose(found, [-1, -0.5, 0.2, -0.7, -1], atol=1e-6)


def test_posterize():
  pixels = np.array([0, 0.24, 0.26, 0.5, 0.74, 0.76, 1], np.float32)
  x = (2 * pixels - 1).reshape(1, 1, 7, 1)
  found = (applied(x, posterize=4).ravel() + 1) / 2
  np.testing.assert_allclose(found, [0, 0, 0.25, 0.5, 0.5, 0.75, 0.75], atol=1e-6)


# Its draws.


@pytest.mark.parametrize('colored', [False, True])
@pytest.mark.parametrize('number', [0, 1, 2, 5])
def test_draws(number, colored):
  """So many different operations each, or one less with the identity; all equally often."""
  count = 4000
  drawn = strong.draw(jax.random.key(5), count, number, colored)
  changed = np.array([
      np.asarray(values) != neutral for values, neutral in zip(drawn, strong.NEUTRAL, strict=True)
  ])
  total = 11 if colored else 10
  assert set(changed.sum(0)) <= {number - 1, number}
  expected = np.full(10, number / total)
  expected[-1] *= colored
  deviation = np.sqrt(number / total / count)
  np.testing.assert_allclose(changed.mean(1), expected, atol=4 * deviation)


def test_levels_fill_their_ranges():
  drawn = strong.draw(jax.random.key(6), 20000, 10, colored=True)
  turned = np.rad2deg(np.asarray(drawn.rotation))
  ranges = {
      'rotation': (turned, -30, 30),
      'shear_x': (drawn.shear_x, -0.3, 0.3),
      'translation_y': (drawn.translation_y, -0.3, 0.3),
      'zoom': (drawn.zoom, 1 / 1.3, 1.3),
      'sharpness': (drawn.sharpness, 0.05, 1.95),
      'color': (drawn.color, 0.05, 1.95),
  }
  for values, low, high in ranges.values():
    assert np.min(values) == pytest.approx(low, abs=0.002 * (high - low))
    assert np.max(values) == pytest.approx(high, abs=0.002 * (high - low))
  assert set(np.unique(drawn.posterize)) == {0, 16, 32, 64, 128}


def test_a_flip_before_the_strong_augmentation():
  x = images(500, (8, 8, 1))
  options = {'num_operations': 0, 'max_cutout': 0}
  np.testing.assert_allclose(augmented('strong', x, **options), x, atol=2e-6)
  found = augmented('strong', x, **options, flip=True)
  flipped = np.abs(found - x[:, :, ::-1]).max((1, 2, 3)) < 1e-5
  kept = np.abs(found - x).max((1, 2, 3)) < 1e-5
  assert np.all(flipped ^ kept)
  assert flipped.mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(('name', 'flips'), [('shift_strong', False), ('flip_shift_strong', True)])
def test_what_the_strong_augmentation_changes_is_flipped_and_shifted(name, flips):
  x = images(1, (8, 8, 1))
  allowed = [*shifts(x[0], 1).values(), *(shifts(x[0, :, ::-1], 1).values() if flips else ())]
  repeated = np.repeat(x, 30 * len(allowed), axis=0)
  found = augmented(name, repeated, num_operations=0, max_cutout=0)
  matches = np.array([np.abs(found - each).max((1, 2, 3)) < 1e-5 for each in allowed])
  np.testing.assert_array_equal(matches.sum(0), np.ones(len(repeated)))
  np.testing.assert_allclose(matches.sum(1), 30, atol=25)
  strong_alone = augmented(name, repeated, max_shift=0, **({'probability': 0} if flips else {}))
  assert np.mean(np.abs(strong_alone - repeated).max((1, 2, 3)) > 0.1) > 0.8


# Composition and names.


def test_compose_draws_for_each():
  twice = augmentation.compose(augmentation.noise(1.0), augmentation.noise(1.0))
  found = np.asarray(twice(jax.random.key(0), jnp.zeros((50, 16, 16, 1))))
  assert found.std() == pytest.approx(np.sqrt(2), rel=0.05)  # 2, if both drew alike


def test_compose_in_order():
  double, increase = (lambda key, x: 2 * x), (lambda key, x: x + 1)
  composed = augmentation.compose(double, increase)
  np.testing.assert_array_equal(composed(jax.random.key(0), jnp.ones(3)), [3, 3, 3])
  np.testing.assert_array_equal(augmentation.compose()(jax.random.key(0), jnp.ones(3)), [1, 1, 1])


def test_register(registrations):
  augmentation.register('negative', lambda scale=1: lambda key, x: -scale * x)
  assert augmentation.names()[-1] == 'negative'
  x = images(2, (8, 8, 1))
  np.testing.assert_array_equal(augmented('negative', x, scale=0.5), -x / 2)
  with pytest.raises(ValueError, match="library's own"):
    augmentation.register('noise', augmentation.noise)


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('mixup', {}, 'name: unknown .mixup.; allowed: none, noise'),
        ('noise', {'sigma': 1}, 'sigma: not an option of noise; allowed: std'),
        ('none', {'std': 1}, 'allowed: none'),
        ('noise', {'std': -1}, 'std: -1 is out of range'),
        ('shift', {'max_shift': -1}, 'max_shift'),
        ('flip_shift', {'max_shift': -2}, 'max_shift'),
        ('flip', {'probability': 1.5}, 'probability'),
        ('cutout', {'max_cutout': 2}, 'max_cutout'),
        ('strong', {'num_operations': 11}, 'num_operations'),
    ],
)
def test_wrong_options(name, options, message):
  with pytest.raises(UserError, match=message):
    augmentation.create(name, **options)

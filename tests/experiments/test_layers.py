"""The figure of all layers' reconstructions, from a network of the library and by hand."""

import matplotlib.image
import numpy as np
import pytest
from absl.testing import flagsaver

from experiments import layers as program
from experiments.reporting import layers
from multiscale_inversion import UserError
from multiscale_inversion.inversion.stages import Inversion


def test_what_is_drawn():
  z = [np.zeros((2, 3, 3, 2)), np.zeros((2, 5))]
  z[0][1, :, 0, 1] = 4  # the second channel varies
  z[1][1] = range(5)
  r = [z[0] / 2, z[1] + 1]
  figure = layers.draw(Inversion((*z, np.zeros((2, 3))), tuple(r), ()), [1])
  above, square, below, square_below = figure.axes
  np.testing.assert_array_equal(above.images[0].get_array(), z[0][1, ..., 1])
  np.testing.assert_array_equal(below.images[0].get_array(), z[0][1, ..., 1] / 2)
  assert above.images[0].get_clim() == below.images[0].get_clim() == (0, 4)
  assert below.get_title() == f'{3 * 2**2 / 18:.3f}' and square_below.get_title() == '1.000'
  expected = [[0, 1, 2], [3, 4, np.nan], [np.nan] * 3]
  np.testing.assert_array_equal(square.images[0].get_array().filled(np.nan), expected)


def test_a_network_of_the_library(little_optimization, tmp_path):
  out = tmp_path / 'layers.png'
  arguments = ['--network=digits_50', '--dataset=digits', '--classes=3', f'--out={out}']
  with flagsaver.flagsaver():
    assert program.main(program.cli.parse(['layers', *arguments], needs_config=False)) == 0
  pixels = matplotlib.image.imread(out)[..., :3]
  assert np.mean(np.any(pixels != 1, -1)) > 0.2


def test_classes():
  assert program.first_of_classes(['a', 'b', 'a', 'c'], ['c', 'a']) == [3, 0]
  with pytest.raises(UserError, match='d is not among the first test images; allowed: a, b'):
    program.first_of_classes(['b', 'a'], ['a', 'd'])

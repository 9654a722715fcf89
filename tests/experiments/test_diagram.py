"""The diagrams of the method."""

import matplotlib.image
import numpy as np
import pytest
from absl.testing import flagsaver

from experiments import diagram
from multiscale_inversion import UserError, losses


@pytest.mark.parametrize('arguments', [[], ['--out=DIR']])
def test_program(arguments, tmp_path):
  arguments = [argument.replace('DIR', str(tmp_path / 'new')) for argument in arguments]
  with flagsaver.flagsaver():
    argv = diagram.cli.parse(['diagram', *arguments], needs_config=False)
    if not arguments:
      with pytest.raises(UserError, match='--out: missing'):
        diagram.main(argv)
      return
    assert diagram.main(argv) == 0
  for name in ('inversion', 'forms'):
    pixels = matplotlib.image.imread(tmp_path / f'new/{name}.png')[..., :3]
    assert 0.01 < np.mean(np.any(pixels != 1, -1)) < 0.5


def test_what_is_drawn():
  words = [text.get_text() for text in diagram.inversion().axes[0].texts]
  for layer in ('0', '1', '2', 'L-1'):
    assert f'$r^{{({layer})}}$' in words
    assert f'$\\|z^{{({layer})}}-r^{{({layer})}}\\|^2 / D^{{({layer})}}$' in words
  shown = [axes.texts[-2].get_text() for axes in diagram.forms().axes]
  assert shown == [*losses.FORMS]

"""What the tests of the programs share."""

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from multiscale_inversion.networks import resnet


@pytest.fixture(scope='module')
def quick_compilation(quick_settings):
  """Compiles with little optimization, and each program once for all tests."""
  before = {name: jax.config.values[name] for name in quick_settings}
  for name, value in quick_settings.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()
  yield
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()


@pytest.fixture(scope='module')
def one_block(quick_compilation):
  """Residual networks of one group: with one block a group, a block and the classifier."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(resnet, 'NUM_GROUPS', 1)
    yield

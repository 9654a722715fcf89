"""What the tests of the programs share."""

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from multiscale_inversion.networks import resnet


@pytest.fixture(scope='module')
def quick_compilation(tmp_path_factory):
  """Compiles with little optimization, and each program once for all tests."""
  settings = {
    'jax_disable_most_optimizations': True,
    'jax_compilation_cache_dir': str(tmp_path_factory.mktemp('compiled')),
    'jax_persistent_cache_min_compile_time_secs': 0.0,
    'jax_persistent_cache_min_entry_size_bytes': -1,
  }
  before = {name: jax.config.values[name] for name in settings}
  for name, value in settings.items():
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

"""What the tests share."""

import importlib.metadata
import os

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# Programs that tests start keep nothing in the user's own folder.
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', '')
# PyTorch's and BLAS's threads, one a core in each of pytest's processes, take several times as long
# over tensors of this size as one does.
os.environ.setdefault('OMP_NUM_THREADS', '1')
# Half of the tests' time would be compilation of fusions by XLA's own emitters. Later versions have
# no others, and end at a flag that they do not know.
if tuple(map(int, importlib.metadata.version('jaxlib').split('.')[:2])) < (0, 11):
  EMITTERS = '--xla_cpu_use_fusion_emitters=false'
  os.environ['XLA_FLAGS'] = ' '.join([os.environ.get('XLA_FLAGS', ''), EMITTERS])

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

# Shapes meet only where the code says so: a vector beside a batch is a mistake more often than not.
# Types may be promoted: optax compares whole steps with the schedule's floating-point numbers.
jax.config.update('jax_numpy_rank_promotion', 'raise')


@pytest.hookimpl(optionalhook=True)  # where pytest-xdist is installed
def pytest_xdist_auto_num_workers():
  """One more than the cores: some tests wait for processes of their own."""
  return len(os.sched_getaffinity(0)) + 1


@pytest.fixture(scope='session')
def quick_settings(tmp_path_factory):
  """JAX's settings to compile with little optimization, and each program once a session."""
  return {
    'jax_disable_most_optimizations': True,
    'jax_compilation_cache_dir': str(tmp_path_factory.mktemp('compiled')),
    'jax_persistent_cache_min_compile_time_secs': 0.0,
    'jax_persistent_cache_min_entry_size_bytes': -1,
  }


@pytest.fixture(scope='session')
def quick_environment(quick_settings):
  """The environment of a process with these settings."""
  return {**os.environ, **{name.upper(): str(value) for name, value in quick_settings.items()}}


@pytest.fixture(scope='module')
def little_optimization():
  """Compiles quickly, with little optimization."""
  before = jax.config.values['jax_disable_most_optimizations']
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', before)


@pytest.fixture
def registrations():
  """Forgets afterwards what a test registers."""
  from multiscale_inversion.data import registry as datasets
  from multiscale_inversion.data.augmentation import registry as augmentations
  from multiscale_inversion.networks import registry as networks
  from multiscale_inversion.objectives import registry as objectives

  registries = (
    networks._NETWORKS, objectives._OBJECTIVES, datasets._DATASETS, augmentations._AUGMENTATIONS
  )
  before = [dict(registry) for registry in registries]
  yield
  for registry, known in zip(registries, before):
    registry.clear()
    registry.update(known)


@pytest.fixture
def float64():
  """Double precision for one test: oracles are compared to ten digits, not to three."""
  before = jax.config.jax_enable_x64
  jax.config.update('jax_enable_x64', True)
  yield
  jax.config.update('jax_enable_x64', before)


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
  from multiscale_inversion.networks import resnet

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(resnet, 'NUM_GROUPS', 1)
    yield

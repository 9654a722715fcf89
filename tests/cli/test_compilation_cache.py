"""The compilation cache: where it is, whose choice comes first, and where it is done without."""

import os
import pathlib
import subprocess
import sys

import jax
import jaxlib
import pytest

from multiscale_inversion.cli import compilation_cache

ROOT = pathlib.Path(__file__).parents[2]
# Counts the programs that are compiled and those that come from the cache.
COUNTING = '''
import collections, jax
counts = collections.Counter()
jax.monitoring.register_event_listener(lambda name, **_: counts.update([name.rsplit('/', 1)[1]]))
from multiscale_inversion.cli import compilation_cache
compilation_cache._SETTINGS['jax_persistent_cache_min_compile_time_secs'] = 0.0
if compilation_cache.reloads():
  compilation_cache.enable()
  jax.jit(lambda x: x * 3 - 1)(2.0).block_until_ready()
  print(jax.config.jax_compilation_cache_dir, counts['cache_hits'], counts['cache_misses'])
'''


@pytest.fixture
def settings():
  """Restores JAX's settings."""
  names = ('jax_compilation_cache_dir', *compilation_cache._SETTINGS)
  before = {name: jax.config.values[name] for name in names}
  yield before
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.compilation_cache.reset_cache()


@pytest.fixture
def home(monkeypatch, tmp_path):
  monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR', raising=False)
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  return tmp_path / 'cache/multiscale_inversion' / f'jaxlib-{jaxlib.__version__}'


def test_the_second_process_compiles_nothing(home):
  said = []
  for _ in range(2):
    ended = subprocess.run(
      [sys.executable, '-c', COUNTING], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stderr == ''
    said.append(ended.stdout.split())
  if not said[0]:
    pytest.skip('XLA does not load its own programs again on this CPU')
  (folder, hits, misses), (again, later_hits, later_misses) = said
  assert folder == again == str(home)
  assert (hits, later_misses) == ('0', '0')
  assert misses == later_hits != '0'


def test_where_it_is(monkeypatch):
  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  monkeypatch.setenv('HOME', '/home/ann')
  name = f'multiscale_inversion/jaxlib-{jaxlib.__version__}'
  monkeypatch.setattr(sys, 'platform', 'linux')
  assert compilation_cache.folder() == f'/home/ann/.cache/{name}'
  monkeypatch.setattr(sys, 'platform', 'darwin')
  assert compilation_cache.folder() == f'/home/ann/Library/Caches/{name}'


@pytest.mark.parametrize('choice', ['', 'gs://bucket/cache'])
def test_the_users_own_folder_comes_first(monkeypatch, home, settings, choice):
  monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', choice)
  compilation_cache.enable()
  assert jax.config.jax_compilation_cache_dir == settings['jax_compilation_cache_dir']
  assert not home.exists()


def test_a_user_who_wants_none(home, settings):
  jax.config.update('jax_enable_compilation_cache', False)
  try:
    compilation_cache.enable()
  finally:
    jax.config.update('jax_enable_compilation_cache', True)
  assert jax.config.jax_compilation_cache_dir == settings['jax_compilation_cache_dir']


def test_a_home_that_cannot_be_written(monkeypatch, tmp_path, home, settings):
  (tmp_path / 'cache').write_text('a file')
  compilation_cache.enable()
  assert jax.config.jax_compilation_cache_dir == settings['jax_compilation_cache_dir']


def complains(compiled):
  os.write(2, b'Machine type used for compilation does not match\n')


def fails(compiled):
  raise RuntimeError('no')


@pytest.mark.parametrize('load_again', [complains, fails])
def test_a_machine_that_cannot_load_its_own_programs(
  monkeypatch, home, settings, capfd, load_again
):
  monkeypatch.setattr(compilation_cache, '_load_again', load_again)
  compilation_cache.enable()
  assert jax.config.jax_compilation_cache_dir == settings['jax_compilation_cache_dir']
  assert capfd.readouterr() == ('', '')

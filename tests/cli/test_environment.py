"""What the environment of a program may have wrong."""

import os
import pathlib
import subprocess
import sys
import types
import warnings

import jax
import pytest

from multiscale_inversion.cli import environment

ROOT = pathlib.Path(__file__).parents[2]
LIMIT = 120.0  # seconds; more than a loaded machine needs


def finished(environment_, program, *arguments):
  return subprocess.run(
    [sys.executable, '-m', f'experiments.{program}', *arguments], cwd=ROOT, env=environment_,
    capture_output=True, text=True, timeout=LIMIT, check=False,
  )


DIGITS = ['--config=experiments/digits_50.py', '--config.network.width=2']


@pytest.mark.parametrize(('name', 'value', 'program', 'message'), [
  ('JAX_PLATFORMS', 'nonsense', 'main', r'no such device works here'),
  ('JAX_PLATFORMS', 'tpu', 'select_learning_rate', r'no such device works here'),
  ('JAX_ENABLE_X64', 'maybe', 'predict', 'maybe'),
  ('JAX_NUM_CPU_DEVICES', 'many', 'report', 'many'),
])
def test_variables_that_jax_does_not_take(
  quick_environment, tmp_path, name, value, program, message
):
  with_config = program in ('main', 'select_learning_rate')
  arguments = [f'--workdir={tmp_path / "run"}', *DIGITS] if with_config else [str(tmp_path)]
  ended = finished(quick_environment | {name: value}, program, *arguments)
  assert (ended.returncode, ended.stdout) == (2, ''), ended.stderr
  assert ended.stderr.startswith(f'error: {name}={value}: ')
  assert ended.stderr.count('\n') == 1
  assert message in ended.stderr
  if name == 'JAX_PLATFORMS':
    assert ended.stderr.endswith('; allowed: cpu\n')
  assert not (tmp_path / 'run').exists()


def stand_in(works):
  """JAX where devices are found if `works` says so of the platforms asked for."""
  asked = {'jax_platforms': os.environ.get('JAX_PLATFORMS')}

  def devices():
    if not works(asked['jax_platforms']):
      raise RuntimeError("no. (set JAX_PLATFORMS='' to automatically choose)")
    return [types.SimpleNamespace(platform='gpu')]

  config = types.SimpleNamespace(update=asked.__setitem__)
  return types.SimpleNamespace(devices=devices, config=config)


@pytest.mark.parametrize(('works', 'expected'), [
  (lambda asked: True, None),
  (lambda asked: asked is None,
   'JAX_PLATFORMS=tpu: no such device works here (no.); allowed: cpu, gpu'),
  (lambda asked: False, 'JAX_PLATFORMS=tpu: no such device works here (no.); allowed: cpu'),
])
def test_what_is_available_is_said(monkeypatch, works, expected):
  monkeypatch.setenv('JAX_PLATFORMS', 'tpu')
  monkeypatch.setitem(sys.modules, 'jax', stand_in(works))
  error = RuntimeError("no. (set JAX_PLATFORMS='' to automatically choose)")
  assert environment.explain(error) == expected


@pytest.mark.parametrize('error', [
  RuntimeError('a bug'), AssertionError(), ValueError('a bug'), KeyError('a bug'), OSError('full'),
])
def test_other_errors_are_not_explained(monkeypatch, error):
  assert jax.devices()
  assert environment.explain(error) is None
  monkeypatch.delenv('JAX_PLATFORMS', raising=False)
  assert environment.explain(error) is None


def no_folder(tmp_path):
  (tmp_path / 'file').write_text('')
  return tmp_path / 'file'


def below_a_file(tmp_path):
  return no_folder(tmp_path) / 'folder'


def pipe(tmp_path):
  os.mkfifo(tmp_path / 'pipe')
  return tmp_path / 'pipe'


def nowhere(tmp_path):
  return '/proc/no/such'


def name_too_long(tmp_path):
  return tmp_path / ('x' * 300)


CACHE = 'JAX_COMPILATION_CACHE_DIR'


@pytest.mark.parametrize('make', [no_folder, below_a_file, pipe, nowhere, name_too_long])
def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch, tmp_path, capsys, make):
  folder = str(make(tmp_path))
  monkeypatch.setenv(CACHE, folder)
  environment.check_cache()
  said = capsys.readouterr().err
  assert said.startswith(f'warning: {CACHE}={folder}: not a folder that can be written (')
  assert said.count('\n') == 1
  assert os.environ[CACHE] == ''


def test_a_cache_on_a_full_disk_is_done_without(monkeypatch, tmp_path, capsys):
  def full(*args, **kwargs):
    raise OSError(28, 'No space left on device')

  monkeypatch.setenv(CACHE, str(tmp_path))
  monkeypatch.setattr(environment.tempfile, 'NamedTemporaryFile', full)
  environment.check_cache()
  assert '(No space left on device)' in capsys.readouterr().err
  assert os.environ[CACHE] == ''


@pytest.mark.parametrize('folder', ['', 'made/for/it', 'gs://bucket/cache'])
def test_other_caches_stay(monkeypatch, tmp_path, capsys, folder):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv(CACHE, folder)
  environment.check_cache()
  assert os.environ[CACHE] == folder
  assert capsys.readouterr().err == ''
  assert [path for path in tmp_path.rglob('*') if path.is_file()] == []


@pytest.mark.parametrize(('variable', 'words'), [
  ('/mine', f'{CACHE}=/mine'), ('', 'compilation cache /default'),
])
def test_failures_of_the_cache_are_said_once(monkeypatch, capsys, variable, words):
  monkeypatch.setenv(CACHE, variable)
  config = types.SimpleNamespace(jax_compilation_cache_dir='/default')
  monkeypatch.setitem(sys.modules, 'jax', types.SimpleNamespace(config=config))
  with warnings.catch_warnings():
    warnings.simplefilter('always')
    monkeypatch.setattr(warnings, 'showwarning', environment._Warnings())
    for name in ('jit_step', 'jit_evaluate'):
      for verb in ('writing', 'reading'):
        warnings.warn(
          f"Error {verb} persistent compilation cache entry for '{name}': OSError: [Errno 28] full",
          stacklevel=1,
        )
    warnings.warn('something else', stacklevel=1)
  said, other = capsys.readouterr().err.splitlines()
  assert other == 'warning: something else'
  assert said.startswith(f'warning: {words}: OSError')
  assert 'OSError: [Errno 28] full' in said

"""The commit that a result names, in repositories made for the purpose."""

import os
import shutil
import subprocess

import pytest

from multiscale_inversion.runs import environment as source

pytestmark = pytest.mark.skipif(not shutil.which('git'), reason='git is not installed')


def git(folder, *arguments):
  identity = ['-c', 'user.name=a', '-c', 'user.email=a@b.c', '-c', 'commit.gpgsign=false']
  done = subprocess.run(
    ['git', *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
  )
  return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
  """A repository of one committed file."""
  (tmp_path / 'code.py').write_text('1\n')
  git(tmp_path, 'init', '-q')
  git(tmp_path, 'add', '.')
  git(tmp_path, 'commit', '-qm', 'first')
  source.revision.cache_clear()
  yield tmp_path
  source.revision.cache_clear()


def test_the_commit_and_whether_files_differ_from_it(checkout):
  commit = git(checkout, 'log', '-1', '--format=%H')
  (checkout / 'results.json').write_text('{}')  # untracked: no part of the code
  file = str(checkout / 'code.py')
  assert source.revision(file) == {'commit': commit, 'commit_dirty': False}
  (checkout / 'code.py').write_text('2\n')
  assert source.revision(file)['commit_dirty'] is False  # as of the start of the program
  source.revision.cache_clear()
  assert source.revision(file) == {'commit': commit, 'commit_dirty': True}


def test_surroundings_that_name_another_repository(checkout, monkeypatch, tmp_path_factory):
  other = tmp_path_factory.mktemp('other')
  git(other, 'init', '-q')
  monkeypatch.setenv('GIT_DIR', str(other / '.git'))
  found = source.revision(str(checkout / 'code.py'))
  monkeypatch.delenv('GIT_DIR')
  assert found['commit'] == git(checkout, 'rev-parse', 'HEAD')


@pytest.mark.parametrize('where', ['within', 'outside', 'no_commit'])
def test_none_where_the_code_is_under_no_version_control(checkout, tmp_path_factory, where):
  folder = checkout / '.venv' if where == 'within' else tmp_path_factory.mktemp('installed')
  folder.mkdir(exist_ok=True)
  (folder / 'code.py').write_text('1\n')
  if where == 'no_commit':
    git(folder, 'init', '-q')
    git(folder, 'add', '.')
  assert source.revision(str(folder / 'code.py')) == {'commit': None, 'commit_dirty': None}


def test_none_without_git(checkout, monkeypatch):
  monkeypatch.setenv('PATH', os.devnull)
  assert source.revision(str(checkout / 'code.py')) == {'commit': None, 'commit_dirty': None}

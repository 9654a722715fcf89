"""The benchmarks run, at sizes that measure nothing, and their results become tables."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# One of them: the others would take minutes of compilation.
COMMANDS = {'placement': ['--rounds=1']}


@pytest.mark.parametrize('name', COMMANDS)
def test_runs(tmp_path, name):
  out = tmp_path / 'result.json'
  command = [sys.executable, '-m', f'benchmarks.{name}', *COMMANDS[name], f'--out={out}']
  environment = {**os.environ, 'JAX_DISABLE_MOST_OPTIMIZATIONS': '1'}
  subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True)
  result = json.loads(out.read_text())
  assert result['benchmark'] == name
  assert result['hardware']['num_cores'] >= 1 and 'jax' in result['versions']
  page = tmp_path / 'page.md'
  page.write_text('before\n<!-- benchmark: result.json -->\n<!-- end of benchmark -->\nafter\n')
  subprocess.run(
    [sys.executable, '-m', 'benchmarks.tables', str(page)], check=True, cwd=ROOT,
    capture_output=True,
  )
  text = page.read_text()
  assert text.startswith('before') and text.endswith('after\n')
  assert '| --- |' in text and f'python -m benchmarks.{name}' in text


def test_tables_of_a_missing_result(tmp_path):
  page = tmp_path / 'page.md'
  page.write_text('<!-- benchmark: none.json -->\n<!-- end of benchmark -->\n')
  finished = subprocess.run(
    [sys.executable, '-m', 'benchmarks.tables', str(page)], check=False, cwd=ROOT,
    capture_output=True, text=True,
  )
  assert finished.returncode == 2
  assert finished.stderr.startswith('error: ') and 'none.json' in finished.stderr

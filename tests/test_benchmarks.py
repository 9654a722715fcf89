"""A benchmark runs, at a size that measures nothing, and its result becomes a table."""

import json
import pathlib
import subprocess
import sys

from benchmarks import placement
from tests import tiny

ROOT = pathlib.Path(__file__).parents[1]


def test_runs(tmp_path, monkeypatch, capsys, little_optimization):
  # One of them: the others would take minutes of compilation.
  out = tmp_path / 'result.json'
  monkeypatch.setattr(placement.digits_50, 'get_config', tiny.config)
  monkeypatch.setattr(sys, 'argv', ['placement', '--rounds=2', f'--out={out}'])
  placement.main()
  result = json.loads(out.read_text())
  assert result == json.loads(capsys.readouterr().out)
  assert result['benchmark'] == 'placement'
  assert set(result['measured']['steps_per_s']) == {'device', 'host'}
  assert result['hardware']['num_cores'] >= 1 and 'jax' in result['versions']
  page = tmp_path / 'page.md'
  page.write_text('before\n<!-- benchmark: result.json -->\n<!-- end of benchmark -->\nafter\n')
  subprocess.run(
    [sys.executable, '-m', 'benchmarks.tables', str(page)], check=True, cwd=ROOT,
    capture_output=True,
  )
  text = page.read_text()
  assert text.startswith('before') and text.endswith('after\n')
  assert '| --- |' in text and 'python -m benchmarks.placement --rounds=2' in text


def test_tables_of_a_missing_result(tmp_path):
  page = tmp_path / 'page.md'
  page.write_text('<!-- benchmark: none.json -->\n<!-- end of benchmark -->\n')
  finished = subprocess.run(
    [sys.executable, '-m', 'benchmarks.tables', str(page)], check=False, cwd=ROOT,
    capture_output=True, text=True,
  )
  assert finished.returncode == 2
  assert finished.stderr.startswith('error: ') and 'none.json' in finished.stderr

"""What the README shows is what the project does."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def test_the_example_runs(capsys, little_optimization):
  (code,) = re.findall(r'```python\n(.*?)```', README, re.DOTALL)
  expected = re.search(r'print\(.*\)  # (.*)', code)[1]
  names = {}
  exec(code, names)
  assert capsys.readouterr().out.strip() == expected
  assert set(names['gradients']) == set(names['variables']['params'])


def test_the_configurations_that_it_names_exist():
  named = re.findall(r'experiments/\w+\.(?:py|sh)', README)
  assert len({*named}) >= 7
  for path in named:
    assert (ROOT / path).is_file(), path

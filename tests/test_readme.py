"""What the README and the page of the experiments show is what the project does."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def test_the_example_runs(capsys, tmp_path, monkeypatch):
  (code,) = re.findall(r'```python\n(.*?)```', README, re.DOTALL)
  assert len(code.splitlines()) <= 10
  monkeypatch.chdir(tmp_path)
  names = {}
  exec(code, names)
  shown = capsys.readouterr()
  assert shown.out.startswith('error ') and 'arrays: 50 labeled, 1450 unlabeled' in shown.err
  found = names['network'].evaluate(names['images'][1500:], names['digits'].target[1500:])
  assert found.error < 20
  assert repr(names['mi'].load('digits.npz')) == repr(names['network'])


def test_the_page_on_python_runs(capsys, tmp_path, monkeypatch, little_optimization):
  """Its examples follow one another."""
  page = (ROOT / 'docs' / 'python.md').read_text(encoding='utf-8')
  monkeypatch.chdir(tmp_path)
  names = {}
  for code in re.findall(r'```python\n(.*?)```', page, re.DOTALL):
    exec(code, names)
  shown = capsys.readouterr().out.splitlines()
  assert shown[0].startswith('TrainedNetwork(mlp, ') and shown[0].endswith('step 200)')
  assert float(shown[-1].split()[1]) < 2 and shown[-1].startswith('200 ')


def test_the_front_page_is_short():
  assert len(README.splitlines()) <= 130
  assert len(README.split()) <= 900


def test_the_configurations_that_they_name_exist():
  page = (ROOT / 'docs' / 'experiments.md').read_text(encoding='utf-8')
  named = re.findall(r'experiments/\w+\.(?:py|sh)', README + page)
  assert len({*named}) >= 12
  for path in named:
    assert (ROOT / path).is_file(), path


def test_the_programs_that_the_page_lists_are_those_there_are():
  page = (ROOT / 'docs' / 'experiments.md').read_text(encoding='utf-8')
  listed = set(re.findall(r'^\| `experiments\.(\w+)` \|', page, re.MULTILINE))
  programs = {
    path.stem for path in (ROOT / 'experiments').glob('*.py')
    if "if __name__ == '__main__'" in path.read_text(encoding='utf-8')
  }
  assert listed == programs


def test_links_lead_to_pages():
  for page in (ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *(ROOT / 'docs').glob('*.md')):
    for link in re.findall(r'\]\(([^)#]+?)(?:#[^)]*)?\)', page.read_text(encoding='utf-8')):
      if '://' not in link:
        assert (page.parent / link).exists(), (page.name, link)

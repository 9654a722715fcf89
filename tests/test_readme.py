"""What the README and the page of the experiments show is what the project does."""

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

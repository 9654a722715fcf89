"""Sentences of the pages and docstrings as the result files make them, for the tests of claims.

Each phrase is made from the numbers and must stand in the text; whitespace does not matter.
"""

import collections
import json
import pathlib
import statistics

from scipy import stats

ROOT = pathlib.Path(__file__).parents[1]
RESULTS_PAGE = ROOT / 'docs/results.md'


def runs_of(name):
  """What a file under results/ holds."""
  return json.loads((ROOT / f'results/{name}.json').read_text())


def errors_of(name, key=lambda run: run['objective']):
  """Test errors by setting, then by seed."""
  found = collections.defaultdict(dict)
  for run in runs_of(name):
    found[key(run)][run['seed']] = run['test_error']
  return found


def paired(these, those):
  """Mean and standard error of the differences, seed by seed."""
  differences = [these[seed] - those[seed] for seed in sorted({*these} & {*those})]
  return statistics.mean(differences), statistics.stdev(differences) / len(differences) ** 0.5


def p_value(these, those):
  """Of the two-sided paired t-test, from Student's distribution."""
  difference, error = paired(these, those)
  degrees = len({*these} & {*those}) - 1
  return 2 * stats.t.sf(abs(difference) / error, degrees)


def mean(errors):
  """Of errors by seed."""
  return statistics.mean(errors.values())


def says(page, *phrases):
  """Asserts that a page holds the phrases."""
  text = ' '.join(page.read_text(encoding='utf-8').split())
  missing = [phrase for phrase in phrases if ' '.join(phrase.split()) not in text]
  assert not missing, f'{page.name} does not say: {missing}'

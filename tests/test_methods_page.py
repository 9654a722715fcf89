"""The page of methods: its tables against the options that there are, its commands validated."""

import pathlib
import re
import shlex

import pytest

from multiscale_inversion import objectives
from multiscale_inversion.cli import program
from multiscale_inversion.runs import defaults
from multiscale_inversion.runs.config import chosen_options, resolve, validate

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / 'docs/methods.md').read_text(encoding='utf-8')
METHODS = (
  'pseudo_label', 'pi_model', 'temporal_ensembling', 'virtual_adversarial', 'mean_teacher',
  'mixmatch', 'fixmatch', 'flexmatch', 'freematch', 'softmatch',
)


def rows_of(method):
  """The cells of each option's row: the paper's value, ours, and why they differ."""
  section = PAGE.split(f'### `{method}`\n')[1].split('\n#')[0]
  return {
    option: [cell.strip() for cell in cells.split('|')]
    for option, cells in re.findall(r'^\| `(\w+)` \|(.*)\|$', section, re.MULTILINE)
  }


def test_all_methods_have_a_table():
  assert tuple(re.findall(r'^### `(\w+)`$', PAGE, re.MULTILINE)) == METHODS
  others = {'supervised', 'entropy', 'global', 'multiscale', 'convex', 'learned', 'function'}
  library = objectives.registry._OBJECTIVES._own
  assert library - others == {*METHODS}


@pytest.mark.parametrize('method', METHODS)
def test_each_option_of_a_method_has_its_row(method):
  expected = objectives.defaults(method)
  assert expected.pop('reduction') == 'group' and '`group`' in PAGE
  rows = rows_of(method)
  assert [*rows] == [*expected]
  for option, (paper, here, why) in rows.items():
    assert here == str(expected[option]), option
    # Different values have a reason.
    numbers = re.match(r'[\d.e-]+', paper)
    same = numbers and here != 'None' and float(numbers[0].rstrip('.')) == float(expected[option])
    if not same and not paper.startswith(here) and paper != 'yes':
      assert why, option


COMMANDS = re.findall(r'^python -m experiments\.main (.*)$', PAGE, re.MULTILINE)


@pytest.mark.parametrize('command', COMMANDS)
def test_commands(command, monkeypatch):
  monkeypatch.chdir(ROOT)
  program.parse(['program', *shlex.split(command)])
  config = resolve(program.CONFIG.value)
  validate(config)
  objectives.create(config.objective.name, **chosen_options(config.objective))


def test_the_configuration_keys_that_it_names():
  section = PAGE.split('## Batches, views and learning rates')[1].split('```')[0]
  keys = {key for key, _ in re.findall(r'`([a-z_.]+)(=[^`]*)?`', section)}
  named_elsewhere = {'shift_strong'}
  assert keys - named_elsewhere <= {*defaults.keys()}
  assert {'labeled_fraction', 'schedule.rampup', 'augmentation.strong'} <= keys

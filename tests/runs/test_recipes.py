"""Recipes: protocols by name, written once."""

import json

import pytest

from experiments import digits_50, folder
from experiments.studies import settings
from multiscale_inversion import recipes
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import defaults
from multiscale_inversion.runs import loop as run
from multiscale_inversion.runs.config import resolve, validate
from tests import tiny

FEW = {'batch_norm_inverse': 'batch', 'dropout_rate': 0.1}, {
  'reduction': 'group', 'unlabeled': 'information'
}
PAPER = {'batch_norm_inverse': 'frozen', 'dropout_rate': 0.2}, {
  'reduction': 'batch', 'unlabeled': 'entropy'
}


def sections(config):
  resolved = resolve(config)
  network, objective = FEW
  return (
    {key: resolved.network[key] for key in network},
    {key: resolved.objective[key] for key in objective},
  )


def test_the_paper_is_the_default():
  assert defaults.get_config().recipe == 'paper'
  assert sections(tiny.config()) == PAPER


@pytest.mark.parametrize('config', [
  tiny.config(recipe='few_labels'), digits_50.get_config(), folder.get_config(),
], ids=['tiny', 'digits_50', 'folder'])
def test_few_labels(config):
  assert sections(config) == FEW


def test_the_papers_setting_of_the_digits():
  assert sections(settings.config('digits_50_paper/multiscale')) == PAPER
  assert sections(settings.config('digits_50/multiscale')) == FEW


def test_one_value_is_changed():
  config = tiny.config(**{'recipe': 'few_labels', 'objective.unlabeled': 'entropy'})
  assert sections(config) == (FEW[0], {**FEW[1], 'unlabeled': 'entropy'})


def test_what_is_not_taken_is_left_out():
  config = tiny.config(**{
    'recipe': 'few_labels', 'objective.name': 'pi_model', 'network.name': 'gru',
    'network.blocks_per_group': None,
  })
  resolved = resolve(config)
  assert resolved.network.batch_norm_inverse is None and resolved.network.dropout_rate == 0.1
  assert resolved.objective.unlabeled is None and resolved.objective.reduction == 'group'


def test_unknown():
  with pytest.raises(UserError, match="recipe: unknown 'x'; allowed: paper, few_labels"):
    validate(tiny.config(recipe='x'))
  with pytest.raises(UserError, match="recipe: unknown 'x'; allowed: paper, few_labels"):
    recipes.defaults('x', 'network')


def test_the_values_decide_whether_a_run_goes_on(tmp_path, quick_compilation):
  """A run that spelled the values out before the recipe had a name goes on under the name."""
  spelled = tiny.config(num_steps=3)
  for section, options in zip((spelled.network, spelled.objective), FEW):
    for key, value in options.items():
      section[key] = value
  with pytest.raises(run.Interrupted):
    run.train_and_evaluate(spelled, str(tmp_path), lambda step: step >= 1)
  named = tiny.config(num_steps=3, recipe='few_labels')
  summary = run.train_and_evaluate(named, str(tmp_path)).to_json()
  recorded = json.loads((tmp_path / 'config.json').read_text())
  assert recorded['network']['dropout_rate'] == 0.1 == summary['config']['network']['dropout_rate']
  with pytest.raises(UserError, match=r'network\.batch_norm_inverse was'):
    run.train_and_evaluate(tiny.config(num_steps=3), str(tmp_path))

"""Confusions and the epoch since when, by hand; and those of a run against its own record."""

import json

import numpy as np
import pytest

from experiments import mistakes
from experiments.reporting import tables
from multiscale_inversion import UserError
from multiscale_inversion.runs import loop as run
from tests import tiny


def test_confusions():
  labels = np.array([0, 0, 0, 1, 1, 2, 2])
  predicted = np.array([0, 2, 2, 1, 0, 2, 1])
  found = mistakes.confusions(labels, predicted, ('a', 'b', 'c'))
  assert found[0] == ('a', 'c', 2)
  assert sorted(found[1:]) == [('b', 'a', 1), ('c', 'b', 1)]


@pytest.mark.parametrize(('errors', 'settled'), [
  ([9.0, 5.0, 4.0, 4.5, 3.6], 3), ([3.0, 9.0, 3.0], 3), ([3.0, 3.5], 1), ([7.0], 1),
])
def test_settled_epoch(errors, settled):
  lines = [{'epoch': n + 1, 'test/error': error} for n, error in enumerate(errors)]
  assert mistakes.settled_epoch([{'epoch': 0.5}, *lines]) == settled


@pytest.mark.usefixtures('one_block')
def test_a_run_of_two_seeds(tmp_path):
  run.train_and_evaluate(tiny.config(num_steps=2, num_seeds=2), str(tmp_path))
  found = mistakes.of_folder(str(tmp_path))
  recorded = json.loads((tmp_path / 'summary.json').read_text())['seeds']
  for one, theirs in zip(found, recorded, strict=True):
    assert one.seed == theirs['seed']
    assert one.test_error == pytest.approx(theirs['test_error'])
    assert sum(count for *_, count in one.confusions) == round(5 * one.test_error)
  assert tables.of_mistakes(found).splitlines()[2].startswith('| multiscale | 0 | ')


def test_no_run(tmp_path):
  with pytest.raises(UserError, match='no finished run'):
    mistakes.of_folder(str(tmp_path))

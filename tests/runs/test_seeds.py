"""Several seeds in one program against single runs."""

import json
import statistics

import pytest

from experiments.reporting import figures, tables
from experiments.reporting.results import read_runs
from multiscale_inversion.cli import train
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import loop as run
from multiscale_inversion.runs.finished import FinishedRun
from multiscale_inversion.runs.folder import RunFolder
from tests import tiny

SEEDS = (3, 4, 5)
STEPS = 6  # 4 an epoch


pytestmark = pytest.mark.usefixtures('one_block')


def make_config(**changes):
  return tiny.config(**{'seed': SEEDS[0], 'num_steps': STEPS, **changes})


def lines(folder):
  return [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]


@pytest.fixture(scope='module')
def single(tmp_path_factory):
  """The records and the summary of each seed's own run."""
  found = {}
  for seed in SEEDS:
    folder = tmp_path_factory.mktemp(f'single_{seed}')
    summary = run.train_and_evaluate(make_config(seed=seed), str(folder)).to_json()
    found[seed] = lines(folder), summary
  assert len({summary['train']['train/loss'] for _, summary in found.values()}) == len(SEEDS)
  return found


@pytest.mark.parametrize('mode', ['vectorized', 'sequential'])
def test_each_seed_is_its_single_run(tmp_path, single, mode):
  config = make_config(num_seeds=len(SEEDS), seeds_mode=mode)
  summary = run.train_and_evaluate(config, str(tmp_path)).to_json()
  for seed in SEEDS:
    records, own = single[seed]
    found = lines(tmp_path / f'seed_{seed}')
    assert [set(record) for record in found] == [set(record) for record in records]
    for one, other in zip(found, records, strict=True):
      assert one == pytest.approx(other, rel=1e-3, abs=1e-4)
    assert own['test_error'] == pytest.approx(found[-1]['test/error'])
  errors = [single[seed][1]['test_error'] for seed in SEEDS]
  own_scalars = [single[seed][1]['train'] for seed in SEEDS]
  for found, seed, error, scalars in zip(summary['seeds'], SEEDS, errors, own_scalars, strict=True):
    assert found == {
      'seed': seed, 'test_error': pytest.approx(error), 'train': found['train'],
      'confusion': single[seed][1]['confusion'],
    }
    assert found['train'] == pytest.approx(scalars, rel=1e-3, abs=1e-4)
  assert summary['wall_time_shared_by'] == len(SEEDS)
  assert summary['test_error'] == pytest.approx(statistics.mean(errors))
  assert summary['test_error_std'] == pytest.approx(statistics.stdev(errors))
  assert summary['num_parameters'] == single[SEEDS[0]][1]['num_parameters']
  means = lines(tmp_path)
  for index, record in enumerate(means):
    of_seeds = [single[seed][0][index] for seed in SEEDS]
    expected = {key: statistics.mean(r[key] for r in of_seeds) for key in record}
    assert record == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_a_record_of_each_seed_says_what_ran():
  """Its own error and scalars, the program's time and configuration."""
  shared = tiny.summary(
    wall_time_s=60.0, wall_time_shared_by=2, commit='abc', commit_dirty=False,
    config=tiny.summary()['config'] | {'seed': 3, 'num_seeds': 2}, later_key=[1],
  )
  del shared['train']
  seeds = [
    {'seed': 3, 'test_error': 1.0, 'train': {'train/loss': 4.0}},
    {'seed': 4, 'test_error': 3.0, 'train': {'train/loss': 6.0}},
  ]
  summary = shared | {
    'seed': 3, 'test_error': 2.0, 'test_error_std': 1.4, 'train': {'train/loss': 5.0},
    'seeds': seeds,
  }

  def single(content):
    return [one.to_json() for one in FinishedRun.from_json(content, 'there').single_runs()]

  assert FinishedRun.from_json(summary, 'there').to_json() == summary
  found = single(summary)
  assert found == [shared | own for own in seeds]
  assert [single(one) for one in found] == [[one] for one in found]  # as published
  # A version that recorded the means only: they are not claimed to be a seed's own.
  older = {key: value for key, value in summary.items() if key != 'wall_time_shared_by'}
  older['seeds'] = [{k: v for k, v in own.items() if k != 'train'} for own in seeds]
  assert single(older) == [shared | own for own in older['seeds']]


def test_the_last_line_says_whose_the_error_is():
  summary = tiny.summary(
    objective='global', seed=2, test_error=4.0, num_epochs=10.0, wall_time_s=7.2
  )
  assert train.last_line(FinishedRun.from_json(summary, 'there'), 'x') == (
    'finished: digits, 50 labels, global, seed 2: test error 4.00 % after 10 epochs in 7 s; see x'
  )
  summary |= {'test_error_std': 1.5, 'seeds': [{'seed': n, 'test_error': 4} for n in (2, 3, 4)]}
  said = train.last_line(FinishedRun.from_json(summary, 'there'), 'x')
  assert 'global, seeds 2 to 4: mean test error 4.00 ± 1.50 % after' in said


def test_resumed_seeds(tmp_path, single):
  config = make_config(num_seeds=len(SEEDS), seeds_mode='vectorized')
  with pytest.raises(run.Interrupted):
    run.train_and_evaluate(config, str(tmp_path), lambda step: step >= 4)
  summary = run.train_and_evaluate(config, str(tmp_path))
  for seed in SEEDS:
    for one, other in zip(lines(tmp_path / f'seed_{seed}'), single[seed][0], strict=True):
      assert one == pytest.approx(other, rel=1e-3, abs=1e-4)
  with pytest.raises(UserError, match='seed_9: no such folder'):
    RunFolder(str(tmp_path)).metrics(9)
  # A figure is one seed's, not the mean's.
  for seed, of_one in zip(SEEDS, summary.single_runs(), strict=True):
    figure = figures.curves(str(tmp_path), of_one)
    assert f'seed {seed}' in figure.get_suptitle()
    drawn = figure.axes[2].lines[0].get_ydata()
    errors = [line['test/error'] for line in single[seed][0] if 'test/error' in line]
    assert list(drawn) == pytest.approx(errors)


def test_an_objective_that_does_not_invert(tmp_path):
  changes = {'num_seeds': 2, 'objective.name': 'supervised', 'num_steps': 4}
  run.train_and_evaluate(make_config(**changes), str(tmp_path))
  assert all(record['train/reconstruction/0'] > 0 for record in lines(tmp_path / 'seed_4'))


def test_the_report_counts_each_seed(tmp_path, single):
  summary = {
    **single[SEEDS[0]][1], 'test_error': 2.0, 'test_error_std': 1.0,
    'seeds': [{'seed': 3, 'test_error': 1.0}, {'seed': 4, 'test_error': 3.0}],
  }
  path = tmp_path / 'runs.json'
  path.write_text(json.dumps([summary, {**single[5][1], 'test_error': 5.0}]))
  (row,) = tables.of_runs(read_runs(str(path))).splitlines()[2:]
  assert '| 3.00 ± 2.00 | 3: 1.00, 4: 3.00, 5: 5.00 |' in row


def test_seeds_are_not_streamed(tmp_path):
  config = make_config(num_seeds=2, **{'data.placement': 'host'})
  with pytest.raises(UserError, match=r'data\.placement: .*num_seeds=1'):
    run.train_and_evaluate(config, str(tmp_path / 'run'))

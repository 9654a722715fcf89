"""A sweep: what it runs, resumes, skips; the paper's tables and the figures of its runs."""

import csv
import json
import re

import matplotlib.image
import numpy as np
import pytest
from sklearn.datasets import load_digits

from experiments import sweep
from experiments.reporting import figures, grouping, paper_tables
from experiments.reporting.results import read_all
from experiments.studies import paper, settings
from multiscale_inversion.cli.stopping import StopRequest
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import loop as run
from multiscale_inversion.runs.config import validate
from tests import tiny

CHANGES = {
  'network.blocks_per_group': 1, 'network.width': 2, 'batch_size': 620, 'num_epochs': 2,
}


pytestmark = pytest.mark.usefixtures('one_block')


class Never(StopRequest):
  def __init__(self):
    self._requested = False


@pytest.fixture(scope='module')
def swept(tmp_path_factory):
  """The folder of a sweep of two settings and two seeds, stopped once and started again."""
  folder = tmp_path_factory.mktemp('sweep')
  names = settings.matching(['digits_50/global', 'digits_50/multiscale'])
  jobs = lambda: sweep.make_jobs(names, [0, 3], CHANGES, str(folder), vectorized=False)
  assert len(jobs()) == 4

  class AfterTwo(Never):
    def requested(self, step):
      return (folder / 'digits_50/global/seed_3/summary.json').exists()

  with pytest.raises(run.Interrupted):
    sweep.run_jobs(jobs(), AfterTwo(), 'the command', None)
  finished = sorted(folder.glob('*/*/*/summary.json'))
  assert len(finished) == 2
  before = [path.stat().st_mtime_ns for path in finished]
  assert sweep.run_jobs(jobs(), Never(), 'the command', None) == []
  assert [path.stat().st_mtime_ns for path in finished] == before
  return folder


def folders(swept):
  return sorted(str(path.parent) for path in swept.glob('*/*/*/summary.json'))


def test_runs(swept):
  found = {(run.objective, run.seed) for run in read_all(folders(swept))}
  assert found == {(o, seed) for o in ('global', 'multiscale') for seed in (0, 3)}
  summary = json.loads((swept / 'digits_50/multiscale/seed_3/summary.json').read_text())
  assert summary['command'] == 'the command'
  assert summary['config']['network']['width'] == 2


def test_a_finished_run_of_another_configuration_is_not_passed_off_as_this_one(swept):
  changes = {**CHANGES, 'num_epochs': 3}
  jobs = sweep.make_jobs(['digits_50/global'], [0], changes, str(swept), vectorized=False)
  with pytest.raises(UserError, match=r'another configuration: num_epochs was 2, now 3'):
    sweep.run_jobs(jobs, Never(), '', None)


def test_vectorized(tmp_path):
  jobs = sweep.make_jobs(['digits_50/entropy'], [1, 2], CHANGES, str(tmp_path), vectorized=True)
  assert sweep.run_jobs(jobs, Never(), '', None) == []
  runs = read_all([str(tmp_path / 'digits_50/entropy/seeds_1-2')])
  assert [one.seed for one in runs] == [1, 2]
  with pytest.raises(UserError, match='successive'):
    sweep.make_jobs(['digits_50/entropy'], [1, 3], CHANGES, str(tmp_path), vectorized=True)


def test_learning_rate_is_selected(tmp_path):
  jobs = sweep.make_jobs(['digits_50/supervised'], [0, 1], CHANGES, str(tmp_path), False)
  assert sweep.run_jobs(jobs, Never(), '', 1) == []
  chosen = json.loads(
    (tmp_path / 'digits_50/supervised/learning_rate/learning_rate.json').read_text()
  )
  for seed in (0, 1):
    path = tmp_path / f'digits_50/supervised/seed_{seed}/config.json'
    assert json.loads(path.read_text())['learning_rate'] == chosen['learning_rate']
  # Finished runs are not judged by their selected rate; another trial's rate serves no new run.
  assert sweep.run_jobs(jobs, Never(), '', 1) == []
  more = sweep.make_jobs(['digits_50/supervised'], [2], CHANGES, str(tmp_path), False)
  with pytest.raises(UserError, match=r'another configuration: num_epochs was 1, now 2'):
    sweep.run_jobs(more, Never(), '', 2)


def test_a_setting_that_no_rate_trains_does_not_end_the_sweep(tmp_path, monkeypatch):
  monkeypatch.setattr(sweep.select_learning_rate, 'RATES', (1e6,))
  names = ['digits_50/global', 'digits_50/multiscale']
  jobs = sweep.make_jobs(names, [0], {**CHANGES, 'num_epochs': 1}, str(tmp_path), False)
  failed = sweep.run_jobs(jobs, Never(), '', 1)
  assert [job.name for job, _ in failed] == names
  assert all('diverged with each of' in reason for _, reason in failed)


def test_a_diverged_run_does_not_end_the_sweep(tmp_path):
  changes = {**CHANGES, 'learning_rate': 1e6}
  jobs = sweep.make_jobs(['digits_50/multiscale'], [0, 1], changes, str(tmp_path), False)
  failed = sweep.run_jobs(jobs, Never(), '', None)
  assert len(failed) == 2 and all('diverged' in reason for _, reason in failed)


@pytest.mark.parametrize(('text', 'seeds'), [('0', [0]), ('0-2', [0, 1, 2]), ('5,1-2', [5, 1, 2])])
def test_seeds(text, seeds):
  assert sweep.parse_seeds(text) == seeds


@pytest.mark.parametrize('text', ['', 'a', '3-1', '1,,2', '-1'])
def test_wrong_seeds(text):
  with pytest.raises(UserError, match='--seeds'):
    sweep.parse_seeds(text)


def test_changes():
  pairs = ['num_epochs=2', 'network.activation=sigmoid', 'learning_rate=1e-3']
  assert sweep.parse_changes(pairs) == {
    'num_epochs': 2, 'network.activation': 'sigmoid', 'learning_rate': 0.001
  }
  for wrong in ('num_epochs', 'epochs=2', 'seed=5', 'num_seeds=3'):
    with pytest.raises(UserError):
      sweep.parse_changes([wrong])


def test_settings():
  """Every own row of the paper, and each a valid configuration."""
  own = [
    (table, row, number) for table in paper.TABLES.values() for row in table.rows
    for number in table.labels if row.changes is not None
  ]
  assert len(own) == 1 + 2 * 7 + 2 * 7 == len(settings.PAPER)
  assert len({settings.of_row(*each) for each in own}) == len(own)
  for name in settings.names():
    validate(settings.config(name))
  config = settings.config('svhn_500/sigmoid_wide_resnet/multiscale')
  assert (config.data.name, config.data.num_labeled) == ('svhn_cropped', 500)
  assert (config.network.width, config.network.activation) == (64, 'sigmoid')
  with pytest.raises(UserError, match='nothing'):
    settings.matching(['nothing*'])


# The paper's tables.


def summaries(name, errors, **changes):
  """Finished runs of a setting."""
  runs = []
  for seed, error in errors.items():
    config = settings.config(name)
    config.update_from_flattened_dict({'seed': seed, **changes})
    resolved = json.loads(json.dumps(run.resolve(config).to_dict()))
    runs.append(tiny.finished(seed=seed, test_error=error, config=resolved))
  return runs


def cells(text, label):
  (line,) = [line for line in text.splitlines() if line.startswith(f'| {label}')]
  return [cell.strip() for cell in line.strip('|').split('|')][1:]


def test_our_runs_stand_beside_the_published_errors():
  runs = summaries('cifar10_8000/cnn/multiscale', {0: 18.0, 1: 20.0}, **{'data.note': 'JPEG copy'})
  runs += summaries('cifar10_8000/cnn/multiscale', {2: 99.0}, num_epochs=3)  # another training
  runs += summaries('cifar10_4000/cnn/global', {0: 25.5}, learning_rate=0.0002)
  text = paper_tables.markdown(3, runs)
  assert cells(text, 'CNN, multiscale') == [
    '22.63 ± 0.44', 'not measured', '17.92 ± 0.3', '19.00 ± 1.41 (2 seeds; JPEG copy)'
  ]
  original = summaries('cifar10_8000/cnn/multiscale', {0: 17.0})
  assert cells(paper_tables.markdown(3, [*runs, *original]), 'CNN, multiscale')[3] == (
    '17.00 (1 seed)'
  )
  assert cells(text, 'CNN, global') == ['25.19', '25.50 (1 seed)', '19.96', 'not measured']
  assert cells(text, 'Pi model') == ['16.55 ± 0.29', '', '-', '']
  lines = list(csv.DictReader(paper_tables.comma_separated(3, runs).splitlines()))
  (line,) = [x for x in lines if (x['row'], x['labels']) == ('CNN, multiscale', '8000')]
  assert (line['published_mean'], line['published_std']) == ('17.92', '0.3')
  assert (float(line['ours_mean']), line['seeds'], line['data_note']) == (19, '2', 'JPEG copy')


def test_settings_of_one_row_are_not_pooled():
  """By hand: 18 and 20 at one learning rate, 30 at another; of a seed, the first run counts."""
  name = 'cifar10_8000/cnn/multiscale'
  runs = summaries(name, {0: 18.0}) + summaries(name, {0: 30.0}, learning_rate=0.01)
  runs += summaries(name, {0: 99.0}, log_every_steps=7) + summaries(name, {1: 20.0})
  assert cells(paper_tables.markdown(3, runs), 'CNN, multiscale')[3] == (
    '19.00 ± 1.41 (2 seeds; learning_rate=0.002); 30.00 (1 seed; learning_rate=0.01)'
  )
  lines = csv.DictReader(paper_tables.comma_separated(3, runs).splitlines())
  ours = [
    (float(line['ours_mean']), line['ours_std'], line['seeds'], line['learning_rate'])
    for line in lines if (line['row'], line['labels']) == ('CNN, multiscale', '8000')
  ]
  assert ours == [(19, '1.4142', '2', '0.002'), (30, '', '1', '0.01')]
  # Two copies of the data are two settings, too.
  copies = [
    run for note in ('JPEG copy', 'PNG copy')
    for run in summaries(name, {0: len(note)}, **{'data.note': note})
  ]
  assert cells(paper_tables.markdown(3, copies), 'CNN, multiscale')[3] == (
    '9.00 (1 seed; JPEG copy); 8.00 (1 seed; PNG copy)'
  )
  # The tables of runs tell the same settings apart.
  assert len(grouping.by_setting(runs)) == 2


def test_published_numbers():
  """The reference's, misprints corrected: a few by hand."""
  found = {(t, r.label): r.published for t, table in paper.TABLES.items() for r in table.rows}
  assert found[1, 'Improved GAN'][50].mean == pytest.approx(100 - 97.79)
  assert found[2, 'Triple GAN'][1000].mean == pytest.approx(100 - 94.23)
  assert found[2, 'Bad GAN'][1000].mean == pytest.approx(100 - 95.75)
  assert found[2, 'Pi model'][500].mean == pytest.approx(100 - 92.95)
  assert found[2, 'Pi model'][1000].mean == pytest.approx(100 - 94.57)
  assert found[3, 'Triple GAN'][4000].mean == pytest.approx(100 - 83.01)
  assert found[3, 'Bad GAN'][4000].mean == pytest.approx(100 - 85.59)
  assert found[3, 'Pi model'][4000].mean == pytest.approx(100 - 83.45)
  assert found[3, 'Sigmoid CNN, multiscale'][8000] == (16.45, 0.23)


# Figures.


def test_figures(swept, tmp_path):
  paths = figures.draw(folders(swept), str(tmp_path))
  names = [re.sub(r'.*/', '', path) for path in paths]
  assert sum(name.endswith('_curves.png') for name in names) == 4
  assert sum(name.endswith('_reconstructions.png') for name in names) == 4
  assert sum(name.endswith('_against_global.png') for name in names) == 2
  assert len(set(names)) == 10
  for path in paths:
    pixels = matplotlib.image.imread(path)[..., :3]
    assert pixels.shape[1] > 600
    assert np.mean(np.any(pixels != 1, -1)) > 0.01  # something is drawn


def test_reconstructions_are_those_of_the_trained_network(swept):
  """Their mean error is near the training's last record, for an inverse through the batch."""
  (folder,) = [f for f in folders(swept) if f.endswith('global/seed_0')]
  (summary,) = read_all([folder])
  images, found, errors, names, predicted = figures.reconstruct(folder, summary, 500)
  assert images.shape == found.shape == (500, 8, 8, 1)
  # The test set is the digits' last 500 in a fixed order: see the data set's tests.
  digits = load_digits()
  labels = digits.target[np.random.RandomState(0).permutation(1797)[1297:]]
  assert names == list(map(str, labels))
  wrong = np.mean([one != other for one, other in zip(names, predicted)])
  assert 100 * wrong == pytest.approx(summary.test_error)
  np.testing.assert_allclose(errors, np.mean((images - found) ** 2, (1, 2, 3)), rtol=1e-5)
  assert np.mean(errors) == pytest.approx(summary.train['train/reconstruction/0'], rel=0.3)

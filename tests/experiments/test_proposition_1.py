"""The study of Proposition 1: its settings, its measurement, its files, its tables."""

import json
import pathlib

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import proposition_1, sweep
from experiments.reporting import proposition_1_report
from experiments.reporting.results import read_runs
from experiments.studies import settings
from multiscale_inversion import objectives
from multiscale_inversion.data import normalize
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import loop as run
from multiscale_inversion.runs.folder import RunFolder
from tests import tiny

CHANGES = {'network.width': 2, 'batch_size': 620, 'num_epochs': 1}
NAME = 'digits_50_proposition_1/{}/1_blocks/{}'
SEEDS = '0,3'


def test_settings():
  """Both objectives, three depths, six kinds of images; by the paper's protocol."""
  names = settings.matching(['digits_50_proposition_1/*'])
  assert len(names) == 2 * 3 * 6
  config = settings.config('digits_50_proposition_1/global/4_blocks/gaussian_0.25')
  paper = settings.config('digits_50_paper/global')
  paper.network.blocks_per_group, paper.num_epochs = 4, 12
  paper.data.corruption, paper.data.corruption_level = 'gaussian', 0.25
  assert config == paper


def test_jobs():
  jobs = proposition_1.make_jobs([], None, {}, None, quick=False)
  assert [job.config.seed for job in jobs] == [0] * 36 + [1] * 36
  assert {job.config.num_epochs for job in jobs} == {12}
  assert jobs[0].folder.startswith('runs/proposition_1/digits_50_proposition_1/multiscale/')
  few = proposition_1.make_jobs([], None, {'num_epochs': 1}, 'there', quick=True)
  assert 0 < len(few) < 36 and {job.config.num_epochs for job in few} == {1}
  with pytest.raises(UserError, match='nothing'):
    proposition_1.make_jobs(['nothing'], None, {}, None, quick=False)


@pytest.fixture(scope='module')
def studied(one_block, tmp_path_factory):
  """The jobs of a tiny study, run and measured, and its result file."""
  folder = tmp_path_factory.mktemp('study')
  patterns = [NAME.format('*', 'gaussian_1'), NAME.format('multiscale', 'none')]
  jobs = proposition_1.make_jobs(patterns, SEEDS, CHANGES, str(folder), quick=False)
  out = folder / 'results' / 'proposition_1.json'
  for job in jobs[:-1]:
    run.train_and_evaluate(job.config, job.folder, command=f'program --workdir={folder}')
    assert proposition_1.record(job.folder)
    assert not proposition_1.record(job.folder)
  proposition_1.write(jobs, str(out))
  return jobs, out


def test_the_file_holds_what_is_finished(studied):
  jobs, out = studied
  assert len(jobs) == 6
  runs = json.loads(out.read_text())
  assert [(r['seed'], r['objective'], r['config']['data']['corruption']) for r in runs] == [
      (0, 'multiscale', 'none'),
      (0, 'multiscale', 'gaussian'),
      (0, 'global', 'gaussian'),
      (3, 'multiscale', 'none'),
      (3, 'multiscale', 'gaussian'),
  ]
  assert runs == [one.to_json() for one in read_runs(str(out))]
  assert str(out.parents[1]) not in out.read_text()
  for each in runs:
    measured = each['proposition_1']
    assert measured['num_layers'] == 2
    for stage in ('initial', 'trained'):
      assert sum(measured[stage]['shares']) == pytest.approx(1)
    assert measured['initial'] != measured['trained']
  # Initially, seeds and images count, and not the objective that trains.
  assert runs[1]['proposition_1']['initial'] == runs[2]['proposition_1']['initial']
  assert runs[0]['proposition_1']['initial'] != runs[1]['proposition_1']['initial']


def test_a_study_that_has_nothing_yet_leaves_the_file(studied, tmp_path):
  jobs, _ = studied
  out = tmp_path / 'results.json'
  out.write_text('[1]')
  proposition_1.write([job._replace(folder=str(tmp_path / 'none')) for job in jobs], str(out))
  assert out.read_text() == '[1]'


def test_the_measurement(studied):
  """The gradients of the objectives themselves, on the first batches that training saw."""
  (_, job, *_), out = studied
  measured = json.loads(out.read_text())[1]['proposition_1']['trained']
  summary = json.loads(pathlib.Path(job.folder, 'summary.json').read_text())
  setup, state = proposition_1.restore(job.folder, RunFolder(job.folder).summary())
  assert int(state.step) == summary['num_steps'] == 4
  data, keys = setup.train_data, setup.keys

  def norm(name, images, labels, mask, dropout):
    objective = objectives.create(name)

    def loss(params):
      inversion = setup.training_step.inversion(params, state.batch_stats, images, dropout)
      return jnp.mean(objective(inversion, labels, mask))

    gradient = jax.jit(jax.grad(loss))(state.params)
    return np.linalg.norm(np.concatenate([g.ravel() for g in jax.tree.leaves(gradient)]))

  norms = {'multiscale': [], 'global': [], 'entropy': []}
  for step in range(4):
    labeled, unlabeled = setup.sampler.batch(keys.sampling, step)
    positions = np.concatenate([data.labeled[labeled], data.unlabeled[unlabeled]])
    images = normalize(jnp.asarray(setup.dataset.train_images[positions]))
    mask = np.concatenate([np.ones(310), np.zeros(310)])
    labels = np.where(mask, setup.dataset.train_labels[positions], -1)
    dropout = jax.random.fold_in(keys.dropout, step)
    for name, found in norms.items():
      found.append(norm(name, images, jnp.asarray(labels), jnp.asarray(mask), dropout))
  for name, key in (('multiscale',) * 2, ('global',) * 2, ('entropy', 'predictions')):
    assert measured[key] == pytest.approx(np.mean(norms[name]), rel=1e-3)


def test_the_program(studied, tmp_path, monkeypatch, capsys):
  """It goes on with what is left, and draws, and renews the tables."""
  jobs, _ = studied
  flags.FLAGS.mark_as_parsed()
  folder = jobs[0].folder.removesuffix(NAME.format('multiscale', 'none') + '/seed_0')
  out, document = tmp_path / 'results.json', tmp_path / 'results.md'
  document.write_text(
      'Before.\n<!-- proposition 1: results.json -->\n<!-- end of proposition 1 -->\nAfter.\n'
  )
  monkeypatch.setattr(proposition_1, '_SEEDS', SEEDS)
  monkeypatch.setattr(sweep.StopRequest, '__init__', lambda self: None)
  monkeypatch.setattr(sweep.StopRequest, 'requested', lambda self, step: False)
  given = {
      'out': str(out),
      'update': str(document),
      'workdir': folder,
      'settings': [NAME.format('*', 'gaussian_1'), NAME.format('multiscale', 'none')],
      'set': [f'{key}={value}' for key, value in CHANGES.items()],
  }
  with flagsaver.flagsaver(**given):
    flags.FLAGS['config'].present = 0  # a test before this one may have given it
    assert proposition_1.main(['program']) == 0
  said = capsys.readouterr()
  assert said.err.count('finished before') == 5
  assert len(json.loads(out.read_text())) == 6
  assert matplotlib.image.imread(tmp_path / 'results.png').ndim == 3
  table = document.read_text()
  assert table.startswith('Before.\n') and table.endswith('-->\nAfter.\n')
  assert table.count('| gaussian 1 | 2 | 0.500 |') == 1


# Tables of results made by hand.


def result(objective, corruption, level, depth, seed, error, share):
  """A run whose layer 0 has the share given when trained, and twice as much before."""
  measured = {'shares': [share], 'input_in_multiscale': 0.25, 'input_in_global': 0.75}
  measured |= {'norms': [1.0], 'predictions': 1.0, 'multiscale': 1.0, 'global': 1.0}
  run = tiny.summary(
      objective=objective, seed=seed, test_error=error, num_epochs=12.0, command='the command'
  )
  run['config']['data'] = {'corruption': corruption, 'corruption_level': level}
  stages = {'initial': measured | {'shares': [2 * share]}, 'trained': measured}
  return run | {'proposition_1': {'num_layers': depth, **stages}}


def test_tables(tmp_path):
  runs = []
  for depth in (4, 8):
    for seed in (0, 1):
      runs.append(result('multiscale', 'none', 0.0, depth, seed, 10 + 2 * seed, 1 / depth))
      runs.append(result('multiscale', 'gaussian', 0.5, depth, seed, 20, 0.1))
    runs.append(result('global', 'none', 0.0, depth, 0, 15, 0.3))
  path = tmp_path / 'results.json'
  path.write_text(json.dumps(runs))
  lines = proposition_1_report.render(str(path)).splitlines()
  assert lines[2:6] == [
      '| none | 4 | 0.250 | 0.500 | 0.250 | 0.250 | 0.750 | 11.00 ± 1.41 | 15.00 |',
      '| none | 8 | 0.125 | 0.250 | 0.125 | 0.250 | 0.750 | 11.00 ± 1.41 | 15.00 |',
      '| gaussian 0.5 | 4 | 0.250 | 0.200 | 0.100 | 0.250 | - | 20.00 ± 0.00 | - |',
      '| gaussian 0.5 | 8 | 0.125 | 0.200 | 0.100 | 0.250 | - | 20.00 ± 0.00 | - |',
  ]
  assert '| none | -1.00 | -1.00 |' in lines
  assert [line for line in lines if line.startswith('| gaussian 0.5 | ')][-1].replace('-', '') == (
      '| gaussian 0.5 | 0.00 | 0.00 |'
  )
  assert lines[-1] == 'Epochs: 12; seeds: 0, 1; `the command`'


def test_no_results_yet(tmp_path):
  text = proposition_1_report.render(str(tmp_path / 'none.json'))
  assert text.startswith('Not measured yet: `python -m experiments.proposition_1')

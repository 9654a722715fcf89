"""A run: resumed, regrouped, killed, finished, diverged, and what it leaves in its folder."""

import json
import math
import pathlib
import re
import runpy
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from multiscale_inversion import execution, training
from multiscale_inversion.checkpoints import Checkpoints
from multiscale_inversion.errors import UserError
from multiscale_inversion.runs import build as setup
from multiscale_inversion.runs import loop as run
from multiscale_inversion.runs import pace
from tests import tiny

# 1,247 unlabeled images, 310 a batch: 4 steps an epoch.
NUM_STEPS = 10
RECORDS = [3, 4, 7, 8, 10]  # each third step of an epoch, each epoch's last, and the last of all
EVALUATED = [4, 8, 10]
NUM_LAYERS = 2
CONVEX = {'objective.name': 'convex', 'objective.alpha': 0.7, 'objective.beta': 0.2}


pytestmark = pytest.mark.usefixtures('one_block')


def make_config(**changes):
  return tiny.config(**{'num_steps': NUM_STEPS, **changes})


def stop_at(step):
  return lambda done: done >= step


class Killed(Exception):
  pass


def kill_at(step):
  def should_stop(done):
    if done >= step:
      raise Killed
    return False

  return should_stop


def group_by(monkeypatch, size):
  monkeypatch.setattr(pace.Pace, 'next_count', lambda self, remaining: min(size, remaining))


def as_json(value):
  return json.loads(json.dumps(value))


def without_time(summary):
  assert summary['wall_time_s'] > 0
  return as_json({key: value for key, value in summary.items() if key != 'wall_time_s'})


def metrics_lines(workdir):
  return (workdir / 'metrics.jsonl').read_text().splitlines()


def records_of(workdir):
  return [json.loads(line) for line in metrics_lines(workdir)]


def initial_progress(config):
  built = setup.build(config)
  return built.initial_loop_state()


def checkpoint(workdir, like):
  found = Checkpoints(str(workdir / 'checkpoints')).restore(like)
  return found.tree, found.notes


def latest_step(workdir):
  return next(iter(Checkpoints(str(workdir / 'checkpoints')).steps()), None)


def differing(a, b):
  """The paths of the leaves that differ in any bit that counts."""
  a, b = jax.tree_util.tree_leaves_with_path(a), jax.tree_util.tree_leaves_with_path(b)
  assert [path for path, _ in a] == [path for path, _ in b]
  return [
    jax.tree_util.keystr(path) for (path, x), (_, y) in zip(a, b)
    if x.dtype != y.dtype or not np.array_equal(x, y)
  ]


class Watched:
  """A compiled function, and the last argument of each of its calls."""

  def __init__(self, function):
    self.function = function
    self.last_arguments = []

  def __call__(self, *arguments):
    self.last_arguments.append(arguments[-1])
    return self.function(*arguments)

  def compilations(self):
    return self.function._cache_size()


def watch(monkeypatch, name):
  """Watches the compiled functions of this name, and returns the list of them."""
  compile_, made = execution.Execution.compile, []

  def compile_watched(self, function, *arguments, **options):
    compiled = compile_(self, function, *arguments, **options)
    if function.__name__ != name:
      return compiled
    made.append(Watched(compiled))
    return made[-1]

  monkeypatch.setattr(execution.Execution, 'compile', compile_watched)
  return made


@pytest.fixture(scope='module')
def start():
  """The training before its first step."""
  return jax.device_get(initial_progress(make_config()))


@pytest.fixture(scope='module')
def whole(tmp_path_factory, start):
  """A run without interruption, its dispatches of the size that its own pace gives them."""
  workdir = tmp_path_factory.mktemp('whole')
  summary = run.train_and_evaluate(make_config(), str(workdir), command='the command').to_json()
  progress, notes = checkpoint(workdir, start)
  return {'workdir': workdir, 'summary': as_json(summary), 'progress': progress, 'notes': notes}


@pytest.fixture(scope='module')
def interrupted(tmp_path_factory):
  """The folder of a run stopped at step 5: no end of an epoch, and without a record."""
  workdir = tmp_path_factory.mktemp('interrupted')
  with pytest.MonkeyPatch.context() as patch:
    group_by(patch, 1)
    with pytest.raises(run.Interrupted, match=f'interrupted at step 5 of {NUM_STEPS}'):
      run.train_and_evaluate(make_config(), str(workdir), stop_at(5))
  return workdir


def check_same_run(workdir, whole, start):
  assert metrics_lines(workdir) == metrics_lines(whole['workdir'])
  progress, notes = checkpoint(workdir, start)
  assert differing(progress, whole['progress']) == []
  assert notes['test_errors'] == whole['notes']['test_errors']


# What a run writes.


def test_records(whole):
  records = records_of(whole['workdir'])
  assert [record['step'] for record in records] == RECORDS
  assert [record['epoch'] for record in records] == [0.75, 1, 1.75, 2, 2.5]
  names = {'loss', 'cross_entropy', 'entropy', 'reconstruction', 'learning_rate'}
  names |= {f'reconstruction/{layer}' for layer in range(NUM_LAYERS)}
  for record in records:
    assert {name for name in record if name.startswith('train/')} == {f'train/{n}' for n in names}
    assert all(math.isfinite(value) for value in record.values())
    layers = [record[f'train/reconstruction/{layer}'] for layer in range(NUM_LAYERS)]
    assert record['train/reconstruction'] == pytest.approx(np.mean(layers), rel=1e-5)
  assert [record['step'] for record in records if 'test/error' in record] == EVALUATED


def test_single_steps(whole, start, tmp_path, monkeypatch):
  """A record holds the means since the one before; how steps are grouped changes no bit."""
  group_by(monkeypatch, 1)
  run.train_and_evaluate(make_config(log_every_steps=1), str(tmp_path))
  single = {record['step']: record for record in records_of(tmp_path)}
  assert sorted(single) == list(range(1, NUM_STEPS + 1))
  first = 1
  for record in records_of(whole['workdir']):
    for name in ('train/loss', 'train/cross_entropy', 'train/entropy', 'train/reconstruction/0'):
      values = [single[step][name] for step in range(first, record['step'] + 1)]
      assert record[name] == pytest.approx(np.mean(values), rel=1e-5), (record['step'], name)
    if 'test/error' in record:
      assert record['test/error'] == single[record['step']]['test/error']
    first = record['step'] + 1
  assert differing(checkpoint(tmp_path, start)[0], whole['progress']) == []


def test_training_changes_everything(whole, start):
  """Without this, that two runs agree would say nothing."""
  assert whole['progress'].state.step == NUM_STEPS
  paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(start.state)]
  assert differing(start.state, whole['progress'].state) == list(map(jax.tree_util.keystr, paths))


def test_summary(whole):
  summary, config = whole['summary'], make_config()
  last = records_of(whole['workdir'])[-1]
  assert summary == json.loads((whole['workdir'] / 'summary.json').read_text())
  assert summary['test_error'] == last['test/error']
  assert round(summary['test_error'] * 5, 6) % 1 == 0  # a number of 500 images, in percent
  assert summary['num_steps'] == NUM_STEPS and summary['num_epochs'] == 2.5
  assert summary['seed'] == 0 and summary['num_labeled'] == 50
  assert (summary['dataset'], summary['network'], summary['objective']) == (
    'digits', 'resnet', 'multiscale'
  )
  assert summary['command'] == 'the command'
  assert summary['config']['batch_size'] == config.batch_size
  assert summary['config']['network']['dropout_rate'] == 0.2  # the default, filled in
  assert summary['config'] == json.loads((whole['workdir'] / 'config.json').read_text())
  assert summary['train']['train/loss'] == pytest.approx(last['train/loss'], abs=1e-6)
  assert summary['versions']['jax'] == jax.__version__
  assert summary['hardware']['num_devices'] == jax.device_count()


def test_summary_counts_the_parameters(whole):
  count = 9 * 2 + 2 * 2 + 1 * 2 + (2 * 10 + 10)  # 3x3, norm, shortcut, classifier
  leaves = jax.tree.leaves(whole['progress'].state.params)
  assert sum(leaf.size for leaf in leaves) == count
  assert whole['summary']['num_parameters'] == count


def test_summary_has_the_error_of_the_trained_parameters(whole):
  config = make_config()
  built = setup.build(config)
  images, labels = built.dataset.test_images, built.dataset.test_labels
  x = images.astype(np.float64)
  x = x - x.mean((1, 2, 3), keepdims=True)
  x = x / np.abs(x).max((1, 2, 3), keepdims=True)
  logits = built.training_step.network.apply(
    whole['progress'].state.variables(), x.astype(np.float32), train=False
  )[-1]
  wrong = int(np.sum(np.argmax(logits, -1) != labels))
  assert whole['summary']['test_error'] == pytest.approx(100 * wrong / len(labels))


def test_tensorboard_events_are_written(whole):
  (events,) = whole['workdir'].glob('events.out.tfevents.*')
  assert b'train/reconstruction/1' in events.read_bytes()


# Resumed, regrouped, killed: the same bit for bit.


def test_interrupted_run(interrupted):
  assert latest_step(interrupted) == 5
  assert not (interrupted / 'summary.json').exists()
  assert [record['step'] for record in records_of(interrupted)] == [3, 4]


def test_resumed_is_uninterrupted(interrupted, whole, start, tmp_path, monkeypatch, capsys):
  workdir = shutil.copytree(interrupted, tmp_path / 'run')
  _, notes = checkpoint(workdir, start)
  loops = watch(monkeypatch, '_steps')
  group_by(monkeypatch, 100)
  summary = run.train_and_evaluate(make_config(), str(workdir), command='the command').to_json()
  check_same_run(workdir, whole, start)
  assert without_time(summary) == without_time(whole['summary'])
  assert summary['wall_time_s'] > round(notes['wall_time_s'], 2)  # the time before counts
  assert '\nresuming at step 5 of 10\n' in capsys.readouterr().err
  (loop,) = loops
  assert loop.last_arguments == [2, 1, 2]
  assert loop.compilations() == 1


def test_resumed_twice_is_uninterrupted(interrupted, whole, start, tmp_path, monkeypatch):
  workdir = shutil.copytree(interrupted, tmp_path / 'run')
  group_by(monkeypatch, 1)
  with pytest.raises(run.Interrupted, match='step 6'):
    run.train_and_evaluate(make_config(), str(workdir), stop_at(6))
  assert latest_step(workdir) == 6
  run.train_and_evaluate(make_config(), str(workdir))
  check_same_run(workdir, whole, start)


def test_largest_groups_and_one_compilation(whole, start, tmp_path, monkeypatch):
  group_by(monkeypatch, 100)
  loops = watch(monkeypatch, '_steps')
  evaluations = watch(monkeypatch, 'evaluate')
  run.train_and_evaluate(make_config(), str(tmp_path))
  check_same_run(tmp_path, whole, start)
  (loop,), (evaluate,) = loops, evaluations
  assert loop.last_arguments == [3, 1, 3, 1, 2]
  assert len(evaluate.last_arguments) == len(EVALUATED)
  assert loop.compilations() == 1
  assert evaluate.compilations() == 1


def test_killed_after_the_last_checkpoint(interrupted, whole, start, tmp_path, monkeypatch):
  workdir = shutil.copytree(interrupted, tmp_path / 'run')
  group_by(monkeypatch, 1)
  with pytest.raises(Killed):
    run.train_and_evaluate(make_config(), str(workdir), kill_at(9))
  assert latest_step(workdir) == 5
  assert [record['step'] for record in records_of(workdir)] == [3, 4, 7, 8]
  with open(workdir / 'metrics.jsonl', 'a') as file:
    file.write('{"step": 9, "epo')  # cut off while it was written
  run.train_and_evaluate(make_config(), str(workdir))
  check_same_run(workdir, whole, start)


def test_killed_between_checkpoints_in_time(whole, start, tmp_path, monkeypatch):
  group_by(monkeypatch, 1)
  every_dispatch = make_config(checkpoint_every_seconds=0.0)
  with pytest.raises(Killed):
    run.train_and_evaluate(every_dispatch, str(tmp_path), kill_at(7))
  assert latest_step(tmp_path) == 6
  kept = {path.name for path in (tmp_path / 'checkpoints').iterdir() if path.name.isdigit()}
  assert kept == {'5', '6'}
  run.train_and_evaluate(make_config(), str(tmp_path))
  check_same_run(tmp_path, whole, start)


def test_killed_before_the_summary(whole, tmp_path):
  workdir = shutil.copytree(whole['workdir'], tmp_path / 'run')
  (workdir / 'summary.json').unlink()
  summary = run.train_and_evaluate(make_config(), str(workdir), command='the command').to_json()
  assert without_time(summary) == without_time(whole['summary'])


# The folder of a run.


def no_training(monkeypatch):
  def fail(*unused):
    raise AssertionError('trains')

  monkeypatch.setattr(training, 'ResidentLoop', fail)


def files(workdir):
  paths = [path for path in pathlib.Path(workdir).rglob('*') if path.is_file()]
  return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def test_finished_run_is_not_trained_again(whole, monkeypatch):
  no_training(monkeypatch)
  before = files(whole['workdir'])
  assert run.train_and_evaluate(make_config(), str(whole['workdir'])).to_json() == whole['summary']
  assert files(whole['workdir']) == before


def test_no_training_would_be_noticed(tmp_path, monkeypatch):
  no_training(monkeypatch)
  with pytest.raises(AssertionError, match='trains'):
    run.train_and_evaluate(make_config(), str(tmp_path))


def test_changed_configuration_is_refused(whole, monkeypatch):
  no_training(monkeypatch)
  before = files(whole['workdir'])
  changes = {
    'seed': 3, 'learning_rate': 0.01, 'network.width': 5, 'objective.name': 'global',
    'decay_epochs': (100, 200), 'data.num_labeled': 60,
  }
  with pytest.raises(UserError) as error:
    run.train_and_evaluate(make_config(**changes), str(whole['workdir']))
  text = str(error.value)
  assert '\n' not in text
  assert text.startswith(f'{whole["workdir"]} holds a run of another configuration: ')
  found = re.findall(r'(\S+) was (.+?), now (.+?);', text)
  assert found == [
    ('data.num_labeled', '50', '60'),
    ('decay_epochs', '[150, 300]', '[100, 200]'),
    ('learning_rate', '0.002', '0.01'),
    ('network.width', '2', '5'),
    ('objective.form', "'output'", 'None'),
    ('objective.name', "'multiscale'", "'global'"),
    ('objective.stop_target', 'False', 'None'),
    ('seed', '0', '3'),
  ]
  assert '--workdir' in text
  assert files(whole['workdir']) == before


def test_a_folder_is_free_until_there_is_a_checkpoint(tmp_path):
  """A run that has failed before left nothing to go on with: the corrected one takes its place."""
  workdir = str(tmp_path)
  for failing in (
    {'objective.name': 'function', 'objective.function': lambda *a: jnp.ones(3)},  # while compiling
    {'learning_rate': 1e6},  # diverges, after a record
  ):
    with pytest.raises((UserError, run.Diverged)):
      run.train_and_evaluate(make_config(**failing), workdir)
    assert (tmp_path / 'config.json').exists()
  with pytest.raises(run.Interrupted):
    run.train_and_evaluate(make_config(seed=3), workdir, stop_at(1))
  assert json.loads((tmp_path / 'config.json').read_text())['seed'] == 3
  assert json.loads((tmp_path / 'config.json').read_text())['learning_rate'] == 0.002
  with pytest.raises(UserError, match='holds a run of another configuration: seed was 3, now 0'):
    run.train_and_evaluate(make_config(), workdir)


def test_a_folder_is_one_runs_at_a_time(tmp_path):
  """Another is refused while the first goes on, before any checkpoint as well."""
  seen = []

  def other(step):
    for config in (make_config(seed=3), make_config()):
      with pytest.raises(UserError, match='another run is under way in it; allowed: another --wo'):
        run.train_and_evaluate(config, str(tmp_path))
    seen.append(step)
    return True

  with pytest.raises(run.Interrupted):
    run.train_and_evaluate(make_config(), str(tmp_path), other)
  assert seen
  assert json.loads((tmp_path / 'config.json').read_text())['seed'] == 0
  with pytest.raises(run.Interrupted):  # free again
    run.train_and_evaluate(make_config(), str(tmp_path), lambda step: step > seen[0])


def test_a_summary_has_the_loss_as_it_was_at_the_start(tmp_path):
  path = tmp_path / 'mine.py'
  path.write_text('def loss(inversion, labels, mask):\n  return 1.0 * mask\n')
  config = make_config(num_steps=2)
  config.objective.name, config.objective.function = 'function', runpy.run_path(str(path))['loss']
  config.objective.stop_target = None

  def edit(step):
    path.write_text('# A line more.\n' + path.read_text())
    return False

  summary = run.train_and_evaluate(config, str(tmp_path / 'run'), edit).to_json()
  recorded = json.loads((tmp_path / 'run' / 'config.json').read_text())
  assert summary['config']['objective'] == recorded['objective']
  assert path.read_text().startswith('# A line more.')


@pytest.mark.parametrize('changes', [
  {'data.data_dir': 'elsewhere'},
  {'checkpoint_every_seconds': 1.0},
  {'data.placement': 'host'},
  {'num_devices': 1},
  {'network.pooling': 'mean', 'network.dropout_rate': 0.2},  # their defaults, spelled out
], ids=str)
def test_what_may_change(changes, whole, monkeypatch):
  no_training(monkeypatch)
  config = make_config(**changes)
  assert run.train_and_evaluate(config, str(whole['workdir'])).to_json() == whole['summary']


def test_configuration_is_left_as_it_was(tmp_path, monkeypatch):
  no_training(monkeypatch)
  config = make_config()
  with pytest.raises(AssertionError, match='trains'):
    run.train_and_evaluate(config, str(tmp_path))
  assert config.to_dict() == make_config().to_dict()


# Objectives, divergence, seeds.


@pytest.mark.parametrize('changes', [
  {'objective.name': 'supervised'}, {'objective.name': 'entropy'}, {'objective.name': 'global'},
  CONVEX,
], ids=lambda changes: changes['objective.name'])
def test_objectives(changes, tmp_path):
  """Multiscale is the other tests'."""
  summary = run.train_and_evaluate(make_config(num_steps=2, **changes), str(tmp_path)).to_json()
  (record,) = records_of(tmp_path)
  assert summary['objective'] == changes['objective.name'] and record['step'] == 2
  names = {'train/loss', 'train/cross_entropy', 'train/entropy', 'train/reconstruction'}
  names |= {f'train/reconstruction/{layer}' for layer in range(NUM_LAYERS)}
  names |= {'step', 'epoch', 'train/learning_rate'}
  names |= {'test/error', 'test/balanced_error', 'test/cross_entropy'}
  assert set(record) == names
  assert all(math.isfinite(value) for value in record.values())
  layers = [record[f'train/reconstruction/{layer}'] for layer in range(NUM_LAYERS)]
  assert min(layers) > 0
  assert record['train/reconstruction'] == pytest.approx(np.mean(layers), rel=1e-5)
  # Half of a batch is labeled; with `batch`, the mean over all observations counts it half.
  ce, entropy = record['train/cross_entropy'] / 2, record['train/entropy'] / 2
  nats, gamma = math.log(10), record['train/reconstruction/0']
  expected = {
    'supervised': ce / nats,
    'entropy': (ce + entropy) / nats,
    'global': (ce + entropy) / nats + gamma,
    'convex': 0.7 * ce + 0.3 * 0.2 * entropy + 0.3 * 0.8 * 64 * gamma,
  }
  assert record['train/loss'] == pytest.approx(expected[changes['objective.name']], rel=1e-4)


@pytest.mark.parametrize('changes', [
  {'objective.name': 'learned', 'objective.rule': 'speed'},
  {'objective.name': 'mean_teacher+multiscale'},
  {'objective.name': 'temporal_ensembling'},
  {'objective.name': 'flexmatch', 'objective.threshold': 0.12},
  {'objective.name': 'freematch+multiscale'},
  {'objective.name': 'softmatch', 'optimizer.average_decay': 0.9},
  {'objective.name': 'mixmatch+multiscale', 'optimizer.average_decay': 0.9},
], ids=lambda changes: changes['objective.name'])
def test_memories_of_objectives_are_resumed(changes, tmp_path):
  config = make_config(num_steps=3, **changes)
  like = initial_progress(config)
  assert like.state.memory
  run.train_and_evaluate(config, str(tmp_path / 'whole'))
  with pytest.raises(run.Interrupted):
    run.train_and_evaluate(config, str(tmp_path / 'parts'), stop_at(1))
  run.train_and_evaluate(config, str(tmp_path / 'parts'))
  whole, parts = (checkpoint(tmp_path / name, like)[0] for name in ('whole', 'parts'))
  assert not differing(whole, parts)
  # It has changed since the beginning, or the test would show nothing.
  assert differing(whole.state.memory, like.state.memory)


def test_diverged(tmp_path):
  config = make_config(learning_rate=1e6)
  message = r'step 3 \(seed 0\): .* learning_rate 1000000\.0;'
  with pytest.raises(run.Diverged, match=message) as error:
    run.train_and_evaluate(config, str(tmp_path))
  assert '\n' not in str(error.value)
  (record,) = records_of(tmp_path)
  assert record['step'] == 3 and record['train/loss'] is None
  assert not (tmp_path / 'summary.json').exists()
  assert latest_step(tmp_path) is None  # nothing to go on from


def test_seeds(whole, start, tmp_path):
  config = make_config(seed=1)
  for name in ('a', 'b'):
    run.train_and_evaluate(config, str(tmp_path / name))
  assert metrics_lines(tmp_path / 'a') == metrics_lines(tmp_path / 'b')
  a, b = (checkpoint(tmp_path / name, start)[0] for name in ('a', 'b'))
  assert differing(a, b) == []

  assert metrics_lines(tmp_path / 'a') != metrics_lines(whole['workdir'])
  kernels = [path for path in differing(a, whole['progress']) if '.params' in path]
  assert len(kernels) == len(jax.tree.leaves(a.state.params))
  first, second = (setup.build(make_config(seed=seed)).train_data for seed in (0, 1))
  assert not np.array_equal(first.labeled, second.labeled)
  other = jax.device_get(initial_progress(config)).state.params
  assert any("['conv']" in path for path in differing(other, start.state.params))


# Batches streamed from the host.


def check_streamed(workdir, whole, start):
  """The same batches in another program: equal but for rounding."""
  for one, other in zip(records_of(workdir), records_of(whole['workdir']), strict=True):
    assert set(one) == set(other)
    assert one == pytest.approx(other, rel=1e-3, abs=1e-4)
  parameters = checkpoint(workdir, start)[0].state.params
  differences = jax.tree.map(
    lambda a, b: float(np.abs(a - b).max()), parameters, whole['progress'].state.params
  )
  assert max(jax.tree.leaves(differences)) < 1e-3


def test_streamed(whole, start, tmp_path):
  config = make_config(**{'data.placement': 'host'})
  with pytest.raises(run.Interrupted):
    run.train_and_evaluate(config, str(tmp_path), stop_at(5))
  run.train_and_evaluate(config, str(tmp_path))
  check_streamed(tmp_path, whole, start)


def test_a_run_moves_from_device_to_host(interrupted, whole, start, tmp_path):
  workdir = shutil.copytree(interrupted, tmp_path / 'run')
  run.train_and_evaluate(make_config(**{'data.placement': 'host'}), str(workdir))
  check_streamed(workdir, whole, start)


def test_streamed_diagnosis(tmp_path):
  """The last batch's reconstruction losses, where the objective does not invert."""
  found = {}
  for placement in ('device', 'host'):
    changes = {'objective.name': 'entropy', 'data.placement': placement, 'num_steps': 3}
    run.train_and_evaluate(make_config(**changes), str(tmp_path / placement))
    (found[placement],) = records_of(tmp_path / placement)
  assert found['host'] == pytest.approx(found['device'], rel=1e-3, abs=1e-4)
  assert found['host']['train/reconstruction/0'] > 0

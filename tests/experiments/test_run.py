"""A run: resumed, regrouped, killed, finished, diverged, and what it leaves in its folder."""

import json
import math
import pathlib
import re
import shutil

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from experiments import digits_50, pace, run, setup
from multiscale_inversion import evaluation, training
from multiscale_inversion.checkpoints import Checkpoints
from multiscale_inversion.errors import UserError

# 1,247 unlabeled images, 310 a batch: 4 steps an epoch.
NUM_STEPS = 10
RECORDS = [3, 4, 7, 8, 10]  # each third step of an epoch, each epoch's last, and the last of all
EVALUATED = [4, 8, 10]
NUM_LAYERS = 4
CONVEX = {'objective.name': 'convex', 'objective.alpha': 0.7, 'objective.beta': 0.2}


@pytest.fixture(scope='module', autouse=True)
def quick_compilation(tmp_path_factory):
  """Compiles with little optimization, and each program once for all tests."""
  settings = {
    'jax_disable_most_optimizations': True,
    'jax_compilation_cache_dir': str(tmp_path_factory.mktemp('compiled')),
    'jax_persistent_cache_min_compile_time_secs': 0.0,
    'jax_persistent_cache_min_entry_size_bytes': -1,
  }
  before = {name: jax.config.values[name] for name in settings}
  for name, value in settings.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()
  yield
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()


def make_config(**changes):
  config = digits_50.get_config()
  config.network.blocks_per_group = 1
  config.network.width = 2
  config.num_steps = NUM_STEPS
  config.batch_size = 620
  config.eval_batch_size = 250
  config.log_every_steps = 3
  config.checkpoint_every_seconds = 3600.0
  config.update_from_flattened_dict(changes)
  return config


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


def metrics_lines(workdir):
  return (workdir / 'metrics.jsonl').read_text().splitlines()


def records_of(workdir):
  return [json.loads(line) for line in metrics_lines(workdir)]


def initial_progress(config):
  built = setup.build(config)
  return training.start(built.trainer, built.sampler, built.initial_state(), built.train_data)


def checkpoint(workdir, like, step=NUM_STEPS):
  checkpoints = Checkpoints(str(workdir / 'checkpoints'))
  try:
    return jax.device_get(checkpoints.restore(step, like))
  finally:
    checkpoints.close()


def latest_step(workdir):
  checkpoints = Checkpoints(str(workdir / 'checkpoints'))
  try:
    return checkpoints.latest_step()
  finally:
    checkpoints.close()


def differing(a, b):
  """The paths of the leaves that differ in any bit that counts."""
  a, b = jax.tree_util.tree_leaves_with_path(a), jax.tree_util.tree_leaves_with_path(b)
  assert [path for path, _ in a] == [path for path, _ in b]
  return [
    jax.tree_util.keystr(path) for (path, x), (_, y) in zip(a, b)
    if x.dtype != y.dtype or not np.array_equal(x, y)
  ]


@pytest.fixture(scope='module')
def start():
  """The training before its first step."""
  return jax.device_get(initial_progress(make_config()))


@pytest.fixture(scope='module')
def whole(tmp_path_factory, start):
  """A run without interruption, its dispatches of the size that its own pace gives them."""
  workdir = tmp_path_factory.mktemp('whole')
  summary = run.train_and_evaluate(make_config(), str(workdir), command='the command')
  progress, notes = checkpoint(workdir, start)
  return {'workdir': workdir, 'summary': summary, 'progress': progress, 'notes': notes}


def check_same_run(workdir, whole, start):
  assert metrics_lines(workdir) == metrics_lines(whole['workdir'])
  progress, notes = checkpoint(workdir, start)
  assert differing(progress, whole['progress']) == []
  assert notes['test_error'] == whole['notes']['test_error']


# What a run writes.


def test_records(whole):
  records = records_of(whole['workdir'])
  assert [record['step'] for record in records] == RECORDS
  assert [record['epoch'] for record in records] == [0.75, 1, 1.75, 2, 2.5]
  names = {'loss', 'cross_entropy', 'entropy', 'reconstruction'}
  names |= {f'reconstruction/{layer}' for layer in range(NUM_LAYERS)}
  for record in records:
    assert {name for name in record if name.startswith('train/')} == {f'train/{n}' for n in names}
    assert all(math.isfinite(value) for value in record.values())
    layers = [record[f'train/reconstruction/{layer}'] for layer in range(NUM_LAYERS)]
    assert record['train/reconstruction'] == pytest.approx(np.mean(layers), rel=1e-5)
  assert [record['step'] for record in records if 'test/error' in record] == EVALUATED


def test_record_is_the_mean_since_the_record_before(whole, tmp_path, monkeypatch):
  group_by(monkeypatch, 1)
  config = make_config(**{'log_every_steps': 1})
  run.train_and_evaluate(config, str(tmp_path))
  single = {record['step']: record for record in records_of(tmp_path)}
  assert sorted(single) == list(range(1, NUM_STEPS + 1))
  first = 1
  for record in records_of(whole['workdir']):
    for name in ('train/loss', 'train/cross_entropy', 'train/entropy', 'train/reconstruction/0'):
      values = [single[step][name] for step in range(first, record['step'] + 1)]
      assert record[name] == pytest.approx(np.mean(values), rel=1e-5), (record['step'], name)
    first = record['step'] + 1


def test_training_changes_everything(whole, start):
  """Without this, that two runs agree would say nothing."""
  state = whole['progress'].state
  assert state.step == NUM_STEPS
  unchanged = set(jax.tree_util.tree_leaves_with_path(start.state)[0][0]) - set()
  same = [
    jax.tree_util.keystr(path)
    for (path, x), (_, y) in zip(
      jax.tree_util.tree_leaves_with_path(start.state), jax.tree_util.tree_leaves_with_path(state)
    )
    if np.array_equal(x, y)
  ]
  assert same == [], unchanged


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
  count, channels = 0, 1
  for filters in (2, 4, 8):
    count += 9 * channels * filters + 2 * filters + channels * filters  # 3x3, norm, shortcut
    channels = filters
  count += channels * 10 + 10
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
  logits = built.trainer.network.apply(
    whole['progress'].state.variables(), x.astype(np.float32), train=False
  )[-1]
  wrong = int(np.sum(np.argmax(logits, -1) != labels))
  assert whole['summary']['test_error'] == pytest.approx(100 * wrong / len(labels))


def test_tensorboard_events_are_written(whole):
  (events,) = whole['workdir'].glob('events.out.tfevents.*')
  assert b'train/reconstruction/3' in events.read_bytes()


# Resumed, regrouped, killed: the same bit for bit.


@pytest.mark.parametrize('stops', [[5], [2, 6]], ids=str)
def test_resumed_is_uninterrupted(stops, whole, start, tmp_path, monkeypatch):
  group_by(monkeypatch, 1)
  for step in stops:  # none is a multiple of the 4 steps of an epoch, nor a record's
    with pytest.raises(run.Interrupted, match=f'interrupted at step {step} of {NUM_STEPS}'):
      run.train_and_evaluate(make_config(), str(tmp_path), stop_at(step))
    assert latest_step(tmp_path) == step
    assert not (tmp_path / 'summary.json').exists()
    assert [r['step'] for r in records_of(tmp_path)] == [s for s in RECORDS if s <= step]
  _, notes = checkpoint(tmp_path, start, stops[-1])
  summary = run.train_and_evaluate(make_config(), str(tmp_path), command='the command')
  check_same_run(tmp_path, whole, start)
  assert summary['wall_time_s'] > round(notes['wall_time_s'], 2)  # the time before counts
  times = {'wall_time_s': 0}
  assert summary | times == whole['summary'] | times


@pytest.mark.parametrize('size', [1, 2, 100])
def test_grouping_of_steps_does_not_matter(size, whole, start, tmp_path, monkeypatch):
  group_by(monkeypatch, size)
  run.train_and_evaluate(make_config(), str(tmp_path))
  check_same_run(tmp_path, whole, start)


def test_killed_after_the_last_checkpoint(whole, start, tmp_path, monkeypatch):
  group_by(monkeypatch, 1)
  with pytest.raises(run.Interrupted):
    run.train_and_evaluate(make_config(), str(tmp_path), stop_at(5))
  with pytest.raises(Killed):
    run.train_and_evaluate(make_config(), str(tmp_path), kill_at(9))
  assert latest_step(tmp_path) == 5
  assert [record['step'] for record in records_of(tmp_path)] == [3, 4, 7, 8]
  with open(tmp_path / 'metrics.jsonl', 'a') as file:
    file.write('{"step": 9, "epo')  # cut off while it was written
  run.train_and_evaluate(make_config(), str(tmp_path))
  check_same_run(tmp_path, whole, start)


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
  workdir = tmp_path / 'run'
  shutil.copytree(whole['workdir'], workdir)
  (workdir / 'summary.json').unlink()
  summary = run.train_and_evaluate(make_config(), str(workdir), command='the command')
  times = {'wall_time_s': 0}
  assert summary | times == whole['summary'] | times


# The folder of a run.


def no_training(monkeypatch):
  def fail(*unused):
    raise AssertionError('trains')

  monkeypatch.setattr(training, 'make_loop', fail)


def files(workdir):
  paths = [path for path in pathlib.Path(workdir).rglob('*') if path.is_file()]
  return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def test_finished_run_is_not_trained_again(whole, monkeypatch):
  no_training(monkeypatch)
  before = files(whole['workdir'])
  assert run.train_and_evaluate(make_config(), str(whole['workdir'])) == whole['summary']
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
    ('objective.name', "'multiscale'", "'global'"),
    ('objective.stop_target', 'False', 'None'),
    ('seed', '0', '3'),
  ]
  assert '--workdir' in text
  assert files(whole['workdir']) == before


@pytest.mark.parametrize('changes', [
  {'data.data_dir': 'elsewhere'},
  {'checkpoint_every_seconds': 1.0},
  {'network.pooling': 'mean', 'network.dropout_rate': 0.2},  # their defaults, spelled out
], ids=str)
def test_what_may_change(changes, whole, monkeypatch):
  no_training(monkeypatch)
  config = make_config(**changes)
  assert run.train_and_evaluate(config, str(whole['workdir'])) == whole['summary']


def test_configuration_is_left_as_it_was(tmp_path, monkeypatch):
  no_training(monkeypatch)
  config = make_config()
  with pytest.raises(AssertionError, match='trains'):
    run.train_and_evaluate(config, str(tmp_path))
  assert config.to_dict() == make_config().to_dict()


# Objectives, divergence, seeds, compilation.


@pytest.mark.parametrize('changes', [
  {'objective.name': 'supervised'}, {'objective.name': 'entropy'}, {'objective.name': 'global'},
  CONVEX,
], ids=lambda changes: changes['objective.name'])
def test_objectives(changes, tmp_path):
  """Multiscale is the other tests'."""
  summary = run.train_and_evaluate(make_config(num_steps=2, **changes), str(tmp_path))
  (record,) = records_of(tmp_path)
  assert summary['objective'] == changes['objective.name'] and record['step'] == 2
  names = {'train/loss', 'train/cross_entropy', 'train/entropy', 'train/reconstruction'}
  names |= {f'train/reconstruction/{layer}' for layer in range(NUM_LAYERS)}
  names |= {'step', 'epoch', 'test/error', 'test/cross_entropy'}
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


def test_diverged(tmp_path):
  config = make_config(learning_rate=1e6)
  with pytest.raises(run.Diverged, match='step 3.*learning_rate 1000000.0') as error:
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


class Watched:
  """A compiled function, and the last argument of each of its calls."""

  def __init__(self, function):
    self.function = function
    self.last_arguments = []

  def __call__(self, *arguments):
    self.last_arguments.append(arguments[-1])
    return self.function(*arguments)


@pytest.mark.parametrize('resumed', [False, True])
def test_one_compilation(resumed, tmp_path, monkeypatch):
  group_by(monkeypatch, 100)
  if resumed:
    with pytest.raises(run.Interrupted):
      run.train_and_evaluate(make_config(), str(tmp_path), stop_at(3))
  watched = {}

  def watch(module, name):
    make = getattr(module, name)

    def make_watched(*arguments):
      assert name not in watched
      watched[name] = Watched(make(*arguments))
      return watched[name]

    monkeypatch.setattr(module, name, make_watched)

  watch(training, 'make_loop')
  watch(evaluation, 'make_evaluation')
  run.train_and_evaluate(make_config(), str(tmp_path))
  assert watched['make_loop'].last_arguments == ([1, 3, 1, 2] if resumed else [3, 1, 3, 1, 2])
  assert len(watched['make_evaluation'].last_arguments) == len(EVALUATED)
  assert watched['make_loop'].function._cache_size() == 1
  assert watched['make_evaluation'].function._cache_size() == 1

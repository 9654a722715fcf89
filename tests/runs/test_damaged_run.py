"""Folders of interrupted runs, damaged: the same result from an older checkpoint, or one line."""

import asyncio
import errno
import gc
import json
import os
import shutil
import types
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import multiscale_inversion
from multiscale_inversion import checkpoints as checkpoints_lib
from multiscale_inversion import files
from multiscale_inversion.checkpoints import Checkpoints, DamagedCheckpointWarning
from multiscale_inversion.data import registry as dataset
from multiscale_inversion.errors import StorageError, UserError
from multiscale_inversion.runs import loop as run
from multiscale_inversion.runs import metrics, pace, writers
from multiscale_inversion.runs.folder import RunFolder
from tests import tiny

pytestmark = [
  pytest.mark.usefixtures('one_block'),
  # Orbax leaves the other reads of a damaged checkpoint under way.
  pytest.mark.filterwarnings('ignore:.*:pytest.PytestUnraisableExceptionWarning'),
]

NUM_STEPS = 7
STOPPED = 5
OLDER = 4
METRICS = 'metrics.jsonl'


def config(**changes):
  return tiny.config(**{'num_steps': NUM_STEPS, 'checkpoint_every_seconds': 0.0, **changes})


@pytest.fixture(scope='module')
def interrupted(tmp_path_factory):
  """A run stopped after five of its seven steps, with two checkpoints."""
  workdir = tmp_path_factory.mktemp('interrupted')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(pace.Pace, 'next_count', lambda self, remaining: 1)
    with pytest.raises(run.Interrupted):
      run.train_and_evaluate(config(), str(workdir), lambda step: step >= STOPPED)
  assert Checkpoints(str(workdir / 'checkpoints')).steps() == [STOPPED, OLDER]
  return workdir


@pytest.fixture(scope='module')
def whole(interrupted, tmp_path_factory):
  """The same run without an interruption."""
  workdir = tmp_path_factory.mktemp('whole')
  run.train_and_evaluate(config(), str(workdir))
  return workdir


@pytest.fixture
def workdir(interrupted, tmp_path):
  return shutil.copytree(interrupted, tmp_path / 'run', symlinks=True)


def variables(workdir):
  return jax.tree.leaves(dict(multiscale_inversion.load(str(workdir)).variables))


def go_on(workdir, whole):
  """Goes on, and compares with the run without an interruption."""
  run.train_and_evaluate(config(), str(workdir))
  assert (workdir / METRICS).read_bytes() == (whole / METRICS).read_bytes()
  for one, other in zip(variables(workdir), variables(whole), strict=True):
    np.testing.assert_array_equal(one, other)


def refused(workdir, changes=None):
  """The line that refuses to go on; nothing in the folder is changed."""
  before = contents(workdir)
  with pytest.raises(UserError) as info:
    run.train_and_evaluate(config(**(changes or {})), str(workdir))
  assert '\n' not in str(info.value)
  assert contents(workdir) == before
  return str(info.value)


def contents(workdir):
  paths = [path for path in workdir.rglob('*') if path.is_file()]
  return {str(path): path.read_bytes() for path in paths}


def files_of(workdir, step=STOPPED):
  folder = workdir / 'checkpoints' / str(step)
  return sorted(path for path in folder.rglob('*') if path.is_file() and path.stat().st_size)


def flip(path, position):
  content = bytearray(path.read_bytes())
  content[position] ^= 0x10
  path.write_bytes(bytes(content))


def test_nothing_damaged_is_no_warning(workdir, whole):
  with warnings.catch_warnings():
    warnings.simplefilter('error', DamagedCheckpointWarning)
    go_on(workdir, whole)


# The newest checkpoint, damaged.


def without(item):
  return lambda folder: shutil.rmtree(folder / item)


def emptied(folder):
  shutil.rmtree(folder)
  folder.mkdir()


def each(change):
  def damage(folder):
    for path in folder.rglob('*'):
      if path.is_file():
        change(path)

  return damage


DAMAGES = {
  'emptied': emptied,
  'without the training': without('training'),
  'without the notes': without('notes'),
  'without the variables': without('variables'),
  'files emptied': each(lambda path: path.write_bytes(b'')),
  'files halved': each(lambda path: os.truncate(path, path.stat().st_size // 2)),
  'a file in its place': lambda folder: (shutil.rmtree(folder), folder.write_text('7')),
  'without manifests': each(lambda path: path.name.startswith('manifest') and path.unlink()),
  'without metadata': each(lambda path: path.name in ('_METADATA', 'metadata') and path.unlink()),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_the_older_checkpoint_is_used(damage, workdir, whole):
  DAMAGES[damage](workdir / 'checkpoints' / str(STOPPED))
  if damage == 'without the training':  # of which a trained network needs nothing
    assert multiscale_inversion.load(str(workdir)).step == STOPPED
  else:
    with pytest.warns(DamagedCheckpointWarning):
      assert multiscale_inversion.load(str(workdir)).step == OLDER
  with pytest.warns(DamagedCheckpointWarning) as caught:
    go_on(workdir, whole)
  assert f'{workdir}/checkpoints/{STOPPED}: damaged (' in str(caught[0].message)
  assert f'the checkpoint of step {OLDER} is used' in str(caught[0].message)
  assert (workdir / 'checkpoints' / 'damaged' / f'{STOPPED}_1').exists()  # nothing is lost


def test_flipped_bytes_never_change_a_result(workdir):
  """Each file, at several places: the same arrays as before, or damaged; never others."""
  like = Checkpoints(str(workdir / 'checkpoints')).restore_variables().tree
  kept = {path: path.read_bytes() for path in files_of(workdir)}
  damaged = 0
  for path, content in kept.items():
    for position in np.linspace(0, len(content) - 1, 6).astype(int):
      flip(path, position)
      with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        found = Checkpoints(str(workdir / 'checkpoints')).restore_variables()
      if found.step == STOPPED:
        jax.tree.map(np.testing.assert_array_equal, found.tree, like)
      else:
        assert [w.category for w in caught] == [DamagedCheckpointWarning]
        damaged += 1
      path.write_bytes(content)
  assert damaged > len(kept) // 2


def test_arrays_that_others_have_changed(workdir, whole, monkeypatch):
  """A checkpoint sound in its form, of which one number is another."""
  folder = str(workdir / 'checkpoints')
  found = Checkpoints(folder).restore_variables()
  changed = jax.tree.map(np.array, found.tree)
  jax.tree.leaves(changed)[0].flat[0] += 1
  digests = checkpoints_lib._digests
  monkeypatch.setattr(checkpoints_lib, '_digests', lambda tree: digests(found.tree))
  saved = Checkpoints(folder)
  saved.save(6, found.tree, {}, changed)
  saved.close()
  monkeypatch.undo()
  with pytest.warns(DamagedCheckpointWarning, match='variables differ from what was saved'):
    assert Checkpoints(folder).restore_variables().step == STOPPED


def test_all_damaged(workdir):
  for step in (OLDER, STOPPED):
    emptied(workdir / 'checkpoints' / str(step))
  message = refused(workdir)
  assert f'{workdir}/checkpoints/{STOPPED}: damaged (' in message
  assert 'no older checkpoint is sound; allowed: ' in message
  with pytest.raises(UserError, match='no older checkpoint is sound'):
    multiscale_inversion.load(str(workdir))


@pytest.mark.parametrize('name', ['6', '9999'])
def test_an_empty_folder_beside_the_checkpoints(name, workdir, whole):
  (workdir / 'checkpoints' / name).mkdir()
  with pytest.warns(DamagedCheckpointWarning, match=f'{name}: damaged'):
    go_on(workdir, whole)


def test_folders_that_are_no_checkpoints(workdir, whole):
  for name in ('notes', '05', '\u0665', 'x.tmp'):
    (workdir / 'checkpoints' / name).mkdir()
  go_on(workdir, whole)


def test_a_checkpoint_under_another_number(workdir, whole):
  os.rename(workdir / 'checkpoints' / '5', workdir / 'checkpoints' / '9999')
  with pytest.warns(DamagedCheckpointWarning, match=r'9999: damaged \(it is that of step 5\)'):
    go_on(workdir, whole)


def test_checkpoints_with_swapped_names(workdir):
  folder = workdir / 'checkpoints'
  os.rename(folder / '5', folder / 'x')
  os.rename(folder / '4', folder / '5')
  os.rename(folder / 'x', folder / '4')
  assert 'it is that of step 4' in refused(workdir)


def test_checkpoints_that_are_a_file(workdir):
  shutil.rmtree(workdir / 'checkpoints')
  (workdir / 'checkpoints').write_text('x')
  with pytest.raises(UserError, match='checkpoints: not a folder'):
    multiscale_inversion.load(str(workdir))
  with pytest.raises(UserError, match='checkpoints: not a folder'):
    run.train_and_evaluate(config(), str(workdir))
  assert (workdir / 'checkpoints').read_text() == 'x'


def test_what_killed_saves_left_is_removed(workdir, whole):
  (workdir / 'checkpoints' / '6.orbax-checkpoint-tmp-1').mkdir()
  (workdir / '.abc.part').write_text('{')
  go_on(workdir, whole)
  assert not list(workdir.glob('.*.part'))
  assert not list((workdir / 'checkpoints').glob('*tmp*'))


def older_version(workdir):
  """Makes checkpoints of an older version: without digests, and without the step."""
  for path in (workdir / 'checkpoints').glob('*/notes/metadata'):
    notes = json.loads(path.read_text())['notes']
    old = {key: notes[key] for key in ('wall_time_s', 'test_errors', 'scalars')}
    path.write_text(json.dumps(old))


def test_checkpoints_of_older_versions(workdir, whole):
  older_version(workdir)
  assert multiscale_inversion.load(str(workdir)).step == STOPPED
  go_on(workdir, whole)


def test_a_checkpoint_of_another_network(workdir):
  """Of an older version, which keeps no digest of the configuration."""
  older_version(workdir)
  content = json.loads((workdir / 'config.json').read_text())
  content['network']['width'] = 3
  (workdir / 'config.json').write_text(json.dumps(content))
  with pytest.raises(UserError, match=r'checkpoints: not of the network in config\.json'):
    multiscale_inversion.load(str(workdir))


def test_late_errors_of_orbax_are_not_logged(workdir, caplog):
  """Orbax abandons the other arrays after the first that cannot be read."""
  Checkpoints(str(workdir / 'checkpoints')).restore_variables()

  async def abandon(module):
    scope = {'__name__': module}
    exec('async def read():\n  raise ValueError(__name__)', scope)
    task = asyncio.ensure_future(scope['read']())
    await asyncio.wait([task])

  for module in ('orbax.checkpoint.somewhere', 'mine.orbax'):
    asyncio.run(abandon(module))
    gc.collect()
  messages = [str(record.exc_info[1]) for record in caplog.records if record.name == 'asyncio']
  assert messages == ['mine.orbax']


def test_a_path_that_is_not_utf_8(tmp_path):
  with pytest.raises(UserError, match='not a path in UTF-8'):
    Checkpoints(str(tmp_path / 'a\udcff'))


def test_another_structure(workdir):
  like = {'state': np.zeros(3, np.float32)}
  with pytest.raises(UserError, match=r'of another configuration or version: .* is not what'):
    Checkpoints(str(workdir / 'checkpoints')).restore(like)


# What is not finite.


def test_no_checkpoint_of_a_diverged_training(tmp_path, monkeypatch):
  """It diverges between two records, where only its parameters tell."""
  monkeypatch.setattr(pace.Pace, 'next_count', lambda self, remaining: 1)
  diverging = config(learning_rate=1e6, log_every_steps=1000)
  for _ in range(2):  # again from the same checkpoint
    with pytest.raises(run.Diverged, match=r'not finite at step .* learning_rate 1000000\.0'):
      run.train_and_evaluate(diverging, str(tmp_path))
  steps = Checkpoints(str(tmp_path / 'checkpoints')).steps()
  assert steps
  loaded = multiscale_inversion.load(str(tmp_path))
  assert np.isfinite(loaded.predict_proba(np.ones([2, 8, 8, 1]))).all()


def test_variables_that_are_not_finite_are_damage(workdir):
  folder = str(workdir / 'checkpoints')
  found = Checkpoints(folder).restore_variables()
  saved = Checkpoints(folder)
  saved.save(6, found.tree, {}, jax.tree.map(lambda leaf: leaf * np.float32(np.nan), found.tree))
  saved.close()
  with pytest.warns(DamagedCheckpointWarning, match='variables that are not finite'):
    assert multiscale_inversion.load(str(workdir)).step == STOPPED


def test_all_finite():
  finite = {'a': np.ones(3, np.float32), 'b': np.zeros(2, jnp.bfloat16), 'c': np.arange(3)}
  assert checkpoints_lib.all_finite(finite)
  for bad in (np.inf, np.nan):
    assert not checkpoints_lib.all_finite({**finite, 'd': np.array([1, bad], np.float32)})
    assert not checkpoints_lib.all_finite({**finite, 'd': np.array(bad, jnp.bfloat16)})


# The other files.


@pytest.mark.filterwarnings('ignore:.*lines cannot be read')
@pytest.mark.parametrize('tail', [
  b'\0' * 4096, b'{"step": 6, "epo', b'{"step": 6}\n' + b'\0' * 10, b'\xff\xfe\n', b'[1, 2]\n\n',
  b'{"step": 3, "epoch": 0.75, "train/loss": 0}\n', b'{"step": "6", "epoch": 1}\n',
])
def test_tails_of_metrics(tail, workdir, whole):
  with open(workdir / METRICS, 'ab') as file:
    file.write(tail)
  assert [record['step'] for record in RunFolder(str(workdir)).metrics()] == [3, 4]
  go_on(workdir, whole)


def test_lost_metrics_are_said(workdir):
  (workdir / METRICS).write_bytes(b'\0' * 100)
  with pytest.warns(UserWarning, match=r'metrics\.jsonl: 2 records are lost'):
    run.train_and_evaluate(config(), str(workdir))
  assert [record['step'] for record in RunFolder(str(workdir)).metrics()] == [7]


WRONG = [
  b'', b'{', b'\0' * 50, b'7', b'null', b'[]', b'"x"', b'{}', b'\xff\xfe', b'[' * 100_000,
  b'{"network": 1, "data": [], "objective": null, "seed": "0", "num_seeds": true}',
  b'{"class_names": "abc", "image_shape": [8, 8, 1]}', b'{"test_error": "x"}',
]


@pytest.mark.parametrize('content', WRONG, ids=lambda content: repr(content[:30]))
@pytest.mark.parametrize('name', ['config.json', 'data.json', 'summary.json'])
def test_damaged_json(name, content, workdir):
  (workdir / name).write_bytes(content)
  assert refused(workdir).startswith(f'{workdir}/{name}: ')
  if name != 'summary.json':
    with pytest.raises(UserError) as info:
      multiscale_inversion.load(str(workdir))
    assert str(info.value).startswith(f'{workdir}/{name}: ') and '\n' not in str(info.value)


@pytest.mark.parametrize(('key', 'value'), [
  ('augmentation', None), ('augmentation', 'flip'), ('checkpoint_every_seconds', {'a': 1}),
  ('data', {'test_fraction': {}}), ('network', {'name': {'a': 1}}), ('later', {'a': 1}),
  ('learning_rate', 'fast'), ('a.b', 1),
])
def test_config_of_another_form(key, value, workdir):
  content = json.loads((workdir / 'config.json').read_text())
  inside = isinstance(content.get(key), dict) and isinstance(value, dict)
  new = content[key] | value if inside else value
  (workdir / 'config.json').write_text(json.dumps(content | {key: new}))
  assert refused(workdir).startswith(f'{workdir}/config.json')
  with pytest.raises(UserError, match=r'config\.json'):
    multiscale_inversion.load(str(workdir))


@pytest.mark.parametrize('name', ['config.json', 'data.json'])
def test_changed_json(name, workdir):
  """Of the right form, but not what the run wrote: another network, other names of classes."""
  content = json.loads((workdir / name).read_text())
  content |= {'precision': 'bfloat16'} if name == 'config.json' else {
    'class_names': content['class_names'][::-1]
  }
  (workdir / name).write_text(json.dumps(content))
  with pytest.raises(UserError, match=f'{name}: changed since the run began'):
    multiscale_inversion.load(str(workdir))
  refused(workdir)


def test_shares_of_an_earlier_run_are_its_configurations(workdir):
  content = json.loads((workdir / 'data.json').read_text())
  del content['batch']
  (workdir / 'data.json').write_text(json.dumps(content))
  assert RunFolder(str(workdir)).shares() == (310, 310)


@pytest.mark.parametrize('batch', [[5], [5, 0], [5, 'five'], 10, {'labeled': 5}])
def test_changed_shares_of_a_batch(batch, workdir):
  content = json.loads((workdir / 'data.json').read_text())
  assert content['batch'] == [310, 310]
  (workdir / 'data.json').write_text(json.dumps(content | {'batch': batch}))
  assert 'batch: ' in refused(workdir)


@pytest.mark.parametrize('name', ['config.json', 'data.json'])
def test_missing_json(name, workdir):
  (workdir / name).unlink()
  assert f'{name} is missing' in refused(workdir)


def test_not_a_regular_file(workdir):
  """A named pipe would be waited for without end."""
  for name in ('config.json', 'data.json', 'summary.json'):
    kept = (workdir / name).read_bytes() if (workdir / name).exists() else None
    (workdir / name).unlink(missing_ok=True)
    os.mkfifo(workdir / name)
    with pytest.raises(UserError, match=f'{name}: is a named pipe; allowed: a regular file'):
      run.train_and_evaluate(config(), str(workdir))
    (workdir / name).unlink()
    if kept is not None:
      (workdir / name).write_bytes(kept)


# The data.


@pytest.mark.parametrize('change', ['labels', 'images', 'order', 'test labels'])
def test_other_data_of_the_same_size(change, workdir, monkeypatch):
  digits = dataset.load('digits')
  order = np.random.RandomState(1).permutation(len(digits.train_labels))
  brighter = digits.train_images.copy()
  brighter[-1, 0, 0] += 1
  changed = digits._replace(**{
    'labels': {'train_labels': np.roll(digits.train_labels, 1)},
    'images': {'train_images': brighter},
    'order': {
      'train_labels': digits.train_labels[order], 'train_images': digits.train_images[order]
    },
    'test labels': {'test_labels': (digits.test_labels + 1) % 10},
  }[change])
  monkeypatch.setitem(dataset._DATASETS, 'digits', lambda data_dir: changed)
  assert 'on other data: images, labels or their order are others' in refused(workdir)


# The disk is full.


def full(*unused, **unused_too):
  raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_disk_full_while_saving(workdir, whole, monkeypatch):
  with monkeypatch.context() as patch:
    patch.setattr(checkpoints_lib.ocp.CheckpointManager, 'save', full)
    with pytest.raises(StorageError, match=r'checkpoints: the checkpoint cannot be saved: .*space'):
      run.train_and_evaluate(config(), str(workdir))
  go_on(workdir, whole)


def test_disk_full_in_the_background(workdir, whole, monkeypatch):
  """The save fails in a thread, and shows itself when it is waited for."""
  with monkeypatch.context() as patch:
    patch.setattr(checkpoints_lib.ocp.CheckpointManager, 'wait_until_finished', full)
    with pytest.raises(StorageError, match=r'cannot be saved: .*No space left on device'):
      run.train_and_evaluate(config(), str(workdir))
  go_on(workdir, whole)


@pytest.mark.parametrize('module, name, value', [
  (files, 'os', types.SimpleNamespace(**{**vars(os), 'fsync': full})),
  (writers.EventsWriter, 'write_event', full), (metrics, 'write_bytes', full),
], ids=['files', 'events', 'metrics'])
def test_disk_full_while_writing(module, name, value, workdir, whole, monkeypatch):
  with monkeypatch.context() as patch:
    patch.setattr(module, name, value)
    with pytest.raises(StorageError, match='cannot be written: No space left on device'):
      run.train_and_evaluate(config(), str(workdir))
  go_on(workdir, whole)

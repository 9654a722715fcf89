"""The trackers that the page on Python shows, with the packages themselves, offline."""

import json
import pathlib
import re
import struct

import numpy as np
import pytest

import multiscale_inversion as mi

pytestmark = pytest.mark.usefixtures('quick_compilation')

PAGE = pathlib.Path(__file__).parents[1] / 'docs' / 'python.md'
X, LABELS = np.random.RandomState(0).rand(24, 5).astype(np.float32), np.arange(24) % 3


class Recorder(mi.Callback):
  def __init__(self):
    self.records = []

  def on_record(self, record):
    self.records.append(record)

  def on_end(self, run):
    self.test_error = run.test_error


def shown(name, **modules):
  """The class of that name in the page's code, which is at most ten lines."""
  (code,) = re.findall(rf'```\n(class {name}\(.*?)```', PAGE.read_text('utf-8'), re.DOTALL)
  assert len(code.splitlines()) <= 10
  names = {'mi': mi, **modules}
  exec(code, names)
  return names[name]


def follow(tracker):
  """Train with a tracker; what was recorded."""
  recorder = Recorder()
  mi.fit(
    X, LABELS, test=(X, LABELS), network={'name': 'mlp', 'width': 4}, num_steps=4, batch_size=8,
    log_every_steps=2, progress=False, callbacks=[tracker, recorder],
  )
  assert len({record.step for record in recorder.records}) > 1
  return recorder


def wandb_records(path):
  """The records in a file of LevelDB's log format, after a header of Weights & Biases' own."""
  from wandb.proto.wandb_internal_pb2 import Record

  content, position, found = path.read_bytes(), 7, b''
  assert content[:4] == b':W&B'
  while position < len(content):
    if (left := -position % 32_768) < 7:  # the rest of a block has no place for a header
      position += left
    _, length, part = struct.unpack_from('<IHB', content, position)
    position += 7 + length
    found += content[position - length : position]
    if part in (1, 4):  # a whole record, or the last part of one
      yield Record.FromString(found)
      found = b''


def test_weights_and_biases(tmp_path, monkeypatch):
  wandb = pytest.importorskip('wandb')
  monkeypatch.chdir(tmp_path)
  for name, value in {
    'MODE': 'offline', 'SILENT': 'true', 'DIR': tmp_path, 'CACHE_DIR': tmp_path,
    'CONFIG_DIR': tmp_path, 'DATA_DIR': tmp_path, 'CONSOLE': 'off',
  }.items():
    monkeypatch.setenv(f'WANDB_{name}', str(value))
  recorder = follow(shown('WandB', wandb=wandb)(project='page'))
  wandb.teardown()

  (path,) = tmp_path.glob('wandb/offline-run-*/*.wandb')
  history, summary = {}, {}
  for record in wandb_records(path):
    items = {item.nested_key[0] if item.nested_key else item.key: json.loads(item.value_json)
             for item in (*record.history.item, *record.summary.update)}
    if record.HasField('history'):
      history.setdefault(items['_step'], {}).update(items)
    summary |= items if record.HasField('summary') else {}
  for record in recorder.records:
    for name, value in record.scalars.items():
      assert history[record.step][name] == pytest.approx(value)
  assert summary['test_error'] == pytest.approx(recorder.test_error)


def test_mlflow(tmp_path, monkeypatch):
  monkeypatch.setenv('MLFLOW_DISABLE_TELEMETRY', 'true')
  monkeypatch.chdir(tmp_path)
  mlflow = pytest.importorskip('mlflow')
  pytest.importorskip('sqlalchemy')
  before = mlflow.get_tracking_uri()
  mlflow.set_tracking_uri(f'sqlite:///{tmp_path}/runs.db')
  try:
    recorder = follow(shown('MLflow', mlflow=mlflow)())
    client = mlflow.MlflowClient()
    (run,) = client.search_runs(['0'])
    assert run.info.status == 'FINISHED'
    assert run.data.params == {'seed': '0', 'objective': 'multiscale'}
    for record in recorder.records:
      for name, value in record.scalars.items():
        history = client.get_metric_history(run.info.run_id, name.replace('/', '.'))
        (found,) = (metric.value for metric in history if metric.step == record.step)
        assert found == pytest.approx(value)
  finally:
    mlflow.set_tracking_uri(before)

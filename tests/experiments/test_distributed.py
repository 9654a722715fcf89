"""Several processes, and several devices, from the command line."""

import contextlib
import json
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
# 1,247 unlabeled images, 310 a batch: 4 steps an epoch.
OPTIONS = {
  'network.blocks_per_group': 1, 'network.width': 2, 'network.dropout_rate': 0.0,
  'batch_size': 620, 'log_every_steps': 3, 'num_steps': 6,
}
SECONDS = 240


@pytest.fixture(scope='module')
def start(quick_environment):
  """Starts a run in a process of its own."""

  def start_one(workdir, *arguments, devices=1, **options):
    options = {**OPTIONS, **options}
    command = [
      sys.executable, '-m', 'experiments.main', '--config=experiments/digits_50.py',
      f'--workdir={workdir}', *(f'--config.{key}={value}' for key, value in options.items()),
      *arguments,
    ]
    flags = quick_environment.get('XLA_FLAGS', '')
    flags += f' --xla_force_host_platform_device_count={devices}'
    return subprocess.Popen(
      command, cwd=ROOT, env=quick_environment | {'XLA_FLAGS': flags}, text=True,
      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )

  return start_one


@pytest.fixture
def start_two(start):
  """Starts a run in two processes."""

  def start_both(workdir, **options):
    port = free_port()
    return [
      start(workdir, f'--distributed=localhost:{port},2,{index}', **options) for index in range(2)
    ]

  return start_both


def free_port():
  with socket.socket() as found:
    found.bind(('localhost', 0))
    return found.getsockname()[1]


def finish(process, status=0):
  try:
    out, err = process.communicate(timeout=SECONDS)
  finally:
    process.kill()
  assert process.returncode == status, err
  return out, err


def lines(workdir):
  return [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]


def assert_same_records(found, expected, tolerance=1e-3):
  assert [(r['step'], set(r)) for r in found] == [(r['step'], set(r)) for r in expected]
  for one, other in zip(found, expected, strict=True):
    assert one == pytest.approx(other, rel=tolerance, abs=1e-4)


@pytest.fixture(scope='module')
def alone(tmp_path_factory, start):
  """The run on one device of one process."""
  workdir = tmp_path_factory.mktemp('alone')
  finish(start(workdir))
  records = lines(workdir)
  assert [r['step'] for r in records] == [3, 4, 6]
  return records


def test_two_processes_train_like_one_and_one_of_them_writes(tmp_path, start_two, alone):
  with contextlib.ExitStack() as stack:
    processes = [stack.enter_context(process) for process in start_two(tmp_path)]
    outputs = [finish(process) for process in processes]
  assert_same_records(lines(tmp_path), alone)
  summary = json.loads((tmp_path / 'summary.json').read_text())
  assert summary['hardware']['num_processes'] == 2
  assert summary['hardware']['num_devices'] == 2
  assert 'test error' in outputs[0][0]
  assert 'step' in outputs[0][1]
  assert 'finished' not in outputs[1][0]
  assert 'step' not in outputs[1][1]
  assert len(list(tmp_path.glob('events.out.tfevents.*'))) == 1


@pytest.mark.parametrize(('number', 'indices', 'seconds', 'message'), [
  (2, [0], 1, 'process 0 of 2 waited 1 s at localhost:{port} for process 1; allowed: '),
  (2, [1], 1, 'process 1 of 2 waited 1 s for process 0 at localhost:{port} ('),
  (3, [0, 1, 1], SECONDS, 'two processes have INDEX 1; allowed: one for each of 0 to 2'),
])
def test_processes_that_do_not_come_together(
  tmp_path, start, number, indices, seconds, message
):
  port = free_port()
  with contextlib.ExitStack() as stack:
    processes = [
      stack.enter_context(start(
        tmp_path / 'run', f'--distributed=localhost:{port},{number},{index}',
        f'--distributed_timeout={seconds}',
      )) for index in indices
    ]
    for process in processes:
      stack.callback(process.kill)
    for process in processes:
      out, err = finish(process, status=2)
      assert err.startswith(f'error: --distributed=localhost:{port},{number},')
      assert message.format(port=port) in err
      assert err.count('\n') == 1 and not out
  assert not (tmp_path / 'run').exists()


def test_a_job_ends_when_a_process_dies(tmp_path, start_two):
  with contextlib.ExitStack() as stack:
    processes = start_two(tmp_path, num_steps=10**6)
    for process in processes:
      stack.enter_context(process)
      stack.callback(process.kill)
    deadline = time.monotonic() + SECONDS
    while not (tmp_path / 'metrics.jsonl').exists() or not lines(tmp_path):
      assert time.monotonic() < deadline
      assert all(process.poll() is None for process in processes)
      time.sleep(0.1)
    processes[1].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    _, err = processes[0].communicate(timeout=60)
    assert processes[0].returncode not in (0, None)
    assert time.monotonic() - killed < 60
    assert err


def test_a_run_moves_between_numbers_of_devices(tmp_path, start, alone):
  """Two devices to the first checkpoint, then one; with the batches that two have rounded up."""
  batch = {'batch_size': OPTIONS['batch_size'] - 2}
  process = start(tmp_path, devices=2, num_devices=2, checkpoint_every_seconds=0.0, **batch)
  while not any((tmp_path / 'checkpoints').glob('[1-9]*')):
    assert process.poll() is None
    time.sleep(0.05)
  process.send_signal(signal.SIGTERM)
  _, err = process.communicate(timeout=SECONDS)
  assert process.returncode == 130
  half = OPTIONS['batch_size'] // 2
  assert f'batches have {half} labeled and {half} unlabeled images, not {2 * half - 2} in' in err
  finish(start(tmp_path, num_devices=1, **batch))
  assert_same_records(lines(tmp_path), alone)


@pytest.mark.parametrize(
  ('arguments', 'options', 'message'),
  [
    (['--distributed=nonsense'], {}, 'allowed: auto, or HOST:PORT,NUMBER,INDEX'),
    (['--distributed=localhost:1,2,2'], {}, 'INDEX below NUMBER'),
    (['--distributed=auto'], {}, 'no Cloud TPU, SLURM or Open MPI says who is who here; allowed: '),
    (['--distributed=localhost:1,2,1', '--distributed_timeout=0'], {}, 'allowed: 0.1 to 86400 sec'),
    (['--distributed_timeout=9'], {}, 'of no use alone; allowed: beside --distributed'),
    ([], {'num_devices': 9}, 'num_devices: 9; allowed: 1 to 8'),
  ],
)
def test_wrong_input(tmp_path, start, arguments, options, message):
  _, err = finish(start(tmp_path / 'run', *arguments, devices=8, **options), status=2)
  assert err.startswith('error: ')
  assert err.count('\n') == 1
  assert message in err
  assert not (tmp_path / 'run').exists()

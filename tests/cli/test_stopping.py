"""Signals: what they mean, and how a program ends under any number of them."""

import io
import itertools
import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import time

import pytest

from multiscale_inversion.cli import stopping

ROOT = pathlib.Path(__file__).parents[2]
LIMIT = 120.0  # seconds; more than a loaded machine needs
INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


# What a signal means.


@pytest.mark.parametrize('number', [INT, TERM, HUP])
def test_before_a_training_each_signal_ends(number):
  answers = stopping.Answers()
  assert answers.ends(number, 0.0)


@pytest.mark.parametrize(('signals', 'ends'), [
  ([(INT, 0.0)], [False]),
  ([(TERM, 0.1 * n) for n in range(50)], [False] * 50),
  ([(HUP, 0.0), (TERM, 9.0), (HUP, 99.0)], [False] * 3),
  ([(INT, 0.0), (INT, 0.02), (INT, 0.24), (INT, 0.26)], [False, False, False, True]),
  ([(INT, 5.0), (INT, 65.0)], [False, True]),
  ([(TERM, 0.0), (INT, 1.0), (TERM, 2.0), (INT, 3.0)], [False, False, False, True]),
])
def test_in_a_training_all_is_a_request_but_a_second_interrupt(signals, ends):
  answers = stopping.Answers()
  answers.orderly = True
  assert not answers.requested
  for (number, now), expected in zip(signals, ends):
    assert answers.ends(number, now) == expected
    assert answers.requested


# Signals of this process.


@pytest.fixture
def listener():
  """A listener with a queue of the statuses that it would have ended this process with."""
  before = [signal.getsignal(number) for number in (INT, TERM, HUP)]
  left = queue.Queue()
  made = stopping.Listener(left.put)
  made.left = left
  yield made
  made.close()
  assert [signal.getsignal(number) for number in (INT, TERM, HUP)] == before


def wait_for(condition):
  end = time.monotonic() + LIMIT
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.001)


@pytest.mark.parametrize('number', [INT, TERM, HUP])
def test_a_signal_leaves_with_130_once(listener, number, capsys):
  for _ in range(10):
    os.kill(os.getpid(), number)
  assert listener.left.get(timeout=LIMIT) == 130
  assert listener.left.empty()
  assert capsys.readouterr().err == 'interrupted\n'


def test_a_request_is_said_once_and_kept(listener, monkeypatch):
  # Not capsys: what a thread writes while it is read can be lost.
  monkeypatch.setattr(sys, 'stderr', said := io.StringIO())
  listener.take_requests()
  for number in [TERM, HUP, INT] * 5:
    os.kill(os.getpid(), number)
  wait_for(lambda: said.getvalue().endswith('\n'))
  assert listener.answers.requested
  assert said.getvalue() == f'{stopping.REQUESTED}\n'
  assert listener.left.empty()


def test_the_thread_answers_while_the_main_thread_cannot(listener):
  """As it cannot while it compiles: signals are blocked in it here."""
  listener.take_requests()
  listener.answers.ends(INT, time.monotonic() - 1.0)
  os.write(listener._writing, bytes([INT]))
  assert listener.left.get(timeout=LIMIT) == 130


def test_after_the_end_the_status_stays(listener, capsys):
  listener.status = 0
  os.kill(os.getpid(), TERM)
  assert listener.left.get(timeout=LIMIT) == 0
  assert capsys.readouterr().err == ''


def test_handlers_come_back_after_others_took_them(listener):
  signal.signal(TERM, signal.SIG_DFL)
  listener.take_requests()
  os.kill(os.getpid(), TERM)
  wait_for(lambda: listener.answers.requested)


# Programs that import nothing slow, each in a process of its own.

PROGRAM = '''
import atexit, os, sys, threading, time
from multiscale_inversion.cli import stopping
stopping.begin()

def say(line):
  os.write(1, line.encode() + b"\\n")

@stopping.notes_status
def run():
  {body}

run()
'''


def start(body, before=()):
  process = subprocess.Popen(
    [*before, sys.executable, '-c', PROGRAM.format(body=body.replace('\n', '\n  '))], cwd=ROOT,
    text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    env={name: value for name, value in os.environ.items() if name != 'PYTHONUNBUFFERED'},
  )
  assert line_of(process.stdout) == 'ready\n'
  return process


def line_of(stream):
  """The next line of a pipe, and no more: `communicate` would not see what a buffer holds."""
  line = b''
  while not line.endswith(b'\n'):
    byte = os.read(stream.fileno(), 1)
    if not byte:
      break
    line += byte
  return line.decode()


def end(process, signals, pause=0.0):
  with process:
    try:
      for number in signals:
        process.send_signal(number)
        time.sleep(pause)
      out, err = process.communicate(timeout=LIMIT)
    finally:
      process.kill()
  return process.returncode, out, err


TRAINING = '''
stop = stopping.StopRequest()
say("ready")
while not stop.requested(0):
  time.sleep(0.001)
say("saved")
sys.exit(130)
'''


@pytest.mark.parametrize(('signals', 'pause'), [
  ([TERM], 0), ([INT], 0), ([HUP], 0), ([TERM] * 2, 0.02), ([TERM] * 5, 0.02), ([INT] * 10, 0.01),
  ([HUP, TERM, INT], 0.0),
])
def test_one_orderly_stop(signals, pause):
  status, out, err = end(start(TRAINING), signals, pause)
  assert (status, out) == (130, 'saved\n')
  assert err in ('', f'{stopping.REQUESTED}\n')  # it may be over before that is said


@pytest.mark.parametrize('number', [INT, TERM, HUP])
def test_without_a_training_a_signal_ends_at_once(number):
  assert end(start('say("ready")\ntime.sleep(1000)'), [number] * 5) == (130, '', 'interrupted\n')


def test_a_second_interrupt_waits_for_no_thread_and_writes_what_was_printed():
  process = start('''
stop = stopping.StopRequest()
print("printed")
say("ready")
threading.Thread(target=time.sleep, args=(1000,)).start()
threading.Event().wait()
''')
  status, out, err = end(process, [INT, INT], pause=0.4)
  assert (status, out) == (130, 'printed\n')
  assert err == f'{stopping.REQUESTED}\ninterrupted\n'


@pytest.mark.parametrize('status', [0, 1, 2, 130])
@pytest.mark.parametrize('number', [TERM, INT])
def test_signals_do_not_change_a_program_that_has_ended(status, number):
  """The interpreter's end is made slow; the burst covers it whole."""
  process = start(f'''
stopping.StopRequest()
atexit.register(time.sleep, 0.2)
threading.Thread(target=time.sleep, args=(0.2,)).start()
say("ready")
sys.exit({status})
''')
  found, out, err = end(process, [number] * 100, pause=0.01)
  assert found == status
  assert out == ''
  assert err in ('', f'{stopping.REQUESTED}\n')


@pytest.mark.parametrize(('code', 'status'), [('None', 0), ('3', 3)])
def test_the_status_is_that_of_the_program(code, status):
  assert end(start(f'say("ready")\nsys.exit({code})'), [])[0] == status


def test_an_error_keeps_its_traceback():
  status, _, err = end(start('say("ready")\nraise KeyError("a bug")'), [])
  assert status == 1
  assert "KeyError: 'a bug'" in err


def test_nohup_stays():
  process = start(TRAINING, before=['sh', '-c', 'trap "" HUP; exec "$0" "$@"'])
  process.send_signal(HUP)
  time.sleep(0.1)
  assert process.poll() is None
  assert end(process, [TERM])[:2] == (130, 'saved\n')


def test_a_forked_process_is_its_own():
  """Its signals do what they do by default, and do not stop the parent."""
  process = start('''
stop = stopping.StopRequest()
child = os.fork()
if not child:
  time.sleep(1000)
os.kill(child, 15)
say("ready")
say(str(os.WTERMSIG(os.waitpid(child, 0)[1])))
time.sleep(0.1)
say(str(stop.requested(0)))
sys.exit(0)
''')
  assert end(process, [])[:2] == (0, '15\nFalse\n')


# A whole training.


@pytest.fixture(scope='module')
def start_run(quick_environment):
  """Starts a run that would take long, and waits for a moment of it."""

  def start_one(workdir, moment, *arguments):
    options = {
      'network.blocks_per_group': 1, 'network.width': 2, 'batch_size': 620, 'num_steps': 10**6,
    }
    process = subprocess.Popen(
      [
        sys.executable, '-m', 'experiments.main', '--config=experiments/digits_50.py',
        f'--workdir={workdir}', *(f'--config.{key}={value}' for key, value in options.items()),
        *arguments,
      ], cwd=ROOT, env=quick_environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    limit = time.monotonic() + LIMIT
    while not moment(workdir):
      assert process.poll() is None and time.monotonic() < limit
      time.sleep(0.005)
    return process

  return start_one


def recorded(workdir):
  return (workdir / 'metrics.jsonl').exists() and (workdir / 'metrics.jsonl').stat().st_size


def saving(workdir):
  return any((workdir / 'checkpoints').glob('*tmp*'))


@pytest.mark.parametrize('moment', [recorded, saving])
def test_a_burst_stops_a_run_with_a_checkpoint(tmp_path, start_run, moment):
  every = [] if moment is recorded else ['--config.checkpoint_every_seconds=0.0']
  process = start_run(tmp_path, moment, *every)
  status, out, err = end(process, itertools.chain([TERM, INT], [TERM] * 8), pause=0.03)
  assert (status, out) == (130, '')
  assert 'Traceback' not in err and 'ignored' not in err
  last = err.splitlines()[-1]
  assert last.startswith('interrupted at step ') and last.endswith('goes on from there')
  step = last.split()[3]
  assert (tmp_path / 'checkpoints' / step).is_dir()
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  assert json.loads(lines[-1])['step'] <= int(step) if lines else moment is saving


def test_signals_while_a_program_is_imported(quick_environment, tmp_path):
  """As soon as Python has begun with the package, long before its imports are done."""
  process = subprocess.Popen(
    [sys.executable, '-X', 'importtime', '-m', 'experiments.report', '--out', str(tmp_path)],
    cwd=ROOT, env=quick_environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
  )
  while 'cli.stopping' not in line_of(process.stderr):
    assert process.poll() is None
  while not line_of(process.stderr).strip().endswith(' experiments'):
    assert process.poll() is None
  status, out, err = end(process, [INT] * 10, pause=0.002)
  assert (status, out) == (130, '')
  said = [line for line in err.splitlines() if not line.startswith('import time:')]
  assert said == ['interrupted']

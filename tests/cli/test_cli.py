"""The command line: errors in one line, interruption, and what is shown on the way."""

import json
import os
import pathlib
import re
import select
import signal
import struct
import subprocess
import sys
import time

import pytest

from multiscale_inversion.cli import program as cli
from multiscale_inversion.runs import display

ROOT = pathlib.Path(__file__).parents[2]
LIMIT = 120.0  # seconds; more than a loaded machine needs
COMMAND = [sys.executable, '-m', 'experiments.main']

# Runs each command line of a JSON list in a process of its own, forked where everything is
# imported but nothing yet started, and prints [status, stdout, stderr] of each.
DRIVER = '''
import json, os, runpy, sys, tempfile, traceback, warnings
import sklearn.datasets
import multiscale_inversion.cli.program, multiscale_inversion.runs.loop

warnings.simplefilter('ignore')  # of JAX, about the fork

def run(arguments):
  files = [tempfile.TemporaryFile() for _ in range(2)]
  child = os.fork()
  if not child:
    status = 1
    try:
      for file, number in zip(files, (1, 2)):
        os.dup2(file.fileno(), number)
      sys.argv = ['main', *arguments]
      runpy.run_module('experiments.main', run_name='__main__', alter_sys=True)
      status = 0
    except SystemExit as exit:
      status = exit.code
    except BaseException:
      traceback.print_exc()
    finally:
      sys.stdout.flush()
      sys.stderr.flush()
      os._exit(status)
  status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
  for file in files:
    file.seek(0)
  return [status, *(file.read().decode() for file in files)]

print(json.dumps([run(arguments) for arguments in json.load(sys.stdin)]))
'''


@pytest.fixture(scope='module')
def environment(quick_environment):
  """With a terminal's kind, and nothing that says more about it."""
  dropped = ('COLUMNS', 'LINES', 'NO_COLOR', 'FORCE_COLOR')
  kept = {name: value for name, value in quick_environment.items() if name not in dropped}
  return kept | {'TERM': 'xterm-256color'}


# Wrong input.

DIGITS = '--config=experiments/digits_50.py'
SVHN = '--config=experiments/svhn_500.py'
CONFIG_FILES = ('experiments/svhn_500.py', 'experiments/digits_50.py', 'allowed')

# Name: arguments, how the message starts, and what else it says. {tmp} is a folder: see `folder`.
ERRORS = {
  'no config': ([], '--config: missing', CONFIG_FILES),
  'no such config': (['--config=experiments/nope.py'], '--config: no file experiments/nope.py',
                     CONFIG_FILES),
  'empty config': (['--config='], '--config: missing', CONFIG_FILES),
  'None for a value': ([DIGITS, '--config.seed=None'], 'seed: None; allowed: a value', ()),
  'stray argument': ([DIGITS, 'seed=3'], "unexpected argument 'seed=3'; allowed: flags", ()),
  'unknown key': ([DIGITS, '--config.network.frobnicate=3'],
                  'network.frobnicate: unknown key; allowed under network: activation',
                  ('blocks_per_group', 'width')),
  'misspelt key': ([DIGITS, '--config.network.widht=3'],
                   'network.widht: unknown key, nearest network.width; allowed under network: ',
                   ('width',)),
  'misspelt key at the top': ([DIGITS, '--config.bacth_size=3'],
                              'bacth_size: unknown key, nearest batch_size; allowed: augmentation',
                              ('seed',)),
  'key below a value': ([DIGITS, '--config.network.width.height=3'],
                        'network.width.height: unknown key; allowed under network', ('width',)),
  'unknown section': ([DIGITS, '--config.foo.bar=3'], 'foo', ('unknown key', 'network', 'seed')),
  'unknown key in the file': (['--config={tmp}/unknown_key.py'],
                              'network.deepness: unknown key; allowed under network', ('width',)),
  'not an integer': ([DIGITS, '--config.seed=abc'], 'seed=abc', ('int',)),
  'not an integer but a fraction': ([DIGITS, '--config.network.width=1.5'], 'network.width=1.5',
                                    ('int',)),
  'not a number': ([DIGITS, '--config.learning_rate=abc'], 'learning_rate=abc', ('float',)),
  'not a boolean': ([DIGITS, '--config.objective.stop_target=maybe'],
                    'objective.stop_target=maybe', ('oolean',)),
  'not epochs': ([DIGITS, "--config.decay_epochs=('a',)"], 'decay_epochs:', ('allowed',)),
  'no value': ([DIGITS, '--config.seed'], 'Missing value', ('config.seed',)),
  'objective': ([DIGITS, '--config.objective.name=foo'], "objective.name: unknown 'foo'; allowed:",
                ('supervised', 'entropy', 'global', 'multiscale', 'convex')),
  'network': ([DIGITS, '--config.network.name=foo'], "network.name: unknown 'foo'; allowed:",
              ('large_cnn', 'resnet')),
  'data set': ([DIGITS, '--config.data.name=foo'], "data.name: unknown 'foo'; allowed:",
               ('digits', 'mnist', 'cifar10', 'svhn_cropped')),
  'activation': ([DIGITS, '--config.network.activation=foo'],
                 "network.activation: unknown 'foo'; allowed:", ('leaky_relu', 'sigmoid')),
  'too low': ([DIGITS, '--config.learning_rate=-1'], 'learning_rate: -1.0 is out of range; allowed',
              ()),
  'not a finite number': ([DIGITS, '--config.learning_rate=nan'], 'learning_rate: nan is out of',
                          ('allowed',)),
  'too high': ([DIGITS, '--config.network.dropout_rate=1'],
               'network.dropout_rate: 1.0 is out of range; allowed: [0, 1)', ()),
  'not positive': ([DIGITS, '--config.num_steps=0'], 'num_steps: 0 is out of range; allowed: [1,',
                   ()),
  'layer twice': ([DIGITS, '--config.objective.layers=(0,0)'], 'objective.layers: (0, 0); allowed',
                  ('different',)),
  'not an option of the network': (
    [SVHN, '--config.network.name=large_cnn', '--config.network.blocks_per_group=3'],
    'network.blocks_per_group: not an option of large_cnn; allowed: activation', ('dropout_rate',)),
  'not an option of the objective': (
    [DIGITS, '--config.objective.alpha=0.5'],
    'objective.alpha: not an option of multiscale; allowed: reduction', ('stop_target',)),
  'convex without alpha': ([DIGITS, '--config.objective.name=convex'], 'objective.alpha: ',
                           ('allowed: [0, 1]',)),
  'too few labels': ([DIGITS, '--config.data.num_labeled=5'],
                     'data.num_labeled: 5; allowed: 10 (one a class) to 1297', ()),
  'too large a batch': ([DIGITS, '--config.batch_size=10000'], 'batch_size: ', ('5000', '1247')),
  'unknown flag': ([DIGITS, '--wrkdir=x'], "Unknown command line flag 'wrkdir'", ('workdir',)),
  'absent data set': ([SVHN, '--config.data.data_dir={tmp}/empty'],
                      'data set svhn_cropped: not found in {tmp}/empty',
                      ('data.data_dir', 'to get it', 'train_32x32.mat')),
  'no folder of images': (['--config=experiments/folder.py'], 'data.data_dir: folder needs it',
                          ('a folder', 'a CSV file')),
  'absent folder of images': (
    ['--config=experiments/folder.py', '--config.data.data_dir={tmp}/absent'],
    'data.data_dir: {tmp}/absent: no such folder or file', ()),
  'empty folder of images': (
    ['--config=experiments/folder.py', '--config.data.data_dir={tmp}/empty'],
    'data.data_dir: {tmp}/empty has no labeled images; allowed', ('.jpg', 'unlabeled', 'CSV')),
  'option of a folder': ([DIGITS, '--config.data.image_size=16'],
                         'data.image_size: not an option of the data set digits; allowed: none',
                         ()),
  'every digit labeled': ([DIGITS, '--config.data.num_labeled=None'],
                          'data.num_labeled: all 1297 training images have a label',
                          ('data.unlabeled=all',)),
  'config with a syntax error': (['--config={tmp}/syntax_error.py'], '', ('syntax_error.py',)),
  'config without get_config': (['--config={tmp}/no_get_config.py'], '', ('no_get_config.py',)),
  'config that raises': (['--config={tmp}/raises.py'], '', ('raises.py', 'the reason')),
  'file for a folder': ([DIGITS, '--workdir={tmp}/file'], '', ('{tmp}/file', 'workdir')),
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('wrong')
  (path / 'empty').mkdir()
  (path / 'file').touch()
  (path / 'syntax_error.py').write_text('def (\n')
  (path / 'no_get_config.py').write_text('x = 1\n')
  (path / 'raises.py').write_text('def get_config():\n  raise ValueError("the reason")\n')
  (path / 'unknown_key.py').write_text(
    'from experiments import digits_50\n\n\ndef get_config():\n'
    '  config = digits_50.get_config()\n  config.network.deepness = 3\n  return config\n'
  )
  return path


@pytest.fixture(scope='module')
def answers(folder, environment):
  lines = []
  for arguments, _, _ in ERRORS.values():
    line = [argument.format(tmp=folder) for argument in arguments]
    if not any(argument.startswith('--workdir') for argument in line):
      line = [f'--workdir={folder}/never', *line]
    lines.append(line)
  process = subprocess.run(
    [sys.executable, '-c', DRIVER], cwd=ROOT, env=environment, input=json.dumps(lines),
    capture_output=True, text=True, timeout=LIMIT, check=True
  )
  return dict(zip(ERRORS, json.loads(process.stdout)))


@pytest.mark.parametrize('name', ERRORS)
def test_wrong_input(name, answers, folder):
  status, stdout, stderr = answers[name]
  _, start, parts = ERRORS[name]
  assert 'Traceback' not in stderr
  assert len(stderr.splitlines()) == 1 and stderr.endswith('\n')
  assert stderr.startswith('error: ' + start.format(tmp=folder))
  assert '\\n' not in stderr
  for part in parts:
    assert part.format(tmp=folder) in stderr
  assert status == 2
  assert stdout == ''


def test_wrong_input_leaves_nothing_behind(answers, folder):
  assert not (folder / 'never').exists()


@pytest.mark.parametrize('arguments', [
  ['--config=experiments/svhn_500.py'], ['-config=experiments/svhn_500.py'],
  ['--config', 'experiments/svhn_500.py'], ['--config.seed=3', '--config=elsewhere/svhn_500.py'],
], ids=' '.join)
def test_default_workdir(arguments):
  assert cli.default_workdir(['main', *arguments]) == os.path.join('runs', 'svhn_500')


# A run on a terminal, and one that is interrupted.

STEPS, EPOCHS = 600, 15
RUN = [
  *COMMAND, DIGITS, '--config.network.blocks_per_group=1', '--config.network.width=2',
  '--config.batch_size=62', f'--config.num_steps={STEPS}', '--config.log_every_steps=20',
  '--config.eval_every_epochs=5',
]


def on_terminal(command, environment, columns):
  """Runs a command whose output is a terminal; returns its status and what the terminal got."""
  fcntl, termios = pytest.importorskip('fcntl'), pytest.importorskip('termios')
  ours, theirs = os.openpty()
  fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
  process = subprocess.Popen(
    command, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
  )
  os.close(theirs)
  output, end = b'', time.monotonic() + LIMIT
  try:
    while time.monotonic() < end:
      if select.select([ours], [], [], 1.0)[0]:
        try:
          block = os.read(ours, 65536)
        except OSError:  # Linux's way to say that the other side is closed
          break
        if not block:
          break
        output += block
    return process.wait(timeout=10), output.decode()
  finally:
    process.kill()
    os.close(ours)


def plain(text):
  """What is left without the terminal's control sequences, in the states that were drawn."""
  return re.split(r'[\r\n]+', re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', text))


@pytest.fixture(scope='module')
def terminal_run(tmp_path_factory, environment):
  workdir = tmp_path_factory.mktemp('terminal')
  status, output = on_terminal([*RUN, f'--workdir={workdir}'], environment, 140)
  return {'workdir': workdir, 'status': status, 'output': output}


def test_run_on_a_terminal(terminal_run):
  assert terminal_run['status'] == 0, terminal_run['output']
  states = plain(terminal_run['output'])
  assert any(re.search(r'compiling, about \d+ s', state) for state in states)
  number = r'\d[\d.e+-]*'
  bar = re.compile(rf'epoch {number}/{EPOCHS} .*\d+% {number} steps/s  \d+ s left')
  losses = re.compile(
    rf'test error \d+\.\d\d %  loss {number}  CE {number}  E {number}  R {number}'
  )
  drawn = [state for state in states if bar.search(state)]
  assert any(losses.search(state) for state in states)
  assert f'epoch {EPOCHS}/{EPOCHS} ' in drawn[-1] and '100%' in drawn[-1]
  assert drawn[-1].endswith(' 0 s left')
  assert '\x1b[2K' in terminal_run['output']  # redrawn in place
  error = json.loads((terminal_run['workdir'] / 'summary.json').read_text())['test_error']
  assert f'test error {error:.2f} %' in [state for state in states if losses.search(state)][-1]
  finished = [state for state in states if state.startswith('finished: digits, 50 labels')]
  assert len(finished) == 1
  assert 'Traceback' not in terminal_run['output']


@pytest.fixture(scope='module')
def interrupted_run(tmp_path_factory, environment):
  """A run that is interrupted after its first record, and the same command once more."""
  workdir = tmp_path_factory.mktemp('interrupted')
  command = [*RUN, f'--workdir={workdir}']
  process = subprocess.Popen(
    command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
  )
  try:
    metrics, end = workdir / 'metrics.jsonl', time.monotonic() + LIMIT
    while not (metrics.exists() and metrics.stat().st_size):
      assert time.monotonic() < end and process.poll() is None
      time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=LIMIT)
  finally:
    process.kill()
  first = (process.returncode, stdout, stderr)
  summary_then = (workdir / 'summary.json').exists()
  lines_then = metrics.read_text().splitlines()
  process = subprocess.run(
    command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
  )
  return {
    'workdir': workdir, 'first': first, 'summary_then': summary_then, 'lines_then': lines_then,
    'second': (process.returncode, process.stdout, process.stderr),
  }


def test_interrupted(interrupted_run):
  status, stdout, stderr = interrupted_run['first']
  assert status == 130, stderr
  assert stdout == ''
  said = re.fullmatch(
    rf'interrupted at step (\d+) of {STEPS}; the same command goes on from there',
    stderr.splitlines()[-1]
  )
  assert 20 <= int(said[1]) < STEPS
  assert 'Traceback' not in stderr
  assert not interrupted_run['summary_then']
  assert json.loads(interrupted_run['lines_then'][-1])['step'] <= int(said[1])


def test_same_command_finishes_the_run(interrupted_run, terminal_run):
  status, stdout, stderr = interrupted_run['second']
  assert status == 0, stderr
  assert re.fullmatch(
    r'finished: digits, 50 labels, multiscale, seed 0: test error \d+\.\d\d % after 15 epochs in '
    rf'\d+ s; see {re.escape(str(interrupted_run["workdir"]))}\n', stdout
  )
  lines, uninterrupted = (
    (run['workdir'] / 'metrics.jsonl').read_text().splitlines()
    for run in (interrupted_run, terminal_run)
  )
  assert lines[:len(interrupted_run['lines_then'])] == interrupted_run['lines_then']
  assert len(lines) > len(interrupted_run['lines_then'])
  assert lines == uninterrupted
  summary = json.loads((interrupted_run['workdir'] / 'summary.json').read_text())
  assert summary['num_steps'] == STEPS
  assert summary['command'].startswith(f'python -m experiments.main {DIGITS} ')


def test_plain_lines_without_a_terminal(interrupted_run):
  for name in ('first', 'second'):
    stderr = interrupted_run[name][2]
    assert '\x1b' not in stderr and '\r' not in stderr
    lines = stderr.splitlines()
    shown = [line for line in lines if not line.startswith(('interrupted', 'next: '))]
    data, shown = shown[:12], shown[12:]
    assert data[0] == 'digits: 50 labeled, 1247 unlabeled, 500 test images; 10 classes'
    assert data[1:3] == ['  class  labeled  in all  test', '  0            5     132    46']
    assert shown.pop(0).startswith('shown, in the loss or not: CE, cross-entropy of labeled')
    if shown[0].startswith('the loss'):
      assert 'information' in shown.pop(0)
    if name == 'second':
      assert re.fullmatch(rf'resuming at step \d+ of {STEPS}', shown.pop(0))
    assert re.fullmatch(r'compiling, about \d+ s', shown.pop(0))
    assert shown
    for line in shown:
      assert re.match(rf'epoch [\d.]+/{EPOCHS}  step \d+/{STEPS}(  |$)', line)
  assert re.search(
    rf'^epoch 15/15  step {STEPS}/{STEPS}  '
    r'test error \d+\.\d\d %  loss \S+  CE \S+  E \S+  R \S+  \S+ steps/s  0 s left$',
    interrupted_run['second'][2], re.MULTILINE,
  )


# The display alone.


def make_status(**changes):
  scalars = {
    'train/loss': 0.73456, 'train/cross_entropy': 0.5, 'train/entropy': 1.25,
    'train/reconstruction': 0.0625, 'train/reconstruction/0': 9.0,
  }
  status = display.Status(2500, 800_000, 1.25, 400, scalars, 23.456, 12.34)
  return status._replace(**changes)


def test_details():
  assert make_status().epochs() == 'epoch 1.25/400'
  losses = ['loss 0.7346', 'CE 0.5', 'E 1.25', 'R 0.0625']
  assert make_status().losses() == ['test error 23.46 %', *losses]
  assert make_status().speed() == '12.3 steps/s  17 h 57 min left'
  assert make_status(test_error=None).losses() == losses
  assert make_status(scalars={}, test_error=None).losses() == []
  assert make_status(steps_per_second=None).speed() == ''
  assert make_status(steps_per_second=1234.5).speed().startswith('1234 steps/s')


@pytest.mark.parametrize(('seconds', 'text'), [
  (0, '0 s'), (59.4, '59 s'), (59.6, '1 min 00 s'), (61, '1 min 01 s'), (3599.6, '1 h 00 min'),
  (7500, '2 h 05 min'),
])
def test_time_left(seconds, text):
  status = make_status(step=0, num_steps=round(seconds * 10), steps_per_second=10.0)
  assert status.speed() == f'10 steps/s  {text} left'


def test_a_narrow_terminal_shows_all_losses_in_more_lines():
  parts = make_status().losses()
  assert display._in_lines(parts, 80) == ['  ' + '  '.join(parts)]
  assert display._in_lines(parts, 36) == [
    '  test error 23.46 %  loss 0.7346', '  CE 0.5  E 1.25  R 0.0625'
  ]
  assert display._in_lines(parts, 5) == [f'  {part}' for part in parts]
  assert display._in_lines([], 80) == ['']


def test_plain_lines_come_every_ten_seconds(monkeypatch, capsys):
  shown = display.Plain()
  for step, now in enumerate([100.0, 105.0, 109.9, 110.1, 119.0, 121.0]):
    monkeypatch.setattr(display.time, 'monotonic', lambda: now)  # noqa: B023 (called at once)
    shown.show(make_status(step=step))
  shown.show(make_status(step=6), final=True)
  lines = capsys.readouterr().err.splitlines()
  assert [re.search(r'step (\d+)/800000', line)[1] for line in lines] == ['0', '3', '5', '6']


SHOW = '''
from multiscale_inversion.runs import display
scalars = {'train/loss': 0.73456, 'train/cross_entropy': 0.5123, 'train/entropy': 1.2512,
           'train/reconstruction': 0.06251}
shown = display.create()
assert isinstance(shown, display.Terminal)
shown.show(display.Status(2500, 800_000, 1.25, 400, scalars, 23.456, 12.34))
shown.close()
'''


@pytest.mark.parametrize('columns', [45, 80, 120])
def test_width_of_the_terminal(columns, environment):
  status, output = on_terminal([sys.executable, '-c', SHOW], environment, columns)
  assert status == 0, output
  states = plain(output)
  assert max(map(len, states)) <= columns
  losses = ' '.join(states)
  bar = [state for state in states if 'epoch' in state][-1]
  for part in ('0.5123', '1.251', '0.06251', '23.46 %'):
    assert part in losses
  for part in ('epoch 1.25/400', '0%', '12.3 steps/s', 'left') if columns >= 80 else ():
    assert part in bar


# The other programs.


def failed(program, *arguments, environment):
  """What a program that must end with status 2 said."""
  finished = subprocess.run(
    [sys.executable, '-m', f'experiments.{program}', *arguments], cwd=ROOT, env=environment,
    capture_output=True, text=True, timeout=LIMIT, check=False,
  )
  assert finished.returncode == 2 and not finished.stdout
  return finished.stderr


@pytest.mark.parametrize('flag', ['--distributed=auto', DIGITS])
def test_a_flag_that_has_no_part_in_a_program_is_refused(flag, environment):
  """Two sweeps in place of one on two machines would write into the same folders."""
  said = failed('sweep', '--settings=digits_50/global', flag, environment=environment)
  name = flag.partition('=')[0]
  assert said == f'error: {name}: not a flag of this program; allowed: see --help\n'


def test_the_home_folder_is_expanded(tmp_path, environment):
  environment = environment | {'HOME': str(tmp_path)}
  said = failed('predict', '--workdir=~/none', 'image.png', environment=environment)
  assert said.startswith(f'error: {tmp_path}/none')


@pytest.mark.parametrize(('variables', 'kind'), [
  ({'TERM': 'xterm'}, display.Terminal), ({'TERM': 'dumb'}, display.Plain),
  ({'TERM': 'xterm', 'JPY_PARENT_PID': '1'}, display.Plain), ({}, display.Plain),
])
def test_where_progress_is_drawn_in_place(monkeypatch, variables, kind):
  for name in ('TERM', 'JPY_PARENT_PID'):
    monkeypatch.delenv(name, raising=False)
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
  shown = display.create()
  shown.close()
  assert isinstance(shown, kind)

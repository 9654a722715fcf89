"""Standard streams of any encoding, closed, full, or read by nobody; and names shown on them."""

import io
import os
import subprocess
import sys

import pytest

from multiscale_inversion import text
from multiscale_inversion.cli import program as cli
from multiscale_inversion.cli import streams
from multiscale_inversion.errors import UserError

# What a program prints: the mean and its deviation, names of files that are not UTF-8, anything.
PRINTS = '''
import sys
from multiscale_inversion.cli import streams
with streams.guarded():
  print('5.25 \\xb1 0.50 %', flush=True)
  print('\\udcff\\udce9.png: \\u732b \\xe9 \\ud800 \\U0001f408', flush=True)
  print('on the way \\xb1 \\udcff', file=sys.stderr, flush=True)
  for _ in range(int(sys.argv[1]) if sys.argv[1:] else 0):
    print('x' * 99)
sys.exit(7)
'''
COMMAND = [sys.executable, '-c', PRINTS]


def ended(command=COMMAND, **options):
  # UTF-8 mode and what else the machine has set must not decide.
  own = {'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0', 'LC_ALL': 'C.UTF-8'}
  environment = {k: v for k, v in os.environ.items() if not k.startswith('PYTHONIO')} | own
  environment |= options.pop('env', {})
  options = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE} | options
  finished = subprocess.run(
    command, cwd=cli._ROOT, env=environment, timeout=60, check=False, **options
  )
  return finished.returncode, finished.stdout, finished.stderr


@pytest.mark.parametrize(('env', 'lines'), [
  ({}, '5.25 ± 0.50 %\n'.encode() + b'\xff\xe9.png: ' + '猫 é \\ud800 🐈\n'.encode()),
  ({'PYTHONIOENCODING': 'ascii'},
   b'5.25 +- 0.50 %\n\xff\xe9.png: \\u732b \\xe9 \\ud800 \\U0001f408\n'),
  ({'LC_ALL': 'C'}, b'5.25 +- 0.50 %\n\xff\xe9.png: \\u732b \\xe9 \\ud800 \\U0001f408\n'),
  ({'PYTHONIOENCODING': 'ascii:strict'},
   b'5.25 +- 0.50 %\n\xff\xe9.png: \\u732b \\xe9 \\ud800 \\U0001f408\n'),
  ({'PYTHONIOENCODING': 'latin-1'},
   b'5.25 \xb1 0.50 %\n\xff\xe9.png: \\u732b \xe9 \\ud800 \\U0001f408\n'),
  ({'PYTHONIOENCODING': 'cp1252'},
   b'5.25 \xb1 0.50 %\n\xff\xe9.png: \\u732b \xe9 \\ud800 \\U0001f408\n'),
], ids=str)  # fmt: skip
def test_any_encoding(env, lines):
  status, out, err = ended(env=env)
  assert (status, out) == (7, lines)
  assert err.startswith(b'on the way ') and err.endswith(b' \xff\n')


def test_a_wide_encoding():
  """Bytes as they were would break it."""
  status, out, err = ended(env={'PYTHONIOENCODING': 'utf-16-le'})
  assert status == 7 and '5.25 ± 0.50 %\n\\udcff\\udce9.png' in out.decode('utf-16-le')
  assert '±' in err.decode('utf-16-le')


def test_closed_from_the_start():
  script = f'{sys.executable} -c "$0" 10000'
  said = 'on the way ± '.encode() + b'\xff\n'
  assert ended(['sh', '-c', f'{script} >&-', PRINTS]) == (7, b'', said)
  status, out, err = ended(['sh', '-c', f'{script} 2>&-', PRINTS])
  assert (status, err) == (7, b'') and out.startswith(b'5.25')
  assert ended(['sh', '-c', f'{script} <&- >&- 2>&-', PRINTS]) == (7, b'', b'')


def test_numbers_of_closed_streams_go_to_no_file_of_the_run(tmp_path):
  """A library's message to number 2 would stand in the metrics."""
  script = (
    'from multiscale_inversion.cli import streams\nimport os, sys\nwith streams.guarded():\n'
    '  file = open(sys.argv[1], "w")\n  os.write(1, b"noise"); os.write(2, b"noise")\n'
  )
  path = tmp_path / 'metrics'
  command = ['sh', '-c', f'{sys.executable} -c "$0" {path} <&- >&- 2>&-', script]
  assert ended(command) == (0, b'', b'')
  assert path.read_bytes() == b''


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='the system has no /dev/full')
@pytest.mark.parametrize('count', ['0', '10000'])
def test_full(count):
  with open('/dev/full', 'wb') as full:
    status, _, err = ended([*COMMAND, count], stdout=full)
    assert status == streams.OUTPUT_LOST
    assert err == b'error: standard output: No space left on device\n'
    status, out, _ = ended([*COMMAND, count], stderr=full)
    assert status == 7 and out.count(b'\n') == 2 + int(count)
    assert ended([*COMMAND, count], stdout=full, stderr=full)[0] == streams.OUTPUT_LOST


@pytest.mark.parametrize('count', ['0', '10000'])
def test_nobody_reads(count):
  reader, writer = os.pipe()
  os.close(reader)
  try:
    assert ended([*COMMAND, count], stdout=writer)[::2] == (streams.BROKEN_PIPE, b'')
    status, out, _ = ended([*COMMAND, count], stderr=writer)
    assert status == 7 and out.count(b'\n') == 2 + int(count)
  finally:
    os.close(writer)


# A program as a whole.


def run(monkeypatch, main, *arguments):
  """The exit status of a program in this process."""
  monkeypatch.setattr(sys, 'argv', ['program', *arguments])
  with pytest.raises(SystemExit) as end:
    cli.run(main, needs_config=False)
  return end.value.code


def raises(error):
  def main(argv):
    del argv
    raise error

  return main


@pytest.mark.parametrize(('error', 'status', 'line'), [
  (UserError('a\nb: \x1b[2J'), 2, 'error: a\\nb: \\x1b[2J\n'),
  (UserError('x' * 100_000), 2, None),
  (KeyboardInterrupt(), 130, 'interrupted\n'),
  (PermissionError(13, 'Permission denied', '/there'), 2, 'error: /there: Permission denied\n'),
  (OSError(28, 'No space left on device'), 3, 'error: No space left on device\n'),
])  # fmt: skip
def test_errors_are_one_line(error, status, line, monkeypatch, capsys):
  assert run(monkeypatch, raises(error)) == status
  said = capsys.readouterr().err
  assert said.count('\n') == 1 and len(said) < 2100
  assert line is None or said == line


def test_faults_of_the_program_keep_their_traceback(monkeypatch):
  monkeypatch.setattr(sys, 'argv', ['program'])
  for error in (RuntimeError('ours'), OSError('ours'), AssertionError()):
    with pytest.raises(type(error)):
      cli.run(raises(error), needs_config=False)
  assert isinstance(sys.stdout, io.TextIOBase)  # as it was


# Text.


def test_printable():
  assert text.printable('a\tb\udcff\u2028é\ud800') == 'a\\tb\\xff\\u2028é\\ud800'
  assert text.one_line('\udcff\n') == '\udcff\\n'
  assert text.in_figure('a$b_\udc80') == r'a\$b_\x80'
  assert len(text.in_figure('n' * 9999)) < 200


@pytest.mark.parametrize(('given', 'name'), [
  ('digits_50', 'digits_50'), ('../../x', '-..-x'), ('/etc/x', '-etc-x'), ('..', '-'), ('', '-'),
  ('a\nb\x00', 'a-b-'), ('Ünïcode+1.5', 'Ünïcode+1.5'), ('\udcff', '-'),
])  # fmt: skip
def test_names_of_files(given, name):
  assert text.file_name(given) == name
  assert len(os.fsencode(text.file_name('猫' * 500, 100))) == 99

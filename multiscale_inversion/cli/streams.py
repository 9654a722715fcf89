"""Guard standard output and standard error against closed pipes, full disks and encodings."""

import codecs
import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

BROKEN_PIPE = 141  # the status of a program ended by SIGPIPE
OUTPUT_LOST = 74  # EX_IOERR

_ERRORS = 'multiscale_inversion.shown'
_WORDS = {'±': '+-', '…': '...'}


def _shown(error: UnicodeError) -> tuple[str | bytes, int]:
  """Replace a character that an encoding lacks by words, its original byte or an escape."""
  if not isinstance(error, UnicodeEncodeError):
    raise error
  character, after = error.object[error.start], error.start + 1
  code = ord(character)
  if 0xDC80 <= code <= 0xDCFF and 'a'.encode(error.encoding) == b'a':
    return bytes([code - 0xDC00]), after
  escaped = character.encode('ascii', 'backslashreplace').decode('ascii')
  return _WORDS.get(character, escaped), after


codecs.register_error(_ERRORS, _shown)


class _Guarded:
  """Wrap a stream so that a failure to write is handled once; later output is discarded.

  Args:
    stream: the stream.
    failed: called with the error.
  """

  def __init__(self, stream: TextIO, failed: Callable[[OSError], None]):
    self._stream = stream
    self._failed = failed

  def write(self, text: str) -> int:
    """Write like a text stream."""
    try:
      return self._stream.write(text)
    except OSError as error:
      self._lead_nowhere()
      self._failed(error)
      return len(text)

  def flush(self) -> None:
    """Flush like a text stream."""
    try:
      self._stream.flush()
    except OSError as error:
      self._lead_nowhere()
      self._failed(error)

  def _lead_nowhere(self) -> None:
    """Discard buffered output, which would fail again when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, self._stream.fileno())
    os.close(nowhere)

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
  """Guard both streams while the context lasts.

  Characters that a stream's encoding lacks are replaced. If standard output cannot be written, the
  program ends: silently if its reader has closed it (status `BROKEN_PIPE`), else with a line
  (`OUTPUT_LOST`). Errors of standard error, which shows progress only, are ignored. Output to a
  stream that was closed from the start is discarded.
  """
  _fill_descriptors()
  before = sys.stdout, sys.stderr
  sys.stdout = _Guarded(_lenient(sys.stdout), _end)
  sys.stderr = _Guarded(_lenient(sys.stderr), lambda error: None)
  try:
    yield
  finally:
    try:
      sys.stdout.flush()
      sys.stderr.flush()
    finally:
      sys.stdout, sys.stderr = before


def _fill_descriptors() -> None:
  """Keep files of the run from getting the numbers 0 to 2: libraries write messages to 2."""
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def _lenient(stream: TextIO | None) -> TextIO:
  if stream is None:
    return open(os.devnull, 'w', encoding='utf-8', errors=_ERRORS)
  if hasattr(stream, 'reconfigure'):
    stream.reconfigure(errors=_ERRORS)
  return stream


def _end(error: OSError) -> None:
  if error.errno == errno.EPIPE:
    raise SystemExit(BROKEN_PIPE) from None
  print(f'error: standard output: {error.strerror}', file=sys.stderr)
  raise SystemExit(OUTPUT_LOST) from None

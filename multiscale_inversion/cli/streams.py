"""Standard output and standard error that take whatever is written, wherever they lead."""

import codecs
import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

BROKEN_PIPE = 141  # as of a program that the signal of a closed pipe ends
OUTPUT_LOST = 74  # EX_IOERR

_ERRORS = 'multiscale_inversion.shown'
_WORDS = {'±': '+-', '…': '...'}


def _shown(error: UnicodeError) -> tuple[str | bytes, int]:
  """What stands for a character that an encoding lacks: words, the byte that it was, an escape."""
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
  """A stream whose failures to write are handled once; then it leads nowhere.

  Args:
    stream: the stream.
    failed: called with the error.
  """

  def __init__(self, stream: TextIO, failed: Callable[[OSError], None]):
    self._stream = stream
    self._failed = failed

  def write(self, text: str) -> int:
    """Writes, as a text stream does."""
    try:
      return self._stream.write(text)
    except OSError as error:
      self._lead_nowhere()
      self._failed(error)
      return len(text)

  def flush(self) -> None:
    """Flushes, as a text stream does."""
    try:
      self._stream.flush()
    except OSError as error:
      self._lead_nowhere()
      self._failed(error)

  def _lead_nowhere(self) -> None:
    """What the stream still holds must not fail again when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, self._stream.fileno())
    os.close(nowhere)

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
  """Guards both streams as long as the context lasts.

  A character that the stream's encoding lacks is replaced. Where standard output cannot be written
  any more, the program ends: silently if nobody reads it any longer (status `BROKEN_PIPE`), else
  with a line (`OUTPUT_LOST`). What goes to standard error is news of the way, which ends no
  program. A stream that was closed from the start takes all and keeps nothing.
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
  """Keeps 0, 1 and 2 from files of the run: libraries write their messages to 2."""
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


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

"""Open regular files only, since reading a FIFO or a device may never end."""

import os
import stat
from typing import BinaryIO

_KINDS = (
    (stat.S_ISDIR, 'a folder'),
    (stat.S_ISFIFO, 'a named pipe'),
    (stat.S_ISSOCK, 'a socket'),
    (stat.S_ISCHR, 'a device'),
    (stat.S_ISBLK, 'a device'),
)


class NotRegularError(OSError):
  """A path names something else than a regular file."""

  def __init__(self, kind: str):
    super().__init__(kind)
    self.strerror = f'{kind}; allowed: a regular file'

  def __str__(self) -> str:
    return str(self.strerror)


def open_regular(path: str) -> BinaryIO:
  """Open a regular file or a link to one for reading bytes.

  Raises:
    NotRegularError: if the path names anything else, which is not opened.
    OSError: if the file is missing or may not be read.
  """
  check_regular(path)
  # Open without waiting and check again: the file may have been replaced since the first check.
  descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
  try:
    check_mode(os.fstat(descriptor).st_mode)
    return open(descriptor, 'rb')
  except BaseException:
    os.close(descriptor)
    raise


def check_regular(path: str) -> None:
  """Raise the errors of `open_regular` without opening the file."""
  check_mode(os.stat(path).st_mode)


def check_mode(mode: int) -> None:
  """Raise a `NotRegularError` unless a mode from `os.stat` is that of a regular file."""
  if not stat.S_ISREG(mode):
    raise NotRegularError(next((kind for is_kind, kind in _KINDS if is_kind(mode)), 'no file'))

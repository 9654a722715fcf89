"""Files that are read only if they are files, and written whole or not at all."""

import json
import os
import stat
import tempfile
from typing import IO, Any

from multiscale_inversion.errors import UserError


def open_regular(path: str) -> IO[bytes]:
  """Open a regular file for reading bytes.

  A named pipe or a device would keep the program waiting for ever: it is refused at once.

  Raises:
    OSError: if the file cannot be opened.
    UserError: if it is not a regular file.
  """
  descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
  if not stat.S_ISREG(os.fstat(descriptor).st_mode):
    os.close(descriptor)
    raise UserError(f'{path}: not a regular file; allowed: a file')
  return os.fdopen(descriptor, 'rb')


def write_bytes(path: str, content: bytes) -> None:
  """Write a file whole or not at all, also where the power fails.

  The content goes to a new file beside it, which then takes its place: a link of this name is
  replaced, never followed.

  Raises:
    OSError: if it cannot be written; what was there before is still there.
  """
  folder = os.path.dirname(path) or '.'
  descriptor, temporary = tempfile.mkstemp(prefix='.', suffix='.part', dir=folder)
  try:
    with os.fdopen(descriptor, 'wb') as file:
      file.write(content)
      file.flush()
      os.fchmod(file.fileno(), 0o666 & ~_umask())
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except BaseException:
    os.unlink(temporary)
    raise


def _umask() -> int:
  current = os.umask(0)
  os.umask(current)
  return current


def write_text(path: str, content: str) -> None:
  """Write text in UTF-8 as `write_bytes` does; file names in it keep their bytes."""
  write_bytes(path, content.encode('utf-8', 'surrogateescape'))


def write_json(path: str, content: Any) -> None:
  """Write JSON as `write_bytes` does."""
  write_text(path, json.dumps(content, indent=2) + '\n')


def read_json(path: str) -> Any:
  """Read a JSON file; None where there is none.

  Raises:
    UserError: if it cannot be read, or does not hold JSON in UTF-8.
  """
  try:
    with open_regular(path) as file:
      return json.loads(file.read().decode('utf-8'))
  except FileNotFoundError:
    return None
  except UserError:
    raise
  except OSError as error:
    raise UserError(f'{path}: cannot be read: {error.strerror}') from error
  except (ValueError, RecursionError) as error:  # ValueError: also of wrong UTF-8
    raise UserError(f'{path}: not JSON ({" ".join(str(error).split())})') from error

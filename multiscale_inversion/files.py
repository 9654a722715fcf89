"""Read regular files without waiting, and write files whole or not at all."""

import contextlib
import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

from multiscale_inversion import regular_files
from multiscale_inversion.errors import StorageError, UserError

# Errors that neither another name nor another permission would mend.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
  """Turn errors of the file system into errors that name the file.

  Raises:
    StorageError: if the disk is full or does not write.
    UserError: if the file cannot be written for another reason.
  """
  try:
    yield
  except OSError as error:
    kind = StorageError if error.errno in _OF_THE_DISK else UserError
    raise kind(f'{path}: cannot be written: {error.strerror or error}') from error


def open_regular(path: str) -> BinaryIO:
  """Open a regular file for reading bytes.

  Anything else is refused, since reading a pipe or a device may never end.

  Args:
    path: the file or a link to it.

  Raises:
    UserError: if the file is missing, is not a regular one, or cannot be read.
  """
  try:
    return regular_files.open_regular(path)
  except ValueError as error:  # a NUL in the name
    raise UserError(f'{path!r}: not the name of a file ({error})') from error
  except OSError as error:
    raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> UserError:
  if isinstance(error, regular_files.NotRegularError):
    return UserError(f'{path}: is {error}')
  if isinstance(error, FileNotFoundError):
    return UserError(f'{path}: no such file')
  return UserError(f'{path}: cannot be read: {error.strerror}')


def read_bytes(path: str) -> bytes:
  """Read a regular file.

  Raises:
    UserError: see `open_regular`.
  """
  with open_regular(path) as file:
    try:
      return file.read()
    except OSError as error:
      raise _unreadable(path, error) from error


def read_text(path: str) -> str:
  """Read a UTF-8 file without changing its line ends.

  Raises:
    UserError: see `open_regular`; or if the content is not UTF-8.
  """
  try:
    return read_bytes(path).decode('utf-8')
  except UnicodeDecodeError as error:
    raise UserError(f'{path}: not UTF-8 text (byte {error.start})') from error


def read_json(path: str) -> Any:
  """Read a JSON file.

  Raises:
    UserError: see `read_text`; or if the content is not JSON.
  """
  text = read_text(path)
  try:
    return json.loads(text)
  except (ValueError, RecursionError) as error:
    raise UserError(f'{path}: not JSON ({error})') from error


def write_bytes(path: str, content: bytes, follow: bool = True) -> None:
  """Write a file whole or not at all: write a new file beside it, then rename that.

  Args:
    path: the file. An existing file keeps its permissions.
    content: the file's new content.
    follow: whether to replace the target of a link, or else the link itself.

  Raises:
    UserError: if it cannot be written, or exists and is not a regular file.
    StorageError: if the disk is full or does not write.
  """
  target = os.path.realpath(path) if follow else path
  temporary = os.path.join(os.path.dirname(target), f'.{secrets.token_hex(8)}.part')
  try:
    mode = _mode_of(path, target)
    with writing(path):
      descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
      try:
        with os.fdopen(descriptor, 'wb') as file:
          file.write(content)
          if mode is not None:
            os.fchmod(file.fileno(), mode)
          file.flush()
          os.fsync(file.fileno())  # or a power cut leaves an empty file
        os.replace(temporary, target)
      except BaseException:
        os.unlink(temporary)
        raise
  except UserError:
    raise
  except ValueError as error:  # a NUL in the name
    raise UserError(f'{path!r}: not the name of a file ({error})') from error


def check_target(path: str) -> None:
  """Check that a file can be written, before the work of making its content.

  Raises:
    UserError: if its folder is missing or read-only, or if it exists and is not a regular file.
  """
  target = os.path.realpath(path)
  folder = os.path.dirname(target)
  _mode_of(path, target)
  if not os.path.isdir(folder):
    raise UserError(f'{path}: cannot be written: {folder} is not a folder')
  if not os.access(folder, os.W_OK | os.X_OK):
    raise UserError(f'{path}: cannot be written: no permission in {folder}')


def _mode_of(path: str, target: str) -> int | None:
  """Return the permissions of an existing file; None for a link, or if there is no file."""
  try:
    mode = os.lstat(target).st_mode
  except OSError:  # it is absent, or writing it will raise the error
    return None
  if stat.S_ISLNK(mode):
    return None
  try:
    regular_files.check_mode(mode)
  except regular_files.NotRegularError as error:
    raise _unreadable(path, error) from error
  return stat.S_IMODE(mode)


def write_text(path: str, text: str, follow: bool = True) -> None:
  r"""Write a UTF-8 file; see `write_bytes`.

  Bytes of file names that are not UTF-8, which Python reads as surrogates, become `\udcXX`.
  """
  write_bytes(path, text.encode('utf-8', 'backslashreplace'), follow)


def write_json(path: str, content: Any) -> None:
  """Write a JSON file; see `write_bytes`."""
  write_text(path, json.dumps(content, indent=2) + '\n')


def make_folder(path: str, what: str) -> None:
  """Make a folder and its parents if they do not exist.

  Args:
    path: the folder.
    what: the flag that named it, such as `--out`.

  Raises:
    UserError: if it cannot be made, or is not a folder.
  """
  try:
    os.makedirs(path, exist_ok=True)
  except OSError as error:
    raise UserError(f'{what}: {path} cannot be made a folder: {error.strerror}') from error
  except ValueError as error:
    raise UserError(f'{what}: {path!r} is not the name of a folder ({error})') from error

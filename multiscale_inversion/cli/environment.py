"""Check a program's environment variables, and explain their errors in one line.

A variable that JAX refuses ends the program with status 2. A compilation cache that cannot be
written is not used, with a warning. Imports only the standard library, because programs begin here
before they import JAX.
"""

import contextlib
import os
import re
import sys
import tempfile
import traceback
import types
import warnings

from multiscale_inversion import text

CACHE = 'JAX_COMPILATION_CACHE_DIR'
_PLATFORMS = ('JAX_PLATFORMS', 'JAX_PLATFORM_NAME')
_USER_ERROR = 2
_ADVICE = re.compile(r" *\(set JAX_PLATFORMS='' to .*")
_LONGEST = 300  # characters of JAX's message
_CACHE_FAILED = re.compile(r'Error (reading|writing) persistent compilation cache entry for .*?: ')


def begin() -> None:
  """Prepare and check the environment of a program, and explain its errors from now on."""
  os.environ['MPLBACKEND'] = 'agg'  # figures are written, never shown
  check_cache()
  sys.excepthook = _explain_or_trace
  warnings.showwarning = _Warnings()


def check_cache() -> None:
  """Unset the compilation cache, with a warning, if it cannot be written."""
  folder = os.environ.get(CACHE)
  if not folder or '://' in folder:  # a bucket
    return
  reason = why_not_writable(folder)
  if reason:
    print(
        f'warning: {CACHE}={folder}: not a folder that can be written ({reason}); '
        'compiled programs are not kept',
        file=sys.stderr,
    )
    os.environ[CACHE] = ''


def why_not_writable(folder: str) -> str | None:
  """Make a folder unless it is there; return why it cannot be written, None if it can."""
  try:
    os.makedirs(folder, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix='.writable-') as file:
      file.write(bytes(2**16))  # on a full disk, files can be made but not filled
      file.flush()
  except (OSError, ValueError) as error:  # ValueError: a NUL in the name
    return getattr(error, 'strerror', None) or str(error)
  return None


class _Warnings:
  """Show warnings as lines without the place in the code, and failures of the cache once."""

  def __init__(self):
    self._said = False

  def __call__(self, message, category, filename, lineno, file=None, line=None):
    words = text.message(str(message))
    if _CACHE_FAILED.match(words):
      if self._said:
        return
      self._said = True
      reason = _CACHE_FAILED.sub('', words)
      words = f'{_cache_in_words()}: {reason}; what cannot be read or written is compiled again'
    print(f'warning: {words}', file=sys.stderr)


def _cache_in_words() -> str:
  """Name the compilation cache: by the user's variable, or by the folder of the program's own."""
  chosen, jax = os.environ.get(CACHE), sys.modules.get('jax')
  if chosen or jax is None:
    return f'{CACHE}={chosen}'
  return f'compilation cache {jax.config.jax_compilation_cache_dir}'


def _explain_or_trace(
    kind: type[BaseException], error: BaseException, trace: types.TracebackType | None
) -> None:
  """Print an error that the environment causes as one line and exit; else print the traceback."""
  reason = None
  with contextlib.suppress(Exception):
    reason = explain(error)
  if reason is None:
    traceback.print_exception(kind, error, trace)
    return
  print(f'error: {reason}', file=sys.stderr)
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError):
      stream.flush()
  os._exit(_USER_ERROR)  # an exception hook cannot change the status


def explain(error: BaseException) -> str | None:
  """Return which environment variable causes an error, and why; None if none does.

  Args:
    error: raised by an import or by the first use of a device.
  """
  if isinstance(error, (ImportError, ValueError)):
    return _explain_value(error)
  if isinstance(error, (AssertionError, RuntimeError)):
    return _explain_platform(' '.join(str(error).split()))
  return None


def _explain_value(error: BaseException) -> str | None:
  """Name the JAX variable whose value its import refuses."""
  message = ' '.join(str(error).split())
  for name, value in os.environ.items():
    if name.startswith('JAX_') and (name in message or name.lower() in message):
      return f'{name}={value}: {message}'
  return None


def _explain_platform(message: str) -> str | None:
  """Name the variable that asks for devices that do not exist; `message` is from JAX."""
  jax = sys.modules.get('jax')
  asked = [name for name in _PLATFORMS if os.environ.get(name)]
  if jax is None or not asked or _has_devices(jax):
    return None
  name = asked[0]
  value = os.environ[name]
  for other in _PLATFORMS:
    jax.config.update(other.lower(), None)
  try:
    found = {device.platform for device in jax.devices()}
  except Exception:
    found = set()
  reason = _ADVICE.sub('', message)[:_LONGEST]
  return (
      f'{name}={value}: no such device works here{f" ({reason})" if reason else ""}; allowed: '
      + ', '.join(sorted(found | {'cpu'}))
  )


def _has_devices(jax: types.ModuleType) -> bool:
  try:
    return bool(jax.devices())
  except Exception:
    return False

"""Keep compiled programs in the user's cache folder: a second start takes them from there.

This is JAX's persistent compilation cache, in a folder for each version of the compiler. A user who
sets `JAX_COMPILATION_CACHE_DIR` chooses the folder, and `JAX_ENABLE_COMPILATION_CACHE=false` keeps
nothing.
"""

import os
import sys
import tempfile
from collections.abc import Callable

import jax
import jaxlib
from jax.experimental import serialize_executable
from jax.experimental.compilation_cache import compilation_cache

from multiscale_inversion.cli import environment

_NAME = 'multiscale_inversion'
_SETTINGS = {
    'jax_compilation_cache_max_size': 2**30,  # bytes; the programs used longest ago go first
    'jax_persistent_cache_min_compile_time_secs': 0.1,
}


def enable() -> None:
  """Keep this process's compiled programs, unless the user has decided about it.

  Call it once the processes of a run know each other, for it uses a device. Where the folder cannot
  be written, or the machine cannot load its own programs again, nothing is kept.
  """
  if environment.CACHE in os.environ or not jax.config.values['jax_enable_compilation_cache']:
    return
  path = folder()
  if environment.why_not_writable(path) or not reloads():
    return
  for name, value in _SETTINGS.items():
    jax.config.update(name, value)
  jax.config.update('jax_compilation_cache_dir', path)
  compilation_cache.reset_cache()  # JAX looks for a folder once, before its first compilation


def folder() -> str:
  """Return the folder of the programs that this version of the compiler makes."""
  cache = '~/Library/Caches' if sys.platform == 'darwin' else '~/.cache'
  base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser(cache)
  return os.path.join(base, _NAME, f'jaxlib-{jaxlib.__version__}')


def reloads() -> bool:
  """Return whether a program that was compiled here can be loaded again, without a complaint.

  On some CPUs XLA refuses its own programs, with long lines on standard error for each of them
  (https://github.com/jax-ml/jax/issues/38445).
  """
  if jax.default_backend() != 'cpu':
    return True
  compiled = jax.jit(lambda x: x + 1).lower(1.0).compile()
  try:
    return not _standard_error(lambda: _load_again(compiled))
  except Exception:  # whatever the reason, there is nothing to gain
    return False


def _load_again(compiled: jax.stages.Compiled) -> None:
  serialize_executable.deserialize_and_load(*serialize_executable.serialize(compiled))


def _standard_error(call: Callable[[], None]) -> bytes:
  """Call a function; return what it and the libraries under it write to standard error."""
  sys.stderr.flush()
  with tempfile.TemporaryFile() as file:
    before = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
      call()
    finally:
      os.dup2(before, 2)
      os.close(before)
    file.seek(0)
    return file.read()

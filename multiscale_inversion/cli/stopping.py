"""Answer signals, and end the program.

During training, SIGTERM, SIGHUP and the first Ctrl-C (SIGINT) are one request, however many of them
arrive: the current steps end, a checkpoint is saved, and the program exits. A second Ctrl-C ends it
at once; one within a quarter of a second counts as the same press, since wrappers such as `timeout`
repeat the signal of the terminal. Before training, while modules are imported and flags are read,
and in programs that do not train, each of these signals ends the program at once, since the same
command can simply be started again. The exit status is always 130.

Imports only the standard library, because programs install this before their own imports, which
take seconds. A thread reads the signals from Python's wake-up file, since the main thread runs no
Python while it compiles or waits for a device. Nothing is ever raised in the main thread.
"""

import atexit
import contextlib
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ONE_PRESS_SECONDS = 0.25
_BRIEF_SECONDS = 1.0
_TOGETHER_SECONDS = 10.0
_SHOW_CURSOR = b'\x1b[?25h'
REQUESTED = (
    'interrupted: a checkpoint follows the steps under way; Ctrl-C once more stops without it'
)


class Answers:
  """Decide what a signal means, without side effects: the time is an argument.

  Attributes:
    orderly: whether training accepts requests; until then every signal ends the program.
    requested: whether training was asked to stop.
    told: whether the user was told so.
  """

  def __init__(self):
    self.orderly = False
    self.requested = False
    self.told = False
    self._pressed: float | None = None

  def ends(self, number: int, now: float) -> bool:
    """Count a signal, and return whether it ends the program at once.

    Args:
      number: the number of the signal.
      now: seconds of a monotonic clock.
    """
    if not self.orderly:
      return True
    self.requested = True
    if number != signal.SIGINT:
      return False
    if self._pressed is None:
      self._pressed = now
    return now - self._pressed >= _ONE_PRESS_SECONDS


class Listener:
  """Answer this process's signals until `close`.

  Args:
    exit_process: ends the process at once with a status.
  """

  def __init__(self, exit_process: Callable[[int], Any] = os._exit):
    self.answers = Answers()
    self.status: int | None = None
    self._exit = exit_process
    self._leaving = threading.Lock()
    self._terminals = [number for number in (0, 1, 2) if os.isatty(number)]
    self._reading, self._writing = os.pipe()
    os.set_blocking(self._writing, False)
    self._earlier_file = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
    # Under `nohup`, SIGHUP is ignored, and must stay so.
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    self.numbers = [n for n in _SIGNALS if not (n == signal.SIGHUP and ignored)]
    self._earlier = {number: signal.getsignal(number) for number in self.numbers}
    self.renew()
    self._thread = threading.Thread(target=self._listen, name='signals', daemon=True)
    self._thread.start()

  def renew(self) -> None:
    """Install the handlers again: XLA replaces them when processes join."""
    for number in self.numbers:
      signal.signal(number, self._late)

  def take_requests(self) -> None:
    """Treat signals as requests from now on, except for a second Ctrl-C."""
    self.answers = Answers()
    self.answers.orderly = True
    self.renew()

  def close(self) -> None:
    """Restore the earlier handlers of the signals."""
    for number, handler in self._earlier.items():
      signal.signal(number, handler)
    signal.set_wakeup_fd(self._earlier_file)
    os.close(self._writing)
    self._thread.join()
    os.close(self._reading)

  def leave(self, status: int, message: str = '', wait: bool = False) -> None:
    """Flush the output and end the process at once, whatever its threads do.

    Args:
      status: the exit status.
      message: a line for standard error.
      wait: whether to block, not return, if another thread is already ending the process.
    """
    if not self._leaving.acquire(blocking=wait):
      return
    if message:
      if 2 in self._terminals and os.environ.get('TERM', 'dumb') != 'dumb':
        _briefly(lambda: os.write(2, _SHOW_CURSOR))  # the progress bar hides it
      _briefly(lambda: print(message, file=sys.stderr))
    _briefly(sys.stdout.flush)
    _briefly(sys.stderr.flush)
    self._exit(status)

  def _listen(self) -> None:
    while numbers := os.read(self._reading, 1000):
      now = time.monotonic()
      for number in filter(self.numbers.__contains__, numbers):
        self._answer(number, now)

  def _answer(self, number: int, now: float) -> None:
    if number == signal.SIGHUP:
      self._forget_terminals()
    if self.answers.ends(number, now):
      self._obey()
    elif not self.answers.told and self.status is None:
      self.answers.told = True
      _aside(lambda: print(REQUESTED, file=sys.stderr, flush=True))

  def _late(self, number: int, frame: Any) -> None:
    """Repeat the answer in the main thread; only the listening thread counts presses."""
    del number, frame
    if self.answers.orderly:
      self.answers.requested = True
    else:
      self._obey()

  def _obey(self) -> None:
    """End the process for a signal; a program that has finished keeps its status."""
    if self.status is None:
      self.leave(INTERRUPTED, 'interrupted')
    else:
      self.leave(self.status)

  def _forget_terminals(self) -> None:
    """Redirect output from a closed terminal, where writing would fail."""
    with contextlib.suppress(OSError):
      nowhere = os.open(os.devnull, os.O_RDWR)
      for number in self._terminals:
        os.dup2(nowhere, number)
      os.close(nowhere)


_listener: Listener | None = None


def listen() -> Listener:
  """Return this process's listener, started by the first call."""
  global _listener  # noqa: PLW0603 (a process has its signals once)
  if _listener is None:
    _listener = Listener()
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_be_deaf)
  return _listener


def begin() -> None:
  """Listen from a program's first line to its last.

  The exit function registered first is called last. It ends the process there, because afterwards
  no thread answers signals, and nothing remains to be done but to free memory.
  """
  listener = listen()

  def end():
    if listener.status is not None:
      listener.leave(listener.status, wait=True)

  atexit.register(end)


def notes_status(run: Callable[..., None]) -> Callable[..., None]:
  """Decorate the function that runs a program: after it, signals do not change the status."""

  @functools.wraps(run)
  def noting(*args, **kwargs):
    try:
      run(*args, **kwargs)
    except SystemExit as end:
      if _listener is not None:
        _listener.status = end.code if isinstance(end.code, int) else int(end.code is not None)
        _part_from_others(_listener)
      raise

  return noting


def _part_from_others(listener: Listener) -> None:
  """Leave a job of several processes after an error.

  JAX waits for all processes at the exit, which is right if all end alike. After an error of this
  process alone, the others would wait for it in vain.
  """
  parallel = sys.modules.get('multiscale_inversion.parallel')
  if parallel is None or listener.status in (None, 0, INTERRUPTED):
    return
  if not _briefly(parallel.part, _TOGETHER_SECONDS):
    listener.leave(listener.status)


def _briefly(function: Callable[[], Any], seconds: float = _BRIEF_SECONDS) -> bool:
  """Call a function that may block forever or fail; return whether it returned in time."""
  thread = _aside(function)
  if thread is None:
    return True
  thread.join(seconds)
  return not thread.is_alive()


def _aside(function: Callable[[], Any]) -> threading.Thread | None:
  """Call a function that may block or fail in a new thread, or here if none can be started."""

  def call():
    with contextlib.suppress(Exception):
      function()

  thread = threading.Thread(target=call, daemon=True)
  try:
    thread.start()
  except RuntimeError:  # the interpreter is shutting down
    call()
    return None
  return thread


def _hold() -> None:
  """Block signals before a fork, since those of the child would first wake the parent."""
  signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _release() -> None:
  signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _be_deaf() -> None:
  """Restore default signal handling in a forked process, and stop waking the parent."""
  signal.set_wakeup_fd(-1)
  for number in listen().numbers:
    default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    signal.signal(number, default)
  _release()


class StopRequest:
  """The request of a user, or of the system, that training stops; see the module's docstring."""

  def __init__(self):
    listen().take_requests()

  def requested(self, step: int) -> bool:
    """Return whether a signal has come; `step` is not used."""
    del step
    return _listener is not None and _listener.answers.requested

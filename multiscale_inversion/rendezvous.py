"""Bring the processes of a job together, or say in time which of them are missing.

JAX's own start of several processes waits for minutes and then aborts the process, without naming
the missing ones. So the processes meet first, over TCP connections to the port of process 0 that
JAX uses afterwards. Each sends its index; process 0 answers all of them once all are there, or
tells them what is wrong. The module uses sockets and threads, and nothing of JAX.
"""

import contextlib
import dataclasses
import errno
import os
import re
import selectors
import socket
import threading
import time
from collections.abc import Iterable

from multiscale_inversion.errors import UserError

ALLOWED = 'allowed: auto, or HOST:PORT,NUMBER,INDEX with INDEX below NUMBER, as localhost:1234,2,0'
_GREETING = 'multiscale_inversion'
_WAIT, _READY, _REFUSAL = f'{_GREETING} wait', f'{_GREETING} ready', f'{_GREETING} refuses: '
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # seconds between two tries
_CONNECTION_SECONDS = 5.0  # for one of several addresses
_GRACE_SECONDS = 2.0  # for an answer that is on its way
_LONGEST = 1000  # bytes of a message
_MOST = 10**6  # processes


@dataclasses.dataclass(frozen=True)
class Job:
  """A process's place among the processes of its job.

  Attributes:
    host, port: address of process 0.
    number: number of processes.
    index: index of this process, from 0 to number - 1.
    timeout: time to wait for the others, in seconds.
  """

  host: str
  port: int
  number: int
  index: int
  timeout: float

  @property
  def address(self) -> str:
    """Process 0's address as JAX takes it, HOST:PORT."""
    return f'[{self.host}]:{self.port}' if ':' in self.host else f'{self.host}:{self.port}'


def parse(text: str, timeout: float) -> Job:
  """Read `HOST:PORT,NUMBER,INDEX`.

  Raises:
    UserError: if the text has another form.
  """
  match = re.fullmatch(r'(?:\[([^],\s]+)\]|([^],:\s[]+)):(\d{1,9}),(\d{1,9}),(\d{1,9})', text, re.A)
  if not match:
    raise UserError(f'--distributed={text}: {ALLOWED}')
  port, number, index = map(int, match.group(3, 4, 5))
  if not 1 <= port < 2**16:
    raise UserError(f'--distributed={text}: port {port}; allowed: 1 to 65535')
  if index >= number or number > _MOST:
    raise UserError(f'--distributed={text}: {ALLOWED}')
  return Job(match[1] or match[2], port, number, index, timeout)


def meet(job: Job) -> None:
  """Wait until all processes of a job are there.

  Raises:
    UserError: in all processes that are there, if others are missing at the time-out, two have the
      same index, or they were given different numbers of processes.
  """
  deadline = time.monotonic() + job.timeout
  if job.index:
    _join(job, deadline)
    return
  host = _Host(job, deadline)
  host.start()
  try:
    _join(job, deadline)
  finally:
    host.join()  # it closes the port, which JAX takes then


def _join(job: Job, deadline: float) -> None:
  """Tell process 0 that this process is there, and wait for its answer."""
  failure, pause = 'no answer', _SHORTEST_PAUSE
  while (left := deadline - time.monotonic()) > 0:
    try:
      connection = _connect(job, left)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that no host can have
      failure = getattr(error, 'strerror', None) or str(error)
    else:
      with connection:
        answer = _ask(connection, job, deadline)
      if answer == _READY:
        return
      if answer.startswith(_REFUSAL):
        raise UserError(answer.removeprefix(_REFUSAL))
      failure = 'the answer is not that of a process 0 that is starting'
    time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
    pause = min(2 * pause, _LONGEST_PAUSE)
  whom = 'process 0' if job.index else 'itself'
  raise UserError(
      f'--distributed={job.address},{job.number},{job.index}: process {job.index} of {job.number} '
      f'waited {job.timeout:g} s for {whom} at {job.address} ({failure}); allowed: the HOST:PORT '
      'of a process 0 that is started at the same time, or a longer --distributed_timeout=SECONDS'
  )


def _connect(job: Job, seconds: float) -> socket.socket:
  """Connect to the first of process 0's addresses that answers."""
  failure: OSError = TimeoutError('timed out')
  for family, kind, protocol, _, address in _resolve(job, seconds):
    connection = socket.socket(family, kind, protocol)
    connection.settimeout(min(seconds, _CONNECTION_SECONDS))
    try:
      connection.connect(address)
      return connection
    except OSError as error:
      connection.close()
      failure = error
  raise failure


def _resolve(job: Job, seconds: float) -> list[tuple]:
  """Look up the addresses of process 0's host, in a thread, as a look-up takes no time-out."""
  found: list[tuple] = []
  failure: list[Exception] = [TimeoutError('the name is not resolved')]

  def look_up():
    try:
      found.extend(socket.getaddrinfo(job.host, job.port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
      failure[0] = error

  thread = threading.Thread(target=look_up, daemon=True)
  thread.start()
  thread.join(seconds)
  if not found:
    raise failure[0]
  return found


def _ask(connection: socket.socket, job: Job, deadline: float) -> str:
  """Return the answer of process 0; an empty string if there is none, or it is another program's.

  Once process 0 has answered that it waits, its own time-out counts, which may have begun later.
  """
  lines = []
  with contextlib.suppress(OSError):
    connection.settimeout(max(_GRACE_SECONDS, deadline - time.monotonic()))
    connection.sendall(f'{_GREETING} {job.number} {job.index}\n'.encode())
    with connection.makefile('rb') as file:
      lines.append(file.readline(_LONGEST).decode('utf-8', 'replace').strip())
      if lines == [_WAIT]:
        connection.settimeout(
            max(0.0, deadline - time.monotonic()) + job.timeout + _GRACE_SECONDS
        )
        lines.append(file.readline(_LONGEST).decode('utf-8', 'replace').strip())
  return lines[-1] if lines[:1] == [_WAIT] and len(lines) == 2 else ''


class _Host(threading.Thread):
  """Process 0's side: it collects the processes' messages, and answers all at once.

  Args:
    job: process 0's place. Process 0 connects to itself, too, through HOST:PORT, so that an address
      of another machine is noticed.
    deadline: end of the waiting time, by the monotonic clock.

  Raises:
    UserError: if the port cannot be taken.
  """

  def __init__(self, job: Job, deadline: float):
    super().__init__(name='rendezvous', daemon=True)
    self._job = job
    self._deadline = deadline
    self._selector = selectors.DefaultSelector()
    self._words: dict[socket.socket, bytes] = {}
    self._present: dict[socket.socket, int] = {}
    try:
      self._listening = _listen(job.port)
    except OSError as error:
      reason = os.strerror(error.errno or 0)  # Python 3.13's own text names the address, too
      raise UserError(
          f'--distributed={job.address},{job.number},0: process 0 cannot take port {job.port} '
          f'({reason}); allowed: a free port, and INDEX 0 for one process alone'
      ) from error
    self._selector.register(self._listening, selectors.EVENT_READ, self._listening)

  def run(self) -> None:
    """Collect the processes until the answer is known, and send it."""
    try:
      answer = self._collect()
      self._answer(answer)
    finally:
      self._listening.close()
      for connection in self._words:
        connection.close()
      self._selector.close()

  def _collect(self) -> str:
    """Read messages until all processes are there or the time is over; return the answer."""
    problem, deadline = None, self._deadline
    while len(set(self._present.values())) < self._job.number:
      left = deadline - time.monotonic()
      if left <= 0:
        return self._refusal(problem or self._absence())
      for key, _ in self._selector.select(left):
        found = self._take(key.data)
        if found and not problem:  # processes that connect a little later are told, too
          problem, deadline = found, min(deadline, time.monotonic() + _GRACE_SECONDS)
    return self._refusal(problem) if problem else _READY

  def _refusal(self, reason: str) -> str:
    return f'{_REFUSAL}--distributed={self._job.address},{self._job.number},...: {reason}'

  def _absence(self) -> str:
    job = self._job
    return (
        f'process 0 of {job.number} waited {job.timeout:g} s at {job.address} for '
        f'{_names(job.number, set(self._present.values()))}; allowed: all processes started at the '
        'same time, or a longer --distributed_timeout=SECONDS'
    )

  def _take(self, source: socket.socket) -> str | None:
    """Accept a connection, or read from one; return the reason if the job cannot start."""
    if source is self._listening:
      with contextlib.suppress(OSError):
        connection, _ = source.accept()
        connection.setblocking(False)
        self._words[connection] = b''
        self._selector.register(connection, selectors.EVENT_READ, connection)
      return None
    try:
      part = source.recv(_LONGEST)
    except OSError:
      part = b''
    self._words[source] += part
    if not part or len(self._words[source]) > _LONGEST:
      self._forget(source)  # a process that has ended may be started again
    elif self._words[source].endswith(b'\n') and source not in self._present:
      return self._greet(source)
    return None

  def _greet(self, source: socket.socket) -> str | None:
    match = re.fullmatch(rf'{_GREETING} (\d+) (\d+)\n'.encode(), self._words[source])
    if not match:
      self._forget(source)
      return None
    number, index = map(int, match.groups())
    if number != self._job.number:
      problem = f'process 0 was started with NUMBER {self._job.number}, process {index} with '
      problem += f'{number}; allowed: the same NUMBER'
    elif index in self._present.values():
      problem = f'two processes have INDEX {index}; allowed: one for each of 0 to {number - 1}'
    else:
      problem = None
    self._present[source] = index
    with contextlib.suppress(OSError):
      source.send(_WAIT.encode() + b'\n')  # its first bytes: they never fill the buffer
    return problem

  def _forget(self, source: socket.socket) -> None:
    self._selector.unregister(source)
    source.close()
    del self._words[source]
    self._present.pop(source, None)

  def _answer(self, answer: str) -> None:
    """Send the answer, and wait for the others to close: who closes first keeps the port busy."""
    self._listening.close()
    for connection in self._present:
      connection.settimeout(1.0)
      with contextlib.suppress(OSError):
        connection.sendall(answer.encode() + b'\n')
    for connection in self._present:
      with contextlib.suppress(OSError):
        while connection.recv(_LONGEST):
          pass


def _listen(port: int) -> socket.socket:
  """Listen at a port on all addresses, of IPv6 and IPv4 if the machine has both."""
  try:
    return socket.create_server(('', port), family=socket.AF_INET6, dualstack_ipv6=True)
  except (OSError, ValueError) as error:
    if getattr(error, 'errno', None) in (errno.EADDRINUSE, errno.EACCES):
      raise
    return socket.create_server(('', port))


def _names(number: int, present: Iterable[int]) -> str:
  """Name the missing processes, consecutive ones by the first and the last."""
  ranges, start = [], 0
  for index in [*sorted(present), number]:
    if start < index:
      ranges.append(str(start) if index - start == 1 else f'{start} to {index - 1}')
    start = index + 1
  plural = len(ranges) > 1 or ' ' in ranges[0]
  return f'process{"es" if plural else ""} {", ".join(ranges)}'

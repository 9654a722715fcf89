"""Processes that meet before JAX starts them: threads stand for them here."""

import concurrent.futures
import contextlib
import socket
import time

import pytest

from multiscale_inversion import rendezvous
from multiscale_inversion.errors import UserError

SHORT = 0.5  # seconds
LONG = 60.0


@pytest.fixture
def port():
  with socket.socket() as found:
    found.bind(('localhost', 0))
    return found.getsockname()[1]


def meet(*places, timeout, pause=0.0):
  """What each process ends with: None, or the error's line."""

  def one(place):
    try:
      rendezvous.meet(rendezvous.parse(place, timeout))
    except UserError as error:
      return str(error)

  with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
    started = []
    for place in places:
      started.append(pool.submit(one, place))
      time.sleep(pause)
    return [process.result() for process in started]


@pytest.mark.parametrize('order', [[0], [0, 1], [1, 0], [2, 0, 1], [3, 2, 1, 0]])
def test_all_there(port, order):
  places = [f'localhost:{port},{len(order)},{index}' for index in order]
  assert meet(*places, timeout=LONG, pause=0.1) == [None] * len(order)
  # Whoever comes next can have the port: JAX's service does.
  socket.create_server(('', port)).close()


@pytest.mark.parametrize(('number', 'present', 'missing'), [
  (2, [0], 'process 1'), (3, [0, 1], 'process 2'), (5, [0, 3], 'processes 1 to 2, 4'),
  (10**6, [0], 'processes 1 to 999999'),
])
def test_process_0_says_who_is_missing(port, number, present, missing):
  places = [f'localhost:{port},{number},{index}' for index in present]
  started = time.monotonic()
  said = meet(*places, timeout=SHORT)
  assert SHORT <= time.monotonic() - started < LONG
  expected = f'process 0 of {number} waited 0.5 s at localhost:{port} for {missing}; allowed: '
  for line in said:  # all that are there are told
    assert expected in line and '\n' not in line


@pytest.mark.parametrize('host', ['localhost', 'name.invalid', 'a..b'])
def test_without_process_0(port, host):
  line, = meet(f'{host}:{port},2,1', timeout=SHORT)
  assert line.startswith(f'--distributed={host}:{port},2,1: process 1 of 2 waited 0.5 s for ')
  assert f'process 0 at {host}:{port} (' in line and 'longer --distributed_timeout' in line


def test_process_0_at_an_address_that_is_not_its_own(port):
  line, = meet(f'name.invalid:{port},2,0', timeout=SHORT)
  assert f'process 0 of 2 waited 0.5 s for itself at name.invalid:{port} (' in line


def test_two_of_one_index_end_and_so_do_the_others(port):
  places = [f'localhost:{port},4,{index}' for index in (0, 1, 2, 1)]
  said = meet(*places, timeout=LONG)
  assert all('two processes have INDEX 1; allowed: one for each of 0 to 3' in s for s in said)


def test_two_processes_0(port):
  first, second = meet(*2 * [f'localhost:{port},2,0'], timeout=SHORT, pause=0.1)
  assert 'for process 1; ' in first
  assert f'process 0 cannot take port {port} (Address already in use); allowed: ' in second


def test_another_number_of_processes(port):
  said = meet(f'localhost:{port},3,0', f'localhost:{port},2,1', timeout=LONG)
  expected = 'process 0 was started with NUMBER 3, process 1 with 2; allowed: the same NUMBER'
  assert all(expected in line for line in said)


def test_a_process_that_ended_may_come_again(port):
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    host = pool.submit(meet, f'localhost:{port},3,0', timeout=LONG)  # it waits for process 2, too
    for _ in range(3):
      one = connected(port)
      one.sendall(b'multiscale_inversion 3 1\n')
      assert one.recv(100) == b'multiscale_inversion wait\n'
      one.close()
    assert meet(*(f'localhost:{port},3,{index}' for index in (1, 2)), timeout=LONG) == [None] * 2
    assert host.result() == [None]


def connected(port):
  end = time.monotonic() + LONG
  while time.monotonic() < end:
    with contextlib.suppress(ConnectionRefusedError):
      return socket.create_connection(('localhost', port), timeout=LONG)
  raise AssertionError('process 0 does not listen')


def test_strangers_are_not_counted(port):
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    host = pool.submit(meet, f'localhost:{port},2,0', timeout=LONG)
    strangers = [connected(port) for _ in range(4)]
    for stranger, word in zip(strangers, [b'GET / HTTP/1.1\r\n', b'\xff\n', b'x' * 5000, b'']):
      stranger.sendall(word)
    assert meet(f'localhost:{port},2,1', timeout=LONG) == [None]
    assert host.result() == [None]
  for stranger in strangers:
    stranger.close()


@pytest.mark.parametrize('answer', [b'', b'HTTP/1.1 400 Bad Request\r\n\r\n', b'\xff\xfe\n'])
def test_another_program_at_the_port(answer):
  with socket.create_server(('localhost', 0)) as server:
    port = server.getsockname()[1]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
      process = pool.submit(meet, f'localhost:{port},2,1', timeout=SHORT)
      server.settimeout(0.1)
      while not process.done():
        with contextlib.suppress(TimeoutError), server.accept()[0] as connection:
          connection.sendall(answer)
      line, = process.result()
  assert f'localhost:{port} (the answer is not that of a process 0 that is starting)' in line


@pytest.mark.parametrize('text', [
  '', 'x', 'localhost:1', 'localhost:1,2', 'localhost:1,2,2', 'localhost:1,0,0', 'localhost:1,2,-1',
  'localhost,2,0', ':1,2,0', 'localhost:1,2,0,0', 'localhost:1,2,0 ', 'a b:1,2,0', '::1:1,2,0',
  'localhost:1,2,' + '0' * 5000, 'localhost:1,1000001,0', 'localhost:0,2,0', 'localhost:65536,2,0',
  'localhost:\uff11,2,0',
])
def test_wrong_places(text):
  with pytest.raises(UserError, match='allowed: '):
    rendezvous.parse(text, LONG)


@pytest.mark.parametrize(('text', 'host', 'address'), [
  ('localhost:1,2,0', 'localhost', 'localhost:1'), ('10.0.0.1:1,2,0', '10.0.0.1', '10.0.0.1:1'),
  ('[::1]:1,2,0', '::1', '[::1]:1'),
])
def test_places(text, host, address):
  job = rendezvous.parse(text, LONG)
  assert (job.host, job.port, job.number, job.index, job.address) == (host, 1, 2, 0, address)

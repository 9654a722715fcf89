"""Files with random damages, given to the programs that read them."""

import itertools
import json
import os
import pathlib
import random
import shutil
import sys
import warnings
from collections.abc import Callable

import numpy as np

from tests.faults import loads, mutations, oracle, problem, processes, sound_files
from tests.faults.problem import EDGE, SHORT, SHORT_SEEDS, Problem
from tests.faults.trials import Trial

_RESULTS = ('digits_20.json', 'first_steps.json', 'mnist_small_50.json')
_PAGE = '''# A page

<!-- table: digits.json -->
<!-- end of table -->
<!-- paired: digits.json -->
<!-- end of paired -->
<!-- mistakes: digits_mistakes.json -->
<!-- end of mistakes -->
<!-- paper table 2: . -->
<!-- end of paper table 2 -->
'''


Spoil = Callable[[pathlib.Path], None]


def trials(made: Problem, count: int) -> list[Trial]:
  """Return so many trials, of each kind of file in turn, and one of each kind without damage."""
  for mode in (SHORT, SHORT_SEEDS):
    made.reference(mode)
    made.interrupted(mode)
  kinds = {
      'picture': _picture, 'table': _table, 'SVHN': _svhn, 'prepared set': _prepared,
      'result': _result, 'page': _page, 'run file': _of_run, 'other run file': _of_run,
  }
  names = itertools.islice(itertools.cycle(kinds), count)
  return [
      *(Trial(f'sound {name}', _sound(made, kinds[name]), 0) for name in kinds),
      *(Trial(f'{name}: {index}', _spoilt(made, kinds[name])) for index, name in enumerate(names)),
  ]


def _spoilt(made: Problem, kind):
  def run(rng: random.Random, place: pathlib.Path) -> None:
    kind(made, rng, place, lambda file: _spoil(file, rng))

  return run


def _sound(made: Problem, kind):
  """Return what does the same without a damage, so that a trial does not hold in vain."""

  def run(rng: random.Random, place: pathlib.Path) -> None:
    outcome = kind(made, rng, place, lambda file: None)
    oracle.check_clean(outcome, (0,))

  return run


def _picture(made: Problem, rng: random.Random, place: pathlib.Path, spoil: Spoil):
  """Spoil a picture, which is then read or skipped, and changes nothing of the others."""
  shutil.copytree(made.images, place / 'images')
  name, content = rng.choice(sound_files.pictures())
  file = place / 'images' / 'train' / 'ant' / f'0{os.path.splitext(name)[1]}'
  (place / 'images' / 'train' / 'ant' / '0.png').unlink()
  file.write_bytes(content)
  spoil(file)
  outcome = _load_data(place, 'folder', place / 'images', made.images)
  oracle.check_clean(outcome, (0,))
  return outcome


def _table(made: Problem, rng: random.Random, place: pathlib.Path, spoil: Spoil):
  file = place / 'table.csv'
  file.write_bytes(sound_files.table(made.images))
  spoil(file)
  outcome = _load_data(place, 'folder', file)
  oracle.check_clean(outcome)
  return outcome


def _svhn(made: Problem, rng: random.Random, place: pathlib.Path, spoil: Spoil):
  spoil(rng.choice(sound_files.write_svhn(place / 'data')))
  outcome = _load_data(place, 'svhn_cropped', place / 'data')
  oracle.check_clean(outcome)
  return outcome


def _prepared(made: Problem, rng: random.Random, place: pathlib.Path, spoil: Spoil):
  """Spoil a file of a set that TensorFlow Datasets has prepared."""
  # In a process of its own, since it starts threads.
  processes.run(lambda: sound_files.write_mnist(place / 'data') and 0, place / 'write_log')
  written = sorted((place / 'data' / 'mnist' / '3.0.1').iterdir())
  spoil(rng.choice([*written, *(path for path in written if path.name == 'dataset_info.json')]))
  outcome = _load_data(place, 'mnist', place / 'data')
  oracle.check_clean(outcome)
  return outcome


def _load_data(
    place: pathlib.Path, name: str, where: pathlib.Path, others: pathlib.Path | None = None
) -> processes.Outcome:
  """Load a data set in a process, and check what was loaded.

  Args:
    place: for what the process writes.
    name: of the set.
    where: its folder or file.
    others: a sound folder, all of whose training images but the first must be among the loaded.
  """

  def action() -> int:
    from multiscale_inversion import data
    from multiscale_inversion.errors import UserError

    processes.limit_memory()
    warnings.simplefilter('always')
    options = {'image_size': EDGE, 'channels': 1} if name == 'folder' else {}
    try:
      found = data.load(name, str(where), **options)
    except UserError as error:
      print(f'error: {error}', file=sys.stderr)
      return oracle.USER_ERROR
    assert found.train_images.dtype == np.uint8
    assert found.train_labels.max() < len(found.class_names)
    if others:
      wanted = data.load(name, str(others), **options)
      count = len(wanted.train_images) - 1
      assert len(found.train_images) == count + 1 - len(found.skipped)
      np.testing.assert_array_equal(found.train_images[-count:], wanted.train_images[1:])
      np.testing.assert_array_equal(found.train_labels[-count:], wanted.train_labels[1:])
      np.testing.assert_array_equal(found.test_images, wanted.test_images)
    return 0

  return processes.run(action, place / 'log')


def _result(made: Problem, rng: random.Random, place: pathlib.Path, spoil: Spoil):
  """Spoil a result file given to the report, which writes to its folder alone."""
  files = []
  for name in rng.sample(_RESULTS, rng.choice((1, 1, 2))):
    files.append(place / name)
    runs = json.loads((problem.ROOT / 'results' / name).read_text(encoding='utf-8'))
    files[-1].write_text(json.dumps(runs[: rng.choice((1, 2, 3))]), encoding='utf-8')
  spoil(files[0])
  arguments = [*map(str, files), f'--out={place / "inner" / "out"}']
  (place / 'inner').mkdir()
  before = oracle.contents(place)
  outcome = processes.run(processes.program('report', *arguments), place / 'log')
  oracle.check_clean(outcome)
  oracle.check_kept(before, place)
  _check_inside(place, before)
  return outcome


def _page(made: Problem, rng: random.Random, place: pathlib.Path, spoil: Spoil):
  """Spoil a page whose tables are renewed, or a result file that it names."""
  sources = {'digits.json': 'digits_20.json', 'digits_mistakes.json': 'digits_50_mistakes.json'}
  for name, source in sources.items():
    shutil.copy(problem.ROOT / 'results' / source, place / name)
  page = place / 'page.md'
  page.write_text(_PAGE, encoding='utf-8')
  spoil(rng.choice((page, *(place / name for name in sources))))
  before = oracle.contents(place)
  outcome = processes.run(processes.program('report', f'--update={page}'), place / 'log')
  oracle.check_clean(outcome)
  if outcome.status:
    oracle.check_kept(before, place)
  return outcome


def _check_inside(place: pathlib.Path, before) -> None:
  """Check that nothing was written outside the folder of the output."""
  outside = [
      name for name in oracle.contents(place)
      if name not in before and not name.startswith(('inner/out/', 'log.'))
  ]
  oracle.require(not outside, f'written outside --out: {outside}')


def _of_run(made: Problem, rng: random.Random, place: pathlib.Path, spoil: Spoil):
  """Spoil a file of a run's folder, read by one of the programs."""
  mode = rng.choice((SHORT, SHORT, SHORT_SEEDS))
  finished = rng.random() < 0.7
  folder = place / 'run'
  shutil.copytree(made.reference(mode).folder if finished else made.interrupted(mode), folder)
  names = ['config.json', 'data.json', 'summary.json', 'metrics.jsonl']
  names += ['seed_1/metrics.jsonl'] if mode is SHORT_SEEDS else []
  spoil(folder / rng.choice([name for name in names if (folder / name).exists()]))
  program = rng.choice(('main', 'load', 'predict', *(('report', 'mistakes') * finished)))
  before = oracle.contents(folder)
  out = place / 'inner' / 'out'
  out.parent.mkdir()
  if program == 'main':
    outcome = processes.run(mode.start(made.images, folder), place / 'log')
  else:
    outcome = processes.run(loads.action(program, folder, made.images, out), place / 'log')
  oracle.check_clean(outcome)
  if program != 'main' or outcome.status:
    oracle.check_kept(before, folder)
    _check_inside(place, {f'run/{name}': digest for name, digest in before.items()})
  return outcome


def _spoil(file: pathlib.Path, rng: random.Random) -> None:
  """Do random damages to a file: of JSON, more often than not, to its values."""
  file.write_bytes(_changed(file, rng))


def _changed(file: pathlib.Path, rng: random.Random) -> bytes:
  content = file.read_bytes()
  if rng.random() < 0.6:
    if file.suffix == '.json':
      return mutations.any_json(content, rng)
    if file.suffix == '.jsonl':
      lines = content.splitlines(keepends=True)
      index = rng.randrange(len(lines))
      lines[index] = mutations.any_json(lines[index], rng) + b'\n'
      return b''.join(lines)
  return mutations.any_bytes(content, rng)

"""Where a run's scalars go: a file of JSON lines and TensorBoard events."""

import json
import math
import os

import tensorboardX


class MetricWriter:
  """Writes records to `metrics.jsonl` and event files in a run's folder.

  Args:
    workdir: the folder, which exists.
    step: the step at which training starts or resumes; later records, left by a run that was
      interrupted after its last checkpoint, are dropped, as they will be written again.
  """

  def __init__(self, workdir: str, step: int):
    path = os.path.join(workdir, 'metrics.jsonl')
    _drop_later(path, step)
    self._file = open(path, 'a', encoding='utf-8')  # noqa: SIM115 (closed by `close`)
    self._events = tensorboardX.SummaryWriter(workdir, purge_step=step + 1)

  def write(self, step: int, epoch: float, scalars: dict[str, float]) -> None:
    """Appends a record; a value that is not finite is null in the file."""
    record = {'step': step, 'epoch': epoch}
    record |= {k: v if math.isfinite(v) else None for k, v in scalars.items()}
    self._file.write(json.dumps(record) + '\n')
    self._file.flush()
    for name, value in scalars.items():
      self._events.add_scalar(name, value, step)

  def close(self) -> None:
    """Flushes and closes the files."""
    self._file.close()
    self._events.close()


def read(workdir: str) -> list[dict]:
  """The records of `metrics.jsonl` in a run's folder; an unfinished last line is left out."""
  records = []
  with open(os.path.join(workdir, 'metrics.jsonl'), encoding='utf-8') as file:
    for line in file:
      if line.endswith('\n'):
        records.append(json.loads(line))
  return records


def _drop_later(path: str, step: int) -> None:
  if not os.path.exists(path):
    return
  kept = [record for record in read(os.path.dirname(path)) if record['step'] <= step]
  temporary = path + '.part'
  with open(temporary, 'w', encoding='utf-8') as file:
    file.writelines(json.dumps(record) + '\n' for record in kept)
  os.replace(temporary, path)

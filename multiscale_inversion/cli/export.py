"""Export a trained network: `multiscale-inversion export --workdir=DIR --out=FILE`.

DIR is the folder of a run, or a file that `TrainedNetwork.save` wrote. FILE is a program for CPU,
GPU and TPU that needs JAX (with flatbuffers) alone:

    import jax, numpy
    program = jax.export.deserialize(bytearray(open('FILE', 'rb').read()))
    probabilities = program.call(observations)  # float32, shape [N, ...], any N

Images are given as they are stored, such as 0 to 255; the program normalizes them. In a run of
several seeds, the network is that of the first seed or of `--seed=S`. `--config=FILE` names the
file that registers a custom network.
Exit status: 0 done, 2 wrong input, 3 the file cannot be written.
"""

import sys

from absl import flags

from multiscale_inversion import exporting, files, loading
from multiscale_inversion.cli import program as cli
from multiscale_inversion.errors import UserError

# Other programs have flags of these names; one process may import several.
flags.DEFINE_string('workdir', None, "The run's folder.", allow_override=True)
_OUT = flags.DEFINE_string('out', None, 'File to write.', allow_override=True)
_SEED = flags.DEFINE_integer(
    'seed', None, 'Which network of a run of several seeds.', allow_override=True
)


def main(argv: list[str]) -> int:
  """Run the program; return its exit status."""
  cli.refuse_arguments(argv)
  workdir = cli.path_of_network()
  if not _OUT.value:
    raise UserError('--out: missing; allowed: the file to write')
  files.check_target(_OUT.value)
  network = loading.load(workdir, _SEED.value)
  content = exporting.export(network)
  files.write_bytes(_OUT.value, content)
  shape = ', '.join(['N', *map(str, network.image_shape)])
  print(
      f'{_OUT.value}: {len(content) / 1e6:.1f} MB, takes float32 ({shape}), for '
      f'{", ".join(exporting.PLATFORMS)}',
      file=sys.stderr,
  )
  return 0

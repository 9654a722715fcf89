"""Sound files of each format that the programs read, small, written without the code under test."""

import io
import itertools
import json
import pathlib

import numpy as np
from PIL import Image

_MODES = ('L', 'RGB', 'RGBA', 'LA', 'P', '1', 'I;16')


def pictures() -> list[tuple[str, bytes]]:
  """Return PNG and JPEG files of several modes, by name."""
  generator = np.random.default_rng(2)
  colors = Image.fromarray(generator.integers(0, 256, (40, 50, 4), np.uint8), 'RGBA')
  found = []
  for mode in _MODES:
    image = colors.convert('L').convert('I').convert('I;16') if mode == 'I;16' else (
        colors.convert(mode)
    )
    found.append((f'{mode}.png'.replace(';', ''), _saved(image, 'PNG')))
  for mode, options in itertools.product(('L', 'RGB', 'CMYK'), ({}, {'progressive': True})):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image = colors.convert('RGB').convert(mode)
    name = f'{mode}{"_progressive" * bool(options)}.jpg'
    found.append((name, _saved(image, 'JPEG', exif=exif.tobytes(), **options)))
  return found


def _saved(image: Image.Image, form: str, **options) -> bytes:
  file = io.BytesIO()
  image.save(file, form, **options)
  return file.getvalue()


def table(images: pathlib.Path) -> bytes:
  """Return a CSV file of the images of a folder in `train` and `test`, some without labels."""
  lines = ['file,label,split']
  for index, file in enumerate(sorted(images.rglob('*.png'))):
    part, label, _ = file.relative_to(images).parts
    label = '' if part == 'train' and index % 3 == 0 else label
    lines.append(f'{file},{label},{part}')
  return ('\n'.join(lines) + '\n').encode()


def write_svhn(folder: pathlib.Path) -> list[pathlib.Path]:
  """Write SVHN's two files, of six images each; return them."""
  from scipy.io import savemat

  generator = np.random.default_rng(3)
  place = folder / 'svhn_cropped'
  place.mkdir(parents=True)
  files = [place / f'{part}_32x32.mat' for part in ('train', 'test')]
  for file, compressed in zip(files, (True, False), strict=True):
    pixels = generator.integers(0, 256, (32, 32, 3, 6), np.uint8)
    labels = np.array([1, 2, 3, 9, 10, 10], np.uint8)[:, None]
    savemat(file, {'X': pixels, 'y': labels}, do_compression=compressed)
  return files


def write_mnist(folder: pathlib.Path) -> list[pathlib.Path]:
  """Write MNIST as TensorFlow Datasets prepares it, of ten images a part; return its files."""
  from array_record.python.array_record_module import ArrayRecordWriter

  generator = np.random.default_rng(4)
  place = folder / 'mnist' / '3.0.1'
  place.mkdir(parents=True)
  splits = []
  for part in ('train', 'test'):
    writer = ArrayRecordWriter(
        str(place / f'mnist-{part}.array_record-00000-of-00001'), 'group_size:1'
    )
    for label in range(10):
      image = Image.fromarray(generator.integers(0, 256, (28, 28), np.uint8))
      writer.write(_example(_saved(image, 'PNG'), label))
    writer.close()
    splits.append({
        'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}',
        'name': part, 'numBytes': '5000', 'shardLengths': ['10'],
    })
  package = 'tensorflow_datasets.core.features'
  image = {'dtype': 'uint8', 'shape': {'dimensions': ['28', '28', '1']}}
  features = {
      'image': {'image': image, 'pythonClassName': f'{package}.image_feature.Image'},
      'label': {
          'classLabel': {'numClasses': '10'},
          'pythonClassName': f'{package}.class_label_feature.ClassLabel',
      },
  }
  contents = {
      'dataset_info.json': {
          'fileFormat': 'array_record', 'name': 'mnist', 'version': '3.0.1', 'splits': splits,
          'moduleName': 'tensorflow_datasets.image_classification.mnist',
      },
      'features.json': {
          'featuresDict': {'features': features},
          'pythonClassName': f'{package}.features_dict.FeaturesDict',
      },
  }
  for name, content in contents.items():
    (place / name).write_text(json.dumps(content), encoding='utf-8')
  (place / 'label.labels.txt').write_text('\n'.join(map(str, range(10))) + '\n', encoding='utf-8')
  return sorted(place.iterdir())


def _example(image: bytes, label: int) -> bytes:
  """Return a serialized `tf.train.Example` with an image and a label below 128."""
  features = {
      b'image': _field(1, _field(1, image)),  # a list of bytes
      b'label': _field(3, _field(1, bytes([label]))),  # a packed list of integers
  }
  entries = (_field(1, name) + _field(2, value) for name, value in features.items())
  return _field(1, b''.join(_field(1, entry) for entry in entries))


def _field(number: int, content: bytes) -> bytes:
  """Return a field of protocol buffers that has a length."""
  length, rest = b'', len(content)
  while rest >= 128:
    length += bytes([rest % 128 + 128])
    rest //= 128
  return bytes([number * 8 + 2]) + length + bytes([rest]) + content

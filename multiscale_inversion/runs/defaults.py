"""The paper's protocol (Section 3.1): what every experiment starts from.

A configuration file returns this one with few values changed; any value can be changed on the
command line too, `--config.seed=1`. Under `network` and `objective`, None leaves an option to the
network's or the objective's own default, the paper's where the paper has one, or to the recipe's;
`config.json` in a run's folder holds the values used.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
  """Returns the defaults, a new object each time."""
  config = ConfigDict()

  # 'paper', or 'few_labels': other defaults of options that go together, see recipes.py.
  config.recipe = 'paper'

  config.data = ConfigDict()
  config.data.name = 'svhn_cropped'
  # Folder of prepared TFDS sets; the environment's TFDS_DATA_DIR or ~/tensorflow_datasets if None.
  # Of the set 'folder': that of the images, or a CSV file.
  config.data.data_dir = placeholder(str)
  config.data.note = ''  # what sets this copy of the data apart, as 'JPEG copy': results show it
  config.data.num_labeled = placeholder(int)  # all that have a label if None
  # D_u: 'rest', the training set less the labeled images, or 'all' of it.
  config.data.unlabeled = 'rest'
  # Of the training images, the same in every epoch: 'gaussian', 'occlusion' or 'pattern'; its level
  # is a part of the largest pixel, of the area, of the image, see data/corruption.py.
  config.data.corruption = 'none'
  config.data.corruption_level = 0.0
  # Where the training set stays: on every 'device', or on the 'host', from which batches stream.
  config.data.placement = 'device'

  config.data.image_size = placeholder(int)  # folder: edge in pixels, 32
  config.data.channels = placeholder(int)  # folder: 1 or 3; 1 if None and every image is grey
  config.data.test_fraction = placeholder(float)  # folder: 0.2, where it does not say what tests
  config.data.max_megapixels = placeholder(float)  # folder: 500; larger images are skipped

  config.network = _network()

  config.objective = _objective()
  # What the network is trained on: 'none', 'noise', 'shift', 'flip_shift', ...
  config.augmentation = ConfigDict()
  config.augmentation.weak = 'none'
  config.augmentation.strong = 'strong'  # of objectives that compare two, as 'fixmatch'

  config.seed = 0  # of labels, initialization, order and dropout
  config.num_seeds = 1  # train with seeds seed, seed + 1, ... in one program
  config.seeds_mode = placeholder(str)  # 'vectorized' or 'sequential', which is None's
  config.batch_size = 50
  config.labeled_fraction = 0.5  # of a batch
  config.num_epochs = 400
  config.num_steps = placeholder(int)  # in place of num_epochs
  config.learning_rate = 0.002  # Adam's
  config.decay_epochs = (150, 300)  # of reference_epochs, scaled to the length of the training
  config.decay_reference_epochs = 400
  config.decay_factor = 0.5

  config.precision = 'float32'  # or 'tf32' or 'bfloat16'
  config.rematerialize = False  # less memory, more time
  config.num_devices = placeholder(int)  # over which a batch is spread; all there are if None

  config.eval_every_epochs = 1
  config.eval_batch_size = 200
  config.log_every_steps = 100  # and at the end of each epoch
  config.checkpoint_every_seconds = 60.0
  return config


def _objective() -> ConfigDict:
  objective = ConfigDict()
  # 'supervised', 'entropy', 'global', 'multiscale', 'convex', 'learned'; methods of others:
  # 'pseudo_label', 'pi_model', 'temporal_ensembling', 'virtual_adversarial', 'mean_teacher',
  # 'fixmatch'; each with '+multiscale' or '+global' behind it to add the reconstruction loss; or
  # 'function'. Each takes some of the options.
  objective.name = 'multiscale'
  objective.function = placeholder(object)  # function: a loss of your own, set in a file
  objective.alpha = placeholder(float)  # convex: the weights of Eq. 5
  objective.beta = placeholder(float)
  objective.normalized = placeholder(bool)  # convex: divide L_R by the input's dimension
  objective.reduction = placeholder(str)  # 'batch', or 'group': mean over each group
  # Of unlabeled observations: 'entropy'; 'information', which also spreads them over the classes;
  # or 'none'.
  objective.unlabeled = placeholder(str)
  objective.layers = placeholder(tuple)  # multiscale: which layers count; all if None
  objective.layer_weights = placeholder(tuple)  # multiscale: theirs; equal if None
  objective.stop_target = placeholder(bool)  # multiscale: activations as constant targets
  objective.form = placeholder(str)  # multiscale: 'output', 'layer' or 'input'
  objective.rule = placeholder(str)  # learned: 'gradient' or 'speed'
  objective.rate = placeholder(float)  # learned by gradient: 0.001
  objective.power = placeholder(float)  # learned by speed: 1
  objective.decay = placeholder(float)  # of averages: learned 0.99, ensembling 0.6, teacher 0.99
  objective.weight = placeholder(float)  # of a method's loss of unlabeled observations
  objective.rampup = placeholder(float)  # in which share of the training it is reached
  objective.ramp_start = placeholder(float)  # pseudo_label: 0.1
  objective.ramp_end = placeholder(float)  # pseudo_label: 0.6
  objective.threshold = placeholder(float)  # fixmatch: 0.95
  objective.epsilon = placeholder(float)  # virtual_adversarial: 2.5
  objective.xi = placeholder(float)  # virtual_adversarial: 0.01
  objective.num_iterations = placeholder(int)  # virtual_adversarial: 1
  return objective


def _network() -> ConfigDict:
  network = ConfigDict()
  # 'large_cnn', 'resnet', 'mlp', 'cnn_1d', 'lstm', 'gru' or 'vit'; each takes some of the options.
  network.name = 'large_cnn'
  network.blocks_per_group = placeholder(int)  # resnet: 3
  network.depth = placeholder(int)  # mlp, cnn_1d, vit: 3; lstm, gru: 2
  # large_cnn: 96; resnet, lstm, gru, vit: 64; mlp: 256; cnn_1d: 32
  network.width = placeholder(int)
  network.kernel_size = placeholder(int)  # cnn_1d: 5
  network.num_heads = placeholder(int)  # vit: 4
  network.patch_size = placeholder(int)  # vit: 2
  network.activation = placeholder(str)  # 'leaky_relu', 'sigmoid', 'relu', ...
  network.negative_slope = placeholder(float)  # of leaky_relu: 0.01
  network.pooling = placeholder(str)  # 'mean' or 'max'
  network.dropout_rate = placeholder(float)  # 0.2; vit: 0.1
  network.batch_norm_inverse = placeholder(str)  # 'frozen', 'batch' or 'running'
  network.batch_norm_momentum = placeholder(float)  # 0.9
  network.batch_norm_epsilon = placeholder(float)  # 1e-5
  network.initializer = placeholder(str)  # 'glorot_uniform', 'lecun_normal', ...
  return network

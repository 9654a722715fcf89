"""The paper's protocol (Section 3.1): what every experiment starts from.

A configuration file returns this one with few values changed; any value can be changed on the
command line too, `--config.seed=1`. Under `network` and `objective`, None leaves an option to the
network's or the objective's own default, which is the paper's; `config.json` in a run's folder
holds the values used.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
  """Returns the defaults, a new object each time."""
  config = ConfigDict()

  config.data = ConfigDict()
  config.data.name = 'svhn_cropped'
  # Folder of prepared TFDS sets; the environment's TFDS_DATA_DIR or ~/tensorflow_datasets if None.
  config.data.data_dir = placeholder(str)
  config.data.num_labeled = 1000
  # D_u: 'rest', the training set less the labeled images, or 'all' of it.
  config.data.unlabeled = 'rest'

  config.network = ConfigDict()
  config.network.name = 'large_cnn'  # or 'resnet'
  config.network.blocks_per_group = placeholder(int)  # resnet: 3
  config.network.width = placeholder(int)  # resnet: 64
  config.network.activation = placeholder(str)  # 'leaky_relu', 'sigmoid', 'relu', ...
  config.network.negative_slope = placeholder(float)  # of leaky_relu: 0.01
  config.network.pooling = placeholder(str)  # 'mean' or 'max'
  config.network.dropout_rate = placeholder(float)  # 0.2
  config.network.batch_norm_inverse = placeholder(str)  # 'frozen', 'batch' or 'running'
  config.network.batch_norm_momentum = placeholder(float)  # 0.9
  config.network.batch_norm_epsilon = placeholder(float)  # 1e-5
  config.network.initializer = placeholder(str)  # 'glorot_uniform', 'lecun_normal', ...

  config.objective = ConfigDict()
  config.objective.name = 'multiscale'  # 'supervised', 'entropy', 'global' or 'convex'
  config.objective.alpha = placeholder(float)  # convex: the weights of Eq. 5
  config.objective.beta = placeholder(float)
  config.objective.normalized = placeholder(bool)  # convex: divide L_R by the input's dimension
  config.objective.reduction = placeholder(str)  # 'batch', or 'group': mean over each group
  config.objective.layers = placeholder(tuple)  # multiscale: which layers count; all if None
  config.objective.stop_target = placeholder(bool)  # multiscale: activations as constant targets

  config.seed = 0  # of labels, initialization, order and dropout
  config.batch_size = 50
  config.labeled_fraction = 0.5  # of a batch
  config.num_epochs = 400
  config.num_steps = placeholder(int)  # in place of num_epochs
  config.learning_rate = 0.002  # Adam's
  config.decay_epochs = (150, 300)  # of reference_epochs, scaled to the length of the training
  config.decay_reference_epochs = 400
  config.decay_factor = 0.5

  config.eval_every_epochs = 1
  config.eval_batch_size = 200
  config.log_every_steps = 100  # and at the end of each epoch
  config.checkpoint_every_seconds = 60.0
  return config

"""What the programs share: arguments, streams, signals, the environment."""

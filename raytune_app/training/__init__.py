"""Training in pure PyTorch: `Run` is one trial's training, `fit` yields one EpochResult an epoch."""

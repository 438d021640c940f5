"""Training in pure PyTorch: a `Learner` trains one configuration an epoch at a time: ours, on folds, or the user's."""

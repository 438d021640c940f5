"""Datasets as arrays: reading, splitting, batched augmentation; real data embedded in `builtin/`."""

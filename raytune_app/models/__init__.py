"""Networks, one self-contained file each, and the classifier that puts the preprocessing in front of them."""

"""Where checkpoints lie: URIs, the on-disk form of each payload, and attempts over fsspec."""

"""Storage of checkpoints: URIs, the on-disk form of each payload, attempts and snapshots over fsspec.

It knows nothing of Dagster or of the meaning of rows.
"""

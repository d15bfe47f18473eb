"""Where checkpoints lie: URIs, the on-disk form of each payload, attempts and snapshots over fsspec.

It knows neither Dagster nor what the rows mean.
"""

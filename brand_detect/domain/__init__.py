"""What every layer shares: the contracts of the stages, params, history, geometry, errors and protocols.

It imports nothing of ours, opens no file and knows no library for video, models or Dagster.
"""

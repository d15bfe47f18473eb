"""Shared by every layer: stage contracts, params, history, geometry, errors and protocols.

Imports no other layer, opens no files, and depends on no video, model or Dagster library.
"""

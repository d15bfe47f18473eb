"""The HTTP service: checkpoints, replay and retry for programs without access to Dagster; reports for people.

It is stateless: it reads from Dagster's webserver and the store, starts Dagster runs, and keeps corrections in the
store.
"""

from brand_detect.api.app import create_app
from brand_detect.api.guard import is_loopback

__all__ = ["create_app", "is_loopback"]

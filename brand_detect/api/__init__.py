"""The HTTP service: checkpoints, replay and retry for clients that never see Dagster; reports for people.

It holds no state: what it says comes from Dagster's webserver and from the store, what it starts are Dagster's runs,
and what people correct is kept in the store.
"""

from brand_detect.api.app import API_KEY, create_app
from brand_detect.api.guard import is_loopback

__all__ = ["API_KEY", "create_app", "is_loopback"]

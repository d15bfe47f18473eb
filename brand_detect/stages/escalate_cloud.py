"""Put what is open to a model behind a provider's API, when remote use is on."""

from functools import partial

from brand_detect.stages.escalation import escalate

escalate_cloud = partial(escalate, "escalate_cloud", "cloud")
"""See ``escalate``; verdicts carry the rule ``cloud``."""

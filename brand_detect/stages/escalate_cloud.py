"""Asks a model behind a provider's API about unresolved clusters, if remote use is on."""

from functools import partial

from brand_detect.domain.contracts.verdicts import Rule
from brand_detect.domain.pipeline import Stage
from brand_detect.stages.escalation import escalate

escalate_cloud = partial(escalate, Stage.escalate_cloud, Rule.cloud)
"""See ``escalate``; verdicts carry the rule ``cloud``."""

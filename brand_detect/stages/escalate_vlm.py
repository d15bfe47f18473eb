"""Asks a vision-language model on the user's own machines about unresolved clusters."""

from functools import partial

from brand_detect.domain.contracts.verdicts import Rule
from brand_detect.domain.pipeline import Stage
from brand_detect.stages.escalation import escalate

escalate_vlm = partial(escalate, Stage.escalate_vlm, Rule.vlm)
"""See ``escalate``; verdicts carry the rule ``vlm``."""

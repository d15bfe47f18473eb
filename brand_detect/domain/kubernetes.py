"""What the pod of a run asks of a Kubernetes cluster, from the stages that the run selects."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

K8S = "dagster-k8s/config"
"""The run tag that Dagster's launcher for Kubernetes reads."""
GPU = "nvidia.com/gpu"


class StageResources(BaseModel):
    """What a stage needs while it runs; 0 = no request of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cpu: float = Field(default=0.0, ge=0)
    """Cores."""
    memory_gib: float = Field(default=0.0, ge=0)
    gpu: int = Field(default=0, ge=0)


def pod_tags(stages: Iterable[str], needs: Mapping[str, StageResources]) -> dict[str, str]:
    """The tag that requests the most that any of ``stages`` needs; none if nothing is said about them.

    With ``{"detect_objects": 4 cores, "compile_report": 1 core}``, a whole job asks for 4 cores, a replay of the
    report for 1. Memory is a limit as well, and so are GPUs, which Kubernetes hands out whole.
    """
    named = [needs[stage] for stage in stages if stage in needs]
    if not named:
        return {}
    cpu, memory, gpu = (max(getattr(need, name) for need in named) for name in StageResources.model_fields)
    limits: dict[str, Any] = {"memory": f"{memory * 1024:.0f}Mi"} if memory else {}
    if gpu:
        limits[GPU] = str(gpu)
    requests = {"cpu": f"{cpu * 1000:.0f}m", **limits} if cpu else limits
    return {K8S: json.dumps({"container_config": {"resources": {"requests": requests, "limits": limits}}})}

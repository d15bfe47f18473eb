"""What the pod of a run asks of a Kubernetes cluster, from the stages that the run selects."""

import json
from collections.abc import Iterable, Mapping
from math import ceil
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

K8S = "dagster-k8s/config"
"""The run tag that Dagster's launcher for Kubernetes reads."""
GPU = "nvidia.com/gpu"


class StageResources(BaseModel):
    """What a stage needs while it runs; 0 cores or GiB = what the launcher gives every run."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cpu: float = Field(default=0.0, ge=0)
    """Cores."""
    memory_gib: float = Field(default=0.0, ge=0)
    gpu: int = Field(default=0, ge=0)


def pod_tags(stages: Iterable[str], needs: Mapping[str, StageResources]) -> dict[str, str]:
    """The tag that requests the most that any of ``stages`` needs; none if nothing is said about them.

    Cores and memory are what the launcher gives, unless they are said of all ``stages``: with
    ``{"compile_report": 1 core, "escalate_vlm": 1 core and a GPU}``, a replay of the report asks for 1 core, and a
    whole job for a GPU alone. Memory is a limit as well, and so are GPUs, which Kubernetes hands out whole.
    """
    asked = [needs.get(stage, StageResources()) for stage in stages]
    gpu = max((need.gpu for need in asked), default=0)
    cpu, memory = (
        max(values) if values and all(values) else 0
        for values in ([need.cpu for need in asked], [need.memory_gib for need in asked])
    )
    limits: dict[str, Any] = {"memory": f"{ceil(memory * 1024)}Mi"} if memory else {}
    if gpu:
        limits[GPU] = str(gpu)
    requests = {"cpu": f"{ceil(cpu * 1000)}m", **limits} if cpu else limits
    if not requests:
        return {}
    return {K8S: json.dumps({"container_config": {"resources": {"requests": requests, "limits": limits}}})}

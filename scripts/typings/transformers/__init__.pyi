"""All that the project takes from transformers is ``Any`` to it; to read the types of each of its models takes 30 s."""

from typing import Any

def __getattr__(name: str) -> Any: ...

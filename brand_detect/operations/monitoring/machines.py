"""What each machine that executes runs has installed and set, so that differences are found before they do harm.

Each process that works on a run records it in Dagster's database, and so do the sensors and ``brand-detect doctor``.
Nothing secret is among it: of providers' keys it says only which are set.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import dagster as dg

import brand_detect
from brand_detect.domain.settings import PROVIDER_KEYS, Settings
from brand_detect.orchestration.database import database_now_s, stored_values

MACHINES = "brand_detect/machine/"
"""Prefix of the keys under which machines are recorded: a time, in seconds since 1970, a space, and JSON."""
BEATS = "brand_detect/beat/"
"""Prefix of the keys under which workers store the time of their last beat: machine, process and its start follow."""
SEEN_S = 86_400.0
"""Machines that were not seen for this time are no longer compared."""
SHARED = (
    *("store_root", "media_roots", "max_pixels", "max_duration_s", "remote", "model_hosts", "daily_usd"),
    *("service_url", "keep_attempts", "keep_days", "keep_frames_days"),
)
"""Settings that runs read where they are executed."""
KEYS = (*PROVIDER_KEYS, "BRAND_DETECT_MODEL_API_KEYS")
"""Variables with secrets that runs read."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE = Path("/proc/self/ns/pid")
_PASSWORD = re.compile(r"(?<=//).*@")
"""A password may hold any character, since nobody need have escaped it."""


@dataclass(frozen=True)
class Machine:
    """A machine, when it last recorded itself or worked (s since 1970, by the database's clock), and what it has."""

    name: str
    seen_s: float
    facts: Mapping[str, str]

    def differences(self, other: "Machine") -> dict[str, tuple[str, str]]:
        """What the two do not have alike: the value of each, ``none`` where there is none."""
        names = sorted({*self.facts, *other.facts})
        pairs = {name: (self.facts.get(name, "none"), other.facts.get(name, "none")) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def this_machine() -> str:
    """This machine or container; empty if unknown.

    It is the id of its boot, since machines may share a name, and its PID namespace, since containers share the boot.
    """
    try:
        return f"{BOOT_ID.read_text(encoding='ascii').strip()}/{PID_NAMESPACE.stat().st_ino}"
    except OSError:
        return ""


def facts(settings: Settings) -> dict[str, str]:
    """What must be equal on all machines that execute runs, by name."""
    values = {f"BRAND_DETECT_{name}".upper(): _shown(getattr(settings, name)) for name in SHARED}
    present = {name: "set" for name in KEYS if os.environ.get(name, "").strip()}
    models = {f"model {name}": size for name, size in _models(settings).items()}
    return {**_versions(), **values, **present, **models}


def record(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Record what this machine has."""
    name = socket.gethostname()
    value = f"{database_now_s(instance)} {json.dumps({'name': name, 'facts': facts(settings)})}"
    instance.daemon_cursor_storage.set_cursor_values({f"{MACHINES}{this_machine() or name}": value})


def recorded(instance: dg.DagsterInstance) -> list[Machine]:
    """The machines seen in the last day other than this one, by name; started again, a machine is another."""
    now_s, here = database_now_s(instance), this_machine() or socket.gethostname()
    beats: dict[str, float] = {}
    for key, value in stored_values(instance, BEATS).items():
        machine = key.removeprefix(BEATS).rsplit("/", 2)[0]
        beats[machine] = max(float(value), beats.get(machine, 0.0))
    found = []
    for key, value in stored_values(instance, MACHINES).items():
        machine, (recorded_s, _, document) = key.removeprefix(MACHINES), value.partition(" ")
        seen_s = max(float(recorded_s), beats.get(machine, 0.0))
        if machine != here and now_s - seen_s < SEEN_S:
            found.append(Machine(seen_s=seen_s, **json.loads(document)))
    return sorted(found, key=lambda m: (m.name, m.seen_s))


@cache
def _versions() -> dict[str, str]:
    """Versions of this release, with a digest of its files, of Python, and of what it is built on."""
    from packaging.requirements import Requirement

    found = {"python": ".".join(platform.python_version_tuple()[:2]), "tesseract": _tesseract()}
    for requirement in map(Requirement, metadata.requires("brand_detect") or ()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            with suppress(metadata.PackageNotFoundError):
                found[requirement.name] = metadata.version(requirement.name)
    return found | {"brand_detect": f"{metadata.version('brand_detect')} {_digest(Path(brand_detect.__file__).parent)}"}


def _digest(package: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(f for f in package.rglob("*") if f.is_file() and "__pycache__" not in f.parts):
        digest.update(file.relative_to(package).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _tesseract() -> str:
    if not shutil.which("tesseract"):
        return "none"
    said = subprocess.run(["tesseract", "--version"], capture_output=True, text=True, timeout=30)
    return next(iter(said.stdout.split("\n")), "").removeprefix("tesseract ")


def _models(settings: Settings) -> dict[str, str]:
    """Bytes of the weights of each model under the model roots, and the revision of each in the Hugging Face cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    sizes: dict[str, int] = {}
    for root in map(Path, settings.model_roots):
        for file in filter(Path.is_file, root.rglob("*.safetensors")):
            name = file.parent.relative_to(root).as_posix()
            sizes[name] = sizes.get(name, 0) + file.stat().st_size
    revisions = {
        ref.parents[1].name.removeprefix("models--").replace("--", "/"): ref.read_text(encoding="ascii")
        for ref in Path(HF_HUB_CACHE).glob("models--*/refs/main")
    }
    return {name: f"{size} bytes" for name, size in sizes.items()} | revisions


def _shown(value: Any) -> str:
    values = value if isinstance(value, tuple) else (value,)
    return ", ".join(_PASSWORD.sub("***@", str(one)) for one in values) or "empty"

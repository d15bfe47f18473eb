"""The checks of ``brand-detect doctor``: one function each, with a remedy for each fault."""

import difflib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib import import_module, metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import yaml

from brand_detect.cli.common import home
from brand_detect.cli.doctor_findings import FAIL, OFF, OK, WARN, Check, Finding, Installation
from brand_detect.cli.doctor_fleet import BROKER, FLEET
from brand_detect.client import TOKEN, Client
from brand_detect.domain.errors import BrandDetectError
from brand_detect.domain.pipeline import Stage
from brand_detect.domain.protocols import Image
from brand_detect.domain.settings import API_KEY, PROVIDER_KEYS, Settings, check_api_key, state_dir
from brand_detect.domain.tags import HOLD, PARTITION, UNTIL
from brand_detect.domain.words import counted

PREFIX = "BRAND_DETECT_"
OWN_SECRETS = (
    *(API_KEY, TOKEN, "BRAND_DETECT_MODEL_API_KEYS"),
    *("BRAND_DETECT_WEBHOOK_URL", "BRAND_DETECT_WEBHOOK_SECRET"),
)
BESIDE_SETTINGS = (
    *OWN_SECRETS,
    *("BRAND_DETECT_POSTGRES_URL", BROKER, "BRAND_DETECT_LOGS_BUCKET", "BRAND_DETECT_TRACEBACK"),
)
"""This project's variables that are not settings: secrets and switches."""
SECRETS = (
    *OWN_SECRETS,
    *PROVIDER_KEYS,
    "BRAND_DETECT_POSTGRES_URL",
    BROKER,
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SPACE_BYTES = 5 * 2**30
"""Free space below which a warning is given: an hour of 1080p takes about 3 GiB."""
HEARTBEAT_S = 120.0
"""Longest silence of a daemon: Dagster's daemons send a heartbeat every 30 s."""
PATIENCE_S = 60.0
WORD = "SPONSOR"
_TORCH = (
    "import torch, transformers; cuda = torch.cuda.is_available();"
    "print(torch.__version__, transformers.__version__, torch.cuda.get_device_name() if cuda else '', sep='\\n')"
)


def examine(here: Installation, begun: Callable[[str], object] = lambda _: None) -> list[Finding]:
    """Findings of all checks. A check that crashes is a finding too, and does not stop the others."""
    found: list[Finding] = []
    for check in CHECKS:
        begun(check.name)
        failed = [f.name for f in found if f.name in check.needs and f.state == FAIL]
        if failed:
            found.append(Finding(check.name, OFF, f"skipped: fix {failed[0]} first"))
            continue
        try:
            found += check.look(here)
        except BrandDetectError as e:
            found.append(Finding(check.name, FAIL, str(e), e.hint))
        except Exception as e:
            found.append(Finding(check.name, FAIL, _reason(e), "see the message; reinstall (make)"))
    return found


def _reason(e: BaseException) -> str:
    """The error's kind and the first line of its message."""
    return f"{type(e).__name__}: {(str(e).strip().splitlines() or ['no reason given'])[0]}"


# --- packages and engines -------------------------------------------------------------------------------------------


def _python(_: Installation) -> Iterator[Finding]:
    from packaging.specifiers import SpecifierSet

    wanted = metadata.metadata("brand_detect")["Requires-Python"]
    here = sys.version.split()[0]
    fits = SpecifierSet(wanted).contains(here, prereleases=True)
    yield Finding("python", OK if fits else FAIL, here, "" if fits else f"recreate .venv with Python {wanted}")


def _packages(_: Installation) -> Iterator[Finding]:
    from packaging.requirements import Requirement

    wrong, fitting = [], 0
    for requirement in map(Requirement, metadata.requires("brand_detect") or ()):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if requirement.specifier.contains(version, prereleases=True):
            fitting += 1
        else:
            wrong.append(f"{requirement.name} is {version}, not {requirement.specifier}")
    version = metadata.version("brand_detect")
    if wrong:
        yield Finding("packages", FAIL, f"brand_detect {version}: {'; '.join(wrong)}", "make clean setup")
    else:
        yield Finding("packages", OK, f"brand_detect {version}; {fitting} requirements met")


def _opencv(_: Installation) -> Iterator[Finding]:
    from brand_detect.engines.image import OpenCvCodec

    wheels = {d.name: d.version for n in ("", "-headless") for d in metadata.distributions(name=f"opencv-python{n}")}
    if len(set(wheels.values())) > 1:
        wrong = " and ".join(f"{name} {version}" for name, version in wheels.items())
        yield Finding(
            "opencv", FAIL, f"{wrong} share one folder but differ", "make clean setup, to get the same version of both"
        )
    else:
        yield Finding("opencv", OK, OpenCvCodec().identity)


def _video(_: Installation) -> Iterator[Finding]:
    from brand_detect.engines.video import PyAvDecoder
    from brand_detect.evaluation.synthetic.footage import Scenario, write_sample

    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        write_sample(clip, Scenario(seconds=1.0, width_px=64, height_px=64, boards=1, players=1))
        with clip.open("rb") as file:
            shown = sum(p.image is not None for p in PyAvDecoder().decode(file, 2.0, 0.0, float("inf")))
    if shown == 2:
        yield Finding("video", OK, f"{PyAvDecoder().identity}: a clip was written and decoded")
    else:
        yield Finding("video", FAIL, f"{shown} of 2 frames of a clip were decoded", "reinstall av")


def _read_word(reader: Any, crop: Image) -> Finding:
    text = reader.read([crop])[0].text
    name = reader.identity.split()[0]
    if text == WORD:
        return Finding(name, OK, f"{reader.identity}: read a rendered word")
    return Finding(name, FAIL, f"{reader.identity}: read {WORD!r} as {text!r}", "reinstall it")


def _rapidocr(here: Installation) -> Iterator[Finding]:
    from brand_detect.engines.image import OpenCvCodec
    from brand_detect.engines.rapid import RapidTextDetector, RapidTextReader

    regions = RapidTextDetector().detect(here.word)
    if len(regions) != 1:
        yield Finding("rapidocr", FAIL, f"found {len(regions)} lines of text instead of one", "reinstall rapidocr")
        return
    reader = RapidTextReader()
    yield _read_word(reader, OpenCvCodec().rectify(here.word, regions[0].quad))
    if "openvino" in reader.identity:
        return
    slower = "OCR falls back to onnxruntime, which takes about twice the time"
    try:
        import_module("openvino")
    except ModuleNotFoundError:
        yield Finding("openvino", OFF, f"not installed: {slower}")
    except ImportError as e:
        yield Finding("openvino", WARN, f"cannot be imported, {slower}: {e}", "reinstall openvino")


def _precision(_: Installation) -> Iterator[Finding]:
    from brand_detect.engines.onnx import fast_precisions, fastest, quantised
    from brand_detect.engines.rapid import DETECTOR, READER, model_file

    detector, reader = model_file(DETECTOR), model_file(READER)
    chosen = f"auto is {fastest(detector).value} for text detection, {fastest(reader).value} for reading"
    text = f"{chosen}; fastest on this CPU: {', '.join(p.value for p in fast_precisions())}"
    if quantised(detector):
        yield Finding("precision", OK, text)
    else:
        text += f"; the package has no int8 version of this {DETECTOR}"
        yield Finding("precision", WARN, text, "install the version of rapidocr that constraints.txt names")


def _tesseract(here: Installation) -> Iterator[Finding]:
    from brand_detect.engines.tesseract import TesseractReader

    if not shutil.which("tesseract"):
        todo = "apt-get install tesseract-ocr, if you want run_ocr.engine=tesseract"
        yield Finding("tesseract", WARN, "not installed; this second text engine is off by default", todo)
        return
    found = _read_word(TesseractReader(), here.word[250:450, 250:1030])
    listed = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True, timeout=PATIENCE_S)
    languages = ", ".join(listed.stdout.splitlines()[1:])  # the first line is their count
    yield replace(found, text=f"{found.text}; languages: {languages}")


def _torch(_: Installation) -> Iterator[Finding]:
    run = subprocess.run([sys.executable, "-c", _TORCH], capture_output=True, text=True, timeout=PATIENCE_S)
    if run.returncode:
        reason = (run.stderr.strip().splitlines() or [f"exit code {run.returncode}"])[-1]
        yield Finding("torch", FAIL, reason, "reinstall torch and transformers: object models and local VLMs need them")
        return
    torch, transformers, gpu = (*run.stdout.splitlines(), "")[:3]
    yield Finding("torch", OK, f"torch {torch}, transformers {transformers}")
    yield Finding("gpu", OK if gpu else OFF, gpu or "none; the default profile needs none")


def _object_models(here: Installation) -> Iterator[Finding]:
    from brand_detect.engines.model_files import ModelRoots
    from brand_detect.orchestration.profiles import load_profile, profile_names

    named = {p: load_profile(p).get(Stage.detect_objects, {}).get("object_model", "off") for p in profile_names()}
    wanted = {profile: model for profile, model in named.items() if model != "off"}
    if not wanted:
        yield Finding("object model", OFF, "no profile uses one")
    for profile, model in wanted.items():
        try:
            ModelRoots(here.settings.model_roots).folder(model)
            yield Finding("object model", OK, f"{profile}: {model}")
        except BrandDetectError as e:
            yield Finding("object model", WARN, f"{profile}: {e}", e.hint)


# --- settings and places --------------------------------------------------------------------------------------------


def _settings(here: Installation) -> Iterator[Finding]:
    own = sorted(name for name in os.environ if name.startswith(PREFIX))
    yield Finding("settings", OK, f"store {here.settings.store_root}; {PREFIX}* variables set: {len(own)}")


def _variables(_: Installation) -> Iterator[Finding]:
    known = [*(f"{PREFIX}{name}".upper() for name in Settings.model_fields), *BESIDE_SETTINGS]
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=1)
        todo = f"did you mean {near[0]}?" if near else "unset it; docs/reference/settings.md lists all settings"
        yield Finding("variables", WARN, f"{name} is not a setting and has no effect", todo)
    if not unknown:
        yield Finding("variables", OK, f"every {PREFIX}* variable is known")


def _secrets(here: Installation) -> Iterator[Finding]:
    check_api_key(os.environ.get(API_KEY, ""))
    empty = [name for name in SECRETS if os.environ.get(name, "x").strip() == ""]
    for name in empty:
        yield Finding("secrets", WARN, f"{name} is set but empty", "give it a value, or unset it")
    present = [name for name in SECRETS if os.environ.get(name, "").strip()]
    url = urlsplit(here.settings.dagster_url)
    if TOKEN in present and url.scheme == "http" and url.hostname not in LOOPBACK:
        yield Finding("secrets", WARN, f"{TOKEN} is sent to {url.hostname} unencrypted", "use https")
    elif not empty:
        yield Finding("secrets", OK, f"set: {', '.join(present) or 'none'}")


def _catalogue(here: Installation) -> Iterator[Finding]:
    from brand_detect.catalog import load_catalog
    from brand_detect.engines.artwork import VectorAndPixelArtwork

    path = here.settings.brand_list
    catalog = load_catalog(path, VectorAndPixelArtwork()).catalog
    if catalog.brands:
        counts = f"{counted(len(catalog.brands), 'brand')} with {counted(catalog.n_exemplars, 'logo')}"
        yield Finding("catalogue", OK, f"{counts} in {path or 'the packaged list'}")
    else:
        yield Finding("catalogue", WARN, f"{path} lists no brand: everything stays unresolved", "add brands to it")


def _store(here: Installation) -> Iterator[Finding]:
    from brand_detect.storage.blobs import Blobs

    root = here.settings.store_root
    if "://" not in root and Path(root).exists() and not Path(root).is_dir():
        yield Finding("store", FAIL, f"{root} is not a folder", "name a folder or a URI with BRAND_DETECT_STORE_ROOT")
        return
    weak = Blobs(root).probe()
    if weak:
        todo = "it still works: each run writes into its own folder; pruning needs the right to delete"
        yield Finding("store", WARN, f"{root}: {'; '.join(weak)}", todo)
    else:
        yield Finding("store", OK, f"{root}: files can be created once and read")
    if "://" not in root:
        free = shutil.disk_usage(root).free
        space, enough = f"{free / 2**30:.0f} GiB free", free >= SPACE_BYTES
        todo = "" if enough else "free some, or store smaller frames (extract_frames.longest_side_px, jpeg_quality)"
        yield Finding("space", OK if enough else WARN, space, todo)


def _media(here: Installation) -> Iterator[Finding]:
    roots = here.settings.media_roots
    local = [Path(r) for r in roots if "://" not in r]
    bad = [r for r in local if not (r.is_dir() and os.access(r, os.R_OK | os.X_OK))]
    for root in bad:
        why = "may not be read" if root.exists() else "does not exist"
        yield Finding("media roots", WARN, f"{root} {why}", "fix BRAND_DETECT_MEDIA_ROOTS or the folder")
    if not bad:
        yield Finding("media roots", OK, ", ".join(roots) or "none: only the command line can name videos")


def _inbox(here: Installation) -> Iterator[Finding]:
    from brand_detect.operations.inbox import inbox_sensor
    from brand_detect.storage.inbox import Inbox

    uri = here.settings.inbox
    if not uri:
        yield Finding("inbox", OFF, "not set")
        return
    inbox_sensor(here.settings)  # fails if it is outside the media roots
    Inbox(uri).page("", 1)
    if "://" in uri or os.access(uri, os.W_OK):
        yield Finding("inbox", OK, uri)
    else:
        todo = "let this user write there, or remove invalid requests yourself"
        yield Finding("inbox", WARN, f"{uri} is not writable: invalid requests cannot be moved aside", todo)


def _webhook(here: Installation) -> Iterator[Finding]:
    from brand_detect.operations.notifications import HOSTS, URL, Webhook, allowed

    hosts, url = here.settings.webhook_hosts, os.environ.get(URL, "")
    if url:
        allowed(url, hosts)
    webhook = Webhook.of(hosts)
    if webhook:
        signed = "signed" if webhook.secret else "not signed"
        yield Finding("webhook", OK, f"notifications go to {webhook.host}, {signed}")
    elif hosts:
        yield Finding("webhook", WARN, f"{HOSTS} is set but {URL} is not: nothing is sent", f"set {URL}")
    else:
        yield Finding("webhook", OFF, "not set: nothing is sent")


def _remote_models(here: Installation) -> Iterator[Finding]:
    from brand_detect.engines.prompts import load_prompt
    from brand_detect.storage.own_files import OwnFiles

    settings, keys = here.settings, [name for name in PROVIDER_KEYS if os.environ.get(name, "").strip()]
    prompts = OwnFiles.read(settings).prompts
    for name in prompts:
        load_prompt(name, prompts)
    hosts = f"; allowed servers: {', '.join(settings.model_hosts)}" if settings.model_hosts else ""
    if not settings.remote:
        yield Finding("remote models", OFF, f"pictures are sent to no provider{hosts}")
    elif keys:
        limit = f"at most {settings.daily_usd:g} USD a day"
        yield Finding(
            "remote models", OK, f"pictures may be sent to providers with a key ({', '.join(keys)}){hosts}; {limit}"
        )
    else:
        yield Finding("remote models", WARN, f"{PREFIX}REMOTE is on but no provider's key is set", "set a key")


def _permissions(here: Installation) -> Iterator[Finding]:
    root = here.settings.store_root
    folders = {state_dir(), *([Path(root)] if "://" not in root else [])}
    is_open = sorted(f for f in folders if f.is_dir() and f.stat().st_mode & stat.S_IWOTH)
    for folder in is_open:
        yield Finding("permissions", WARN, f"anyone on this machine may write into {folder}", f"chmod o-w {folder}")
    if not is_open:
        yield Finding("permissions", OK, "other users cannot change files written here")


# --- Dagster --------------------------------------------------------------------------------------------------------


def _home(_: Installation) -> Iterator[Finding]:
    yield Finding("home", OK, f"DAGSTER_HOME is {home()}")


def _limits(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return ((config.get("concurrency") or {}).get("runs") or {}).get("tag_concurrency_limits") or []


def _one_at_a_time(config: Mapping[str, Any]) -> bool:
    return any(
        limit.get("key") == PARTITION
        and limit.get("limit") == 1
        and isinstance(limit.get("value"), dict)
        and limit["value"].get("applyLimitPerUniqueValue")
        for limit in _limits(config)
    )


def _held(config: Mapping[str, Any]) -> bool:
    return any(
        limit.get("key") == HOLD and limit.get("value") == UNTIL and limit.get("limit") == 0
        for limit in _limits(config)
    )


def _enabled(key: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda config: (config.get(key) or {}).get("enabled") is True


KEYS: tuple[tuple[str, Callable[[Mapping[str, Any]], bool], str], ...] = (
    ("telemetry", lambda c: (c.get("telemetry") or {}).get("enabled") is False, "Dagster would send usage data"),
    ("run_monitoring", _enabled("run_monitoring"), "dead runs would occupy their queue slot"),
    ("run_retries", _enabled("run_retries"), "dead runs would not be re-executed"),
    (f"the limit of {PARTITION}", _one_at_a_time, "two runs could work on one job at once"),
    (f"the limit of {HOLD}", _held, "delayed retries would run at once"),
)
"""Required keys of dagster.yaml: name, condition, and the consequence if it does not hold."""


def _configuration(_: Installation) -> Iterator[Finding]:
    config = yaml.safe_load((home() / "dagster.yaml").read_text(encoding="utf-8")) or {}
    wrong = [(key, otherwise) for key, stands, otherwise in KEYS if not stands(config)]
    for key, otherwise in wrong:
        difference = f"{key} is not set as in the checkout: {otherwise}"
        yield Finding("dagster.yaml", FAIL, difference, "copy this part from the checkout's dagster.yaml")
    if not wrong:
        yield Finding("dagster.yaml", OK, "monitoring, retries, telemetry and limits are set as required")


def _storage(here: Installation) -> Iterator[Finding]:
    try:
        instance = here.instance
        instance.get_runs_count()
    except Exception as e:  # of Dagster, of SQLAlchemy or of the database's own library
        from brand_detect.orchestration.database import causes

        *_, cause = causes(e)  # Dagster's own says "too many retries"
        todo = "start it, or correct dagster.yaml and the variables that it names"
        yield Finding("dagster storage", FAIL, f"out of reach: {_reason(cause)}", todo)
        return
    storages = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    versions = [v for s in storages if s and (v := s.alembic_version())]
    kind = type(instance.run_storage).__name__
    if any(version != head for version, head in versions):
        yield Finding(
            "dagster storage", FAIL, f"{kind}: its schema is older than this Dagster", "dagster instance migrate"
        )
    else:
        yield Finding("dagster storage", OK, f"{kind}: accessible, and its schema is current")


def _daemons(here: Installation) -> Iterator[Finding]:
    beats = here.instance.get_daemon_heartbeats()
    wanted = here.instance.get_required_daemon_types()
    ages = {kind: time.time() - beats[kind].timestamp for kind in wanted if kind in beats}
    silent = [kind.lower() for kind in wanted if ages.get(kind, HEARTBEAT_S + 1) > HEARTBEAT_S]
    todo = "make dev, or dagster-daemon run next to brand-detect webserver"
    if len(silent) == len(wanted):
        yield Finding("daemons", here.down, "none is running: queued runs do not start", todo)
    elif silent:
        yield Finding("daemons", FAIL, f"no heartbeat from {', '.join(silent)}", "restart the daemon")
    else:
        yield Finding(
            "daemons", OK, f"{len(wanted)} are running, last heartbeat at most {max(ages.values()):.0f} s ago"
        )
    for kind in wanted:
        if kind in ages and kind.lower() not in silent and beats[kind].errors:
            error = str((beats[kind].errors or [""])[0]).strip().splitlines()[0]
            yield Finding("daemons", WARN, f"{kind.lower()}: {error}", "see its log")


def _automation(here: Installation) -> Iterator[Finding]:
    from dagster._core.scheduler.instigation import TickStatus

    last = {}
    for state in here.instance.all_instigator_state():
        if not state.is_running:
            continue
        ticks = here.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        if ticks:
            last[state.instigator_name] = ticks[0]
    failed = {name: tick for name, tick in last.items() if tick.status == TickStatus.FAILURE}
    for name, tick in failed.items():
        error = tick.error
        while error and error.cause:
            error = error.cause
        reason = error.message.strip().splitlines()[0] if error else "no reason is stored"
        yield Finding("automation", WARN, f"the last tick of {name} failed: {reason}", "see Automation in Dagster's UI")
    if not failed:
        summary = f"the last ticks of {', '.join(sorted(last))} succeeded" if last else "no sensor has ticked yet"
        yield Finding("automation", OK if last else OFF, summary)


def _webserver(here: Installation) -> Iterator[Finding]:
    url = here.settings.dagster_url
    try:
        with Client(url, timeout_s=5.0) as client:
            health = client.health()
    except BrandDetectError as e:
        yield Finding("webserver", here.down, str(e), e.hint or "name another with BRAND_DETECT_DAGSTER_URL")
        return
    if not health.pop("pipeline"):
        todo = "start it with brand_detect's workspace.yaml, or name another with BRAND_DETECT_DAGSTER_URL"
        yield Finding("webserver", FAIL, f"{url} does not serve this pipeline", todo)
        return
    ill = ", ".join(name for name, healthy in health.items() if not healthy)
    if ill:
        yield Finding("webserver", WARN, f"{url} serves the pipeline but has no {ill}", "start Dagster's daemon")
    else:
        yield Finding("webserver", OK, f"{url} serves the pipeline and its daemons are running")
    with suppress(httpx2.TransportError):
        if httpx2.get(f"{url}/server_info", headers={"Host": "unknown.invalid"}, timeout=5).is_success:
            risk = f"{url} answers to any host name: a web page in your browser can launch and delete runs"
            yield Finding("webserver", WARN, risk, "start it with make dev or brand-detect webserver")


CHECKS = (
    Check("python", _python),
    Check("packages", _packages),
    Check("opencv", _opencv),
    Check("video", _video, ("opencv",)),
    Check("rapidocr", _rapidocr, ("opencv",)),
    Check("precision", _precision, ("rapidocr",)),
    Check("tesseract", _tesseract, ("opencv",)),
    Check("torch", _torch),
    Check("settings", _settings),
    Check("variables", _variables),
    Check("secrets", _secrets, ("settings",)),
    Check("catalogue", _catalogue, ("settings",)),
    Check("object model", _object_models, ("settings",)),
    Check("store", _store, ("settings",)),
    Check("media roots", _media, ("settings",)),
    Check("inbox", _inbox, ("settings",)),
    Check("webhook", _webhook, ("settings",)),
    Check("remote models", _remote_models, ("settings",)),
    Check("permissions", _permissions, ("settings",)),
    Check("home", _home),
    Check("dagster.yaml", _configuration, ("home",)),
    Check("dagster storage", _storage, ("home",)),
    *FLEET,
    Check("webserver", _webserver, ("settings",)),
    Check("daemons", _daemons, ("home", "dagster storage")),
    Check("automation", _automation, ("home", "dagster storage")),
)

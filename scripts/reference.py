"""Writes docs/reference from the code: ``make docs``. ``brand_detect_tests/test_docs.py`` compares the two."""

import json
import os
import types
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import pyarrow as pa
import typer
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from typer.core import TyperGroup
from typer.testing import CliRunner

from brand_detect.api import create_app
from brand_detect.cli import app
from brand_detect.client import Client, document
from brand_detect.domain import catalog
from brand_detect.domain.contracts import CONTRACTS
from brand_detect.domain.params import Params
from brand_detect.domain.pipeline import LINE, STAGES
from brand_detect.domain.settings import Settings
from brand_detect.domain.tables import meaning
from brand_detect.report import exports

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
GENERATED = "<!-- Written by `make docs`; edit the code instead. -->\n"
SECRETS = (
    ("`BRAND_DETECT_API_KEY`", "the key, in ASCII, that clients of the HTTP service must send; unset = none is needed"),
    ("`BRAND_DETECT_DAGSTER_TOKEN`", "bearer token for a proxy in front of Dagster's webserver"),
    (
        "`BRAND_DETECT_MODEL_API_KEYS`",
        "keys of [model servers of your own](../guides/escalate.md), as `host:port=key`, comma-separated",
    ),
    ("`BRAND_DETECT_WEBHOOK_URL`", "address that [notifications](../guides/notifications.md) are posted to"),
    ("`BRAND_DETECT_WEBHOOK_SECRET`", "secret that signs them; unset = they are not signed"),
    ("`BRAND_DETECT_POSTGRES_URL`", "Dagster's database, if it is [PostgreSQL](../guides/postgres.md)"),
    ("`BRAND_DETECT_BROKER_URL`", "Redis, with its password, if there are [many machines](../guides/workers.md)"),
    ("`BRAND_DETECT_LOGS_BUCKET`", "the bucket for what runs print, if there are many machines; no secret"),
)
EXIT_CODES = (
    ("0", "done"),
    ("1", "internal error"),
    ("2", "wrong usage"),
    ("3", "bad input: fix the command"),
    ("4", "failed for good: it would fail again"),
    ("5", "failed but may pass: try again"),
    ("6", "`problems`, `catalog check`, `store verify`: something was found"),
    ("130", "stopped by Ctrl-C or SIGTERM"),
)
STATUSES = (
    (
        "400",
        "the request is wrong: no such job or stage, bad params, nothing to start from, too many runs held; "
        "nothing was launched. Or the host name is not in `BRAND_DETECT_HOSTS`",
    ),
    ("401", "the key is missing or wrong"),
    ("403", "a POST or DELETE other than `/detect` without `X-Requested-With: brand_detect`; any cross-site request"),
    ("404", "no such checkpoint, report, frame, correction, job, upload, run, logo or open proposal"),
    (
        "409",
        "the state does not allow it: the correction was already undone, or there are too many; the job is not "
        "running, has not failed, or belongs to another video; the part of an upload belongs elsewhere (see "
        "`Upload-Offset`)",
    ),
    ("413", "the body is too large"),
    ("415", "the body has the wrong `Content-Type`"),
    ("422", "the body is malformed; other than under `/detect` this is a 400 with one sentence"),
    ("429", "too many requests: see `Retry-After`"),
    ("500", "`Replay failed: …`, with the reason"),
    ("503", "Dagster is out of reach or gives an invalid answer: see `Retry-After`"),
)
FOR_PEOPLE = (
    (
        "`GET /`",
        "all jobs with their states and progress, and the form for new ones; also under `/reports`. `q`, `state`, "
        "`sort` and `page` select, as in `GET /jobs`",
    ),
    ("`GET /reports/{job_id}/replay?start={stage}`", "the form for a replay, with the params of each stage"),
    (
        "`GET /reports/{job_id}`",
        "the page of the job's newest report, which accepts corrections; without one, the job's state. Clients that "
        "accept JSON but not HTML get the answer of `GET /jobs/{job_id}`",
    ),
    (
        "`GET /reports/{job_id}/frames/{frame}.jpg?report={attempt}`",
        "a stored frame of the report `report`, by default the newest",
    ),
    ("`GET /reports/{job_id}/thumbnail.jpg?of={attempt}`", "a small picture of the video: `thumbnail` of a job"),
    ("`GET /compare?job={job_id}`", "what differs from the report before; parameters as in `GET /compare.json`"),
    (
        "`GET /portfolio?since={day}&until={day}`",
        "the totals of many reports; parameters as in `GET /portfolio/{name}`",
    ),
    ("`GET /brand-list?q={words}&page={number}`", "the brand list, with what reports propose for it"),
    ("`GET /brands/logos/{id}.jpg`, `GET /proposals/{id}.jpg`", "the pictures that `/brands` and `/proposals` name"),
    ("`GET /login`, `POST /login`", "login with the key, if one is set, for a cookie that lasts twelve hours"),
)
TAGS = (
    ("`dagster/partition`", "the job's id"),
    ("`brand_detect/pin.STAGE`", "the attempt that the run reads instead of the latest"),
    ("`brand_detect/retry_of`", "makes it a retry: `latest`, or the run whose escalation it continues"),
    ("`brand_detect/hold`", "`until` keeps it in the queue; a sensor sets `released`"),
    ("`brand_detect/not_before`", "when it is due, in seconds since 1970"),
    ("`brand_detect/request`", "an idempotency key: look for it with *runs* before you launch again"),
    ("`brand_detect/video`", "on runs that the inbox launched: the SHA-256 of the video"),
    (
        "`dagster/root_run_id`, `dagster/parent_run_id`",
        "the first run of the run group and the run that is continued",
    ),
)
REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "brand_detect.definitions"}
REQUEST = {"video_uri": "/videos/match.mp4", "profile": "default", "overrides": {}}
CONFIG = {"ops": {"match_brands": {"config": {"min_confidence": 0.5}}}}
OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "health": ("Whether the daemons are running, and the pipeline's code location.", "`instance`, `AssetNode`", {}),
    "add_job": (
        "Adds a job before its first run.",
        "`AddDynamicPartitionSuccess`, or `DuplicateDynamicPartitionError` if it exists",
        {"repository": REPOSITORY, "job": "match"},
    ),
    "catalog_changed": (
        "Reads the brand list, and own prompts, scales and inventories, where the sensors run, and records changes. "
        "Call it before you launch a run that must see the current list. `error` says what is wrong with the list; "
        "ignore `runRequests`.",
        "`DryRunInstigationTick`",
        {"sensor": {**REPOSITORY, "sensorName": "brand_catalog_changed"}},
    ),
    "models": (
        "Whether the pipeline's machine has the models that a run's params, by stage, name, and may ask them. "
        "`skipReason` says what is wrong; it is empty if nothing is, or if runs execute on other machines.",
        "`DryRunInstigationTick`",
        {
            "sensor": {**REPOSITORY, "sensorName": "model_check"},
            "params": json.dumps({"escalate_vlm": {"provider": "transformers", "model": "acme/model"}}),
        },
    ),
    "launch": (
        "Submits, replays (from a stage down, as in the example), retries (from `escalate_vlm` down, with the tag) or "
        "compares (`comparison` alone; its config may name `attempt`, `with_attempt` and `with_job`, its result is "
        "what *comparison* gives). To submit, after *add_job*, name all nine assets from `job_request` down, the video "
        f'in the request: `"config": {json.dumps({"ops": {"job_request": {"config": REQUEST}}})}`.',
        "`LaunchRunSuccess`",
        {
            "location": "brand_detect.definitions",
            "repository": "__repository__",
            "assets": [{"path": [s]} for s in ("match_brands", "escalate_vlm", "escalate_cloud", "compile_report")],
            "config": CONFIG,
            "tags": [{"key": "dagster/partition", "value": "match"}],
        },
    ),
    "runs": (
        "Runs by job, id or any tag, newest first.",
        "`Runs`",
        {"filter": {"tags": [{"key": "dagster/partition", "value": "match"}]}, "limit": 20},
    ),
    "checkpoints": (
        "All attempts of a job with their lineage. The metadata of `compile_report` has a summary of the report.",
        "`assetNodes`",
        {"partitions": ["match"], "limit": 200, "assets": [{"path": [s]} for s in LINE]},
    ),
    "comparison": (
        "Comparisons of a job's reports, newest first: `text` in Markdown, the document as `json` "
        "(its `left_out` names what only the full one in the store has), the addresses of `page` and `document`. "
        "Identify yours by the id of the launched run.",
        "`AssetNode`",
        {"job": "match", "limit": 20},
    ),
    "problems": (
        "Current problems of all jobs: the newest entry of the asset *problems*, and the last tick of each sensor "
        "and schedule.",
        "`AssetNode`, `Sensors`, `Schedules`",
        {"repository": REPOSITORY},
    ),
    "progress": (
        "Progress of a run: which stages have begun (`ExecutionStepStartEvent`) and finished "
        "(`ExecutionStepSuccessEvent`), and what the running one has done (`LogMessageEvent`, such as "
        "`run_ocr: 120 of 500 frames, 2.1 a second, 181 s left`). Ask again from `cursor` on.",
        "`EventConnection`",
        {"run": "RUN_ID", "after": None},
    ),
    "failure": ("Why a run failed.", "`EventConnection`", {"run": "RUN_ID", "after": None}),
    "failures": ("Why many runs failed, by their first 1,000 events.", "`Runs`", {"runs": ["RUN_ID"], "limit": 1}),
    "cancel": ("Cancels a queued, held or running run.", "`TerminateRunSuccess`", {"run": "RUN_ID"}),
    "rerun": (
        "Executes a cancelled run again, or with the strategy `FROM_FAILURE` the rest of one that had begun and was "
        "cancelled or failed.",
        "`LaunchRunSuccess`",
        {"run": "RUN_ID", "strategy": "ALL_STEPS", "tags": []},
    ),
}
SIGNS = {Ge: ("ge", "≥"), Gt: ("gt", ">"), Le: ("le", "≤"), Lt: ("lt", "<")}


def params() -> str:
    """The params of every stage: type, default, limits, meaning."""
    parts = [
        GENERATED,
        "# Params of the stages\n",
        "Set them per job (`overrides`), in a profile, or in the launchpad of the Dagster UI. Unset ones are",
        "inherited: defaults < profile < the job's overrides < this run's config.\n",
        "An *operational* param changes how a stage works but not its result: `--reuse` ignores it.\n",
    ]
    for stage, (cls, _) in CONTRACTS.items():
        rows = (
            (f"`{n}`", _type(f), _code(f.get_default()), _limits(f), f"{f.description}{_mark(cls, n)}")
            for n, f in _fields(cls)
        )
        parts += [f"## {stage}\n", *_table(("param", "type", "default", "limits", "meaning"), rows), ""]
    return "\n".join(parts)


def _mark(params: type[Params], name: str) -> str:
    return " (*operational*)" if name in params.operational() else ""


def settings() -> str:
    """The ``BRAND_DETECT_*`` environment variables with their defaults."""
    with patch.dict(os.environ, {"DAGSTER_HOME": "/checkout", "HOME": "/home/you"}):
        rows = [
            (f"`BRAND_DETECT_{n.upper()}`", _code(f.get_default(call_default_factory=True)), f.description)
            for n, f in _fields(Settings)
        ]
    page = [
        GENERATED,
        "# Deployment settings\n",
        "Environment variables, read when a process starts. `$DAGSTER_HOME` is the checkout unless you set it.\n",
        *_table(("variable", "default", "meaning"), rows),
        "",
        "Secrets are not settings. They are read from the environment where they are used, and stored nowhere:\n",
        *_table(("variable", "meaning"), SECRETS),
        "",
    ]
    return "\n".join(page).replace("/checkout", "$DAGSTER_HOME").replace("/home/you", "~")


def data_model() -> str:
    """The schema of every table, with the descriptions of the columns."""
    parts = [
        GENERATED,
        "# Data model\n",
        "Every table is a Parquet file inside a checkpoint. Units are in the column names: `t_s` is in seconds,",
        "`x_px` in pixels of the stored frame, `area_frac` a share of the picture's area.",
        "Times count from the video's first picture, whose own is 0, whatever the file's clock says;",
        "`first_picture_s` in the probe of `job_request` says when a player shows it.\n",
    ]
    for name, schema in schemas().items():
        parts += [f"## {name}\n", f"{meaning(schema)}.\n"]
        rows = ((f"`{c.name}`", str(c.type).replace("item: ", ""), meaning(c)) for c in schema)
        parts += [*_table(("column", "type", "meaning"), rows), ""]
    return "\n".join(parts)


def schemas() -> dict[str, pa.Schema]:
    """Every declared schema by the name of its table, in the order of the stages."""
    names = [*STAGES[:4], "verdicts", STAGES[-1]]
    modules = [import_module(f"brand_detect.domain.contracts.{name}") for name in names]
    found = (v for m in [*modules, catalog] for v in vars(m).values() if isinstance(v, pa.Schema))
    return {schema.metadata[b"brand_detect.table"].decode(): schema for schema in found if schema.metadata}


def cli() -> str:
    """The help of every command."""
    commands = typer.main.get_command(app)
    assert isinstance(commands, TyperGroup)
    listed = {name: command for name, command in commands.commands.items() if not command.hidden}
    parts = [
        GENERATED,
        "# The command line\n",
        "Data goes to stdout, with `--json` as JSON; progress, notes and errors go to stderr. Commands that talk to a",
        "running Dagster find it by `BRAND_DETECT_DAGSTER_URL` ([settings](settings.md)).\n",
        *_table(("exit code", "means"), EXIT_CODES),
        "",
    ]
    for name, command in _commands(listed):
        with patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}):
            shown = CliRunner().invoke(app, [*name.split(), "--help"], prog_name="brand-detect").stdout
        assert command.help
        parts += [f"## {name}\n", "```text", *(line.rstrip() for line in shown.strip().splitlines()), "```\n"]
    return "\n".join(parts)


def _commands(listed: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """All commands by their full names, with groups expanded."""
    for name, command in listed.items():
        if isinstance(command, TyperGroup):
            yield from ((f"{name} {inner}", found) for inner, found in _commands(command.commands))
        else:
            yield name, command


def http() -> str:
    """The endpoints of the HTTP service, from its OpenAPI description."""
    described = _described()
    parts = [
        GENERATED,
        "# The HTTP endpoints\n",
        "`brand-detect serve` (or `make dev`) serves them on <http://127.0.0.1:8000>, with their OpenAPI description",
        "under `/openapi.json`, which is kept as [openapi.json](openapi.json).",
        "[Submit from a service](../guides/submit-from-a-service.md) shows them in use.",
        'Errors are `{"detail": …}`. Unknown fields are ignored. With a key set, requests carry it as `X-API-Key`.\n',
        *_table(("status", "means"), STATUSES),
        "",
        "Pages for people, in HTML and JPEG ([Correct a report](../guides/correct-a-report.md)):\n",
        *_table(("address", "shows"), FOR_PEOPLE),
        "",
        "Except under `/detect` a browser may send its cookie instead of the key. POST and DELETE need the header",
        "`X-Requested-With: brand_detect` and a JSON body or none, neither of which another site's page can send.\n",
    ]
    schemas = described["components"]["schemas"]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            parts += [f"## {method.upper()} {path}\n", operation.get("description", ""), ""]
            parts += [f"Statuses: {', '.join(operation['responses'])}.\n"]
            if asked := [p for p in operation.get("parameters", ()) if p["in"] != "path"]:
                rows = [
                    (f"`{p['name']}`", p["in"], _json_type(p["schema"], schemas), p.get("description") or "")
                    for p in asked
                ]
                parts += [*_table(("parameter", "in", "type", "meaning"), rows), ""]
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if body:
                parts += ["Request:\n", *_fields_of(body, schemas), ""]
            done = next(status for status in ("200", "201", "202", "204") if status in operation["responses"])
            answer = operation["responses"][done].get("content", {}).get("application/json", {}).get("schema", {})
            if "$ref" in (answer.get("items") or answer):
                many = "A list of:" if "items" in answer else "Response:"
                parts += [f"{many}\n", *_fields_of(answer.get("items") or answer, schemas), ""]
    inner = ("AttemptInfo", "ReviewInfo", "Job", "StageProgressInfo", "BrandSeconds", "ListedBrand", "Figures")
    for name in (*inner, "TrackCounts", "CatalogChange"):
        parts += [f"## {name}\n", *_fields_of({"$ref": f"#/components/schemas/{name}"}, schemas), ""]
    return "\n".join(parts)


def _described() -> dict[str, Any]:
    """The service's OpenAPI description."""
    with Client() as client:
        return create_app(client, Settings()).openapi()


def openapi() -> str:
    """The OpenAPI description as a file, from which other languages can generate a client."""
    return json.dumps(_described(), indent=2, ensure_ascii=False) + "\n"


def _fields_of(schema: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    named = schemas[schema["$ref"].rpartition("/")[2]]
    required = named.get("required", ())
    rows = (
        (
            f"`{name}`",
            _json_type(field, schemas),
            "required" if name in required else _default(field),
            field.get("description"),
        )
        for name, field in named["properties"].items()
    )
    return _table(("field", "type", "default", "meaning"), rows)


def _json_type(field: dict[str, Any], schemas: dict[str, Any]) -> str:
    def name_of(schema: dict[str, Any]) -> str:
        name = schema.get("$ref", "").rpartition("/")[2]
        return schema.get("type") or ", ".join(f"`{v}`" for v in schemas.get(name, {}).get("enum", ())) or name

    kinds = [f for f in field.get("anyOf", [field]) if f.get("type") != "null"]
    kind = name_of(kinds[0])
    if len(kinds) < len(field.get("anyOf", kinds)):
        kind += " or null"
    return f"list of {name_of(kinds[0].get('items', {}))}" if kind == "array" else kind


def _default(field: dict[str, Any]) -> str:
    return f"`{json.dumps(field['default'])}`" if "default" in field else "null"


def graphql() -> str:
    """The operations that the client sends, with example variables."""
    parts = [
        GENERATED,
        "# The GraphQL operations\n",
        "The operations that `brand_detect.client` sends to Dagster's webserver, for use from other languages:",
        '`POST /graphql` with a JSON body `{"query": …, "variables": …}`, and only like this. Errors of GraphQL itself',
        "have status 500.\n",
        "Each answer names its type in `__typename`; any type not given here is an error with a `message`.",
        "The repository is `__repository__` in the location that *health* names. A run's tags steer it:\n",
        *_table(("tag", "meaning"), TAGS),
        "",
    ]
    for name, (what, answer, variables) in OPERATIONS.items():
        parts += [f"## {name}\n", f"{what} Answer: {answer}.\n", "```graphql", document(name).strip(), "```\n"]
        if variables:
            parts += ["```json", json.dumps(variables, indent=2), "```\n"]
    return "\n".join(parts)


def report_schema() -> str:
    """The JSON Schema of ``report.json``."""
    return json.dumps(exports.schema(), indent=2, ensure_ascii=False) + "\n"


PAGES = {
    "params.md": params,
    "settings.md": settings,
    "data-model.md": data_model,
    "cli.md": cli,
    "http.md": http,
    "openapi.json": openapi,
    "graphql.md": graphql,
    "report.schema.json": report_schema,
}


def _fields(cls: Any) -> Iterable[tuple[str, FieldInfo]]:
    return cls.model_fields.items()


def _type(field: FieldInfo) -> str:
    kind = field.annotation
    if isinstance(kind, types.GenericAlias):
        return f"{kind.__name__} of {', '.join(a.__name__ for a in get_args(kind))}"
    return "choice" if isinstance(kind, type) and issubclass(kind, Enum) else getattr(kind, "__name__", str(kind))


def _limits(field: FieldInfo) -> str:
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{m.value}`" for m in kind)
    signs = [
        f"{sign} {getattr(m, attr):g}" for m in field.metadata for t, (attr, sign) in SIGNS.items() if type(m) is t
    ]
    return ", ".join(signs)


def _code(value: object) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, tuple):
        value = ",".join(value)
    return f"`{value}`" if value != "" else "empty"


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    columns = list(head)
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(str(cell or '').replace('|', chr(92) + '|') for cell in row)} |"


if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")

"""What the client sends, how often, and which errors it makes of answers that are none."""

import re
from importlib import resources

import graphql
import httpx2
import pytest

from brand_detect.client import TOKEN, Client, document
from brand_detect.domain.errors import BadInput, BrandDetectError, Permanent, Transient
from brand_detect_tests.support.webserver import (
    FAULTS,
    JOB,
    URL,
    Webserver,
    connected,
)

# the wire


@pytest.fixture(scope="module")
def schema() -> graphql.GraphQLSchema:
    from dagster_graphql.schema import create_schema  # half a second, for each worker that collects the tests

    return create_schema().graphql_schema


@pytest.mark.parametrize(
    "operation",
    sorted(f.name.removesuffix(".graphql") for f in (resources.files("brand_detect") / "graphql").iterdir()),
)
def test_every_operation_is_one_that_dagster_knows(schema: graphql.GraphQLSchema, operation: str):
    assert graphql.validate(schema, graphql.parse(document(operation))) == []


def test_a_token_is_sent_as_bearer(server: Webserver, monkeypatch: pytest.MonkeyPatch):
    with connected(server) as client:
        client.health()
    monkeypatch.setenv(TOKEN, "of the environment")
    for given in ({}, {"token": "given"}):
        with connected(server, **given) as client:
            client.health()
    assert [h.get("Authorization") for h in server.headers] == [None, "Bearer of the environment", "Bearer given"]


@pytest.mark.parametrize("url", ["127.0.0.1:3000", "dagster", "ftp://dagster"])
def test_what_is_no_address_is_refused(url: str):
    with pytest.raises(BadInput, match="not the address of a Dagster webserver"):
        Client(url)


def test_the_address_is_that_of_the_settings_unless_given(server: Webserver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BRAND_DETECT_DAGSTER_URL", URL)
    with Client(transport=httpx2.MockTransport(server)) as client:
        assert client.health()["pipeline"]
    monkeypatch.setenv("BRAND_DETECT_DAGSTER_URL", "elsewhere")
    with pytest.raises(BadInput, match="'elsewhere' is not the address"):
        Client()


def test_a_password_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(BadInput, match="contains a password") as error:
        Client("http://me:geheim@dagster.test:3000")
    assert "geheim" not in error.value.full


def test_a_slash_at_the_end_of_the_address_does_not_matter(server: Webserver):
    with Client(f"{URL}/", transport=httpx2.MockTransport(server)) as client:
        assert client.health()["pipeline"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_query_is_sent_again_after_a_fault_that_may_pass(
    server: Webserver, client: Client, fault: Exception | httpx2.Response
):
    server.answers["Runs"] = [fault] * 3
    assert client.runs(JOB) == []
    assert len(server.asked) == 4


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_is_said_after_the_fourth_time(
    server: Webserver, client: Client, fault: Exception | httpx2.Response
):
    server.answers["Runs"] = [fault] * 9
    with pytest.raises(Transient, match=rf"^Dagster's webserver at {URL}/graphql .*\.$") as error:
        client.runs(JOB)
    assert error.value.hint
    assert len(server.asked) == 4


def test_what_must_not_happen_twice_is_sent_once(server: Webserver, client: Client, job: str):
    server.runs[0]["status"] = "STARTED"
    server.answers["Cancel"] = [httpx2.ReadTimeout("timed out")]
    with pytest.raises(Transient):
        client.cancel(job)
    assert len(server.sent("Cancel")) == 1


def test_a_webserver_without_its_database_is_asked_again_and_its_sql_is_not_told(server: Webserver, client: Client):
    message = "(psycopg2.OperationalError) server closed the connection\n\tThis probably means…\n[SQL: SELECT secrets]"
    away = httpx2.Response(500, json={"data": None, "errors": [{"message": message}]})
    server.answers["Runs"] = [away, away]
    client.runs(JOB)
    assert len(server.asked) == 3
    server.answers["Runs"] = [away] * 4
    with pytest.raises(Transient, match=r"cannot use its database: .*closed the connection This probably means…\.$"):
        client.runs(JOB)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("(psycopg2.errors.AdminShutdown) terminating connection\n[SQL: SELECT secrets]", Transient),
        (
            "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database is locked\n[SQL: SELECT secrets]",
            Transient,
        ),
        ("(pymysql.err.OperationalError) (2013, 'Lost connection')", Transient),
        ("(sqlite3.OperationalError) no such table: runs\n[SQL: SELECT secrets]", Permanent),
        ("(psycopg2.errors.UndefinedColumn) column\n[SQL: SELECT secrets]", Permanent),
    ],
)
@pytest.mark.parametrize("typed", [False, True])
def test_faults_of_the_database_pass_or_not(server: Webserver, client: Client, message: str, kind: type, typed: bool):
    error = {"runsOrError": {"__typename": "PythonError", "message": message}}
    server.answers["Runs"] = [error if typed else httpx2.Response(500, json={"errors": [{"message": message}]})] * 4
    with pytest.raises(kind) as told:
        client.runs(JOB)
    assert "SELECT" not in str(told.value)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (httpx2.Response(401, text="who are you?"), Permanent, "refused the token"),
        (httpx2.Response(403, json={"detail": "no"}), Permanent, "refused the token"),
        (
            httpx2.Response(404, text="not found"),
            Permanent,
            "is not a Dagster webserver: it answers 404 ",
        ),
        (httpx2.Response(200, text="<html>hello</html>"), Permanent, "it answers 200 without GraphQL"),
        (httpx2.Response(200, json={"data": None}), Permanent, "refused the request: no data"),
        (
            httpx2.Response(200, json={"data": {"runsOrError": None}, "errors": [{"message": "half an answer"}]}),
            Permanent,
            "refused the request: half an answer",
        ),
        (httpx2.Response(400, json={"errors": [{"message": "Unknown argument"}]}), Permanent, "Unknown argument"),
        (
            httpx2.Response(500, json={"data": None, "errors": [{"message": "boom"}, {"message": "bang"}]}),
            Permanent,
            "refused the request: boom; bang",
        ),
        (
            {"runsOrError": {"__typename": "PythonError", "message": "KeyError:\n  'x'"}},
            Permanent,
            "Dagster failed: KeyError: 'x'",
        ),
        (
            {"runsOrError": {"__typename": "InvalidPipelineRunsFilterError", "message": "bad filter"}},
            Permanent,
            "Dagster failed: bad filter",
        ),
    ],
)
def test_answers_that_are_none_become_sentences(
    server: Webserver, client: Client, answer: object, kind: type[BrandDetectError], said: str
):
    server.answers["Runs"] = [answer] * 4
    with pytest.raises(kind, match=re.escape(said)):
        client.runs(JOB)
    assert len(server.asked) == 1, "it would be the same again"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx2.Response(503, json={"message": "no upstream"}), Transient),
        (httpx2.Response(200, json=["hello"]), Permanent),
        (httpx2.Response(404, json={"message": "no such page"}), Permanent),
    ],
)
def test_json_of_another_server_becomes_a_sentence(
    server: Webserver, client: Client, answer: object, kind: type[BrandDetectError]
):
    server.answers["Runs"] = [answer] * 4
    with pytest.raises(kind):
        client.runs(JOB)


def test_a_webserver_that_does_not_know_its_name_says_so(server: Webserver, client: Client):
    detail = "Unknown host name: see BRAND_DETECT_HOSTS."
    server.answers["Health"] = [httpx2.Response(400, json={"detail": detail})]
    with pytest.raises(Permanent, match="BRAND_DETECT_HOSTS"):
        client.health()

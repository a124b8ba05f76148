"""The example's interface, endpoint by endpoint, before and after its pending migrations."""

from __future__ import annotations

import importlib.util
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pytest_dryrun.postgres.connection import Conninfo

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "edfinance"
WRITTEN = ("User", "Session", "Course")
DEMO = {"email": "demo@edfinance.example", "password": "learn-by-doing"}
# The sum of a 64-bit hash of every row as text: the same on every machine, or the seed is not deterministic.
SEED_ROWS = 233_712
SEED_DIGEST = 535_560_991_595_557_511


@pytest.fixture
def login(client: httpx.Client) -> Iterator[dict[str, str]]:
    """The header of a session of the demo user, ended at the end."""
    response = client.post("/api/auth/login", json=DEMO)
    assert response.status_code == 200
    header = {"Authorization": f"Bearer {response.json()['token']}"}
    yield header
    client.post("/api/auth/logout", headers=header)


def row_digests(conninfo: Conninfo, *names: str) -> dict[str, tuple[int, int]]:
    """For each table, or each of those named, its rows and the sum of their hashes."""
    with psycopg.connect(**conninfo.parameters(), autocommit=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'reporting') ORDER BY 1, 2"
        ).fetchall()
        query = "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {} AS t"
        found = {}
        for schema, table in tables:
            if names and table not in names:
                continue
            row = connection.execute(sql.SQL(query).format(sql.Identifier(schema, table))).fetchone()
            assert row is not None
            found[f"{schema}.{table}"] = (row[0], int(row[1]))
        return found


@pytest.mark.live
def test_seed_is_large_and_deterministic(seeded: Conninfo):
    """The seed fills every table, with at least 200,000 rows in all, and always the same ones."""
    digests = row_digests(seeded)
    rows = sum(count for count, _ in digests.values())
    assert rows >= 200_000
    assert all(count for count, _ in digests.values())
    assert (rows, sum(digest for _, digest in digests.values()) % 2**64) == (SEED_ROWS, SEED_DIGEST)


@pytest.mark.live
def test_pending_migrations_keep_every_row(seeded: Conninfo, after: Conninfo):
    """After the three pending migrations no row is gone, and only "Course" reads differently."""
    old, new = row_digests(seeded), row_digests(after)
    assert new.pop("public.LearningGoal") == (0, 0)
    assert old.pop("public.Course")[0] == new.pop("public.Course")[0]
    assert old == new


@pytest.mark.live
def test_health(client: httpx.Client):
    """The health endpoint asks the database."""
    response = client.get("/api/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.live
@pytest.mark.parametrize(("path", "limit_s"), [("/api/health", 0.01), ("/api/courses?limit=100", 0.05)])
def test_is_fast(client: httpx.Client, path: str, limit_s: float):
    """Health and the course list can answer within milliseconds; a busy machine gets some time to show it."""
    deadline = time.monotonic() + 15
    best = client.get(path).elapsed.total_seconds()
    while best >= limit_s and time.monotonic() < deadline:
        best = min(best, client.get(path).elapsed.total_seconds())
    assert best < limit_s


@pytest.mark.live
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/auth/me"),
        ("POST", "/api/auth/logout"),
        ("GET", "/api/users"),
        ("POST", "/api/users"),
        ("GET", "/api/users/x"),
        ("PATCH", "/api/users/x"),
        ("DELETE", "/api/users/x"),
        ("POST", "/api/courses"),
        ("PATCH", "/api/courses/x"),
        ("DELETE", "/api/courses/x"),
    ],
)
@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}])
def test_needs_a_token(client: httpx.Client, method: str, path: str, header: dict[str, str]):
    """Whatever writes or shows a person is refused without a valid bearer token."""
    assert client.request(method, path, headers=header).status_code == 401


@pytest.mark.live
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b"{"),
        (400, b"[]"),
        (400, b"{}"),
        (400, b'{"email": 1, "password": "x"}'),
        (400, b'{"email": "\\ud800@x.y", "password": "x"}'),
        (401, b'{"email": "demo@edfinance.example", "password": "wrong"}'),
        (401, b'{"email": "nobody@edfinance.example", "password": "wrong"}'),
    ],
)
def test_login_refuses(client: httpx.Client, status: int, body: bytes):
    """A login that is no login gets a status and a reason."""
    response = client.post("/api/auth/login", content=body)
    assert status == response.status_code
    assert response.json()["error"]


@pytest.mark.live
def test_session(client: httpx.Client):
    """A token works until its owner logs out."""
    opened = client.post("/api/auth/login", json=DEMO).json()
    header = {"Authorization": f"Bearer {opened['token']}"}
    me = client.get("/api/auth/me", headers=header)
    assert (200, DEMO["email"], "Demo Öğretmen") == (me.status_code, me.json()["email"], me.json()["name"])
    assert "passwordHash" not in me.json()
    assert client.post("/api/auth/logout", headers=header).status_code == 204
    assert client.get("/api/auth/me", headers=header).status_code == 401


@pytest.mark.live
def test_users(client: httpx.Client, login: dict[str, str]):
    """A user is created, listed, read, changed, able to log in, and deleted together with the session."""
    email = f"{uuid.uuid4().hex}@edfinance.example"
    created = client.post("/api/users", headers=login, json={"email": email.upper(), "password": "long enough"})
    assert (201, email, "STUDENT", None) == (
        created.status_code,
        *(created.json()[k] for k in ("email", "role", "name")),
    )
    path = f"/api/users/{created.json()['id']}"
    assert client.get(path, headers=login).json() == created.json()
    assert client.get("/api/users", headers=login, params={"email": email}).json() == {"items": [created.json()]}
    changed = client.patch(path, headers=login, json={"name": "Zoë", "role": "TEACHER", "password": "even longer"})
    assert (changed.status_code, changed.json()["name"], changed.json()["role"]) == (200, "Zoë", "TEACHER")
    again = client.post("/api/users", headers=login, json={"email": email, "password": "long enough"})
    assert again.status_code == 409
    assert client.post("/api/auth/login", json={"email": email, "password": "long enough"}).status_code == 401
    assert client.post("/api/auth/login", json={"email": email, "password": "even longer"}).status_code == 200
    assert client.delete(path, headers=login).status_code == 204
    for method in ("GET", "DELETE"):
        assert client.request(method, path, headers=login).status_code == 404
    assert client.patch(path, headers=login, json={"name": "Zoë"}).status_code == 404


@pytest.mark.live
def test_user_with_courses_stays(client: httpx.Client, login: dict[str, str]):
    """A user whom others refer to is not deleted."""
    author = client.get("/api/courses", params={"limit": 1}).json()["items"][0]["authorId"]
    assert client.delete(f"/api/users/{author}", headers=login).status_code == 409
    assert client.get(f"/api/users/{author}", headers=login).status_code == 200


@pytest.mark.live
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "a@b.example"},
        {"email": "nowhere", "password": "long enough"},
        {"email": "a@b.example", "password": "short"},
        {"email": "a@b.example", "password": "long enough", "role": "KING"},
        {"email": "a@b.example", "password": "long enough", "passwordHash": "x"},
        {"email": "a@b.example", "password": "long enough", "name": "nul\0"},
    ],
)
def test_users_refuse(client: httpx.Client, login: dict[str, str], body: dict[str, Any]):
    """A user that cannot be stored is refused with a reason."""
    response = client.post("/api/users", headers=login, json=body)
    assert response.status_code == 400
    assert response.json()["error"]


@pytest.mark.live
def test_courses(client: httpx.Client, login: dict[str, str]):
    """A course is created, listed, read, changed and deleted; its price stays exact."""
    slug = uuid.uuid4().hex
    sent = {"slug": slug, "title": "Élan", "price": 19.9, "tags": ["a", "ü"], "subtitle": "x" * 160}
    created = client.post("/api/courses", headers=login, json=sent)
    assert created.status_code == 201
    assert {**created.json(), **sent, "price": "19.90", "status": "DRAFT", "description": ""} == created.json()
    path = f"/api/courses/{created.json()['id']}"
    assert client.get(path).json() == created.json()
    assert client.get("/api/courses", params={"slug": slug}).json() == {"items": [created.json()]}
    changed = client.patch(path, headers=login, json={"status": "PUBLISHED", "price": "0.10", "subtitle": None})
    assert (
        changed.status_code,
        *(changed.json()[name] for name in ("status", "price", "subtitle")),
    ) == (200, "PUBLISHED", "0.10", None)
    assert client.post("/api/courses", headers=login, json=sent).status_code == 409
    assert client.delete(path, headers=login).status_code == 204
    for method in ("GET", "DELETE"):
        assert client.request(method, path, headers=login).status_code == 404


@pytest.mark.live
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"slug": "a", "title": "b"},
        {"slug": "a", "title": "b", "price": -1},
        {"slug": "a", "title": "b", "price": "1.001"},
        {"slug": "a", "title": "b", "price": "NaN"},
        {"slug": "a", "title": "b", "price": True},
        {"slug": "a", "title": "b", "price": 1e9},
        {"slug": "a", "title": "b", "price": 1, "subtitle": "x" * 161},
        {"slug": "a", "title": "b", "price": 1, "tags": "a"},
        {"slug": "a", "title": "b", "price": 1, "language": "en"},
    ],
)
def test_courses_refuse(client: httpx.Client, login: dict[str, str], body: dict[str, Any]):
    """A course that cannot be stored is refused with a reason."""
    response = client.post("/api/courses", headers=login, json=body)
    assert response.status_code == 400
    assert response.json()["error"]


@pytest.mark.live
def test_course_list(client: httpx.Client):
    """The list keeps to its limit and to its filter."""
    assert len(client.get("/api/courses").json()["items"]) == 20
    drafts = client.get("/api/courses", params={"status": "DRAFT", "limit": 100}).json()["items"]
    assert {"DRAFT"} == {course["status"] for course in drafts}
    assert len(drafts) > 20
    assert client.get("/api/courses", params={"slug": "no-such-course"}).json() == {"items": []}


@pytest.mark.live
@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=ten", "limit=²", "status=GONE", "color=red"])
def test_course_list_refuses(client: httpx.Client, query: str):
    """A list that cannot be given is refused."""
    assert client.get(f"/api/courses?{query}").status_code == 400


@pytest.mark.live
def test_unknown_paths_and_methods(client: httpx.Client):
    """What is not there is 404, what cannot be done is 405, and an id that no row can have is no server error."""
    assert client.get("/api/nothing").status_code == 404
    assert client.put("/api/courses").status_code == 405
    assert client.get("/api/courses/%00").status_code == 400


class Facts:
    """Takes the facts of a check as `record` does, and fails at the one numbered `stop_at`."""

    def __init__(self, stop_at: int = 1000) -> None:
        self.names: list[str] = []
        self.stop_at = stop_at

    def fact(self, name: str, value: object, unit: str = "") -> None:
        """Keep the name."""
        assert value is not None
        assert unit in {"", "ms"}
        self.names.append(name)
        assert len(self.names) < self.stop_at, "stopped here"


def module(path: str) -> ModuleType:
    """A file of the example as a module."""
    spec = importlib.util.spec_from_file_location(f"edfinance_{Path(path).stem}", EXAMPLE / path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def smoke() -> ModuleType:
    """The example's own checks."""
    return module("checks/test_07_smoke.py")


@pytest.mark.live
@pytest.mark.parametrize("name", ["user_crud", "course_crud", "auth_flow"])
def test_smoke_checks_leave_no_trace(application: Conninfo, client: httpx.Client, smoke: ModuleType, name: str):
    """Each smoke check passes, records its facts and leaves every row as it was."""
    before = row_digests(application, *WRITTEN)
    facts = Facts()
    getattr(smoke, name)(client, facts)
    assert len(facts.names) >= 6
    assert before == row_digests(application, *WRITTEN)


@pytest.mark.live
@pytest.mark.parametrize("name", ["user_crud", "course_crud", "auth_flow"])
def test_smoke_checks_clean_up_after_failing(application: Conninfo, client: httpx.Client, smoke: ModuleType, name: str):
    """A smoke check that stops at any step says so and still leaves every row as it was."""
    before = row_digests(application, *WRITTEN)
    steps = Facts()
    getattr(smoke, name)(client, steps)

    for stop_at in range(1, len(steps.names) + 1):
        with pytest.raises(AssertionError, match="stopped here"):
            getattr(smoke, name)(client, Facts(stop_at))
    assert before == row_digests(application, *WRITTEN)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql://u:p%40ss@localhost:5433/db?schema=public&connection_limit=1&pool_timeout=3",
            {"user": "u", "password": "p@ss", "host": "localhost", "port": "5433", "dbname": "db"},
        ),
        (
            "postgresql://u@localhost:5432/db?host=/run/a%20b&pgbouncer=true&sslmode=disable",
            {"user": "u", "host": "/run/a b", "port": "5432", "dbname": "db", "sslmode": "disable"},
        ),
    ],
    ids=["tcp", "socket"],
)
def test_database_url(monkeypatch: pytest.MonkeyPatch, url: str, expected: dict[str, str]):
    """Prisma's own parameters are left out of the URL, and libpq reads the rest as it was meant."""
    monkeypatch.setenv("DATABASE_URL", url)
    assert conninfo_to_dict(module("database.py").database_url()) == expected


@pytest.mark.live
def test_health_without_database(serve: Any):
    """Where nobody answers, the health endpoint says so with 503 rather than dying."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with serve(f"postgresql://u:p@127.0.0.1:{port}/db") as (_, client):
            assert client.get("/api/health").status_code == 503


@pytest.mark.live
def test_recovers_when_its_connections_are_cut(serve: Any, database: Conninfo):
    """One request may fail when the server ends the API's connections; the next one is answered."""
    with (
        psycopg.connect(**database.parameters(), autocommit=True) as connection,
        serve(database.url()) as (_, client),
    ):
        assert client.get("/api/health").status_code == 503, "the table is not there yet"
        connection.execute('CREATE TABLE "User" ()')
        assert client.get("/api/health").status_code == 200
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'edfinance'"
        ).fetchall()
        assert {(True,)} == set(ended)
        client.get("/api/health")
        assert client.get("/api/health").status_code == 200


@pytest.mark.live
def test_sigterm_ends_it_promptly(serve: Any, database: Conninfo):
    """SIGTERM ends the API within seconds, an idle client or not, and its connections with it."""
    with psycopg.connect(**database.parameters(), autocommit=True) as connection:
        connection.execute('CREATE TABLE "User" ()')
        with serve(database.url()) as (process, client):
            assert client.get("/api/health").status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) in {0, -signal.SIGTERM}
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = 'edfinance'"
        assert connection.execute(others, (database.dbname,)).fetchone() == (0,)

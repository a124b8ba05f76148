"""Smoke"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from pytest_dryrun import check

# The seed's demo account; where the client carries a token already, that one is used.
DEMO = {"email": "demo@edfinance.example", "password": "learn-by-doing"}


@check("user-crud", criterion="crud-pass")
def test_user_crud(api, record):
    """Users can be created, read, changed and deleted.

    Why it matters: a user row is written by every sign-up. A column that the running release does not fill, a renamed
    one or a constraint it does not know shows here first, before a customer meets it.

    What to do when it is red: the failed request and the answer's body are in the message. 500 and 503 mean that the
    API and the schema disagree; compare the migration with the columns the API names. 409 means that the row
    could not be deleted because something refers to it.
    """
    user_crud(api, record)


@check("course-crud", criterion="crud-pass")
def test_course_crud(api, record):
    """Courses can be created, listed, read, changed and deleted.

    Why it matters: the course list is the busiest page and course rows carry money, an enum, an array and timestamps,
    which are the types that migrations most often change.

    What to do when it is red: as for users. A price or tag that comes back different from what was sent points to a
    changed column type.
    """
    course_crud(api, record)


@check("auth-flow", criterion="crud-pass")
def test_auth_flow(api, record):
    """A user can log in, is recognised, and is not after logging out.

    Why it matters: if sessions cannot be written nobody gets in, and if they cannot be deleted nobody gets out.

    What to do when it is red: look at the tables "User" and "Session" in the comparison of section 6; a login that is
    refused with the right password means that password hashes were changed.
    """
    auth_flow(api, record)


def user_crud(client: httpx.Client, record: Any) -> None:
    """Take one user through its life; what was created is gone afterwards, also when a step fails."""
    with signed_in(client) as login, temporary_user(client, record, login) as user:
        path = f"/api/users/{user['id']}"
        got = timed(record, "Read a user", client, "GET", path, headers=login)
        assert got == user, f"the user that was created reads differently: {got} instead of {user}"
        changes = {"name": "Renée Smøke", "locale": "de"}
        got = timed(record, "Change a user", client, "PATCH", path, headers=login, json=changes)
        assert {**user, **changes, "updatedAt": got["updatedAt"]} == got, f"the change was not kept: {got}"
        expect(409, client.post("/api/users", headers=login, json={"email": user["email"], "password": "long enough"}))
        timed(record, "Delete a user", client, "DELETE", path, headers=login, status=204)
        expect(404, client.get(path, headers=login))


def course_crud(client: httpx.Client, record: Any) -> None:
    """Take one course through its life; what was created is gone afterwards, also when a step fails."""
    slug = f"smoke-{secrets.token_hex(8)}"
    sent = {"slug": slug, "title": "Smöke: bonds & more", "price": "49.90", "tags": ["bonds", "smöke"]}
    with signed_in(client) as login:
        try:
            course = timed(
                record, "Create a course", client, "POST", "/api/courses", headers=login, json=sent, status=201
            )
            path = f"/api/courses/{course['id']}"
            got = timed(record, "Read a course", client, "GET", path)
            kept = {name: got[name] for name in sent}
            assert sent == kept, f"the course was not kept as it was sent: {kept} instead of {sent}"
            changes = {"status": "ARCHIVED", "price": "0.00"}
            got = timed(record, "Change a course", client, "PATCH", path, headers=login, json=changes)
            assert {**course, **changes, "updatedAt": got["updatedAt"]} == got, f"the change was not kept: {got}"
            published = {"status": "PUBLISHED", "limit": 20}
            got = timed(record, "List courses", client, "GET", "/api/courses", params=published)
            statuses = {item["status"] for item in got["items"]}
            assert statuses == {"PUBLISHED"}, f"a list of published courses holds {statuses or 'nothing'}"
            timed(record, "Delete a course", client, "DELETE", path, headers=login, status=204)
            expect(404, client.get(path))
        finally:
            clear(client, login, "/api/courses", {"slug": slug})


def auth_flow(client: httpx.Client, record: Any) -> None:
    """Log a new user in and out; the user and the session are gone afterwards, also when a step fails."""
    with signed_in(client) as login, temporary_user(client, record, login) as user:
        wrong = {"email": user["email"], "password": "not the password"}
        expect(401, client.post("/api/auth/login", json=wrong))
        right = {"email": user["email"], "password": user["email"]}
        opened = timed(record, "Log in", client, "POST", "/api/auth/login", json=right)
        own = {"Authorization": f"Bearer {opened['token']}"}
        got = timed(record, "Who am I", client, "GET", "/api/auth/me", headers=own)
        assert user == got, f"the session belongs to another user: {got} instead of {user}"
        timed(record, "Log out", client, "POST", "/api/auth/logout", headers=own, status=204)
        expect(401, client.get("/api/auth/me", headers=own))


def timed(
    record: Any, name: str, client: httpx.Client, method: str, path: str, *, status: int = 200, **request: Any
) -> Any:
    """Send a request, record its status and milliseconds, and return what it answered as JSON."""
    response = client.request(method, path, **request)
    record.fact(f"{name}: status", response.status_code)
    record.fact(name, round(response.elapsed.total_seconds() * 1000, 1), "ms")
    expect(status, response)
    return response.json() if response.content else None


def expect(status: int, response: httpx.Response) -> None:
    """Fail with the request and the answer, but never with a header, unless the status is the expected one."""
    sent = f"{response.request.method} {response.request.url.path}"
    assert status == response.status_code, (
        f"{sent} answered {response.status_code} instead of {status}: {response.text[:300]}"
    )


@contextmanager
def signed_in(client: httpx.Client) -> Iterator[dict[str, str]]:
    """The header to write with: the client's own token, or that of a session that ends here."""
    if "Authorization" in client.headers:
        yield {}
        return
    response = client.post("/api/auth/login", json=DEMO)
    expect(200, response)
    header = {"Authorization": f"Bearer {response.json()['token']}"}
    try:
        yield header
    finally:
        expect(204, client.post("/api/auth/logout", headers=header))


@contextmanager
def temporary_user(client: httpx.Client, record: Any, login: dict[str, str]) -> Iterator[dict[str, Any]]:
    """A user whose password is its address, deleted at the end if it is still there."""
    email = f"smoke-{secrets.token_hex(8)}@edfinance.example"
    try:
        sent = {"email": email, "password": email, "name": "Smoke"}
        yield timed(record, "Create a user", client, "POST", "/api/users", headers=login, json=sent, status=201)
    finally:
        clear(client, login, "/api/users", {"email": email})


def clear(client: httpx.Client, login: dict[str, str], path: str, filters: dict[str, str]) -> None:
    """Delete what is left over, found by its unique name so that it does not matter how far its check came."""
    response = client.get(path, headers=login, params=filters)
    expect(200, response)
    for item in response.json()["items"]:
        expect(204, client.delete(f"{path}/{item['id']}", headers=login))

"""The course platform's HTTP interface: `python api.py --port 3001`, with `DATABASE_URL` in the environment.

It names every column it reads and writes, so that it runs unchanged before and after a migration that only adds.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import fields
import passwords
import psycopg
import uvicorn
from database import Connection, Pool, database_url
from psycopg import errors, sql
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Fields = dict[str, Any]
Handler = Callable[[Connection, Request, Fields], Response]

SESSION_LIFETIME = timedelta(days=30)
USER_COLUMNS = ("id", "email", "name", "role", "locale", "createdAt", "updatedAt")
COURSE_COLUMNS = (
    "id", "slug", "title", "subtitle", "description", "price", "status", "tags", "authorId", "categoryId",
    "publishedAt", "createdAt", "updatedAt",
)  # fmt: skip


# Reading and writing rows.


def names(columns: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def listed(
    connection: Connection, request: Request, table: str, columns: tuple[str, ...], filters: Mapping[str, fields.Reader]
) -> Response:
    """Answer with up to `limit` rows in the order of their ids, those alone that match every filter given."""
    unknown = set(request.query_params) - {"limit", *filters}
    if unknown:
        raise HTTPException(400, f"unknown parameter: {', '.join(sorted(unknown))}")
    limit = request.query_params.get("limit", "20")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= 100):
        raise HTTPException(400, "limit must be a number from 1 to 100")
    given = {name: value for name, value in request.query_params.items() if name in filters}
    values = fields.checked(given, filters) if given else {}
    where = [sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values] or [sql.SQL("true").format()]
    query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY id LIMIT %s").format(
        names(columns), sql.Identifier(table), sql.SQL(" AND ").join(where)
    )
    return answer({"items": connection.execute(query, (*values.values(), int(limit))).fetchall()})


def one(connection: Connection, request: Request, table: str, columns: tuple[str, ...]) -> Fields:
    query = sql.SQL("SELECT {} FROM {} WHERE id = %s").format(names(columns), sql.Identifier(table))
    row = connection.execute(query, (request.path_params["id"],)).fetchone()
    return found(row)


def insert(connection: Connection, table: str, columns: tuple[str, ...], values: Fields) -> Response:
    row = {"id": new_id(), **values, "updatedAt": datetime.now(UTC).replace(tzinfo=None)}
    query = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING {}").format(
        sql.Identifier(table), names(tuple(row)), sql.SQL(", ").join(sql.Placeholder() * len(row)), names(columns)
    )
    return answer(found(connection.execute(query, tuple(row.values())).fetchone()), 201)


def update(connection: Connection, request: Request, table: str, columns: tuple[str, ...], values: Fields) -> Response:
    row = {**values, "updatedAt": datetime.now(UTC).replace(tzinfo=None)}
    changes = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in row)
    query = sql.SQL("UPDATE {} SET {} WHERE id = %s RETURNING {}").format(
        sql.Identifier(table), changes, names(columns)
    )
    return answer(found(connection.execute(query, (*row.values(), request.path_params["id"])).fetchone()))


def delete(connection: Connection, request: Request, table: str) -> Response:
    query = sql.SQL("DELETE FROM {} WHERE id = %s RETURNING id").format(sql.Identifier(table))
    found(connection.execute(query, (request.path_params["id"],)).fetchone())
    return Response(status_code=204)


def found(row: Fields | None) -> Fields:
    if row is None:
        raise HTTPException(404, "there is no such thing")
    return row


def new_id() -> str:
    return "c" + secrets.token_hex(12)


# Sessions.


def token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def signed_in(connection: Connection, request: Request) -> Fields:
    """The user whose unexpired session the bearer token belongs to; 401 otherwise."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    query = sql.SQL(
        'SELECT {} FROM "User" WHERE id = '
        '(SELECT "userId" FROM "Session" WHERE "tokenHash" = %s AND "expiresAt" > now())'
    ).format(names(USER_COLUMNS))
    user = connection.execute(query, (token_hash(token),)).fetchone() if scheme.lower() == "bearer" else None
    if user is None:
        raise HTTPException(401, "a valid bearer token is needed")
    return user


def login(connection: Connection, request: Request, body: Fields) -> Response:
    values = fields.checked(body, fields.LOGIN, required=("email", "password"))
    user = connection.execute('SELECT id, "passwordHash" FROM "User" WHERE email = %s', (values["email"],)).fetchone()
    if user is None or not passwords.matches(values["password"], user["passwordHash"]):
        raise HTTPException(401, "e-mail or password is wrong")
    token = secrets.token_urlsafe(32)
    expires = datetime.now(UTC) + SESSION_LIFETIME
    connection.execute(
        'INSERT INTO "Session" (id, "tokenHash", "userId", "userAgent", "expiresAt") VALUES (%s, %s, %s, %s, %s)',
        (new_id(), token_hash(token), user["id"], request.headers.get("user-agent"), expires),
    )
    return answer({"token": token, "expiresAt": expires})


def me(connection: Connection, request: Request, _body: Fields) -> Response:
    return answer(signed_in(connection, request))


def logout(connection: Connection, request: Request, _body: Fields) -> Response:
    signed_in(connection, request)
    token = request.headers["authorization"].partition(" ")[2]
    connection.execute('DELETE FROM "Session" WHERE "tokenHash" = %s', (token_hash(token),))
    return Response(status_code=204)


# Users and courses.


def user_values(body: Fields, required: tuple[str, ...] = ()) -> Fields:
    values = fields.checked(body, fields.USER, required)
    if "password" in values:
        values["passwordHash"] = passwords.hashed(values.pop("password"))
    return values


def list_users(connection: Connection, request: Request, _body: Fields) -> Response:
    signed_in(connection, request)
    return listed(connection, request, "User", USER_COLUMNS, {"role": fields.ROLE, "email": fields.email})


def read_user(connection: Connection, request: Request, _body: Fields) -> Response:
    signed_in(connection, request)
    return answer(one(connection, request, "User", USER_COLUMNS))


def create_user(connection: Connection, request: Request, body: Fields) -> Response:
    signed_in(connection, request)
    return insert(connection, "User", USER_COLUMNS, user_values(body, required=("email", "password")))


def update_user(connection: Connection, request: Request, body: Fields) -> Response:
    signed_in(connection, request)
    return update(connection, request, "User", USER_COLUMNS, user_values(body))


def delete_user(connection: Connection, request: Request, _body: Fields) -> Response:
    signed_in(connection, request)
    return delete(connection, request, "User")


def list_courses(connection: Connection, request: Request, _body: Fields) -> Response:
    return listed(connection, request, "Course", COURSE_COLUMNS, {"status": fields.STATUS, "slug": fields.text})


def read_course(connection: Connection, request: Request, _body: Fields) -> Response:
    return answer(one(connection, request, "Course", COURSE_COLUMNS))


def create_course(connection: Connection, request: Request, body: Fields) -> Response:
    author = signed_in(connection, request)
    values = fields.checked(body, fields.COURSE, required=("slug", "title", "price"))
    return insert(connection, "Course", COURSE_COLUMNS, {**values, "authorId": author["id"]})


def update_course(connection: Connection, request: Request, body: Fields) -> Response:
    signed_in(connection, request)
    return update(connection, request, "Course", COURSE_COLUMNS, fields.checked(body, fields.COURSE))


def delete_course(connection: Connection, request: Request, _body: Fields) -> Response:
    signed_in(connection, request)
    return delete(connection, request, "Course")


def health(connection: Connection, _request: Request, _body: Fields) -> Response:
    try:
        connection.execute('SELECT 1 FROM "User" LIMIT 1')
    except psycopg.Error:
        raise HTTPException(503, "the database does not answer as it should") from None
    return answer({"status": "ok"})


# From HTTP to handlers and back.


def answer(content: object, status: int = 200) -> Response:
    return Response(json.dumps(content, default=plain, ensure_ascii=False), status, media_type="application/json")


def plain(value: object) -> str:
    """Prices as text, so that no client makes floats of them; times in ISO 8601 and UTC."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC).isoformat(timespec="milliseconds")
    return str(value)


def refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


def endpoint(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Run a handler in a thread, with a transaction of its own and the request's body."""

    def run(request: Request, body: Fields) -> Response:
        try:
            with request.app.state.pool.connection() as connection:
                return handler(connection, request, body)
        except errors.UniqueViolation:
            raise HTTPException(409, "another one has that name already") from None
        except errors.ForeignKeyViolation:
            raise HTTPException(409, "others still refer to it") from None
        except psycopg.DataError:
            raise HTTPException(400, "a value cannot be stored") from None
        except psycopg.OperationalError:
            raise HTTPException(503, "the database does not answer") from None

    @functools.wraps(handler)
    async def respond(request: Request) -> Response:
        raw = await request.body()
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            raise HTTPException(400, "the body is not JSON") from None
        if not isinstance(body, dict):
            raise HTTPException(400, "the body is not a JSON object")
        return await run_in_threadpool(run, request, body)

    return respond


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.pool = Pool(database_url())
    yield
    app.state.pool.close()


ROUTES = [
    ("GET", "/api/health", health),
    ("POST", "/api/auth/login", login),
    ("GET", "/api/auth/me", me),
    ("POST", "/api/auth/logout", logout),
    ("GET", "/api/users", list_users),
    ("POST", "/api/users", create_user),
    ("GET", "/api/users/{id}", read_user),
    ("PATCH", "/api/users/{id}", update_user),
    ("DELETE", "/api/users/{id}", delete_user),
    ("GET", "/api/courses", list_courses),
    ("POST", "/api/courses", create_course),
    ("GET", "/api/courses/{id}", read_course),
    ("PATCH", "/api/courses/{id}", update_course),
    ("DELETE", "/api/courses/{id}", delete_course),
]

app = Starlette(
    routes=[Route(path, endpoint(handler), methods=[method]) for method, path, handler in ROUTES],
    exception_handlers={HTTPException: refused},
    lifespan=lifespan,
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the course platform's interface on 127.0.0.1.")
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="warning", timeout_graceful_shutdown=2)


if __name__ == "__main__":
    main()

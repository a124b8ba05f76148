"""What a request's body and filters may say, field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from starlette.exceptions import HTTPException

Reader = Callable[[object], Any]

ROLES = ("STUDENT", "TEACHER", "ADMIN")
STATUSES = ("DRAFT", "PUBLISHED", "ARCHIVED")
LOCALES = ("en", "de", "es", "fr", "vi", "pl", "tr", "pt-BR")


def text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 2000 or "\0" in value:
        raise ValueError("must be a text of 1 to 2000 characters")
    value.encode()  # a lone surrogate is a ValueError too
    return value


def email(value: object) -> str:
    address = text(value).lower()
    if address.count("@") != 1 or address.startswith("@") or "." not in address.partition("@")[2]:
        raise ValueError("must be an e-mail address")
    return address


def password(value: object) -> str:
    if len(text(value)) < 8:
        raise ValueError("must have at least 8 characters")
    return str(value)


def subtitle(value: object) -> str | None:
    if value is not None and len(text(value)) > 160:
        raise ValueError("must have at most 160 characters")
    return None if value is None else text(value)


def price(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("must be a number")  # noqa: TRY004 - the caller reads one kind of error
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        raise ValueError("must be a number") from None
    if not amount.is_finite() or not 0 <= amount < 100_000_000 or amount != amount.quantize(Decimal("0.01")):
        raise ValueError("must be an amount of at least 0 with two decimals")
    return amount


def tags(value: object) -> list[str]:
    if not isinstance(value, list):
        raise ValueError("must be a list of texts")  # noqa: TRY004
    return [text(item) for item in value]


def one_of(*allowed: str) -> Reader:
    def check(value: object) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return str(value)

    return check


ROLE = one_of(*ROLES)
STATUS = one_of(*STATUSES)

USER: Mapping[str, Reader] = {
    "email": email, "name": text, "password": password, "role": ROLE, "locale": one_of(*LOCALES),
}  # fmt: skip
COURSE: Mapping[str, Reader] = {
    "slug": text, "title": text, "subtitle": subtitle, "description": text, "price": price,
    "status": STATUS, "tags": tags,
}  # fmt: skip
LOGIN: Mapping[str, Reader] = {"email": email, "password": text}


def checked(body: Mapping[str, Any], allowed: Mapping[str, Reader], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """Turn a request's body into values, or refuse it naming every field that is wrong."""
    problems = {name: "is missing" for name in required if name not in body}
    problems.update({name: "is not known" for name in body if name not in allowed})
    values = {}
    for name, read in allowed.items():
        if name in body:
            try:
                values[name] = read(body[name])
            except ValueError as error:
                problems[name] = str(error)
    if problems:
        raise HTTPException(400, "; ".join(f"{name} {problem}" for name, problem in problems.items()))
    if not values:
        raise HTTPException(400, "nothing to change")
    return values

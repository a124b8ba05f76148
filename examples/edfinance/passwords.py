"""Passwords at rest: salted PBKDF2, with few rounds because this is an example."""

from __future__ import annotations

import hashlib
import hmac
import secrets

SCHEME = "pbkdf2_sha256"
ROUNDS = 10_000


def hashed(password: str) -> str:
    """Hash a password with a fresh salt: `pbkdf2_sha256$rounds$salt$digest`, the last two in hexadecimal."""
    salt = secrets.token_bytes(16)
    return f"{SCHEME}${ROUNDS}${salt.hex()}${_digest(password, salt, ROUNDS)}"


def matches(password: str, stored: str) -> bool:
    """Tell whether the password is the one that was hashed."""
    _, rounds, salt, digest = stored.split("$")
    return hmac.compare_digest(digest, _digest(password, bytes.fromhex(salt), int(rounds)))


def _digest(password: str, salt: bytes, rounds: int) -> str:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds).hex()

"""The container engine as the tests see it: whether it is there, and with which PostgreSQL image."""

from __future__ import annotations

import shutil
import subprocess

IMAGE = "dryrun/postgres:15"


def lacking() -> str:
    """Say in a sentence what this machine lacks for the tests in containers; nothing where it lacks nothing."""
    if not shutil.which("docker"):
        return "Docker is not installed"
    argv = ["docker", "image", "inspect", IMAGE]
    try:
        answer = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return "the container engine does not answer"
    if answer.returncode == 0:
        return ""
    if "No such image" in answer.stderr:
        return f"the image {IMAGE} is not there (tests/stand/postgres-image.sh builds it)"
    return "no container engine answers"

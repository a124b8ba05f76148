"""Who a host is and who we are: host keys known, changed and revoked; keys, agents, `~/.ssh/config` and jump hosts."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from sshd import USER, Sshd, fingerprint, keygen

from pytest_dryrun.config import Ssh
from pytest_dryrun.hosts import ssh
from pytest_dryrun.model.errors import ConfigurationError, DryRunError, TargetUnusable

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Start a server with all three kinds of host key."""
    server = Sshd(tmp_path_factory.mktemp("sshd"), kinds=("ed25519", "rsa", "ecdsa"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(started):
    """Trust the server afresh for each test."""
    started.trust()
    return started


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Have a home of our own, without keys, configuration or agent."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


@pytest.fixture
def agent(monkeypatch):
    """Start an agent that holds nothing yet."""
    place = f"/tmp/agent-{os.getpid()}-{time.monotonic_ns()}"  # noqa: S108 - a socket's path must be short
    process = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while not Path(place).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    monkeypatch.setenv("SSH_AUTH_SOCK", place)
    yield process
    process.terminate()
    process.wait()
    Path(place).unlink(missing_ok=True)


def public(path):
    """The type and the key itself, as they stand in known_hosts."""
    return " ".join(Path(f"{path}.pub").read_text().split()[:2])


def logs_in(settings, **options):
    """Log in, run something, and tell who answered."""
    with ssh.connect(settings, **options) as host:
        assert "ok\n" == host.run(["echo", "ok"], timeout_s=20).stdout
        return host.name


def refused(settings, kind=TargetUnusable, **options):
    """Be refused, in three lines."""
    with pytest.raises(DryRunError) as caught:
        ssh.connect(settings, **options)
    assert kind is type(caught.value), caught.value
    assert 3 == len(str(caught.value).splitlines()), str(caught.value)
    return str(caught.value)


# ---- the host's key


def spelled_plain(server, key):
    """As ssh-keyscan writes it."""
    return f"[127.0.0.1]:{server.port} {public(key)}\n"


def spelled_among_others(server, key):
    """Several names, and patterns."""
    return f"elsewhere,[127.0.*.?]:{server.port},10.0.0.1 {public(key)} a comment\n"


def spelled_without_port(_server, key):
    """OpenSSH takes the very key under the name without its port too."""
    return f"127.0.0.1 {public(key)}\n"


@pytest.mark.parametrize("spell", [spelled_plain, spelled_among_others, spelled_without_port])
@pytest.mark.parametrize("number", [0, 1, 2], ids=["ed25519", "rsa", "ecdsa"])
def test_a_host_known_by_one_of_its_keys_is_known(server, spell, number):
    """The type that is known is asked for first, or the host would seem to have changed."""
    server.known_hosts.write_text("# a comment\n\nrubbish\n" + spell(server, server.host_keys[number]))

    assert f"{USER}@127.0.0.1" == logs_in(server.settings())


def test_hashed_names_are_read(server):
    """Debian's ssh writes them so."""
    subprocess.run(["ssh-keygen", "-H", "-f", str(server.known_hosts)], check=True, capture_output=True, timeout=60)
    assert "127.0.0.1" not in server.known_hosts.read_text()

    logs_in(server.settings())


def test_an_unknown_host_is_refused_and_the_message_shows_how_to_add_it(server):
    """The command in the message, run as it stands, makes the host known."""
    server.known_hosts.unlink()
    ed25519 = server.host_keys[0]

    told = refused(server.settings())

    assert f"is not known: seen ssh-ed25519 {fingerprint(ed25519)}." in told
    assert f"ssh-keyscan -p {server.port} -t ed25519 127.0.0.1 >> {server.known_hosts}" in told
    command = told.rpartition("if it is the same: ")[2]
    subprocess.run(["sh", "-c", command], check=True, capture_output=True, timeout=60)
    logs_in(server.settings())


def test_a_negated_pattern_is_not_a_match(server):
    """`!host` takes a host out again."""
    server.known_hosts.write_text(f"*,!*127.0.0.1* {public(server.host_keys[0])}\n")

    assert "is not known" in refused(server.settings())


def test_a_changed_key_is_refused_with_both_fingerprints(server, tmp_path):
    """The commands in the message, run as they stand, put it right."""
    other = keygen(tmp_path / "other")
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {public(other)}\n")

    told = refused(server.settings())

    assert f"has changed: seen ssh-ed25519 {fingerprint(server.host_keys[0])}, " in told
    assert f"expected ssh-ed25519 {fingerprint(other)} ({server.known_hosts}, line 1)" in told
    command = told.rpartition("if the new key is right: ")[2]
    subprocess.run(["sh", "-c", command], check=True, capture_output=True, timeout=60)
    logs_in(server.settings())


def test_a_key_that_changes_between_two_connections_is_refused(tmp_path):
    """What was right yesterday is no promise."""
    server = Sshd(tmp_path / "sshd")
    server.start()
    try:
        logs_in(server.settings())
        server.stop()
        server.host_keys = [keygen(tmp_path / "new")]
        server.start()

        assert "has changed" in refused(server.settings())
    finally:
        server.stop()


def test_a_revoked_key_is_refused_even_where_it_is_known(server):
    """@revoked wins over every other line."""
    marked = f"@revoked * {public(server.host_keys[0])}\n"
    server.known_hosts.write_text(spelled_plain(server, server.host_keys[0]) + marked)

    told = refused(server.settings())

    assert f"is revoked in {server.known_hosts}, line 2: ssh-ed25519 {fingerprint(server.host_keys[0])}" in told


# ---- our key


def test_a_missing_key_file(server, tmp_path):
    """The path is shown as it was looked for."""
    told = refused(server.settings(key="no/such/key"), ConfigurationError, base=tmp_path)

    assert f"The key {tmp_path}/no/such/key cannot be used: it does not exist." in told


def test_a_relative_key_is_relative_to_the_configuration(server, tmp_path):
    """Wherever pytest is called from."""
    shutil.copy(server.key, tmp_path / "deploy_key")

    logs_in(server.settings(key="deploy_key"), base=tmp_path)


def test_a_key_file_of_rubbish(server, tmp_path):
    """A public key, or a key in PuTTY's format, is no private key."""
    (tmp_path / "rubbish").write_text("PuTTY-User-Key-File-3: ssh-ed25519\n")

    assert "it is no private key in OpenSSH's format." in refused(
        server.settings(key=str(tmp_path / "rubbish")), ConfigurationError
    )
    assert "it is no private key in OpenSSH's format." in refused(
        server.settings(key=f"{server.key}.pub"), ConfigurationError
    )


def test_a_key_that_cannot_be_read(server, tmp_path):
    """A folder is not a key."""
    assert "cannot be used: Is a directory." in refused(server.settings(key=str(tmp_path)), ConfigurationError)


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("options", [(), ("-m", "PEM")], ids=["OpenSSH's format", "PEM"])
def test_an_encrypted_key_needs_an_agent(server, tmp_path, options):
    """Nobody is there to type the passphrase; with the agent that holds it, it opens."""
    kind = "rsa" if options else "ed25519"
    key = keygen(tmp_path / "locked", *options, kind=kind, passphrase="secret")
    authorized = server.folder / "authorized_keys"
    before = authorized.read_text()
    authorized.write_text(before + Path(f"{key}.pub").read_text())
    try:
        told = refused(server.settings(key=str(key)), ConfigurationError)
        assert "it is encrypted, and no agent holds it." in told
        assert f"ssh-add {key}" in told

        open_copy = tmp_path / "open"
        shutil.copy(key, open_copy)
        subprocess.run(
            ["ssh-keygen", "-q", "-p", "-P", "secret", "-N", "", "-f", str(open_copy)],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        subprocess.run(["ssh-add", "-q", str(open_copy)], check=True, timeout=60)
        logs_in(server.settings(key=str(key)))
    finally:
        authorized.write_text(before)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_other_kinds_of_key_log_in(server, tmp_path, kind):
    """RSA with SHA-2, and the elliptic curves."""
    key = keygen(tmp_path / kind, kind=kind)
    authorized = server.folder / "authorized_keys"
    before = authorized.read_text()
    authorized.write_text(before + Path(f"{key}.pub").read_text())
    try:
        logs_in(server.settings(key=str(key)))
    finally:
        authorized.write_text(before)


def test_a_wrong_key_is_named_with_its_fingerprint(server, tmp_path):
    """So that it can be found, or missed, among the authorized keys."""
    wrong = keygen(tmp_path / "wrong")

    told = refused(server.settings(key=str(wrong)))

    assert f"{USER}@127.0.0.1 (port {server.port}) refused every key: {wrong} ({fingerprint(wrong)})." in told


def test_a_wrong_user_is_named(server):
    """The server does not tell a wrong user from a wrong key, so the message names both."""
    told = refused(server.settings(user="nobody-of-that-name"))

    assert "nobody-of-that-name@127.0.0.1" in told
    assert "Check the user name and that ~nobody-of-that-name/.ssh/authorized_keys there holds the key" in told


def test_no_key_at_all(server):
    """Neither a key in dryrun.toml, nor one at its usual place, nor an agent."""
    assert "There is no key to log in to" in refused(server.settings(key=None))


@pytest.mark.parametrize(
    ("extra", "allowed"),
    [
        ("AuthenticationMethods publickey,password\nPasswordAuthentication yes", "password"),
        ("PubkeyAuthentication no\nPasswordAuthentication yes", "password"),
    ],
    ids=["a key and more", "no keys"],
)
def test_a_server_that_wants_more_than_a_key_says_what(tmp_path, extra, allowed):
    """A password is something nobody can type here."""
    server = Sshd(tmp_path / "sshd", extra=extra)
    server.start()
    try:
        told = refused(server.settings())
    finally:
        server.stop()

    assert f"wants more than a key, or no key at all: {allowed}." in told


@pytest.mark.usefixtures("agent")
def test_the_usual_key_is_found_and_then_the_agents(server, home, tmp_path):
    """Without a key in dryrun.toml it is as with ssh."""
    subprocess.run(["ssh-add", "-q", str(keygen(tmp_path / "unrelated"))], check=True, timeout=60)
    subprocess.run(["ssh-add", "-q", str(server.key)], check=True, timeout=60)
    logs_in(server.settings(key=None))
    subprocess.run(["ssh-add", "-q", "-D"], check=True, capture_output=True, timeout=60)
    assert "There is no key" in refused(server.settings(key=None))

    shutil.copy(server.key, home / ".ssh" / "id_ed25519")
    logs_in(server.settings(key=None))


# ---- the way


def test_the_openssh_configuration_is_honoured(server, home):
    """A name that works with ssh works here."""
    (home / ".ssh" / "config.d").mkdir()
    (home / ".ssh" / "config").write_text("Include config.d/*\nHost *\n  User wrong-user\n")
    (home / ".ssh" / "config.d" / "staging").write_text(
        f"Host staging\n  HostName 127.0.0.1\n  Port {server.port}\n  User {USER}\n"
        f"  IdentityFile {server.key}\n  UserKnownHostsFile /no/such/file {server.known_hosts}\n"
    )

    assert f"{USER}@staging" == logs_in(ssh_settings("staging"))
    told = refused(ssh_settings("staging", user="other"))
    assert f"other@staging (127.0.0.1 port {server.port}) refused every key" in told
    assert "port 1)" in refused(ssh_settings("staging", port=1))
    told = refused(ssh_settings("staging", known_hosts=str(home / "empty")))
    assert "is not known" in told
    assert f">> {home / 'empty'}" in told


def ssh_settings(host, **given):
    """What dryrun.toml says, and nothing else."""
    return Ssh(host=host, **given)


def test_a_configuration_that_cannot_be_read_is_named(home):
    """The line that is wrong is shown."""
    (home / ".ssh" / "config").write_text("Host staging\n  nonsense\n")

    told = refused(ssh_settings("staging"), ConfigurationError)

    assert f"({home}/.ssh/config) cannot be used: Unparsable line nonsense." in told


@pytest.mark.parametrize("jumps", ["one", "one,two", f"{USER}@two"], ids=["one host", "a chain", "with a user"])
def test_jump_hosts_are_gone_through(server, home, jumps):
    """Each of them is verified like the target itself."""
    block = f"  HostName 127.0.0.1\n  Port {server.port}\n  IdentityFile {server.key}\n"
    (home / ".ssh" / "config").write_text(
        f"Host one\n{block}Host two\n{block}Host staging\n{block}  ProxyJump {jumps}\n"
        f"Host *\n  UserKnownHostsFile {server.known_hosts}\n"
    )

    with ssh.connect(ssh_settings("staging")) as host:
        assert "ok\n" == host.run(["echo", "ok"], timeout_s=20).stdout
        assert 1 + len(jumps.split(",")) == len(host._connection.transports)


def test_a_jump_host_that_is_not_known_is_refused(server, home):
    """Trusting the last host is not trusting the way."""
    (home / ".ssh" / "config").write_text(
        f"Host one\n  HostName 127.0.0.1\n  Port {server.port}\n  IdentityFile {server.key}\n"
        f"Host staging\n  HostName 127.0.0.1\n  Port {server.port}\n  ProxyJump one\n"
        f"  UserKnownHostsFile {server.known_hosts}\n"
    )

    told = refused(ssh_settings("staging", key=str(server.key)))

    assert f"The host key of {USER}@one (127.0.0.1 port {server.port}) is not known" in told


def test_a_host_behind_a_jump_host_is_made_known_without_a_scan(server, home):
    """ssh-keyscan goes through no jump host, so the message gives the very line."""
    (home / ".ssh" / "config").write_text(
        f"Host one\n  HostName 127.0.0.1\n  Port {server.port}\n  IdentityFile {server.key}\n"
        f"  UserKnownHostsFile {server.known_hosts}\n"
        f"Host staging\n  HostName localhost\n  Port {server.port}\n  ProxyJump one\n"
    )
    settings = ssh_settings("staging", key=str(server.key))

    told = refused(settings)

    command = told.rpartition("if it is the same: ")[2]
    assert command.startswith(f"echo '[localhost]:{server.port} ssh-ed25519 ")
    subprocess.run(["sh", "-c", command], check=True, timeout=60)
    logs_in(settings)


def test_a_jump_host_that_does_not_get_through_is_named(server, home):
    """The address is looked up, and connected to, from there."""
    (home / ".ssh" / "config").write_text(
        f"Host one\n  HostName 127.0.0.1\n  Port {server.port}\n  IdentityFile {server.key}\n"
        f"  UserKnownHostsFile {server.known_hosts}\nHost staging\n  HostName 127.0.0.1\n  Port 1\n  ProxyJump one\n"
    )

    told = refused(ssh_settings("staging"))

    assert "The jump host" in told
    assert f"cannot reach {USER}@staging (127.0.0.1 port 1): Connect failed." in told


def test_jump_hosts_in_a_circle(home):
    """A mistake in the configuration ends, with a name."""
    (home / ".ssh" / "config").write_text("Host one\n  ProxyJump two\nHost two\n  ProxyJump one\n")

    assert "leads in a circle" in refused(ssh_settings("one"), ConfigurationError)


def test_a_proxy_command_is_the_way(server, home):
    """Whatever it is that carries the bytes, the host behind it is verified."""
    carry = (
        "import socket,sys,threading,os\\n"
        "s=socket.create_connection((sys.argv[1],int(sys.argv[2])))\\n"
        "t=threading.Thread(target=lambda:[s.sendall(d) for d in iter(lambda:os.read(0,65536),b'')],daemon=True)\\n"
        "t.start()\\n"
        "[os.write(1,d) for d in iter(lambda:s.recv(65536),b'')]"
    ).replace("\\n", "\n")
    (home / "carry.py").write_text(carry)
    (home / ".ssh" / "config").write_text(
        f"Host staging\n  HostName 127.0.0.1\n  Port {server.port}\n  ProxyCommand python3 {home}/carry.py %h %p\n"
    )

    logs_in(ssh_settings("staging", key=str(server.key), known_hosts=str(server.known_hosts)))


# ---- no way


def test_a_name_that_does_not_resolve():
    """The name as it was looked up is shown."""
    told = refused(ssh_settings("no-such-host.invalid"))

    assert "The name no-such-host.invalid of" in told
    assert "cannot be resolved" in told


def test_a_port_where_nothing_listens():
    """The port is what is wrong most often."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    assert "refused the connection: nothing listens there." in refused(ssh_settings("127.0.0.1", port=port))


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not answer as an SSH server"),
        (b"", "it hung up before it said who it is"),
        (b"SSH-1.5-ancient\r\n", "no algorithm in common"),
    ],
    ids=["a web server", "hangs up", "an ancient server"],
)
def test_something_else_at_that_port(says, words):
    """A port that answers is not yet an SSH server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            link, _ = listener.accept()
            with link:
                link.sendall(says)
                link.shutdown(socket.SHUT_WR)

        threading.Thread(target=answer, daemon=True).start()
        told = refused(ssh_settings("127.0.0.1", port=listener.getsockname()[1]))

    assert words in told


def test_a_port_that_never_says_anything():
    """The limit on connecting holds for all of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        told = refused(ssh_settings("127.0.0.1", port=listener.getsockname()[1]), timeout_s=1)

    assert "did not answer as an SSH server within 1 s." in told
    assert 5 > time.monotonic() - began

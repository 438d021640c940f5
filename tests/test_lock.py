"""The lock of an endpoint: what is refused before anything starts, and what replicas and HAProxy are told."""

import json
import ssl
from pathlib import Path

import pytest

from raytune_app.endpoint.front import Front
from raytune_app.endpoint.keys import Scope, digest, new_key
from raytune_app.endpoint.lock import Lock, is_here, trusting
from raytune_app.endpoint.plan import Plan, traffic_of
from raytune_app.errors import InputError, NotFoundError

EVERYWHERE = "0.0.0.0"  # noqa: S104  # what is refused


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    new_key(tmp_path / "keys", "phone", Scope.INFER)
    return tmp_path / "keys"


@pytest.mark.parametrize("host", [EVERYWHERE, "192.0.2.7", "example.org"])
def test_open_to_others_without_keys_is_refused_unless_it_is_asked_for(host: str, keys: Path) -> None:
    with pytest.raises(InputError) as caught:
        Lock().check(host)
    assert "--api-keys" in (caught.value.remedy or "")
    Lock(without_keys=True).check(host)
    Lock(keys).check(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.9.9.9"])
def test_this_machine_needs_no_keys(host: str) -> None:
    assert is_here(host)
    Lock().check(host)


def test_a_lock_that_would_not_hold_is_refused(tmp_path: Path, pem: Path) -> None:
    with pytest.raises(NotFoundError):
        Lock(tmp_path / "none").check("127.0.0.1")
    for wrong in (
        Lock(tls_cert=pem),
        Lock(tls_key=pem),
        Lock(tls_cert=pem, tls_key=tmp_path / "none"),
        Lock(tls_cert=Path(__file__), tls_key=pem),
        Lock(timeout_s=0),
        Lock(timeout_s=1e9),
        Lock(timeout_s=float("nan")),
    ):
        with pytest.raises(InputError):
            wrong.check("127.0.0.1")
    Lock(tls_cert=pem, tls_key=pem).check("127.0.0.1")


def test_replicas_are_told_hashes_and_paths_but_no_secret(keys: Path, pem: Path) -> None:
    lock = Lock(keys, pem, pem)
    told = json.dumps(Plan(traffic_of({"mnist": 1}), "/store", lock=lock).config())
    assert lock.own_key not in told
    assert lock.own_key not in repr(lock)
    assert digest(lock.own_key) in told
    assert str(keys) in told


def test_haproxy_is_told_where_to_listen_and_serve_keeps_to_itself(tmp_path: Path, pem: Path) -> None:
    file = tmp_path / "front.json"
    Front(peer_header="x-peer-1").save(file)
    plan = Plan(traffic_of({"mnist": 1}), "/store", host="192.0.2.7", lock=Lock(tls_cert=pem, tls_key=pem))
    serve_host = plan.lock.set_front(file, plan.host)
    assert plan.config(serve_host)["http_options"]["host"] == "127.0.0.1"
    assert plan.url == "https://192.0.2.7:8000"
    front = Front.load(file)
    assert (front.host, front.peer_header) == ("192.0.2.7", "x-peer-1")
    both = Path(front.pem)
    assert both.stat().st_mode & 0o077 == 0
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(both)


def test_without_our_haproxy_serve_listens_itself_and_there_is_no_tls(pem: Path) -> None:
    assert Lock().set_front(None, "192.0.2.7") == "192.0.2.7"
    with pytest.raises(InputError, match="TLS"):
        Lock(tls_cert=pem, tls_key=pem).set_front(None, "127.0.0.1")


def test_a_client_checks_names_unless_the_certificate_is_its_own_servers(tmp_path: Path, pem: Path) -> None:
    assert trusting(pem).check_hostname
    own = trusting(pem, own=True)
    assert (own.check_hostname, own.verify_mode) == (False, ssl.CERT_REQUIRED)
    (tmp_path / "no.pem").write_text("no")
    with pytest.raises(InputError):
        trusting(tmp_path / "no.pem")

"""The door: who may what, how often, and what counts as coming from this machine."""

import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.endpoint.keys import Scope, digest, new_key
from raytune_app.errors import ForbiddenError, RateError, UnknownKeyError
from serving.door.door import LOOK_AGAIN_S, OWN, Bucket, Door, Need, Visitor, is_loopback
from serving.web.visitors import visitor

STRANGER = Visitor(None, is_local=False)
HERE = Visitor(None, is_local=True)
PEER = b"x-peer-1234"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_without_keys_anyone_asks_and_only_this_machine_changes(clock: Clock) -> None:
    door = Door(clock=clock)
    for need in (Need.OPEN, Need.INFER):
        assert door.is_open_to(need)
        assert door.admit(need, STRANGER) is None
    assert not door.is_open_to(Need.ADMIN)
    assert door.admit(Need.ADMIN, HERE) is None
    with pytest.raises(ForbiddenError):
        door.admit(Need.ADMIN, STRANGER)


def test_with_keys_each_scope_opens_what_it_says_and_being_here_opens_nothing(clock: Clock, file: Path) -> None:
    infer, admin = new_key(file, "phone", Scope.INFER), new_key(file, "ops", Scope.ADMIN)
    door = Door(file, clock=clock)
    assert door.admit(Need.OPEN, STRANGER) is None
    assert door.admit(Need.INFER, Visitor(infer, is_local=False)) == "phone"
    assert door.admit(Need.INFER, Visitor(admin, is_local=False)) == "ops"
    assert door.admit(Need.ADMIN, Visitor(admin, is_local=False)) == "ops"
    with pytest.raises(ForbiddenError):
        door.admit(Need.ADMIN, Visitor(infer, is_local=True))
    for need in (Need.INFER, Need.ADMIN):
        for secret in (None, "", infer[:-1], infer + "x", "x" * 100_000, digest(infer), "\udcff\x00"):
            with pytest.raises(UnknownKeyError):
                door.admit(need, Visitor(secret, is_local=True))


def test_every_key_is_compared_in_constant_time(clock: Clock, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [new_key(file, f"k{number}", Scope.INFER) for number in range(5)]
    door, compared = Door(file, clock=clock), list[str]()

    def compare(shown: str, known: str) -> bool:
        compared.append(known)
        return shown == known

    monkeypatch.setattr(hmac, "compare_digest", compare)
    door.admit(Need.INFER, Visitor(secrets[0], is_local=False))
    assert compared == [digest(secret) for secret in secrets]


def test_whoever_started_the_endpoint_has_a_key_of_its_own(clock: Clock, file: Path) -> None:
    new_key(file, "phone", Scope.INFER)
    for door in (Door(own=digest("mine"), clock=clock), Door(file, digest("mine"), clock)):
        assert door.admit(Need.ADMIN, Visitor("mine", is_local=False)) == OWN
    with pytest.raises(ForbiddenError):
        Door(clock=clock).admit(Need.ADMIN, Visitor("", is_local=False))


def test_a_changed_file_counts_within_a_moment_and_a_broken_one_does_not(clock: Clock, file: Path) -> None:
    first = new_key(file, "first", Scope.INFER)
    door = Door(file, clock=clock)
    second = new_key(file, "second", Scope.INFER)
    with pytest.raises(UnknownKeyError):
        door.admit(Need.INFER, Visitor(second, is_local=False))
    clock.now += LOOK_AGAIN_S
    assert door.admit(Need.INFER, Visitor(second, is_local=False)) == "second"
    file.write_text(file.read_text().splitlines()[1])
    clock.now += LOOK_AGAIN_S
    with pytest.raises(UnknownKeyError):
        door.admit(Need.INFER, Visitor(first, is_local=False))
    for broken in (lambda: file.write_text("nonsense"), file.unlink):
        broken()
        clock.now += LOOK_AGAIN_S
        assert door.admit(Need.INFER, Visitor(second, is_local=False)) == "second"


def test_a_rate_is_per_key_and_says_when_to_come_back(clock: Clock, file: Path) -> None:
    slow, other = new_key(file, "slow", Scope.INFER, "2/s"), new_key(file, "other", Scope.INFER, "2/s")
    door = Door(file, clock=clock)
    for _ in range(2):
        door.admit(Need.INFER, Visitor(slow, is_local=False))
    with pytest.raises(RateError) as caught:
        door.admit(Need.INFER, Visitor(slow, is_local=False))
    assert caught.value.retry_after_s == 0.5
    assert door.admit(Need.INFER, Visitor(other, is_local=False)) == "other"
    clock.now += caught.value.retry_after_s
    assert door.admit(Need.INFER, Visitor(slow, is_local=False)) == "slow"


@given(st.lists(st.floats(0, 5), max_size=60), st.integers(1, 20), st.sampled_from([1.0, 60.0]))
def test_no_pattern_of_asking_gets_more_than_the_rate(pauses: list[float], most: int, period_s: float) -> None:
    bucket, now, taken = Bucket((most, period_s), 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        taken += bucket.take(now) == 0
    assert taken <= most + now * most / period_s + 1e-6


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_addresses_of_this_machine(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", [None, "", "10.0.0.1", "localhost", "127.0.0.1, 8.8.8.8", "::ffff:8.8.8.8", "x"])
def test_addresses_of_others(address: str | None) -> None:
    assert not is_loopback(address)


LOCAL = [(b"host", b"127.0.0.1:8000"), (PEER, b"127.0.0.1")]


def test_local_is_whom_the_proxy_met_here() -> None:
    assert visitor(LOCAL, PEER).is_local
    assert visitor([*LOCAL, (b"origin", b"http://127.0.0.1:8000")], PEER).is_local
    assert visitor([(b"host", b"localhost"), (PEER, b"::1")], PEER).is_local


@pytest.mark.parametrize(
    ("headers", "peer_header"),
    [
        (LOCAL, None),
        (LOCAL, b"x-peer-other"),
        ([(b"host", b"127.0.0.1"), (PEER, b"10.0.0.9")], PEER),
        ([(b"host", b"127.0.0.1"), (PEER, b"10.0.0.9"), (PEER, b"127.0.0.1")], PEER),
        ([(b"host", b"127.0.0.1"), (b"x-forwarded-for", b"127.0.0.1")], PEER),
        ([*LOCAL, (b"x-forwarded-for", b"127.0.0.1")], PEER),
        ([*LOCAL, (b"forwarded", b"for=127.0.0.1")], PEER),
        ([*LOCAL, (b"origin", b"http://evil.example")], PEER),
        ([*LOCAL, (b"origin", b"null")], PEER),
        ([(b"host", b"evil.example"), (PEER, b"127.0.0.1")], PEER),
        ([(b"host", b"[127.0.0.1"), (PEER, b"127.0.0.1")], PEER),
        ([(PEER, b"127.0.0.1")], PEER),
    ],
)
def test_nothing_a_client_says_makes_it_local(headers: list[tuple[bytes, bytes]], peer_header: bytes | None) -> None:
    assert not visitor(headers, peer_header).is_local


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ([(b"authorization", b"Bearer abc")], "abc"),
        ([(b"authorization", b"bearer  abc ")], "abc"),
        ([(b"x-api-key", b"abc")], "abc"),
        ([(b"authorization", b"Basic xyz"), (b"x-api-key", b"abc")], "abc"),
        ([(b"authorization", b"Bearer abc"), (b"x-api-key", b"xyz")], "abc"),
        ([(b"authorization", b"Bearer ")], None),
        ([(b"authorization", b"abc")], None),
        ([], None),
    ],
)
def test_a_key_is_shown_in_either_header(headers: list[tuple[bytes, bytes]], secret: str | None) -> None:
    assert visitor(headers, PEER).secret == secret

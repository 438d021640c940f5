"""A client of the endpoint: is it ready, what is this picture or text, how good and fast is it on a whole test set."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray

from raytune_app.endpoint import tensors
from raytune_app.endpoint.lock import trusting
from raytune_app.endpoint.tensors import OCTETS, Examples
from raytune_app.errors import (
    BusyError,
    DeadlineError,
    EndpointError,
    ForbiddenError,
    InputError,
    MediaError,
    NotFoundError,
    NotReadyError,
    RateError,
    RaytuneError,
    SlowError,
    TooLargeError,
    UnknownKeyError,
)

TIMEOUT_S = 30.0
SINGLES = 500
"""Examples that `evaluate` sends one at a time, to time an answer."""
CONNECTIONS = 2
DEFAULT_URL = "http://127.0.0.1:8000"
JSON = "application/json"
REMEDY = "is it running? start it with: raytune serve MODEL"

_ERRORS: dict[int, type[RaytuneError]] = {
    400: InputError,
    401: UnknownKeyError,
    403: ForbiddenError,
    404: NotFoundError,
    405: InputError,
    413: TooLargeError,
    415: MediaError,
    408: SlowError,
    429: RateError,
    503: NotReadyError,
    504: DeadlineError,
}


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A whole labelled set through the endpoint.

    Attributes:
        labels: int64 [N], the truth.
        probabilities: float32 [N, K], the answers.
        version: which version of the model answered.
        p50_ms, p99_ms: of one example a request, one request at a time, as this client sees it.
        examples_per_s: in requests of `tensors.BATCH` examples, CONNECTIONS at a time.
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    version: str
    p50_ms: float
    p99_ms: float
    examples_per_s: float

    @property
    def n(self) -> int:
        """How many examples."""
        return len(self.labels)

    @property
    def predictions(self) -> NDArray[np.int64]:
        """[N], the index of each answer's label."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    @property
    def accuracy(self) -> float:
        """Share of right labels, exact."""
        return float((self.predictions == self.labels).mean())


class Endpoint:
    """Speaks to one endpoint over kept connections; a context manager that closes them.

    Args:
        key: the API key, if the endpoint wants one.
        trust: the certificate of an endpoint with TLS, or of who signed it; None: what this machine trusts anyway.
        own: `trust` is the endpoint's own certificate, so its name need not be that of the URL.

    Every method raises EndpointError if nothing answers, or the error the endpoint's status stands for.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        timeout_s: float = TIMEOUT_S,
        *,
        key: str | None = None,
        trust: Path | None = None,
        own: bool = False,
    ) -> None:
        self.url = url.rstrip("/")
        verify = True if trust is None else trusting(trust, own=own)
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        try:
            self._client = httpx.Client(
                base_url=self.url, timeout=timeout_s, trust_env=False, headers=headers, verify=verify
            )
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise InputError(f"{url!r} is not a URL", "give one such as http://127.0.0.1:8000") from error

    def ready(self, model: str, version: int | None = None) -> bool:
        """True if the model (and this version of it) answers; False if nobody does yet.

        Raises NotReadyError with the reason if the endpoint refused this version.
        """
        try:
            return bool(self._get(f"{_path(model, version)}/ready")["ready"])
        except (BusyError, EndpointError, NotFoundError):
            return False

    def overview(self) -> dict[str, Any]:
        """`traffic` and `statistics` by model, and `replicas`: what each process holds and refused."""
        return self._get("/v2/traffic")

    def metrics(self) -> str:
        """The counts of every version, in Prometheus's text format."""
        response = self._sent("GET", "/metrics")
        if response.status_code != 200:
            raise _error(response, _parsed(response))
        return response.text

    def metadata(self, model: str) -> dict[str, Any]:
        """Versions, inputs, outputs and labels, as the Open Inference Protocol has them."""
        return self._get(_path(model))

    def classify(self, model: str, body: bytes, media: str = OCTETS, *, version: int | None = None) -> dict[str, Any]:
        """`model`, `version`, `label`, `index` and `probabilities` by label, of a PNG, a JPEG, raw pixels or a text."""
        return self._post(f"{_path(model, version)}/classify", body, media)

    def classify_texts(self, model: str, texts: Sequence[str], *, version: int | None = None) -> list[dict[str, Any]]:
        """`label`, `index` and `probabilities` by label of each text, in requests of at most BATCH texts.

        Raises InputError for a text with a lone surrogate, which no request can hold.
        """
        path = f"{_path(model, version)}/classify"
        answers = [self._post(path, tensors.as_json(list(batch)), JSON)["answers"] for batch in tensors.batches(texts)]
        return [answer for part in answers for answer in part]

    def infer(self, model: str, examples: Examples) -> NDArray[np.float32]:
        """Probabilities float32 [N, K] of N examples of one request, to the bit as the model computed them."""
        return self._infer(_path(model), examples)[0]

    def evaluate(
        self, model: str, examples: Examples, labels: NDArray[np.int64], *, version: int | None = None
    ) -> Evaluation:
        """Send every example through the endpoint, and the first SINGLES also one at a time.

        Args:
            examples: uint8 [N, C, H, W] or N texts, N at least 1.
            labels: int64 [N], indices into the model's labels.
            version: None: whichever answers.

        Raises:
            EndpointError: also if two versions answered, since then the numbers mean nothing.
        """
        assert len(examples) == len(labels) > 0, (len(examples), len(labels))
        latencies_ms = self._latencies_ms(model, version, examples[:SINGLES])
        start = time.perf_counter()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            answers = list(pool.map(lambda batch: self._infer(_path(model, version), batch), tensors.batches(examples)))
        wall_s = time.perf_counter() - start
        versions = {version for _, version in answers}
        if len(versions) != 1:
            raise EndpointError(
                f"versions {sorted(versions)} answered one evaluation", "evaluate again without a change meanwhile"
            )
        p50_ms, p99_ms = map(float, np.percentile(latencies_ms, [50, 99]))
        probabilities = np.concatenate([rows for rows, _ in answers])
        return Evaluation(labels, probabilities, versions.pop(), p50_ms, p99_ms, len(labels) / wall_s)

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _latencies_ms(self, model: str, version: int | None, examples: Examples) -> list[float]:
        latencies_ms = []
        for example in examples:
            body, media = (tensors.as_json(example), JSON) if isinstance(example, str) else (example.tobytes(), OCTETS)
            start = time.perf_counter()
            self.classify(model, body, media, version=version)
            latencies_ms.append((time.perf_counter() - start) * 1000)
        return latencies_ms

    def _infer(self, path: str, examples: Examples) -> tuple[NDArray[np.float32], str]:
        body, headers = tensors.request(examples)
        response = self._sent("POST", f"{path}/infer", content=body, headers=headers)
        if response.status_code != 200:
            raise _error(response, _parsed(response))
        return tensors.probabilities(response.content, response.headers.get(tensors.HEADER))

    def _get(self, path: str) -> dict[str, Any]:
        return self._answer("GET", path)

    def _post(self, path: str, body: bytes, media: str) -> dict[str, Any]:
        return self._answer("POST", path, content=body, headers={"content-type": media})

    def _answer(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        response = self._sent(method, path, **request)
        answer = _parsed(response)
        if response.status_code == 200 and isinstance(answer, dict):
            return answer
        raise _error(response, answer)

    def _sent(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            raise EndpointError(f"no answer from {self.url}: {str(error) or type(error).__name__}", REMEDY) from error


def _parsed(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _error(response: httpx.Response, answer: Any) -> RaytuneError:
    if not isinstance(answer, dict) or "error" not in answer:  # a proxy's word, not the endpoint's
        return EndpointError(f"{response.url} answered {response.status_code}", REMEDY)
    if response.status_code == 503 and "retry-after" in response.headers:
        return BusyError(str(answer["error"]))
    return _ERRORS.get(response.status_code, EndpointError)(str(answer["error"]), None)


def _path(model: str, version: int | None = None) -> str:
    return f"/v2/models/{model}" if version is None else f"/v2/models/{model}/versions/{version}"

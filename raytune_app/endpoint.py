"""A client of the endpoint: is it ready, what is this picture or text, how good and fast is it on a whole test set."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic_core import PydanticSerializationError, to_json

from raytune_app.errors import (
    EndpointError,
    InputError,
    MediaError,
    NotFoundError,
    NotReadyError,
    RaytuneError,
    TooLargeError,
)

TIMEOUT_S = 30.0
BATCH = 250
"""Examples in one request of `evaluate` and `classify_texts`."""
BATCH_CHARACTERS = 2**21
"""And characters: at most 13 MB of JSON, well under the endpoint's limit; a longer text is a request of its own."""
SINGLES = 500
"""Examples that `evaluate` sends one at a time, to time an answer."""
CONNECTIONS = 2
DEFAULT_URL = "http://127.0.0.1:8000"
JSON = "application/json"
OCTETS = "application/octet-stream"
"""Anything: the endpoint looks at the first bytes."""
REMEDY = "is it running? start it with: raytune serve MODEL"

Examples = NDArray[np.uint8] | Sequence[str]
"""Pictures uint8 [N, C, H, W], or N texts."""

_ERRORS: dict[int, type[RaytuneError]] = {
    400: InputError,
    404: NotFoundError,
    405: InputError,
    413: TooLargeError,
    415: MediaError,
    503: NotReadyError,
}


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A whole labelled set through the endpoint.

    Attributes:
        n: examples.
        accuracy: share of right labels, exact.
        predictions: int64 [N], the index of each example's label.
        version: which version of the model answered.
        p50_ms, p99_ms: of one example a request, one request at a time, as this client sees it.
        examples_per_s: in requests of BATCH examples, CONNECTIONS at a time.
    """

    n: int
    accuracy: float
    predictions: NDArray[np.int64]
    version: str
    p50_ms: float
    p99_ms: float
    examples_per_s: float


class Endpoint:
    """Speaks to one endpoint over kept connections; a context manager that closes them.

    Every method raises EndpointError if nothing answers, or the error the endpoint's status stands for.
    """

    def __init__(self, url: str = DEFAULT_URL, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        try:
            self._client = httpx.Client(base_url=self.url, timeout=timeout_s, trust_env=False)
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise InputError(f"{url!r} is not a URL", "give one such as http://127.0.0.1:8000") from error

    def ready(self, model: str, version: int | None = None) -> bool:
        """True if the model (and this version of it) answers; False if nobody does yet.

        Raises NotReadyError with the reason if the endpoint refused this version.
        """
        try:
            return bool(self._get(f"{_path(model, version)}/ready")["ready"])
        except (EndpointError, NotFoundError):
            return False

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
        answers = [self._post(path, _json(list(batch)), JSON)["answers"] for batch in _batches(texts)]
        return [answer for part in answers for answer in part]

    def infer(self, model: str, examples: Examples) -> NDArray[np.float32]:
        """Probabilities float32 [N, K] of N examples of one request, to the bit as the model computed them."""
        answer = self._infer(model, examples, "probabilities")
        output = answer["outputs"][0]
        return np.array(output["data"], np.float32).reshape(output["shape"])

    def evaluate(self, model: str, examples: Examples, labels: NDArray[np.int64]) -> Evaluation:
        """Send every example through the endpoint, and the first SINGLES also one at a time.

        Args:
            examples: uint8 [N, C, H, W] or N texts, N at least 1.
            labels: int64 [N], indices into the model's labels.

        Raises:
            EndpointError: also if two versions answered, since then the numbers mean nothing.
        """
        assert len(examples) == len(labels) > 0, (len(examples), len(labels))
        latencies_ms = self._latencies_ms(model, examples[:SINGLES])
        start = time.perf_counter()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            answers = list(pool.map(lambda batch: self._infer(model, batch, "index"), _batches(examples)))
        wall_s = time.perf_counter() - start
        versions = {answer["model_version"] for answer in answers}
        if len(versions) != 1:
            raise EndpointError(
                f"versions {sorted(versions)} answered one evaluation", "evaluate again without a change meanwhile"
            )
        predictions = np.concatenate([answer["outputs"][0]["data"] for answer in answers]).astype(np.int64)
        accuracy = float((predictions == labels).mean())
        p50_ms, p99_ms = map(float, np.percentile(latencies_ms, [50, 99]))
        return Evaluation(len(labels), accuracy, predictions, versions.pop(), p50_ms, p99_ms, len(labels) / wall_s)

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _latencies_ms(self, model: str, examples: Examples) -> list[float]:
        latencies_ms = []
        for example in examples:
            body, media = (_json(example), JSON) if isinstance(example, str) else (example.tobytes(), OCTETS)
            start = time.perf_counter()
            self.classify(model, body, media)
            latencies_ms.append((time.perf_counter() - start) * 1000)
        return latencies_ms

    def _infer(self, model: str, examples: Examples, output: str) -> dict[str, Any]:
        tensor: dict[str, Any]
        if isinstance(examples, np.ndarray):
            data, shape = examples.ravel().tolist(), list(examples.shape)
            tensor = {"name": "pixels", "datatype": "UINT8", "shape": shape, "data": data}
        else:
            tensor = {"name": "text", "datatype": "BYTES", "shape": [len(examples)], "data": list(examples)}
        return self._post(f"{_path(model)}/infer", _json({"inputs": [tensor], "outputs": [{"name": output}]}), JSON)

    def _get(self, path: str) -> dict[str, Any]:
        return self._answer("GET", path)

    def _post(self, path: str, body: bytes, media: str) -> dict[str, Any]:
        return self._answer("POST", path, content=body, headers={"content-type": media})

    def _answer(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            response = self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            raise EndpointError(f"no answer from {self.url}: {str(error) or type(error).__name__}", REMEDY) from error
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.status_code == 200 and isinstance(answer, dict):
            return answer
        raise _error(response, answer)


def _error(response: httpx.Response, answer: Any) -> RaytuneError:
    if not isinstance(answer, dict) or "error" not in answer:  # a proxy's word, not the endpoint's
        return EndpointError(f"{response.url} answered {response.status_code}", REMEDY)
    return _ERRORS.get(response.status_code, EndpointError)(str(answer["error"]), None)


def _path(model: str, version: int | None = None) -> str:
    return f"/v2/models/{model}" if version is None else f"/v2/models/{model}/versions/{version}"


def _json(content: Any) -> bytes:
    try:
        return to_json(content)
    except PydanticSerializationError as error:
        raise InputError("a text holds a lone surrogate, half of a character", "mend the text") from error


def _batches(examples: Examples) -> Iterator[Examples]:
    start = size = 0
    for place, example in enumerate(examples):
        added = len(example) if isinstance(example, str) else 0
        if place > start and (place - start == BATCH or size + added > BATCH_CHARACTERS):
            yield examples[start:place]
            start, size = place, 0
        size += added
    if start < len(examples):
        yield examples[start:]

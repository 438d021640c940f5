"""A client of the endpoint: is it ready, what is this picture, how good and how fast is it on a whole test set."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

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
"""Pictures in one request of `evaluate`."""
SINGLES = 500
"""Pictures that `evaluate` sends one at a time, to time an answer."""
CONNECTIONS = 2
DEFAULT_URL = "http://127.0.0.1:8000"
OCTETS = "application/octet-stream"
"""Anything: the endpoint looks at the first bytes."""
REMEDY = "is it running? start it with: raytune serve MODEL"

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
        n: pictures.
        accuracy: share of right labels, exact.
        predictions: int64 [N], the index of each picture's label.
        version: which version of the model answered.
        p50_ms, p99_ms: of one picture a request, one request at a time, as this client sees it.
        images_per_s: in requests of BATCH pictures, CONNECTIONS at a time.
    """

    n: int
    accuracy: float
    predictions: NDArray[np.int64]
    version: str
    p50_ms: float
    p99_ms: float
    images_per_s: float


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

    def classify(
        self, model: str, picture: bytes, media: str = OCTETS, *, version: int | None = None
    ) -> dict[str, Any]:
        """`model`, `version`, `label`, `index` and `probabilities` by label, of a PNG, a JPEG or raw pixels."""
        return self._post(f"{_path(model, version)}/classify", picture, media)

    def infer(self, model: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities float32 [N, K] of uint8 [N, C, H, W], to the bit as the model computed them."""
        answer = self._infer(model, images, "probabilities")
        output = answer["outputs"][0]
        return np.array(output["data"], np.float32).reshape(output["shape"])

    def evaluate(self, model: str, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Evaluation:
        """Send every picture through the endpoint, and the first SINGLES also one at a time.

        Args:
            images: uint8 [N, C, H, W], N at least 1.
            labels: int64 [N], indices into the model's labels.

        Raises:
            EndpointError: also if two versions answered, since then the numbers mean nothing.
        """
        assert len(images) == len(labels) > 0, (len(images), len(labels))
        latencies_ms = self._latencies_ms(model, images[:SINGLES])
        start = time.perf_counter()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            answers = list(pool.map(lambda batch: self._infer(model, batch, "index"), _batches(images)))
        wall_s = time.perf_counter() - start
        versions = {answer["model_version"] for answer in answers}
        if len(versions) != 1:
            raise EndpointError(
                f"versions {sorted(versions)} answered one evaluation", "evaluate again without a change meanwhile"
            )
        predictions = np.concatenate([answer["outputs"][0]["data"] for answer in answers]).astype(np.int64)
        accuracy = float((predictions == labels).mean())
        p50_ms, p99_ms = map(float, np.percentile(latencies_ms, [50, 99]))
        return Evaluation(len(images), accuracy, predictions, versions.pop(), p50_ms, p99_ms, len(images) / wall_s)

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _latencies_ms(self, model: str, images: NDArray[np.uint8]) -> list[float]:
        latencies_ms = []
        for image in images:
            start = time.perf_counter()
            self.classify(model, image.tobytes())
            latencies_ms.append((time.perf_counter() - start) * 1000)
        return latencies_ms

    def _infer(self, model: str, images: NDArray[np.uint8], output: str) -> dict[str, Any]:
        tensor = {"name": "pixels", "datatype": "UINT8", "shape": list(images.shape), "data": images.ravel().tolist()}
        request = {"inputs": [tensor], "outputs": [{"name": output}]}
        return self._post(f"{_path(model)}/infer", to_json(request), "application/json")

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


def _batches(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]

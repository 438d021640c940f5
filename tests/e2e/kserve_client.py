"""KServe's own client against an endpoint; run by test_clients.py in an environment of its own, which has KServe.

Arguments: the URL, the address for gRPC, and a file of pictures uint8 [N, 1, 28, 28] as numpy writes it. Prints JSON.
"""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def request(images: np.ndarray, *, binary: bool, outputs: list[RequestedOutput] | None = None) -> InferRequest:
    tensor = InferInput("pixels", list(images.shape), "UINT8")
    tensor.set_data_from_numpy(images, binary_data=binary)
    return InferRequest("mnist", [tensor], request_id="k1", request_outputs=outputs)


def answered(response: object) -> list[object]:
    """The id, the labels' indices and the first picture's label."""
    outputs = {output.name: output for output in response.outputs}  # type: ignore[attr-defined]  # KServe's own
    label = outputs["label"].as_numpy().ravel()[0]
    return [
        response.id,  # type: ignore[attr-defined]  # KServe's own
        outputs["index"].as_numpy().ravel().tolist(),
        label.decode() if isinstance(label, bytes) else str(label),
    ]


async def main(url: str, address: str, file: str) -> dict[str, object]:
    images = np.load(file, allow_pickle=False)
    rest, grpc = InferenceRESTClient(RESTConfig(protocol="v2")), InferenceGRPCClient(address)
    names = ("probabilities", "index", "label")
    in_bytes = [RequestedOutput(name, {"binary_data": True}) for name in names]
    return {
        "health": [
            await rest.is_server_live(url),
            await rest.is_server_ready(url),
            await rest.is_model_ready(url, "mnist"),
            await grpc.is_server_live(),
            await grpc.is_server_ready(),
            await grpc.is_model_ready("mnist"),
        ],
        "json": answered(await rest.infer(url, request(images, binary=False), "mnist")),
        "binary": answered(await rest.infer(url, request(images, binary=True), "mnist")),
        "binary outputs": answered(await rest.infer(url, request(images, binary=True, outputs=in_bytes), "mnist")),
        "grpc": answered(await grpc.infer(request(images, binary=True))),
        "grpc typed": answered(await grpc.infer(request(images, binary=False))),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(*sys.argv[1:]))))

"""A contender of benchmarks/serving_peers.py: bare FastAPI on uvicorn with uvloop and httptools; it cannot batch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request

from benchmarks.peers.network import Predict, answer, load, pixels_of, port, workers

model = dict[str, Predict]()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Loads the model in each worker, and in nothing else."""
    model["predict"] = load()
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/")
async def classify(request: Request) -> dict[str, Any]:
    """One picture as 784 raw bytes."""
    return answer(model["predict"](pixels_of(await request.body()))[0])


@app.post("/many")
async def classify_many(request: Request) -> list[dict[str, Any]]:
    """Several pictures, one after the other."""
    return [answer(row) for row in model["predict"](pixels_of(await request.body()))]


if __name__ == "__main__":
    place = "benchmarks.peers.fastapi_server:app"
    uvicorn.run(place, host="127.0.0.1", port=port(), workers=workers(), log_level="error")

"""What clients of SGL-JAX ask of a server: which model, how large, how busy."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from radixloom_runtime import __version__
from radixloom_runtime.server.problems import json_response
from radixloom_runtime.server.service import service_of

router = APIRouter(tags=["SGL-JAX"])


@router.get("/get_model_info")
async def get_model_info(request: Request) -> Response:
    """Name the model; the path is its name here, since files are the server's affair."""
    serving = service_of(request).lifecycle.admit()
    name = serving.model.name
    return json_response({"model_path": name, "tokenizer_path": name, "is_generation": True})


@router.get("/get_server_info")
async def get_server_info(request: Request) -> Response:
    """Tell version, sizes and number formats."""
    serving = service_of(request).lifecycle.admit()
    limits = serving.limits
    return json_response(
        {
            "version": __version__,
            "model_path": serving.model.name,
            "served_model_name": serving.model.name,
            "context_length": limits.max_model_len,
            "max_total_num_tokens": limits.kv_cache_tokens,
            "max_running_requests": limits.max_running_requests,
            "page_size": limits.page_tokens,
            "dtype": limits.dtype,
            "kv_cache_dtype": limits.kv_cache_dtype,
            "device": limits.device,
            "internal_states": [{}],
        }
    )


@router.get("/get_load")
async def get_load(request: Request) -> Response:
    """Tell how many requests run and wait, and the tokens of the KV cache that they hold."""
    lifecycle = service_of(request).lifecycle
    lifecycle.admit()
    stats = lifecycle.stats
    waiting = stats.num_waiting if stats else 0
    running = stats.num_running if stats else 0
    tokens = stats.kv_tokens_used if stats else 0
    load = {"num_reqs": running + waiting, "num_waiting_reqs": waiting, "num_tokens": tokens}
    return json_response([{"dp_rank": 0, **load}])

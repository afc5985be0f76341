from radixloom_runtime.capacity import Demand, shortfall, tell, told_in

GIB = 1 << 30


def _shortfall(weights_gib: float, *, tokens: int = 64, devices: int = 1) -> str | None:
    demand = Demand(int(weights_gib * GIB), kv_token_bytes=144 << 10, least_tokens=tokens)
    return shortfall(demand, device_bytes=16 * GIB, memory_fraction=0.5, num_devices=devices)


def test_what_fills_the_allowed_share_to_the_last_byte_fits():
    kv = (144 << 10) * 64
    exact = Demand(8 * GIB - kv, kv_token_bytes=144 << 10, least_tokens=64)
    over = Demand(8 * GIB - kv + 1, kv_token_bytes=144 << 10, least_tokens=64)
    sizes = {"device_bytes": 16 * GIB, "memory_fraction": 0.5, "num_devices": 1}
    assert shortfall(exact, **sizes) is None
    assert shortfall(over, **sizes)


def test_weights_that_are_too_large_ask_for_as_many_devices_as_they_fill():
    problem = _shortfall(15.26)
    assert problem
    assert "15.26 GiB" in problem
    assert "take a slice of at least 2 such devices, not 1" in problem
    assert "at least 8 such devices, not 4" in (_shortfall(15.26, devices=4) or "")


def test_a_cache_that_is_too_large_asks_for_fewer_tokens():
    problem = _shortfall(7, tokens=40960)
    assert problem
    assert "a KV cache for 40960 tokens" in problem
    assert problem.endswith("lower max_model_len or kv_cache_tokens, or take a larger slice")


def test_a_host_without_free_memory_is_told_and_divides_by_nothing():
    demand = Demand(GIB, kv_token_bytes=144 << 10, least_tokens=64)
    problem = shortfall(demand, device_bytes=0, memory_fraction=1.0, num_devices=1)
    assert problem
    assert problem.endswith("free memory, or take devices with more of it")


def test_what_is_marked_for_programs_is_found_among_a_processs_last_lines():
    output = f"engine.starting\nradixloom: {tell('weights of 9 GiB are wanted; less')}\nbye\n"
    assert told_in(output) == "weights of 9 GiB are wanted; less"
    assert told_in('{"event": "engine.cannot_serve", "reason": "no InsufficientHBM"}') is None

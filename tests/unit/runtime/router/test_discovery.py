import asyncio
import socket

import pytest

from radixloom_runtime.router import discovery
from radixloom_runtime.router_settings import RouterSettings


def found(*ends: tuple[int, str]) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    return [(family, socket.SOCK_STREAM, 6, "", (host, 8000)) for family, host in ends]


def test_a_list_is_what_was_given():
    discover = discovery.of(RouterSettings(backend=("http://a:1/", "http://b:2", "http://a:1")))
    assert asyncio.run(discover()) == ("http://a:1", "http://b:2")


def test_a_name_is_looked_up():
    discover = discovery.of(RouterSettings(discover="localhost:8123"))
    addresses = asyncio.run(discover())
    assert addresses is not None
    assert set(addresses) <= {"http://127.0.0.1:8123", "http://[::1]:8123"}


def test_a_name_without_addresses_is_a_service_without_pods():
    assert asyncio.run(discovery.of(RouterSettings(discover="no.such.invalid:80"))()) in ((), None)


@pytest.mark.parametrize(
    ("number", "expected"), [(socket.EAI_NONAME, ()), (socket.EAI_AGAIN, None)]
)
def test_a_resolver_that_fails_is_not_taken_for_an_empty_service(
    number: int, expected: tuple[()] | None
):
    async def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "told to fail")

    async def look_up() -> tuple[str, ...] | None:
        asyncio.get_running_loop().getaddrinfo = fail  # type: ignore[method-assign]
        return await discovery.of(RouterSettings(discover="leaders:80"))()

    assert asyncio.run(look_up()) == expected


def test_a_pod_with_two_families_is_one_leader():
    both = found((socket.AF_INET6, "fd00::1"), (socket.AF_INET, "10.0.0.2"))
    assert discovery.addresses_of(both) == ("http://10.0.0.2:8000",)


def test_addresses_are_sorted_and_six_is_bracketed():
    assert discovery.addresses_of(found((socket.AF_INET6, "fd00::1"))) == ("http://[fd00::1]:8000",)
    two = found((socket.AF_INET, "10.0.0.2"), (socket.AF_INET, "10.0.0.1"))
    assert discovery.addresses_of(two) == ("http://10.0.0.1:8000", "http://10.0.0.2:8000")

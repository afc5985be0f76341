import pytest

from radixloom_runtime.server.responses.store import (
    ResponseNotFoundError,
    ResponseStore,
    Stored,
)


def _stored(num_bytes: int = 10, owner: str = "me") -> Stored:
    return Stored(owner=owner, told=b"x" * num_bytes, items=[], items_bytes=0)


def _kept(store: ResponseStore, *names: str) -> list[str]:
    found: list[str] = []
    for name in names:
        try:
            store.get(name, owner="me")
        except ResponseNotFoundError:
            continue
        found.append(name)
    return found


def test_the_oldest_give_way_to_more_than_there_is_room_for():
    store = ResponseStore(max_responses=2)
    for name in "abc":
        store.put(name, _stored())
    assert _kept(store, *"abc") == ["b", "c"]


def test_as_many_give_way_as_a_large_one_takes_room_of():
    store = ResponseStore(max_bytes=40)
    for name in "abc":
        store.put(name, _stored())
    store.put("d", _stored(num_bytes=25))
    assert _kept(store, *"abcd") == ["c", "d"]


def test_one_that_is_too_large_alone_is_not_kept():
    store = ResponseStore(max_bytes=40)
    store.put("a", _stored(num_bytes=41))
    assert _kept(store, "a") == []
    store.put("b", _stored(num_bytes=40))
    assert _kept(store, "b") == ["b"]


def test_what_is_deleted_leaves_its_room():
    store = ResponseStore(max_bytes=20)
    store.put("a", _stored())
    store.delete("a", owner="me")
    for name in "bc":
        store.put(name, _stored())
    assert _kept(store, *"abc") == ["b", "c"]


def test_anothers_response_is_not_found():
    store = ResponseStore()
    store.put("a", _stored(owner="you"))
    with pytest.raises(ResponseNotFoundError):
        store.delete("a", owner="me")
    assert store.get("a", owner="you").owner == "you"

"""What is told of the prefix cache."""

from support.serving import SHARED, Service, limits, request

from radixloom_runtime.scheduler.looking import look
from radixloom_runtime.wire.messages import CacheLook, Look


def seen(service: Service, *, max_nodes: int = 10, max_ids: int = 8) -> CacheLook:
    wanted = Look(request_id="look", max_nodes=max_nodes, max_ids=max_ids)
    return look(wanted, service.scheduler.ledgers, service.scheduler.adapters)


def test_what_was_served_is_told():
    service = Service()
    service.serve(request("a", [*SHARED, 1], max_tokens=1))
    told = seen(service)
    (tree,) = told.trees
    (node,) = tree.nodes
    assert told.request_id == "look"
    assert tree.num_pages == node.num_pages == len(SHARED) // told.page_tokens
    assert node.first_ids == list(SHARED[:8])
    assert (node.parent, node.num_holders, node.is_pinned) == (None, 0, False)


def test_the_second_request_with_a_prefix_is_a_hit():
    service = Service()
    for name in "ab":
        service.serve(request(name, [*SHARED, 1], max_tokens=1))
    assert [node.num_finds for node in seen(service).trees[0].nodes] == [1]


def test_a_running_request_and_a_pin_both_use_their_prefix():
    service = Service(limits(num_pages=24))
    service.pin("p", SHARED)
    service.run()
    service.submit(request("a", [*SHARED, 1], max_tokens=9))
    service.step()
    first = seen(service).trees[0].nodes[0]
    assert (first.num_holders, first.is_pinned) == (2, True)


def test_looking_changes_nothing():
    service = Service()
    service.serve(request("a", SHARED))
    assert seen(service) == seen(service)
    service.scheduler.check()


def test_nothing_is_told_where_no_prefixes_are_kept():
    service = Service(prefix_cache=False)
    service.serve(request("a", SHARED))
    assert seen(service).trees[0].nodes == []


def test_what_was_computed_with_an_adapter_says_with_which():
    service = Service()
    for index, adapter in enumerate(("", "one", "two")):
        service.serve(request(f"a{index}", SHARED, adapter=adapter))
    service.scheduler.adapters.unload("two")
    (tree,) = seen(service).trees
    assert {node.adapter for node in tree.nodes} == {"", "one", None}
    assert tree.num_pages == sum(node.num_pages for node in tree.nodes)

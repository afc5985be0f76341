from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from radixloom_runtime.router import policy
from radixloom_runtime.router.policy import Candidate, Reason, Rules

RULES = Rules()
NAMES = [f"http://10.0.0.{number}:8000" for number in range(8)]

homes = st.binary(min_size=8, max_size=8)
rules = st.builds(
    Rules,
    load_factor=st.floats(1, 3),
    load_slack=st.integers(0, 8),
    least_gain=st.integers(1, 40),
)
fleets = st.lists(
    st.builds(
        Candidate,
        name=st.sampled_from(NAMES),
        load=st.integers(0, 50),
        matched=st.integers(0, 100),
    ),
    min_size=1,
    unique_by=lambda each: each.name,
)


def idle(names: Sequence[str] = NAMES) -> list[Candidate]:
    return [Candidate(name, load=0) for name in names]


def keys(count: int) -> list[bytes]:
    return [number.to_bytes(8, "little") for number in range(count)]


def of(candidates: Sequence[Candidate], name: str) -> Candidate:
    return next(each for each in candidates if each.name == name)


@given(fleets, homes, rules)
def test_no_leader_is_chosen_at_its_bound(fleet: list[Candidate], home: bytes, numbers: Rules):
    chosen = of(fleet, policy.choose(fleet, home, numbers).name)
    assert chosen.load < policy.bound(fleet, numbers)


@given(fleets, homes, rules)
def test_a_leader_that_is_chosen_for_its_prefix_has_a_gain(
    fleet: list[Candidate], home: bytes, numbers: Rules
):
    choice = policy.choose(fleet, home, numbers)
    is_open = [each for each in fleet if each.load < policy.bound(fleet, numbers)]
    best = max(each.matched for each in is_open)
    if choice.reason is Reason.PREFIX:
        assert choice.matched == best
    else:
        assert best - choice.matched < numbers.least_gain


@given(fleets, homes, rules, st.randoms())
def test_routers_that_know_the_same_choose_the_same(fleet, home, numbers, random):
    shuffled = random.sample(fleet, len(fleet))
    assert policy.choose(fleet, home, numbers) == policy.choose(shuffled, home, numbers)


@given(fleets.filter(lambda fleet: len(fleet) > 1), homes)
def test_a_leader_that_goes_moves_only_its_own(fleet: list[Candidate], home: bytes):
    quiet = [replace(each, load=0, matched=0) for each in fleet]
    chosen = policy.choose(quiet, home, RULES).name
    for gone in quiet:
        if gone.name != chosen:
            rest = [each for each in quiet if each is not gone]
            assert policy.choose(rest, home, RULES).name == chosen


@given(fleets)
def test_without_a_prompt_the_least_loaded_is_chosen(fleet: list[Candidate]):
    choice = policy.choose(fleet, b"", RULES)
    assert choice.reason is Reason.LEAST_LOAD
    assert of(fleet, choice.name).load == min(each.load for each in fleet)


def test_homes_are_spread_evenly():
    counts = Counter(policy.choose(idle(), home, RULES).name for home in keys(4000))
    assert len(counts) == len(NAMES)
    assert max(counts.values()) < 1.2 * 4000 / len(NAMES)


def test_a_long_match_elsewhere_is_followed_and_a_short_one_is_not():
    home = policy.choose(idle(), keys(1)[0], RULES).name
    other = next(name for name in NAMES if name != home)
    for gain, goes_to, reason in ((15, home, Reason.HOME), (16, other, Reason.PREFIX)):
        fleet = [
            replace(each, matched={home: 5, other: 5 + gain}.get(each.name, 0)) for each in idle()
        ]
        choice = policy.choose(fleet, keys(1)[0], RULES)
        assert (choice.name, choice.reason) == (goes_to, reason)


def test_of_equal_matches_the_less_loaded_is_chosen():
    home = policy.choose(idle(), keys(1)[0], RULES).name
    one, other, *_ = (name for name in NAMES if name != home)
    fleet = [
        replace(each, load={one: 2, other: 1}.get(each.name, 3),
                matched=90 if each.name in (one, other) else 0)
        for each in idle()
    ]  # fmt: skip
    assert policy.choose(fleet, keys(1)[0], RULES).name == other


def test_no_prefix_overloads_a_leader():
    home = policy.choose(idle(), keys(1)[0], RULES).name
    fleet = [replace(each, load=8, matched=0) for each in idle()]
    full = [replace(each, load=12, matched=99) if each.name == home else each for each in fleet]
    assert policy.bound(full, RULES) == 11
    choice = policy.choose(full, keys(1)[0], RULES)
    assert choice.name != home
    assert choice.reason is Reason.OVERFLOW


def test_up_to_the_slack_others_idleness_does_not_matter():
    home = policy.choose(idle(), keys(1)[0], RULES).name
    for load, stays in ((3, True), (4, False)):
        fleet = [replace(each, load=load if each.name == home else 0) for each in idle()]
        assert (policy.choose(fleet, keys(1)[0], RULES).name == home) is stays


def test_in_turn_everybody_has_the_same_share():
    counts = Counter(policy.in_turn(idle(), number).name for number in range(80))
    assert set(counts.values()) == {10}

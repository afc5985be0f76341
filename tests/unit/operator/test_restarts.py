"""When a slice starts again as a whole, and when no more."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from support.kubernetes_objects import (
    CRASHING,
    IMAGE_MISSING,
    OWNER_UID,
    READY,
    RUNNING,
    engine,
    pod,
    statefulset,
)

from radixloom_operator.api.types import Restart
from radixloom_operator.naming import RECORD_ANNOTATION
from radixloom_operator.observed import ObservedSlice, World, observe
from radixloom_operator.pod_state import PodReason
from radixloom_operator.records import record_text
from radixloom_operator.restarts import Verdict, describe, judge

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Restart(max_restarts=3, window_seconds=600)
ENDED = engine(RUNNING, restarts=1, started=True, last={"exitCode": 137, "reason": "OOMKilled"})
HEALED = engine(RUNNING, restarts=1, started=True, ready=True)


class Slice:
    """One slice that is judged as time goes by; what a verdict says is carried out."""

    def __init__(self, hosts: int = 2, policy: Restart = POLICY) -> None:
        self.policy, self.now, self.lives = policy, START, 0
        self.statefulset = statefulset(0, hosts=hosts)
        self.pods = [self._made(host) for host in range(hosts)]

    def _made(self, host: int) -> dict:
        self.lives += 1
        made = pod(0, host=host)
        made["metadata"]["uid"] = f"life-{self.lives}"
        return made

    @property
    def uids(self) -> list[str]:
        return [one["metadata"]["uid"] for one in self.pods]

    def lose(self, host: int) -> None:
        """A pod is gone, and its StatefulSet has made another."""
        self.pods[host] = self._made(host)

    def set(self, host: int, status: dict) -> None:
        self.pods[host] = {**self.pods[host], "status": status}

    def seen(self) -> ObservedSlice:
        (one,) = observe(World((self.statefulset,), tuple(self.pods)), owner_uid=OWNER_UID).slices
        return one

    def judge(self, seconds: float = 0) -> Verdict:
        self.now += timedelta(seconds=seconds)
        verdict = judge(self.seen(), self.policy, self.now)
        assert verdict is not None
        annotations = {RECORD_ANNOTATION: record_text(verdict.record)}
        self.statefulset["metadata"]["annotations"] = annotations
        return verdict

    def delete(self, verdict: Verdict) -> None:
        """Delete what is doomed; the StatefulSet makes new ones."""
        doomed = {one.host for one in verdict.doomed}
        for host in doomed:
            self.lose(host)


def formed(hosts: int = 2, policy: Restart = POLICY) -> Slice:
    slice_ = Slice(hosts, policy)
    assert slice_.judge().record.members.keys() == {f"chat-s0-{host}" for host in range(hosts)}
    return slice_


def test_a_slice_that_has_not_formed_is_left_alone():
    slice_ = Slice()
    slice_.pods.pop()
    verdict = slice_.judge()
    assert (verdict.doomed, verdict.record.members) == ((), {})


def test_a_lost_host_takes_all_of_the_slice_with_it_once():
    slice_ = formed()
    slice_.lose(1)
    verdict = slice_.judge(1)
    assert {one.host for one in verdict.doomed} == {0, 1}
    assert verdict.restart is not None
    assert describe(verdict.restart) == "pod chat-s0-1 was lost"
    assert verdict.told is not None
    assert verdict.told.reason is PodReason.RESTARTING
    slice_.delete(verdict)
    again = slice_.judge(1)
    assert (again.doomed, again.restart, again.record.total) == ((), None, 1)
    assert again.record.members.keys() == {"chat-s0-0", "chat-s0-1"}


def test_an_operator_that_ends_before_it_deleted_all_goes_on_with_just_those():
    slice_ = formed()
    slice_.lose(1)
    slice_.judge(1)
    slice_.lose(0)  # one of two deletions was carried out
    verdict = slice_.judge(1)
    assert [one.host for one in verdict.doomed] == [1]
    assert verdict.restart is None, "the same restart, not a second one"
    slice_.delete(verdict)
    assert slice_.judge(1).doomed == ()


def test_an_engine_that_ended_is_told_with_its_code_and_the_kubelets_word():
    slice_ = formed()
    slice_.set(1, ENDED)
    restart = slice_.judge(1).restart
    assert restart is not None
    assert (restart.reason, restart.exit_code) == ("OOMKilled", 137)
    assert "ended with code 137 (OOMKilled)" in describe(restart)


def test_hosts_that_came_back_by_themselves_are_left_alone_and_counted():
    slice_ = formed()
    slice_.set(0, HEALED)
    slice_.set(1, HEALED)
    verdict = slice_.judge(1)
    assert (verdict.doomed, verdict.record.total) == ((), 1)
    assert slice_.judge(1).restart is None


def test_restarts_come_at_once_first_and_then_after_pauses_that_double():
    slice_ = formed(policy=Restart(max_restarts=20, window_seconds=86400))
    waits = []
    for _ in range(8):
        slice_.lose(1)
        verdict = slice_.judge()
        waits.append(verdict.again_seconds or 0)
        if verdict.again_seconds:
            assert verdict.doomed == ()
            verdict = slice_.judge(verdict.again_seconds)
        assert verdict.doomed
        slice_.delete(verdict)
        slice_.judge()
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


def spend(slice_: Slice) -> Verdict:
    """Lose hosts until there is no restart any more."""
    while True:
        slice_.lose(1)
        verdict = slice_.judge()
        if verdict.again_seconds:
            verdict = slice_.judge(verdict.again_seconds)
        if not verdict.doomed:
            return verdict
        slice_.delete(verdict)
        slice_.judge()


def test_a_spent_budget_ends_it_and_says_what_to_do():
    slice_ = formed()
    verdict = spend(slice_)
    assert verdict.record.total == POLICY.max_restarts
    assert verdict.told is not None
    assert verdict.told.reason is PodReason.BUDGET
    assert "mend the cause, then change the spec" in verdict.told.message
    assert "pod chat-s0-1 was lost" in verdict.told.message
    assert slice_.judge(3600).doomed == (), "also when the window is long over"


def test_a_new_revision_starts_anew_after_a_spent_budget():
    slice_ = formed()
    spend(slice_)
    slice_.statefulset["metadata"]["labels"]["serving.radixloom.dev/revision"] = "newer"
    for one in slice_.pods:
        one["metadata"]["labels"]["serving.radixloom.dev/revision"] = "newer"
    verdict = slice_.judge(1)
    assert (verdict.told, verdict.record.total) == (None, 0)


def test_a_slice_that_was_given_up_is_forgiven_when_it_has_served_for_the_window():
    slice_ = formed()
    spend(slice_)
    slice_.set(0, HEALED)
    slice_.set(1, HEALED)
    assert slice_.judge(1).record.given_up
    assert not slice_.judge(601).record.given_up


def test_new_pods_that_would_stand_where_the_old_ones_do_are_not_made():
    slice_ = formed()
    slice_.lose(1)
    slice_.set(1, IMAGE_MISSING)
    assert slice_.judge(1).doomed == ()


def test_a_host_that_is_alone_is_only_counted():
    slice_ = formed(hosts=1, policy=Restart(max_restarts=2))
    for restarts in (1, 2, 3):
        slice_.set(0, {**CRASHING, **engine(RUNNING, restarts=restarts, last={"exitCode": 2})})
        verdict = slice_.judge(1)
        assert verdict.doomed == ()
        assert verdict.record.total == restarts
        assert (verdict.told is not None) is (restarts == 3)
    slice_.lose(0)
    assert slice_.judge(1).record.total == 3, "a lost one is its StatefulSet's"


def test_a_slice_on_its_way_to_another_revision_is_the_rollouts():
    slice_ = formed()
    slice_.pods[1]["metadata"]["labels"]["serving.radixloom.dev/revision"] = "old"
    assert judge(slice_.seen(), POLICY, START) is None


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.sampled_from(["lose", "end", "heal"]), st.integers(0, 2), st.integers(0, 400)),
        max_size=30,
    )
)
def test_whatever_befalls_it_a_slice_goes_as_a_whole_and_within_its_budget(events):
    slice_ = formed(hosts=3)
    begun: list[datetime] = []
    for what, host, seconds in events:
        match what:
            case "lose":
                slice_.lose(host)
            case "end":
                slice_.set(host, ENDED)
            case _:
                slice_.set(host, READY)
        verdict = slice_.judge(seconds)
        if verdict.doomed:
            assert len(verdict.doomed) == 3, "as a whole"
            begun.append(slice_.now)
            slice_.delete(verdict)
            slice_.judge()
    for last in begun:
        within = [one for one in begun if last - timedelta(seconds=600) < one <= last]
        assert len(within) <= POLICY.max_restarts

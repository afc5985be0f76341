import pytest

from radixloom_runtime.engine.controls import Controls
from radixloom_runtime.runner.profiler import Profiler
from radixloom_runtime.wire.messages import Done, Pause, Rejected, Resume, StartProfile, StopProfile


def test_who_is_paused_goes_on_when_told():
    controls = Controls(Profiler(None))
    assert not controls.is_paused
    for control, is_paused in (
        (Pause(request_id="a"), True),
        (Pause(request_id="b"), True),
        (Resume(request_id="c"), False),
    ):
        assert controls.obey(control) == Done(request_id=control.request_id)
        assert controls.is_paused is is_paused


def test_without_a_folder_there_are_no_profiles():
    answer = Controls(Profiler(None)).obey(StartProfile(request_id="a"))
    assert isinstance(answer, Rejected)
    assert "--profile-dir" in answer.message


def test_a_profile_that_was_not_started_is_not_stopped(tmp_path):
    answer = Controls(Profiler(tmp_path)).obey(StopProfile(request_id="a"))
    assert isinstance(answer, Rejected)
    assert "start one first" in answer.message


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_profile_ends_by_itself_after_as_many_steps_as_wanted(tmp_path):
    controls = Controls(Profiler(tmp_path / "profiles"))
    start = StartProfile(request_id="a", num_steps=2, host_tracer_level=1, python_tracer_level=0)
    assert controls.obey(start) == Done(request_id="a")
    again = controls.obey(StartProfile(request_id="b"))
    assert isinstance(again, Rejected)
    assert "already" in again.message
    controls.note_step()
    assert not list(tmp_path.rglob("*.xplane.pb"))
    controls.note_step()
    assert len(list(tmp_path.rglob("*.xplane.pb"))) == 1
    assert isinstance(controls.obey(StopProfile(request_id="c")), Rejected)

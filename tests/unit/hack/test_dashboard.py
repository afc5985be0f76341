"""The dashboard is what its table says."""

from hack import dashboard
from hack.dashboard import FILE, PANELS, text


def test_the_file_is_what_make_docs_writes():
    assert FILE.read_text("utf-8") == text(), "`make docs` renews it"


def test_make_docs_writes_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(dashboard, "FILE", tmp_path / "dashboard.json")
    assert dashboard.main() == 0
    assert (tmp_path / "dashboard.json").read_text("utf-8") == text()


def test_no_two_panels_lie_upon_each_other():
    places = [tuple(panel["gridPos"].values()) for panel in dashboard.dashboard()["panels"]]
    assert len(set(places)) == len(PANELS)
    assert all(x + width <= 24 for x, _, width, _ in places)

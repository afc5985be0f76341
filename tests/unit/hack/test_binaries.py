"""What has to be fetched, how Kubernetes' wrapper module reads, which versions suffice."""

import re
from pathlib import Path

import pytest

from hack.cluster import binaries, kubernetes_build, sources, versions
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout

UPSTREAM = """\
module k8s.io/kubernetes

go 1.26.0

godebug default=go1.26

require (
\tgithub.com/blang/semver/v4 v4.0.0
\tk8s.io/api v0.0.0
)

replace (
\tk8s.io/api => ./staging/src/k8s.io/api
\tk8s.io/kubelet => ./staging/src/k8s.io/kubelet
)
"""


def program(path: Path, content: bytes = b"\x7fELF...") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_wrapper_replaces_staging_folders_by_published_modules():
    written = kubernetes_build.wrapper_go_mod(UPSTREAM, "1.36.2")
    assert "\tk8s.io/api => k8s.io/api v0.36.2\n" in written
    assert "\tk8s.io/kubelet => k8s.io/kubelet v0.36.2\n" in written
    assert "require k8s.io/kubernetes v1.36.2\n" in written
    assert "./staging" not in written


def test_wrapper_keeps_the_language_version_of_kubernetes():
    written = kubernetes_build.wrapper_go_mod(UPSTREAM, "1.36.2")
    assert re.search(r"^go 1\.26\.0$", written, flags=re.MULTILINE)
    assert re.search(r"^godebug default=go1\.26$", written, flags=re.MULTILINE)


def test_link_flags_name_the_version():
    flags = kubernetes_build.link_flags("1.36.2")
    assert "version.gitVersion=v1.36.2" in flags
    assert "version.gitMajor=1" in flags
    assert "version.gitMinor=36" in flags


def test_progress_counts_programs_that_are_linked(tmp_path: Path):
    program(tmp_path / "kube-apiserver")
    said = kubernetes_build.progress(tmp_path, versions.KUBERNETES_PROGRAMS, compiled=1375)
    assert said.startswith("building kube-controller-manager (2 of 6), 1375 packages")


def test_progress_never_claims_to_be_done(tmp_path: Path):
    for name in versions.KUBERNETES_PROGRAMS:
        program(tmp_path / name)
    said = kubernetes_build.progress(tmp_path, versions.KUBERNETES_PROGRAMS, compiled=9999)
    assert "(6 of 6)" in said
    assert "about 99%" in said


def test_only_missing_programs_of_kubernetes_are_built(tmp_path: Path):
    layout = Layout(tmp_path)
    assert binaries.kubernetes_missing(layout, "kind") == ("kubectl",)
    program(layout.binaries / "kubectl")
    assert binaries.kubernetes_missing(layout, "kind") == ()
    assert binaries.kubernetes_missing(layout, "local") == versions.KUBERNETES_PROGRAMS[:-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("go1.26.8", (1, 26, 8)), ("go1.27", (1, 27)), ("1.27rc1", (1, 27)), ("devel", ())],
)
def test_go_versions_compare_as_numbers(text: str, expected: tuple[int, ...]):
    assert sources.go_version(text) == expected


def test_suite_line_takes_the_machines_own_mirror_and_key():
    targets = (
        "http://mirror/debian-security/ main $(SIGNED_BY)\n"
        "http://mirror/debian/ main /keys/debian.gpg\n"
    )
    line = sources._suite_line(targets, "sid")
    assert line == "deb [signed-by=/keys/debian.gpg] http://mirror/debian/ sid main\n"


def test_suite_line_uses_debians_keyring_where_apt_does_not_tell_the_key():
    line = sources._suite_line("http://mirror/debian/ main $(SIGNED_BY)\n", "sid")
    assert "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" in line


def test_suite_line_needs_a_debian_mirror():
    with pytest.raises(ClusterError, match="no Debian mirror"):
        sources._suite_line("http://mirror/ubuntu/ main /keys/ubuntu.gpg\n", "sid")


def test_a_part_is_missing_until_all_its_programs_are_there(tmp_path: Path):
    layout = Layout(tmp_path)
    part = next(part for part in versions.PARTS if part.name == "containerd")
    program(layout.binaries / "containerd")
    program(layout.binaries / "ctr")
    assert binaries.is_missing(layout, part, "local")
    program(layout.binaries / "containerd-shim-runc-v2")
    assert not binaries.is_missing(layout, part, "local")


def test_kind_needs_no_containerd_and_local_needs_no_kind(tmp_path: Path):
    layout = Layout(tmp_path)
    needed = {
        provider: {
            part.name for part in versions.PARTS if binaries.is_missing(layout, part, provider)
        }
        for provider in ("kind", "local")
    }
    assert needed["kind"] == {"helm", "kind"}
    assert "containerd" in needed["local"]
    assert "kind" not in needed["local"]


def test_collecting_prefers_a_program_to_a_completion_file_of_its_name(tmp_path: Path):
    part = next(part for part in versions.PARTS if part.name == "helm")
    program(tmp_path / "share" / "bash-completion" / "helm", b"# completion")
    program(tmp_path / "scripts" / "helm")
    collected = binaries._collect(part, tmp_path)
    assert (collected / "helm").read_bytes().startswith(b"\x7fELF")
    assert (collected / "helm").stat().st_mode & 0o111


def test_collecting_says_which_program_a_source_lacks(tmp_path: Path):
    part = next(part for part in versions.PARTS if part.name == "helm")
    with pytest.raises(ClusterError, match="no program called helm"):
        binaries._collect(part, tmp_path)


def test_every_part_names_the_program_that_proves_it():
    for part in versions.PARTS:
        assert part.proof[0] in part.programs.values()

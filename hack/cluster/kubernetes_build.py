"""Build Kubernetes' own programs from the Go module proxy.

`go install k8s.io/kubernetes/cmd/...` is refused because its go.mod replaces the staging
modules by folders. A module of our own replaces them by their published versions instead,
and one `go build` of all programs compiles what they share once.
"""

import json
import os
import re
import subprocess
from pathlib import Path

from hack.cluster import versions
from hack.cluster.console import long_step
from hack.cluster.errors import ClusterError
from hack.cluster.sources import GoToolchain

_MODULE = "k8s.io/kubernetes"
# Reached when nothing was compiled before; only the progress line depends on it.
_PACKAGES_EXPECTED = 2750


def build(folder: Path, programs: tuple[str, ...], go: GoToolchain) -> None:
    """Build `programs` of `versions.KUBERNETES_PROGRAMS` into `folder`.

    Raises:
        ClusterError: the module cannot be fetched or does not compile.
    """
    module = folder / "module"
    module.mkdir(parents=True, exist_ok=True)
    upstream = _upstream_go_mod(module, go)
    (module / "go.mod").write_text(wrapper_go_mod(upstream, versions.KUBERNETES))
    packages = [f"{_MODULE}/cmd/{program}" for program in programs]
    command = [
        str(go.program()),
        *("build", "-v", "-trimpath", "-buildvcs=false"),
        *("-ldflags", link_flags(versions.KUBERNETES)),
        *("-o", f"{folder}/"),
        *packages,
    ]
    _run_with_progress(command, folder, programs, go)


def _upstream_go_mod(module: Path, go: GoToolchain) -> str:
    (module / "go.mod").write_text("module radixloom.local/kubernetes\n")
    wanted = f"{_MODULE}@v{versions.KUBERNETES}"
    with long_step(lambda: f"downloading {wanted}"):
        answer = json.loads(go.build(["mod", "download", "-json", wanted], cwd=module))
    return Path(answer["GoMod"]).read_text()


def wrapper_go_mod(upstream: str, version: str) -> str:
    """Write our go.mod from Kubernetes' own: same language, published staging modules.

    Kubernetes 1.36.2 publishes its staging modules as v0.36.2.
    """
    language = re.findall(r"^(?:go|godebug) .+$", upstream, flags=re.MULTILINE)
    staging = re.findall(r"^\s*(?:replace )?(\S+) => \./staging/", upstream, flags=re.MULTILINE)
    published = "v0." + version.split(".", maxsplit=1)[1]
    replacements = "\n".join(f"\t{name} => {name} {published}" for name in staging)
    return (
        "module radixloom.local/kubernetes\n\n"
        + "\n".join(language)
        + f"\n\nrequire {_MODULE} v{version}\n\nreplace (\n{replacements}\n)\n"
    )


def link_flags(version: str) -> str:
    """Return linker flags that set the version; without them it calls itself v0.0.0."""
    major, minor, _ = version.split(".", maxsplit=2)
    package = "k8s.io/component-base/version"
    values = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    settings = " ".join(f"-X {package}.{key}={value}" for key, value in values.items())
    return f"-s -w {settings}"


def _run_with_progress(
    command: list[str], folder: Path, programs: tuple[str, ...], go: GoToolchain
) -> None:
    """Run the build; `go build -v` names each package as it compiles, which is the progress."""
    lines: list[str] = []

    def describe() -> str:
        return progress(folder, programs, compiled=len(lines))

    with long_step(describe):
        compiler = subprocess.Popen(
            command,
            cwd=folder / "module",
            env={**os.environ, **go.environment()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert compiler.stderr is not None
        try:
            lines.extend(line.rstrip() for line in compiler.stderr)
            failed = compiler.wait() != 0
        except BaseException:
            compiler.terminate()
            raise
    if failed:
        raise ClusterError("building Kubernetes failed:\n" + "\n".join(lines[-15:]))


def progress(folder: Path, programs: tuple[str, ...], *, compiled: int) -> str:
    """Say how far the build of `programs` in `folder` is."""
    linked = [program for program in programs if (folder / program).exists()]
    current = next((program for program in programs if program not in linked), programs[-1])
    share = min(99, 100 * compiled // _PACKAGES_EXPECTED)
    position = min(len(linked) + 1, len(programs))
    return (
        f"building {current} ({position} of {len(programs)}),"
        f" {compiled} packages compiled, about {share}%"
    )

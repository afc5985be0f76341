"""Fill the cache with every program the cluster runs, once.

    <version>/staging/<part>/   downloads and builds in progress; thrown away at each try
    <version>/bin/              a program appears here by rename, only when its part is proven

An interrupted download or build therefore never looks complete.
"""

import re
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from hack.cluster import images, kubernetes_build, sources, versions
from hack.cluster.console import say
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout
from hack.cluster.shell import run

_PAUSE_SOURCE = Path(__file__).with_name("pause.go")


def ensure(layout: Layout, provider: str) -> None:
    """Fetch or build whatever `provider` needs and the cache does not have.

    Raises:
        ClusterError: a part can be had from none of its sources.
    """
    layout.binaries.mkdir(parents=True, exist_ok=True)
    missing = [part for part in versions.PARTS if is_missing(layout, part, provider)]
    programs = kubernetes_missing(layout, provider)
    go = sources.GoToolchain(layout.root / versions.CACHE_NAME / "go")
    if missing or programs:
        _fetch_all(layout, missing, programs, go)
        shutil.rmtree(layout.staging, ignore_errors=True)
    if provider == "local":
        _ensure_images(layout, go)


def is_missing(layout: Layout, part: versions.Part, provider: str) -> bool:
    """Say whether `provider` needs `part` and the cache lacks one of its programs."""
    programs = set(part.programs.values())
    return provider in part.providers and not all(
        (layout.binaries / program).exists() for program in programs
    )


def kubernetes_missing(layout: Layout, provider: str) -> tuple[str, ...]:
    """List Kubernetes' programs that have to be built; kind brings all but kubectl."""
    wanted = versions.KUBERNETES_PROGRAMS if provider == "local" else ("kubectl",)
    return tuple(program for program in wanted if not (layout.binaries / program).exists())


def _fetch_all(
    layout: Layout,
    missing: list[versions.Part],
    programs: tuple[str, ...],
    go: sources.GoToolchain,
) -> None:
    """Download beside the build: one waits for the network, the other for the processors."""
    shutil.rmtree(layout.staging, ignore_errors=True)
    layout.staging.mkdir(parents=True)
    with ThreadPoolExecutor(max_workers=2) as pool:
        work: list[Future[None]] = []
        if programs:
            go.program()  # before the threads: both may need it
            work.append(pool.submit(_build_kubernetes, layout, programs, go))
        work.append(pool.submit(_fetch_parts, layout, missing, go))
        for job in work:
            job.result()


def _fetch_parts(layout: Layout, parts: list[versions.Part], go: sources.GoToolchain) -> None:
    for part in parts:
        try:
            _fetch_part(layout, part, go)
        except ClusterError as error:
            say(f"failed: {error}")  # the build beside it may take minutes to end
            raise


def _build_kubernetes(layout: Layout, programs: tuple[str, ...], go: sources.GoToolchain) -> None:
    folder = layout.staging / "kubernetes"
    kubernetes_build.build(folder, programs, go)
    for program in programs:
        (folder / program).replace(layout.binaries / program)
    say(f"built Kubernetes {versions.KUBERNETES}")


def _fetch_part(layout: Layout, part: versions.Part, go: sources.GoToolchain) -> None:
    failures: list[str] = []
    for number, source in enumerate(part.sources):
        folder = layout.staging / f"{part.name.replace(' ', '-')}-{number}"
        say(f"fetching {part.name}: {sources.describe(source)}")
        try:
            sources.fetch(source, folder, go)
            collected = _collect(part, folder)
            _prove(part, collected)
        except ClusterError as error:
            failures.append(f"{sources.describe(source)}: {error}")
            continue
        for program in set(part.programs.values()):
            target = layout.binaries / program
            target.parent.mkdir(exist_ok=True)
            (collected / program).replace(target)
        return
    raise ClusterError(f"{part.name} could not be fetched\n" + "\n".join(failures))


def _collect(part: versions.Part, folder: Path) -> Path:
    """Lay the programs found below `folder` out under our names; return where."""
    collected = folder / "collected"
    for found_name, program in part.programs.items():
        found = [path for path in folder.rglob(found_name) if _is_program(path)]
        if found:
            target = collected / program
            target.parent.mkdir(parents=True, exist_ok=True)
            found[0].replace(target)
            target.chmod(0o755)
    missing = [name for name in part.programs.values() if not (collected / name).exists()]
    if missing:
        raise ClusterError(f"it has no program called {', '.join(missing)}")
    return collected


def _is_program(path: Path) -> bool:
    """Tell an ELF file from a shell completion of the same name."""
    if not path.is_file():
        return False
    with path.open("rb") as content:
        return content.read(4) == b"\x7fELF"


def _prove(part: versions.Part, folder: Path) -> None:
    """Run the part once: it must start on this machine and be of the wanted series."""
    program, *arguments = part.proof
    # CNI plugins name their version on stderr.
    both = ("sh", "-c", '"$0" "$@" 2>&1')
    said = run([*both, folder / program, *arguments], stdin="", timeout_seconds=30)
    if not re.search(part.series, said):
        raise ClusterError(f"wanted {part.series!r}, it says {said.strip()[:200]!r}")


def _ensure_images(layout: Layout, go: sources.GoToolchain) -> None:
    """Pack the two images that no registry has to serve: pause and CoreDNS."""
    layout.images.mkdir(exist_ok=True)
    pause = layout.images / "pause.tar"
    if not pause.exists():
        say("building the pause image")
        folder = layout.staging / "pause"
        folder.mkdir(parents=True, exist_ok=True)
        program = folder / "pause"
        flags = ("-trimpath", "-ldflags", "-s -w")
        go.build(["build", *flags, "-o", program, _PAUSE_SOURCE], cwd=folder)
        images.pack(pause, versions.PAUSE_IMAGE, {"pause": program}, entrypoint=["/pause"])
        shutil.rmtree(layout.staging, ignore_errors=True)
    coredns = layout.images / "coredns.tar"
    if not coredns.exists():
        say("packing the CoreDNS image")
        programs = {"coredns": layout.binaries / "coredns"}
        images.pack(coredns, versions.COREDNS_IMAGE, programs, entrypoint=["/coredns"])

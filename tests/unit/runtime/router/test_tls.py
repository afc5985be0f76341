"""Leaders by https: trusted by the authority that is named, and by no other."""

import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
from support.router_server import RouterServer
from support.small_leader import SmallLeader

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.router import tls
from radixloom_runtime.router_settings import RouterSettings

CHAT = "/v1/chat/completions"
BACKEND = ("https://leader:8443",)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that signs itself, with its key, for this machine's address."""
    file = tmp_path_factory.mktemp("tls") / "leader.pem"
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
    name = ("-subj", "/CN=leader", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(file), "-out", str(file.with_suffix(".crt")))
    subprocess.run(
        ["openssl", "req", "-x509", *key, *name, *files], check=True, capture_output=True
    )
    return file


@pytest.fixture
def served(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.with_suffix(".crt"), certificate)
    return context


def test_a_leader_is_trusted_by_the_authority_that_is_named(certificate, served):
    with (
        SmallLeader(tls=served) as leader,
        RouterServer([leader.url], leader_ca_file=certificate.with_suffix(".crt")) as router,
    ):
        router.wait_ready(1)
        answer = httpx.post(f"{router.url}{CHAT}", json={"messages": []})
        assert answer.status_code == 200


def test_a_leader_that_nobody_vouches_for_gets_no_request_and_the_log_says_why(served, capsys):
    with (
        SmallLeader(tls=served) as leader,
        RouterServer([leader.url], hold_seconds=0) as router,
    ):
        answer = httpx.post(f"{router.url}{CHAT}", json={"messages": []})
        assert answer.status_code == 503
        assert leader.seen == []
    assert "CERTIFICATE_VERIFY_FAILED" in capsys.readouterr().out


def test_a_file_without_certificates_is_no_authority(tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    for path in (file, tmp_path / "none"):
        with pytest.raises(ConfigurationError, match=r"wanted certificates \(PEM\)"):
            tls.trust(RouterSettings(backend=BACKEND, leader_ca_file=path))


@pytest.mark.parametrize("leaders", [{"backend": ("http://a:1",)}, {"discover": "leaders:8000"}])
def test_an_authority_that_nothing_is_checked_by_is_refused(leaders):
    with pytest.raises(ValueError, match=r"leader_ca_file ca\.pem is for backends"):
        RouterSettings(**leaders, leader_ca_file="ca.pem")

"""What the operator asks of leaders and routers that want keys of everybody else."""

from pathlib import Path

from support.http_server import HttpServer, echo_engine
from support.router_server import RouterServer

from radixloom_operator.leaders import Leaders


def test_leaders_and_routers_with_keys_tell_the_operator_all_that_it_asks(tmp_path: Path):
    keys = tmp_path / "keys"
    keys.write_text("sk-client\n")
    with (
        HttpServer(echo_engine(), served_model_name="tiny", api_key_file=keys) as leader,
        RouterServer([leader.url], api_key_file=keys) as router,
    ):
        address = leader.url.removeprefix("http://")
        assert leader.client.get("/v1/models").status_code == 401
        assert Leaders().report(address) is not None
        assert Leaders().loads([address]) != [None]
        assert Leaders().demands([router.url.removeprefix("http://")]) != [None]

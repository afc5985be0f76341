from radixloom_runtime.router.app import LEADERS_OWN
from radixloom_runtime.router.trace import ENDPOINTS
from radixloom_runtime.server import app


def test_what_leaders_tell_apart_by_path_routers_do_too():
    of_models = {path for path in app.ENDPOINTS if path.startswith("/v1/")}
    assert of_models - LEADERS_OWN <= ENDPOINTS

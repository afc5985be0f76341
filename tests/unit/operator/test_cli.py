"""The command line, as a user meets it."""

import subprocess
import sys

import pytest
import yaml
from support.llmservice_cases import manifest, tpu

from radixloom_operator.api.schema import chart_template, crd_yaml
from radixloom_operator.cli import main


def write(folder, *documents) -> str:
    path = folder / "service.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return str(path)


def test_crd_prints_the_definition(capsys):
    assert main(["crd"]) == 0
    assert capsys.readouterr().out == crd_yaml()


def test_crd_for_the_chart_prints_the_template(capsys):
    assert main(["crd", "--chart"]) == 0
    assert capsys.readouterr().out == chart_template()


def test_render_prints_every_object_of_every_service(tmp_path, capsys):
    other = manifest({"metadata.name": "other"})
    assert main(["render", write(tmp_path, manifest(), other)]) == 0
    objects = [one for one in yaml.safe_load_all(capsys.readouterr().out) if one]
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert ("StatefulSet", "chat-s0") in names
    assert ("Service", "other") in names


def test_render_takes_the_image_from_the_environment(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RADIXLOOM_OPERATOR_RUNTIME_IMAGE", "runtime:9")
    main(["render", write(tmp_path, manifest())])
    assert "image: runtime:9" in capsys.readouterr().out


def test_render_of_a_spec_that_cannot_be_served_says_why(tmp_path, capsys):
    assert main(["render", write(tmp_path, manifest(tpu("v5e", "2x4")))]) == 2
    assert "set chipsPerHost to 8 or 4" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["a: [", "kind: Pod", "- 1"])
def test_render_of_something_else_says_so(tmp_path, capsys, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert main(["render", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_render_of_a_missing_file_says_so(capsys):
    assert main(["render", "no-such-file.yaml"]) == 2
    assert "no-such-file.yaml" in capsys.readouterr().err


def test_a_wrong_setting_is_named_as_the_user_wrote_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RADIXLOOM_OPERATOR_RESYNC_SECONDS", "soon")
    assert main(["render", write(tmp_path, manifest())]) == 2
    assert "RADIXLOOM_OPERATOR_RESYNC_SECONDS" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help_lists_every_setting(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert "RADIXLOOM_OPERATOR_NAMESPACES" in capsys.readouterr().out


def test_commands_without_a_cluster_load_no_client():
    # kopf and the API client take seconds to import.
    program = (
        "import sys, radixloom_operator.cli as cli; cli.main(['crd']);"
        " sys.exit('kopf' in sys.modules or 'kubernetes' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()

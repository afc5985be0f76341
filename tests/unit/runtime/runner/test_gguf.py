"""A GGUF is served with the numbers of the checkpoint that it stands for."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.gguf_files import BLOCK_KINDS, FLOAT_KINDS, stands_for, write_gguf, write_wide_llama
from support.golden_jobs import assert_gives_goldens
from support.goldens import folder
from support.step_driver import Job, run
from support.tiny_models import quantized_model, runner_of

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.sharding import MeshShape
from radixloom_runtime.runner.mesh import make_mesh
from radixloom_runtime.runner.weights import load_weights

pytestmark = pytest.mark.timeout(300)

KEPT_AS = {
    **dict.fromkeys(("Q4_0", "Q4_1", "Q4_K"), "int4"),
    **dict.fromkeys(("Q5_0", "Q5_1", "Q5_K", "Q6_K", "Q8_0"), "int8"),
    **dict.fromkeys(FLOAT_KINDS),
}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wide_llama(tmp_path_factory.mktemp("wide") / "llama")


def numbers(source: Path, wanted: str = "auto", **shape) -> tuple[list[int], np.ndarray]:
    """Greedy tokens, and the logprobs of all 64 tokens at each position of a prompt."""
    runner = runner_of(quantized_model(source, wanted, **shape), source)
    job = Job(list(range(3, 40)), 8, row=1, pages=range(20, 26), prompt_logprobs=64)
    run(runner, [job], chunk_tokens=20)
    tops = [top for result in job.prompt_results for top in result.prompt_tops]
    return job.ids, np.stack([top.logprobs[np.argsort(top.ids)] for top in tops])


@pytest.mark.parametrize(
    "name",
    [
        "llama-rope3-gqa-untied",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("llama-tied", "mixtral", "qwen2-bias", "qwen2-moe", "qwen3")
        ),
    ],
)
def test_a_gguf_of_a_golden_checkpoint_gives_its_goldens(name, tmp_path):
    source = write_gguf(folder(name), tmp_path / "model.gguf")
    assert_gives_goldens(runner_of(quantized_model(source), source), name)


@pytest.mark.parametrize("kind", BLOCK_KINDS + FLOAT_KINDS)
def test_matrices_are_kept_in_the_kinds_own_bits(wide, tmp_path, kind):
    model = quantized_model(write_gguf(wide, tmp_path / "model.gguf", kind))
    kept = {spec.form.dtype if spec.form else None for spec in model.specs if spec.is_matrix}
    assert kept == {KEPT_AS[kind]}


ERRORS = {
    "F32": 1e-5,
    "F16": 0.005,
    "BF16": 0.03,
    "Q8_0": 0.1,
    "Q6_K": 0.3,
    **dict.fromkeys(("Q5_0", "Q5_1", "Q5_K"), 0.5),
    **dict.fromkeys(("Q4_0", "Q4_1", "Q4_K"), 0.8),
}
"""Bounds of the median |difference of a logprob| to the float32 checkpoint.

The median, because the weights are random: at a few positions two keys score nearly the same, and
whatever rounding turns them about changes all 64 logprobs there.
"""


@pytest.fixture(scope="module")
def exact(wide) -> np.ndarray:
    return numbers(wide)[1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", BLOCK_KINDS + FLOAT_KINDS)
def test_logprobs_are_those_of_the_matrices_it_stands_for(wide, exact, tmp_path, kind):
    ids, found = numbers(write_gguf(wide, tmp_path / "model.gguf", kind))
    expected_ids, expected = numbers(stands_for(wide, tmp_path / "f32", kind))
    assert ids == expected_ids
    np.testing.assert_allclose(found, expected, atol=2e-4)
    error = float(np.median(np.abs(found - exact)))
    assert error <= ERRORS[kind]
    assert error > 1e-6 or kind == "F32", "nothing was rounded"


@pytest.mark.slow
def test_not_kept_small_on_request_the_answer_is_the_same(wide, tmp_path):
    source = write_gguf(wide, tmp_path / "model.gguf", "Q4_K")
    assert all(spec.form is None for spec in quantized_model(source, "none").specs)
    (ids, found), (kept_ids, kept) = numbers(source, "none"), numbers(source)
    assert ids == kept_ids
    np.testing.assert_allclose(found, kept, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [MeshShape(tensor=2), MeshShape(expert=2, tensor=2)])
@pytest.mark.parametrize("kind", ["F16", "Q4_K", "Q6_K", "Q8_0"])
def test_cut_over_devices_the_answer_is_the_same(wide, tmp_path, kind, shape):
    source = write_gguf(wide, tmp_path / "model.gguf", kind)
    ids, one = numbers(source)
    several_ids, several = numbers(source, mesh_shape=shape)
    assert several_ids == ids
    np.testing.assert_allclose(several, one, atol=2e-4)


@pytest.mark.slow
def test_rounded_to_int8_while_loading_it_is_as_the_checkpoint_so_rounded(wide, tmp_path):
    ids, found = numbers(write_gguf(wide, tmp_path / "model.gguf", "Q4_K"), "int8")
    expected_ids, expected = numbers(stands_for(wide, tmp_path / "f32", "Q4_K"), "int8")
    assert ids == expected_ids
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
def test_a_matrix_of_another_shape_than_the_metadata_says_is_named(tmp_path, kind):
    source = write_wide_llama(tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"intermediate_size": 512}))
    path = write_gguf(source, tmp_path / "model.gguf", kind)
    model = quantized_model(path)
    wanted = r"0\.mlp\.\w+_proj\.weight\b.*: wanted shape \(.*512.*found \(256, 256\)"
    with pytest.raises(ModelError, match=wanted):
        load_weights(path, model, make_mesh(model.mesh_shape), lambda _: None)

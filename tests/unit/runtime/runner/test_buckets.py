"""Every step within the limits has a bucket, and there are few."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixloom_runtime.runner.buckets import Bucket, all_buckets, choose


def test_the_buckets_of_the_cpu_defaults():
    buckets = all_buckets(max_rows=64, step_tokens=256)
    decode = [bucket.rows for bucket in buckets if not bucket.mixed]
    mixed = [(bucket.tokens, bucket.rows) for bucket in buckets if bucket.mixed]
    assert decode == [1, 2, 4, 8, 16, 32, 64]
    assert mixed == [(16, 16), (64, 64), (128, 64), (256, 64)]


def test_a_tpu_compiles_no_bucket_more_for_the_half_of_its_longest_step():
    buckets = all_buckets(max_rows=256, step_tokens=2048)
    assert [bucket.tokens for bucket in buckets if bucket.mixed] == [16, 64, 256, 1024, 2048]


@given(max_rows=st.integers(1, 300), step_tokens=st.integers(1, 3000), data=st.data())
def test_every_step_within_the_limits_has_a_bucket_that_holds_it(max_rows, step_tokens, data):
    buckets = all_buckets(max_rows=max_rows, step_tokens=step_tokens)
    rows = data.draw(st.integers(0, min(max_rows, step_tokens)))
    decode = choose(buckets, num_tokens=rows, num_rows=rows, mixed=False)
    assert decode is not None
    assert decode.rows >= rows
    tokens = data.draw(st.integers(rows, step_tokens))
    mixed = choose(buckets, num_tokens=tokens, num_rows=rows, mixed=True)
    assert mixed is not None
    assert mixed.holds(tokens, rows)
    assert len(buckets) <= 20


@pytest.mark.parametrize(("tokens", "rows"), [(257, 1), (65, 65)])
def test_a_step_over_the_limits_has_no_bucket(tokens, rows):
    buckets = all_buckets(max_rows=64, step_tokens=256)
    assert choose(buckets, num_tokens=tokens, num_rows=rows, mixed=True) is None


def test_the_smallest_bucket_that_holds_a_step_is_chosen():
    buckets = all_buckets(max_rows=8, step_tokens=64)
    assert choose(buckets, num_tokens=3, num_rows=3, mixed=False) == Bucket(4, 4, mixed=False)
    assert choose(buckets, num_tokens=17, num_rows=2, mixed=True) == Bucket(64, 8, mixed=True)

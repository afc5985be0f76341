"""Bring a model from its source into a folder that `radixloom serve` can read.

    hf://org/name[@rev] ┐
    gs://bucket/path    ├─ transfer ─┐
    file:///path        ┘            ├─ .NAME.partial ── check ── fsync ── rename ──► NAME/
    demo ── pip ── GGUF ── convert ──┘
    pvc://claim/path ── check only, it is mounted already

`sources` parses what the user typed, `store` owns locks, staging and the atomic publish,
`transfer` downloads and resumes, `checkpoint` says whether a folder is a whole model. One module
per source. Nothing here knows jax or transformers: a fetch runs in small init containers too.
"""

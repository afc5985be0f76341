"""LLMServices that the API server must refuse, each with a part of the sentence that it says."""

from support.llmservice_cases import Case, tpu

REFUSED = (
    Case(
        "fewer at the least than at the most",
        {"spec.autoscaling": {"minReplicas": 3, "maxReplicas": 2, "target": {"value": 1}}},
        "minReplicas must not exceed maxReplicas",
    ),
    Case(
        "a cache more than full",
        {
            "spec.autoscaling": {
                "maxReplicas": 2,
                "target": {"metric": "KVCachePercent", "value": 101},
            }
        },
        "value is at most 100 for KVCachePercent",
    ),
    Case(
        "autoscaling without end",
        {"spec.autoscaling": {"target": {"value": 1}}},
        "spec.autoscaling.maxReplicas: Required value",
    ),
    Case(
        "autoscaling to zero without routers",
        {"spec.autoscaling": {"minReplicas": 0, "maxReplicas": 2, "target": {"value": 1}}},
        "minReplicas 0 needs routing.mode Router",
    ),
    Case(
        "a wait before zero that never comes",
        {
            "spec.autoscaling": {
                "maxReplicas": 2,
                "target": {"value": 1},
                "scaleToZeroAfterSeconds": 60,
            }
        },
        "scaleToZeroAfterSeconds applies to minReplicas 0 only",
    ),
    Case(
        "a pool without its picker",
        {"spec.routing": {"mode": "InferencePool"}},
        "routing.inferencePool is required when routing.mode is InferencePool",
    ),
    Case(
        "a pool beside routers",
        {
            "spec.routing": {
                "mode": "Router",
                "inferencePool": {"endpointPicker": {"name": "picker"}},
            }
        },
        "routing.inferencePool is required when routing.mode is InferencePool, and only then",
    ),
    Case(
        "autoscaling to zero before a Gateway",
        {
            "spec.routing": {
                "mode": "InferencePool",
                "inferencePool": {"endpointPicker": {"name": "picker"}},
            },
            "spec.autoscaling": {"minReplicas": 0, "maxReplicas": 2, "target": {"value": 1}},
        },
        "minReplicas 0 needs routing.mode Router",
    ),
    Case(
        "load by a feeling",
        {"spec.autoscaling": {"maxReplicas": 2, "target": {"metric": "Mood", "value": 1}}},
        "Unsupported value",
    ),
    Case(
        "a reservation without a name",
        {**tpu("v5p", "2x2x1"), "spec.tpu.provisioning": "Reservation"},
        "reservation is required when provisioning is Reservation",
    ),
    Case(
        "a reservation that nothing uses",
        {**tpu("v5p", "2x2x1"), "spec.tpu.reservation": "big"},
        "reservation is required when provisioning is Reservation, and only then",
    ),
    Case(
        "a change that may take and add nothing",
        {"spec.rollout": {"maxSurge": 0, "maxUnavailable": 0}},
        "maxSurge and maxUnavailable cannot both be 0",
    ),
    Case(
        "parallelism on cpu",
        {"spec.parallelism": {"data": 2}},
        "parallelism does not apply to cpu",
    ),
    Case(
        "a budget beyond measure",
        {"spec.restart": {"maxRestarts": 21}},
        "less than or equal to 20",
    ),
    Case(
        "a client of no kind",
        {"spec.network": {"clients": [{}]}},
        "give namespaceLabels, podLabels or both",
    ),
    Case("no model", {"spec.model": None}, "spec.model: Required value"),
    Case("no tpu", {"spec.tpu": None}, "spec.tpu: Required value"),
    Case("a long name", {"metadata.name": "a" * 41}, "at most 40 characters"),
    Case("a name with a dot", {"metadata.name": "a.b"}, "begin with a letter"),
    Case("a name that begins with a digit", {"metadata.name": "7b"}, "begin with a letter"),
    Case("fewer than no replicas", {"spec.replicas": -1}, "greater than or equal to 0"),
    Case("a plain path", {"spec.model.uri": "/models/x"}, "spec.model.uri"),
    Case("an unknown scheme", {"spec.model.uri": "s3://bucket/x"}, "spec.model.uri"),
    Case(
        "a token for a bucket",
        {"spec.model.uri": "gs://b/x", "spec.model.tokenSecretRef": {"name": "t"}},
        "tokenSecretRef applies to hf:// only",
    ),
    Case(
        "a revision of a claim",
        {"spec.model.uri": "pvc://c/x", "spec.model.revision": "main"},
        "revision applies to hf:// only",
    ),
    Case(
        "a cache of a claim",
        {"spec.model.uri": "pvc://c/x", "spec.model.cache": {"mode": "EmptyDir"}},
        "cache does not apply to pvc://",
    ),
    Case(
        "a cache in no claim", {"spec.model.cache": {"mode": "PVC"}}, "claimName is required when"
    ),
    Case(
        "a claim for an EmptyDir",
        {"spec.model.cache": {"mode": "EmptyDir", "claimName": "c"}},
        "claimName is required when",
    ),
    Case(
        "a limit for a claim",
        {"spec.model.cache": {"mode": "PVC", "claimName": "c", "sizeLimit": "1Gi"}},
        "sizeLimit applies to mode EmptyDir only",
    ),
    Case("an unknown generation", tpu("v3", "2x2"), "Unsupported value"),
    Case("no topology", {"spec.tpu": {"generation": "v5e"}}, "topology is required"),
    Case("a topology on cpu", tpu("cpu", "2x2"), "does not apply to cpu"),
    Case("hosts of a TPU slice", tpu("v5e", "2x2", hosts=2), "hosts applies to cpu only"),
    Case(
        "chips of a cpu slice",
        {"spec.tpu": {"generation": "cpu", "chipsPerHost": 4}},
        "chipsPerHost does not apply to cpu",
    ),
    Case(
        "a cpu slice on Spot nodes",
        {"spec.tpu": {"generation": "cpu", "provisioning": "Spot"}},
        "do not apply to cpu",
    ),
    Case("a torus of v5e", tpu("v5e", "2x2x2"), "v5e and v6e take topology"),
    Case("a grid that v6e has not", tpu("v6e", "3x3"), "v5e and v6e take topology"),
    Case("a grid of v4", tpu("v4", "2x2"), "three sides"),
    Case("words for a topology", tpu("v5p", "big"), "three sides"),
    Case("a torus that v5p has not", tpu("v5p", "4x4x6"), "a multiple of 4"),
    Case("one chip of v4", tpu("v4", "1x1x1"), "a multiple of 4"),
    Case("2x4 with hosts unsaid", tpu("v5e", "2x4"), "one host of 8 chips or two hosts of 4"),
    Case("2x4 on hosts of one chip", tpu("v6e", "2x4", chipsPerHost=1), "chipsPerHost is 4 or 8"),
    Case("2x2 on a host of 8", tpu("v6e", "2x2", chipsPerHost=8), "chipsPerHost is 4 or 8"),
    Case("hosts of two chips", tpu("v5e", "2x2", chipsPerHost=2), "Unsupported value"),
    Case("a quantity in words", {"spec.engine.hostResources": {"cpu": "lots"}}, "should match"),
    Case(
        "a limit in words",
        {"spec.model.cache": {"mode": "EmptyDir", "sizeLimit": "big"}},
        "should match",
    ),
    Case("TPUs by hand", {"spec.engine.hostResources": {"google.com/tpu": 4}}, "is computed from"),
    Case(
        "a variable that the spec decides",
        {"spec.engine.env": [{"name": "TPU_WORKER_ID", "value": "0"}]},
        "the operator computes this variable",
    ),
    Case(
        "a variable with two values",
        {"spec.engine.env": [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {}}}]},
        "exclude each other",
    ),
    Case(
        "keys in the environment by hand",
        {"spec.engine.env": [{"name": "RADIXLOOM_API_KEY_FILE", "value": "/tmp/keys"}]},
        "the operator computes this variable",
    ),
    Case(
        "keys of no key",
        {"spec.apiKeys": {"secretKeyRef": {"name": "clients"}}},
        "spec.apiKeys.secretKeyRef.key: Required value",
    ),
    Case(
        "adapters in two places",
        {
            "spec.model.adapters": [{"name": "sql", "source": "hf://acme/sql"}],
            "spec.engine.args": ["--lora=tone=/models/tone"],
        },
        "--lora of engine.args would replace model.adapters",
    ),
    Case(
        "an adapter of an unfit name",
        {"spec.model.adapters": [{"name": "Acme/SQL", "source": "hf://acme/sql"}]},
        "should match",
    ),
    Case(
        "an adapter of a long name",
        {"spec.model.adapters": [{"name": "a" * 41, "source": "hf://acme/sql"}]},
        "Too long",
    ),
    Case(
        "an adapter on a disk",
        {"spec.model.adapters": [{"name": "sql", "source": "/models/sql"}]},
        "should match",
    ),
    Case(
        "an adapter of two folders",
        {"spec.model.adapters": [{"name": "sql", "source": "gs://b/sql,more=gs://b/more"}]},
        "should match",
    ),
    Case(
        "a token that nothing needs",
        {
            "spec.model": {
                "uri": "gs://b/x",
                "tokenSecretRef": {"name": "t"},
                "adapters": [{"name": "sql", "source": "gs://b/sql"}],
            }
        },
        "tokenSecretRef applies to hf:// only",
    ),
    Case("a low port", {"spec.engine.port": 80}, "greater than or equal to 1024"),
    Case("int3 matrices", {"spec.engine.quantization": "int3"}, "Unsupported value"),
    Case("int4 keys and values", {"spec.engine.kvCacheDtype": "int4"}, "Unsupported value"),
    Case("an unknown dtype", {"spec.engine.dtype": "int3"}, "Unsupported value"),
    Case("compiled steps in no claim", {"spec.compileCache": {"mode": "PVC"}}, "claimName is"),
    Case(
        "no time to drain",
        {"spec.drain": {"preStopSeconds": 60, "gracePeriodSeconds": 60}},
        "must exceed drain.preStopSeconds",
    ),
    Case("no patience", {"spec.startup.timeoutSeconds": 5}, "greater than or equal to 60"),
    Case(
        "nothing may be down",
        {"spec.rollout.maxUnavailable": 0},
        "maxSurge and maxUnavailable cannot both be 0",
    ),
    Case(
        "a label of ours",
        {"spec.podTemplate.labels": {"app.kubernetes.io/name": "x"}},
        "are ours",
    ),
)

"""From nothing to an answer: the cluster, the chart, an LLMService, a question.

    python -m hack.demo up       everything, ending with a model's answer; quick when run again
    python -m hack.demo ask      another question to the running demo
    python -m hack.demo down     takes away what `up` made

    __main__ ── steps            the order, and what is printed
        ├────── kubernetes       kubectl and helm against one cluster
        ├────── release          the chart, with the images just built
        ├────── volumes          claims for the model and for compiled steps
        ├────── watch            what happens to the LLMService, as it happens
        └────── question         the openai package, through the client Service

Everything but the cluster is what a user would do; the end-to-end tests use the same modules.
"""

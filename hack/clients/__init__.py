"""Which clients of OpenAI's, Anthropic's and SGL-JAX's APIs work, asked of a server that runs.

    python -m hack.clients                          with the demo model, served for as long
    python -m hack.clients --url URL --model NAME   of a server that is up

    __main__ ── matrix          the clients: packages, and the script that asks by each
        ├────── environments    what a client needs, in an environment of its own
        ├────── served          the demo model, with a chat template that has tools
        └────── trying          a script's own report of what it tried

The scripts are in tests/clients. What they need stays out of .venv, since it is heavy (aiperf and
what it brings take 800 MB) or holds other packages back (llama-index: openai below 3).
"""

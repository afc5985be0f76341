"""`POST /v1/responses`: OpenAI's newer API in front of the same chats.

    ResponseRequest ──translation──► ChatRequest ──chat──► Order ──► engine
          ▲ items so far                                               │
        store ◄──────────────── items, named events ◄──form── deltas ◄─┘

What is stored is in this process's memory alone, bounded, and gone with it: another replica does
not have it.
"""

"""`POST /v1/messages`: Anthropic's API in front of the same chats.

    MessagesRequest ──translation──► ChatRequest ──chat──► Order ──► engine
    content blocks, named events ◄──form── deltas

A body becomes the chat that asks for the same, so that the two cannot come to mean different
things; `schema` says what is taken, `form` what is told.
"""

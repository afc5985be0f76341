"""The HTTP process: asyncio, OpenAI shapes, never jax."""

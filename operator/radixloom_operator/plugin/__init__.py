"""`kubectl llm`: what a person asks of an LLMService most often, in one word each.

Talks to the cluster through kubectl alone, so that contexts, logins and rights are kubectl's.
"""

"""Endpoints that answer with vectors and scores: embeddings, score, rerank.

routes ─► embeddings, scores: texts to token ids, vectors to an answer
              └─► vectors: a Submit per text, a few at a time ─► engine
"""

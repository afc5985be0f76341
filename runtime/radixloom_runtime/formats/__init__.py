"""How checkpoints hold their numbers: pure numpy, one file a format, nothing of jax or of models.

tensor_file          a safetensors file, mapped
stored               what every format decodes to: values, scales, offsets
awq gptq compressed_tensors fp8 mxfp4    the formats of quantized matrices
on_load              from floats, while loading
scheme               which of them a config.json names, and for which modules
"""

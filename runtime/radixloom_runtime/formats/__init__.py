"""How checkpoints hold their numbers: pure numpy, one file a format, nothing of jax or of models.

tensor_file, shards      safetensors, mapped: one file, a folder by index
gguf_file, gguf_model    a GGUF, mapped, and read as the checkpoint that it stands for; with
  gguf_config, gguf_names, gguf_blocks    what it says, how tensors are called, and stored
stored                   what every format decodes to: values, scales, offsets
awq gptq compressed_tensors fp8 mxfp4     the formats of quantized matrices
on_load                  from floats, while loading
scheme                   which of them a config.json names, and for which modules
"""

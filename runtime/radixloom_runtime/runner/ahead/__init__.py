"""Steps compiled for devices that are not here: what `radixloom plan` measures and saves.

    settings, config.json ──► assemble's decisions ──► Programs.lower_step ──► XLA for the target
         target: devices to compile for      shapes with shardings, no arrays      │
                                        hlo, findings: what the compiler answered ◄┘

It is the engine's own path from the settings to a compiled step, with shapes in the place of
arrays; nothing here runs a step.
"""

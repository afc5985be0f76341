"""A real Kubernetes on one machine, for developers, for CI and for the demo.

    python -m hack.cluster up        etcd, control plane, two or more kubelets, CoreDNS
    python -m hack.cluster load x.tar
    python -m hack.cluster down      leaves nothing behind but the cache

Not a production cluster: one control plane, no durability, every node on this machine.

    __main__ ── check ── binaries ── kubernetes_build, sources      what to run
        │                 images                                    what pods run
        ├── kind                            where a Docker engine is to be had
        └── local ── pki, control_plane, node, addons               everywhere else
              └──── cleanup ── processes, network, mounts, cgroups
"""

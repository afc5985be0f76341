"""Build Radixloom's two images and bring them into the local cluster.

    python -m hack.images build      build what changed, print the images' names
    python -m hack.images load       the same, then `hack.cluster load`

An image's tag is the digest of everything it is made of, so what did not change is not built,
and a Deployment that names a new tag rolls out by itself.

    __main__ ── recipe          what an image is made of, and so its tag
        ├────── builders        docker where an engine answers, else buildah
        │          ├── base     Debian with Python, where no registry gives one
        │          └── wheels   what pip would download, so that the build needs no network
"""

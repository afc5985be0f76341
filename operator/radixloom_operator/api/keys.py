"""`spec.apiKeys`: which clients are answered."""

from pydantic import Field

from radixloom_operator.api.model import ApiModel, ObjectName


class SecretFileRef(ApiModel):
    """A file in a Secret of the service's namespace."""

    name: ObjectName = Field(description="Name of the Secret.")
    key: ObjectName = Field(description="Key in the Secret's data; its value is the file.")


class ApiKeys(ApiModel):
    """API keys, of which clients must send one: to leaders and routers. Default: none needed."""

    secret_key_ref: SecretFileRef = Field(
        description="A file of keys, a line each. What changes in it is taken up while serving,"
        " within a minute or two; pods wait for a Secret that is not there. Routers'"
        " --requests-per-minute counts by these keys."
    )

"""What can go wrong, as the user should read it."""


class ClusterError(Exception):
    """Something the user can act on; shown without a traceback.

    `exit_code` 2 means that this machine cannot run the command at all.
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code

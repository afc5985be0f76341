"""A client that asks a served model again and again."""

import threading

from openai import OpenAIError

from hack.cluster.errors import ClusterError


class Traffic:
    """One client that asks again and again; `failures` lists what went wrong."""

    def __init__(self, space, service):
        self._space, self._service = space, service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.failures = []
        self.answered = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.is_set():
            try:
                self._space.answer(self._service, "Say hello.", max_tokens=4)
                self.answered += 1
            except (OpenAIError, ClusterError) as error:
                self.failures.append(repr(error))
            self._stop.wait(0.5)

"""Sending the values of each epoch to a server."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
import warnings
from typing import Any

import numpy as np

from .callback import Callback

__all__ = ["RemoteMonitor"]


class RemoteMonitor(Callback):
    """Send the logs of each epoch to a server, by HTTP POST.

    Args:
        root: Address of the server.
        path: Path that is appended to it.
        field: Name of the form's field that holds the JSON.
        headers: Dict of HTTP headers.
        send_as_json: Whether the request itself is JSON instead of a form.
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: dict[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        super().__init__()
        self.root = root
        self.path = path
        self.field = field
        self.headers = headers
        self.send_as_json = send_as_json

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Send; an unreachable server is a warning."""
        values = {"epoch": epoch, **(logs or {})}
        values = {
            k: v.item() if isinstance(v, np.ndarray | np.generic) else v
            for k, v in values.items()
        }
        text, kind = json.dumps(values), "application/json"
        if not self.send_as_json:
            text = urllib.parse.urlencode({self.field: text})
            kind = "application/x-www-form-urlencoded"
        url = self.root + self.path
        try:
            request = urllib.request.Request(
                url, text.encode(), {"Content-Type": kind, **(self.headers or {})}
            )
            urllib.request.urlopen(request, timeout=10).close()
        except (urllib.error.URLError, OSError, ValueError) as error:
            warnings.warn(
                f"RemoteMonitor: could not reach {url}: {error}", stacklevel=2
            )

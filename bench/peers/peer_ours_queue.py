"""The package of this project, whose message queue stands where a channel would."""

from typing import Any

import peer_ours


class Peer(peer_ours.Peer):
    def channel(self, name: str, size: int) -> Any:
        return self.queue(name, 10, size)

"""State of subclasses goes along as `object.__reduce_ex__` does it."""

import copy
import pickle
import sys

from nob.ipc import Flags, NamedMessageQueue, NamedSemaphore


class Slotted(NamedSemaphore):
    __slots__ = ("label",)


class Chosen(NamedMessageQueue):
    def __getstate__(self) -> dict[str, str]:
        return {"label": self.label.upper()}


slotted = Slotted(None, 0, Flags.RAISE_IF_EXISTS)
slotted.label = "slot"
chosen = Chosen(None, 1, 8, handle_existence=Flags.RAISE_IF_EXISTS)
chosen.label, chosen.secret = "state", 1
for again in pickle.loads(pickle.dumps(slotted)), copy.copy(slotted):
    if getattr(again, "label", None) != "slot":
        sys.exit("what is in a slot is lost")
for again in pickle.loads(pickle.dumps(chosen)), copy.copy(chosen):
    if getattr(again, "label", None) != "STATE" or hasattr(again, "secret"):
        sys.exit(f"__getstate__ is not asked: {vars(again)}")

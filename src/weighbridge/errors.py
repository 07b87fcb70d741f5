"""The tree of errors: each says what happened and with which values, and its hint says how to mend it.

WeighbridgeError
├── BadSetting          a setting that does not exist or cannot be
├── UnknownMachine      a machine or device whose name no table holds
├── BadModelFile        a model file that is damaged, foreign or not there
├── BadPage             a page, feed or note that cannot be read for its claims
├── SourceUnreachable   a place on the network that does not hand over a model's files
│   ├── ModelGated      a model whose licence must be accepted first
│   └── RateLimited     a hub that was asked too often
├── NotEnoughDisk       a disk or a quota that a model's files do not fit
├── DoesNotFit          a model that this machine cannot hold
├── UnknownModel        a name that nothing served here bears, or no model that is known
├── AmbiguousModel      a name that several models bear
├── EngineFailed        an engine that did not start, or ended
│   └── InterfaceUnknown  an engine's library whose structures are not the known ones
├── GatewayUnreachable  nothing answers where the gateway should be
├── StateDamaged        the file of state cannot be read or written
├── AddressInUse        another program listens where the gateway should
├── BadTask             a task, its data or a log of results that cannot be read or scored
├── EvalStopped         an evaluation that cannot go on; what was answered is kept
└── TrainingFailed      a specialist that could not be trained
"""

from __future__ import annotations


class WeighbridgeError(Exception):
    """Something a user can understand and mend: `str()` is the fact in one line, `hint` the way out in one line."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BadSetting(WeighbridgeError):
    """A setting, from file, environment or flag, that does not exist or cannot be."""


class UnknownMachine(WeighbridgeError):
    """No machine or device of the table bears this name."""


class BadModelFile(WeighbridgeError):
    """A model file that is missing, damaged, or no model file at all."""


class BadPage(WeighbridgeError):
    """A page, feed, note or series that is missing, too large, or no text at all."""


class SourceUnreachable(WeighbridgeError):
    """A hub or server elsewhere does not answer, refuses, or answers what cannot be used."""


class ModelGated(SourceUnreachable):
    """A hub hands a model over only to those who accepted its licence."""


class RateLimited(SourceUnreachable):
    """A hub was asked too often; `wait_seconds` is how long it asks to wait, where it says so."""

    def __init__(self, message: str, *, hint: str = "", wait_seconds: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.wait_seconds = wait_seconds


class NotEnoughDisk(WeighbridgeError):
    """A model's files do not fit the disk, the user's quota or a limit on a file's size; what came is kept."""


class DoesNotFit(WeighbridgeError):
    """A model needs more memory than the machine can give."""


class UnknownModel(WeighbridgeError):
    """No model served here bears this name, or none that the catalogue knows."""


class AmbiguousModel(WeighbridgeError):
    """Several models that the catalogue knows may be meant by this name; the message lists them."""


class EngineFailed(WeighbridgeError):
    """An engine did not start, or ended while it was needed; `log` holds the last lines that it wrote."""

    def __init__(self, message: str, *, hint: str = "", log: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.log = log


class InterfaceUnknown(EngineFailed):
    """The engine's library is of another version, or does not hold what is asked of it directly."""


class GatewayUnreachable(WeighbridgeError):
    """Nothing answers at the gateway's address."""


class StateDamaged(WeighbridgeError):
    """The file of state is damaged, of a newer version, or cannot be read or written."""


class AddressInUse(WeighbridgeError):
    """Another program listens at the address that was asked for."""


class BadTask(WeighbridgeError):
    """A task, its data, or results made elsewhere: damaged, foreign, or lacking what is needed to score."""


class EvalStopped(WeighbridgeError):
    """An evaluation cannot go on: the server is gone or refuses. What was answered is kept for the next run."""


class TrainingFailed(WeighbridgeError):
    """A specialist could not be trained."""

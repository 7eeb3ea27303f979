"""Trained models on the Hugging Face hub: fetched, validated as those that come along, and sent.

An address is ``hf://user/name``, with ``@revision`` where one is meant. Three files are read and no
other: the card, and the weights that it names, as safetensors, whose digests it has. What was
fetched once is used without a network. The package is huggingface_hub, ``pip install piddm[hub]``.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from piddm.runs.model_card import CARD, STUDENT, TEACHER, Card, digest_of, read_card
from piddm.tools.errors import PiddmError, UsageError

PREFIX = "hf://"
"""What an address on the hub begins with."""

PAGE = "README.md"
"""Name of the page that the hub shows of a model."""

WAIT = 5.0
"""Seconds that the hub's machine may take to answer."""

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_REVISION = re.compile(r"[\w][\w./-]*")


@dataclass(frozen=True)
class Address:
    """A model on the hub.

    Args:
        repo: ``user/name``.
        revision: A branch, a tag or a commit; the newest where it is empty.
    """

    repo: str
    revision: str = ""

    def __str__(self) -> str:
        return f"{PREFIX}{self.repo}" + f"@{self.revision}" * bool(self.revision)


def address(text: str) -> Address:
    """Read an address: ``hf://user/name``, ``user/name``, either with ``@revision``.

    Raises:
        UsageError: If it is none.
    """
    repo, mark, revision = text.removeprefix(PREFIX).partition("@")
    parts = (*repo.split("/"), *revision.split("/"))
    good = _REPO.fullmatch(repo) and (not mark or _REVISION.fullmatch(revision))
    if not good or ".." in text or any(part.endswith(".") for part in parts):
        raise UsageError(f"{text!r} is no model on the hub; write it as {PREFIX}user/name")
    return Address(repo, revision)


def fetched(model: Address) -> Path:
    """Return the folder of a model of the hub: a copy on this machine, which is whole.

    Without a network it is the copy that is there.

    Raises:
        UsageError: If there is no such model, it is none of piddm's, or the extra is missing.
        PiddmError: If the hub cannot be reached and there is no copy, or a file is damaged.
    """
    installed()
    folder = _file(model, CARD, model.revision).parent
    card = read_card(folder)
    check_names(model, card)
    for name, digest in card.digests.items():
        # Of the commit that the card is of: the folder of a copy is named after it.
        path = _file(model, name, folder.name)
        if digest_of(path) != digest:
            raise PiddmError(
                f"{model}: {name} is not the file that its {CARD} names; remove {folder} and try "
                "again, or ask who sent it"
            )
    return folder


def check_names(model: Address, card: Card) -> None:
    """Refuse a card that names other files than weights of a model.

    Raises:
        UsageError: If it does, or has no student.
    """
    if STUDENT not in card.digests or card.digests.keys() - {STUDENT, TEACHER}:
        raise UsageError(f"{model} is no model of piddm's: its {CARD} names other files")


def sent(folder: Path, model: Address, private: bool = False) -> str:
    """Send a model's folder to the hub, where its repository is made if it is not there.

    Args:
        folder: Card, weights and page; nothing else of it is sent.
        model: Where to.
        private: Whether a repository that is made is nobody else's to see.

    Returns:
        The address of the page of what was sent.

    Raises:
        UsageError: If the extra is missing, or nobody is signed in who may write there.
        PiddmError: If the hub cannot be reached.
    """
    installed()
    from huggingface_hub import HfApi

    api = HfApi(library_name="piddm")
    with _told(model):
        api.create_repo(model.repo, private=private, exist_ok=True)
        made = api.upload_folder(
            repo_id=model.repo, folder_path=folder, revision=model.revision or None,
            commit_message="A model of piddm", allow_patterns=[CARD, STUDENT, TEACHER, PAGE],
            delete_patterns=[TEACHER],  # of an earlier one, where this one comes without
        )  # fmt: skip
    return str(made.commit_url)  # pyright: ignore[reportAttributeAccessIssue]


def installed() -> None:
    """Refuse to go on without the extra.

    Raises:
        UsageError: If it is missing.
    """
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "models on the Hugging Face hub need huggingface_hub: pip install 'piddm[hub]'"
        ) from error


def _file(model: Address, name: str, revision: str) -> Path:
    from huggingface_hub import hf_hub_download

    with _told(model, name):
        found = hf_hub_download(
            model.repo, name, revision=revision or None, library_name="piddm",
            local_files_only=_unreachable(),
        )  # fmt: skip
    return Path(found)


def _unreachable() -> bool:
    """Whether the hub's machine does not answer: its client would try for half a minute."""
    from huggingface_hub import constants

    if getproxies():  # another machine would answer
        return False
    place = urlsplit(constants.ENDPOINT)
    port = place.port or {"http": 80}.get(place.scheme, 443)
    try:
        socket.create_connection((place.hostname or "", port), WAIT).close()
    except OSError:
        return True
    return False


@contextmanager
def _told(model: Address, name: str = "") -> Iterator[None]:
    """Turn what the hub's package raises into one line."""
    from huggingface_hub import errors

    try:
        yield
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise PiddmError(
            f"cannot reach the hub, and {name or model} of {model} is not on this machine; go "
            "online once, and it stays here"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UsageError(
            f"there is no model {model}, or it is not yours to see: check its name, or sign in "
            "with 'hf auth login'"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UsageError(f"{model.repo} has no revision {model.revision!r}") from error
    except errors.EntryNotFoundError as error:
        raise UsageError(f"{model} is no model of piddm's: it has no {name}") from error
    except errors.LocalTokenNotFoundError as error:
        raise UsageError("nobody is signed in to the hub: 'hf auth login' does that") from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "an error")
        if status in (401, 403):
            raise UsageError(
                f"the hub does not let you do that with {model} ({status}): sign in with "
                "'hf auth login' by a token that may"
            ) from error
        raise PiddmError(f"the hub answers {status} for {model}; try again later") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise PiddmError(f"cannot reach the hub for {model} ({type(error).__name__})") from error

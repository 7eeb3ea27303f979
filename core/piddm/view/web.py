"""The page's addresses: its own files, and what it asks. The framework is imported when made."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from piddm.tools.about import __version__
from piddm.tools.errors import PiddmError
from piddm.tools.files import first_problem
from piddm.view import page_models as bodies
from piddm.view.desk import Desk, Stop, Superseded

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from piddm.view.subjects import Subject, Subjects

Body = TypeVar("Body", bound=BaseModel)

KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
"""Types of the page's own files."""

BINARY = "application/octet-stream"
"""Type of packets."""


class _Refused(Exception):
    """What a request is refused by: a status and a line."""


def own_files() -> dict[str, tuple[bytes, str]]:
    """Return the page's files by name: content and type. Nothing else is ever served."""
    found = {}
    for file in files("piddm.view").joinpath("page").iterdir():
        kind = KINDS.get(file.name.rpartition(".")[2])
        if kind:
            found[file.name] = file.read_bytes(), kind
    return found


def application(subjects: Subjects, desk: Desk) -> Starlette:
    """Return the application, which takes whoever reaches it for allowed: see ``guard``.

    Args:
        subjects: What can be asked.
        desk: Where questions are answered.
    """
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    served = own_files()

    async def file(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in served:
            return Response("there is no such file", 404)
        content, kind = served[name]
        return Response(content, media_type=kind)

    def doing(model: type[Body], panel: str, work: Callable[[Subject, Any, Stop], Any]) -> Any:
        async def handle(request: Request) -> Response:
            try:
                asked = await _read(request, model)
                subject = subjects[asked.subject]  # pyright: ignore[reportAttributeAccessIssue]
                whose = getattr(asked, "panel", panel)
                done = await desk.do(
                    f"{asked.page}/{whose}",  # pyright: ignore[reportAttributeAccessIssue]
                    lambda stop: work(subject, asked, stop), request.is_disconnected,
                )  # fmt: skip
            except Superseded:
                return JSONResponse({"superseded": True}, 409)
            except _Refused as error:
                return JSONResponse({"error": error.args[1]}, error.args[0])
            except PiddmError as error:
                return JSONResponse({"error": str(error)}, 400)
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                text = f"{type(error).__name__}; the terminal of piddm view has the traceback"
                return JSONResponse({"error": text}, 500)
            return (
                Response(done, media_type=BINARY) if isinstance(done, bytes) else JSONResponse(done)
            )

        return handle

    async def start(request: Request) -> Response:
        listed = [{"key": k, "title": s.title} for k, s in subjects.all.items()]
        return JSONResponse({"version": __version__, "subjects": listed})

    async def state(request: Request) -> Response:
        key, page = (request.query_params.get(k, "")[:200] for k in ("subject", "page"))
        told = subjects.all[key].state if key in subjects.all else "same"
        return JSONResponse({"state": told, "progress": desk.progress(page)})

    routes = [
        Route("/", file),
        Route("/api/start", start),
        Route("/api/state", state),
        Route("/api/open", doing(bodies.Opening, "open", _opened), methods=["POST"]),
        Route("/api/samples", doing(bodies.Drawing, "samples", _drawn), methods=["POST"]),
        Route("/api/answer", doing(bodies.Question, "a", _answered), methods=["POST"]),
        Route("/api/drop", doing(bodies.Dropped, "drop", _dropped), methods=["POST"]),
        Route("/api/download", doing(bodies.Download, "download", _file), methods=["POST"]),
        Route("/{name}", file),
    ]
    return Starlette(routes=routes)


async def _read(request: Request, model: type[Body]) -> Body:
    """Return a request's body, checked; a body that is too large is not read to its end."""
    parts, size = list[bytes](), 0
    async for part in request.stream():
        size += len(part)
        if size > bodies.LARGEST:
            raise _Refused(413, f"more than {bodies.LARGEST // 1_000_000} MB were sent")
        parts.append(part)
    try:
        return model.model_validate_json(b"".join(parts))
    except ValidationError as error:
        raise _Refused(422, f"what was asked is not understood: {first_problem(error)}") from error


def _opened(subject: Subject, asked: bodies.Opening, stop: Stop) -> dict[str, Any]:
    from piddm.view.page_samples import describe  # torch comes with it

    subject.open(asked.again)
    return describe(subject)


def _drawn(subject: Subject, asked: bodies.Drawing, stop: Stop) -> bytes:
    from piddm.view.page_samples import draw

    return draw(subject, asked, stop)


def _answered(subject: Subject, asked: bodies.Question, stop: Stop) -> bytes:
    from piddm.view.page_answers import answer

    return answer(subject, asked, stop)


def _dropped(subject: Subject, asked: bodies.Dropped, stop: Stop) -> dict[str, Any]:
    from piddm.view.page_answers import dropped

    return dropped(subject, asked)


def _file(subject: Subject, asked: bodies.Download, stop: Stop) -> bytes:
    from piddm.view.page_answers import download

    return download(subject, asked.question, asked.kind, stop)

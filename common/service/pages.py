"""The pages of services: one head, style and script, around what a page has of its own."""

from pathlib import Path

from fastapi.responses import HTMLResponse

_SHELL = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
_PLACE = "<!-- the page's own title, style, header, main and script -->"
_HOME = '<nav><a href="../">All challenges</a></nav>'
# The page holds its own script and style, and talks to nobody but this service.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src blob: data:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page_response(page: str, status: int = 200, *, below: bool = False) -> HTMLResponse:
    """A whole page, which needs nothing from elsewhere.

    Args:
        page: what it has of its own: title, style, header, main and script.
        status: of HTTP.
        below: it is one of several beneath a front page, to which it leads back.
    """
    if below:
        page = page.replace("<header>", f"<header>{_HOME}", 1)
    headers = {"Content-Security-Policy": _POLICY}
    return HTMLResponse(_SHELL.replace(_PLACE, page), status, headers)

"""Language and theme."""

from aiohttp import web

from services.sunstone_lite import answers
from services.sunstone_lite.i18n import LANGUAGES
from services.sunstone_lite.site import THEMES


async def submit(request: web.Request) -> web.StreamResponse:
    """Remember a choice and go back to where it was made."""
    posted = await request.post()
    response = answers.see_other(answers.safe_path(str(posted.get("here", "/"))))
    for name, allowed in (("language", tuple(LANGUAGES)), ("theme", THEMES)):
        value = str(posted.get(name, ""))
        if value in allowed:
            answers.set_preference(request, response, name, value)
    return response

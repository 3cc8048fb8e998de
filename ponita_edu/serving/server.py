"""The server of the app: Voilà with the pages of `site_map`, and nothing of Voilà that a visitor does not need.

What a visitor can reach: the list, the pages, scripts and styles, and the websocket of his page's kernel, on which only
messages about widgets pass. No notebook, file, list of kernels or terminal is served. The token is read from the
environment, where no list of processes shows it.
"""

import asyncio
import os
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import plotly
import tornado.web
from jupyter_server._tz import utcnow
from jupyter_server.base.handlers import APIHandler, FileFindHandler, JupyterHandler
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyterlab_server.themes_handler import ThemesHandler
from traitlets import Integer
from traitlets.config import Config
from voila.app import Voila
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.static_file_handler import MultiStaticFileHandler, TemplateStaticFileHandler
from voila.tornado.handler import TornadoVoilaHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from ponita_edu.serving.mother_process import FORKS, mother
from ponita_edu.serving.provisioner import PageKernelSpecs
from ponita_edu.serving.site_map import PAGES, write_notebooks

ASSETS = Path(__file__).resolve().parents[1] / "assets" / "app"
# what a page says to its kernel: values of controls, and who are you
MESSAGES = ["comm_open", "comm_close", "comm_msg", "comm_info_request", "kernel_info_request"]
PROTOCOL = "v1.kernel.websocket.jupyter.org"
KEPT = (MultiStaticFileHandler, ThemesHandler, FileFindHandler)
EXTENSIONS = ["@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8", "anywidget"]
PLOTLY = Path(plotly.__file__).parent / "package_data" / "widgetbundle.js"
# The browser itself keeps the page from asking anyone else. Widgets' scripts come as text, hence blob and eval.
POLICY = ("default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
          "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
          "connect-src 'self' data: blob:; worker-src blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
          "frame-ancestors 'self'")


class PageKernels(AsyncMappingKernelManager):
    """The kernels behind the pages: so many at most, and none for long without a visitor."""

    most = Integer(60, config=True, help="pages open at once")
    left = Integer(90, config=True, help="seconds that a kernel stays without a page; a lost connection comes back")

    async def start_kernel(self, **options: Any) -> str:
        if len(self) >= self.most:
            raise tornado.web.HTTPError(503, "All pages are taken. Close one, or try again in a minute.")
        return await super().start_kernel(**options)

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        kernel = self._kernels[kernel_id]
        alone = not self._kernel_connections.get(kernel_id, 0)
        if alone and utcnow() - kernel.last_activity > timedelta(seconds=self.left):
            await self.shutdown_kernel(kernel_id, now=True)
        else:
            await super().cull_kernel_if_idle(kernel_id)


class SocketHandler(VoilaKernelWebsocketHandler):
    """The websocket of a page, in the new protocol alone.

    Voilà reads the head of every binary message as one of the new protocol; an old one sends it counting for hours, and
    nobody is served meanwhile.
    """

    async def get(self, kernel_id: str) -> None:
        if PROTOCOL not in self.request.headers.get("Sec-WebSocket-Protocol", ""):
            raise tornado.web.HTTPError(400, f"the websocket must speak {PROTOCOL}")
        await super().get(kernel_id)


class CloseHandler(VoilaShutdownKernelHandler):
    """A page that is closed says so, and its kernel ends. Its name is the proof that it is this page that says so."""

    def check_xsrf_cookie(self) -> None:
        """A page on its way out cannot send the cookie's word along."""


class ListHandler(JupyterHandler):
    """The list of all pages."""

    @tornado.web.authenticated
    def get(self) -> None:
        template = self.settings["voila_jinja2_env"].get_template("list.html")
        self.finish(template.render(pages=PAGES, base_url=self.base_url))


class PageHandler(TornadoVoilaHandler):
    """One page."""

    @tornado.web.authenticated
    async def get(self, name: str) -> None:
        await super().get(f"{name}.ipynb")


class AliveHandler(APIHandler):
    """Whether a page's kernel lives: the page asks now and then, to be able to say that it sleeps."""

    @tornado.web.authenticated
    async def get(self, kernel_id: str) -> None:
        kernels = self.kernel_manager
        if kernel_id not in kernels or not await kernels.get_kernel(kernel_id).is_alive():
            raise tornado.web.HTTPError(404)
        model = kernels.kernel_model(kernel_id)
        self.finish({key: model[key] for key in ("id", "name", "execution_state")})


class Site(Voila):
    """Voilà, less what a visitor does not need."""

    def init_settings(self) -> dict[str, Any]:
        settings = super().init_settings()
        self.kernel_manager.allowed_message_types = MESSAGES
        return settings

    def init_handlers(self) -> list:
        path = self.server_url
        names, one = "|".join(PAGES), r"(\w+-\w+-\w+-\w+-\w+)"
        kept = [h for h in super().init_handlers() if issubclass(h[1], KEPT)]
        login = self.identity_provider.get_handlers()
        about = {"template_paths": self.template_paths, "config": self.config,
                 "voila_configuration": self.voila_configuration}
        return [*kept, *login, (path, ListHandler), (rf"{path}({names})", PageHandler, about),
                (rf"{path}api/kernels/{one}", AliveHandler),
                (rf"{path}api/kernels/{one}/channels", SocketHandler),
                (rf"{path}voila/api/shutdown/{one}", CloseHandler),
                (rf"{path}voila/templates/(ponita/static/[\w.-]+)", TemplateStaticFileHandler),
                (rf"{path}plotly\.js()", tornado.web.StaticFileHandler, {"path": str(PLOTLY)})]


def settings(port: int, ip: str, folder: Path, visitors: int, minutes: int) -> Config:
    """Everything that the app sets; no configuration file of the user is read, as one could open what is closed."""
    return Config({
        "Voila": {
            "ip": ip, "port": port, "port_retries": 0, "root_dir": str(folder), "open_browser": False,
            "auto_token": True, "config_file_paths": [], "connection_dir_root": str(folder),
            "tornado_settings": {"headers": {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer",
                                             "X-Content-Type-Options": "nosniff"}},
        },
        "VoilaConfiguration": {
            "template": "ponita", "allow_template_override": "NO", "allow_theme_override": "NO",
            "strip_sources": True, "show_tracebacks": False, "file_allowlist": [], "attempt_fix_notebook": False,
            "extension_allowlist": EXTENSIONS, "extension_denylist": [],
            "multi_kernel_manager_class": PageKernels,
            "kernel_spec_manager_class": PageKernelSpecs,
        },
        "PageKernels": {"most": 3 * visitors, "cull_idle_timeout": 60 * minutes, "cull_connected": True,
                        "cull_interval": 15},
        "KernelManager": {"autorestart": False},  # a new kernel knows nothing of the page; the page says so instead
        "VoilaExecutor": {"timeout": 60},
    })


def serve(port: int, ip: str, visitors: int, minutes: int) -> None:
    """Serve until told to stop."""
    with tempfile.TemporaryDirectory(prefix="ponita_edu_app_") as folder:
        pages = Path(folder) / "pages"
        pages.mkdir()
        write_notebooks(pages)
        os.environ["IPYTHONDIR"] = str(Path(folder) / "ipython")  # no start-up files of the user's
        site = Site(config=settings(port, ip, pages, visitors, minutes))
        site.initialize([])
        asyncio.set_event_loop(asyncio.new_event_loop())
        if FORKS:
            mother.wait()
        site.start()

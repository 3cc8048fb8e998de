"""What all widgets of the course share: controls, picture, numbers, explanation, errors, reset."""

import html
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real

import ipywidgets as widgets
import torch

from ponita_edu.viz import draw_plotly, theme
from ponita_edu.viz.scene import Scene
from ponita_edu.viz.width import Ruler

WIDTH = "300px"  # of the column of controls
SPARE, LEAST = 8, 150  # pixels between two pictures, and the least width of one
STYLE = {"description_width": "100px"}


class Explorer(widgets.VBox):
    """A picture with controls. A subclass makes controls and says what they mean; the rest is here.

    It passes its controls by name to ``__init__`` (each becomes an attribute, with the CSS class ``t-<name>``),
    sets ``explanation``, and defines ``scene()``, which reads the controls and calls a pure function. It may define
    ``report()``, HTML that stands below the controls.

    Whatever a control says last is what is shown: while one drawing runs, further changes only ask for one more.
    An error in ``scene()`` or ``report()`` is shown in the widget; the picture stays as it was, the report, whose
    numbers would belong to other values than the controls show, goes.
    """

    explanation = ""
    asked = 0.0  # when any widget was last asked to draw, by time.monotonic

    def __init__(self, controls: Mapping[str, widgets.Widget]):
        if not self.explanation:
            raise ValueError(f"{type(self).__name__}.explanation is empty; it must answer 'What am I looking at?'.")
        self._controls = dict(controls)
        self._start = {name: c.value for name, c in self._controls.items() if hasattr(c, "value")}
        self._drawing = self._again = False
        for name, control in self._controls.items():
            if hasattr(type(self), name):
                raise ValueError(f"a control cannot be called {name!r}: every widget has that attribute. Rename it.")
            setattr(self, name, control)
            control.add_class(f"t-{name}")
            control.layout.width = "auto"
            if hasattr(control.style, "description_width"):
                control.style = {**STYLE}
            if name in self._start and not isinstance(control, widgets.Play):  # a Play drives a slider, which draws
                control.observe(self._changed, names="value")

        self.reset_button = widgets.Button(description="Reset", icon="undo", tooltip="All controls as at the start",
                                           layout={"width": "auto"}).add_class("t-reset")
        self.reset_button.on_click(lambda _: self.reset())
        self.report_box = widgets.HTML().add_class("t-report")
        self.error_box = widgets.HTML().add_class("t-error")
        self.pictures: list = []  # the live figures, one per scene
        self._stage = widgets.HBox(layout={"width": "100%", "min_width": "0"}).add_class("t-figure")
        self._ruler = Ruler()
        self._ruler.observe(lambda _: self._share_width(), "width")
        place = widgets.VBox([self._ruler, self._stage],
                             layout={"flex": "1 1 420px", "min_width": "320px", "overflow": "hidden"})
        side = widgets.VBox([*self._controls.values(), self.reset_button, self.report_box],
                            layout={"width": WIDTH, "flex": "0 0 auto"})
        about = widgets.HTML("<details open><summary><b>What am I looking at?</b></summary>"
                             f"<div style='line-height:1.4;max-width:60em'>{self.explanation}</div></details>")
        super().__init__([
            widgets.HBox([side, place], layout={"flex_flow": "row wrap", "align_items": "flex-start"}),
            self.error_box, about.add_class("t-about"),
        ])
        self.add_class("ponita-explorer").add_class(f"w-{type(self).__name__}")
        self.redraw()

    # ------------------------------------------------------------------------------------- what a subclass defines
    def scene(self) -> Scene | tuple[Scene, ...]:
        """The picture for the present values; several stand side by side."""
        raise NotImplementedError

    def report(self) -> str:
        """HTML beside the picture: the numbers that belong to it."""
        return ""

    # ---------------------------------------------------------------------------------------------- what users call
    @property
    def values(self) -> dict:
        """The present values of the controls by name."""
        return {name: self._controls[name].value for name in self._start}

    def set(self, values: Mapping[str, object]) -> None:
        """Set several controls and draw once.

        Raises:
            ValueError: on a name that is no control.
        """
        unknown = sorted(set(values) - set(self._start))
        if unknown:
            raise ValueError(f"values names {', '.join(unknown)}, but the controls are {', '.join(self._start)}.")
        busy, self._drawing = self._drawing, True  # hold the drawing back
        try:
            for name in self._start:  # in this order, as the options of one may hang on another before it
                if name in values:
                    self._controls[name].value = values[name]
        finally:  # of a value that its control refuses, too: those before it are set
            self._drawing = busy
            self.redraw()

    def reset(self) -> None:
        """All controls as at the start."""
        self.set(self._start)

    def redraw(self) -> None:
        """Draw the present values; called by every control."""
        Explorer.asked = time.monotonic()
        if self._drawing:
            self._again = True
            return
        self._drawing = True
        try:
            self._again = True
            with one_thread():
                while self._again:
                    self._again = False
                    self._draw()
        finally:
            self._drawing = False

    # ------------------------------------------------------------------------------------------------- small parts
    def _draw(self) -> None:
        try:
            scenes, report = self.scene(), self.report()
            scenes = (scenes,) if isinstance(scenes, Scene) else tuple(scenes)
            if len(self.pictures) != len(scenes):
                self.pictures = [draw_plotly.widget(scene) for scene in scenes]
                self._share_width()
                self._stage.children = [_cell(figure) for figure in self.pictures]
            else:
                for figure, scene in zip(self.pictures, scenes, strict=True):
                    scene.plotly(figure)
            _set(self.report_box, f"<div role='status' style='line-height:1.5'>{report}</div>" if report else "")
            _set(self.error_box, "")
        except Exception as error:  # whatever it is, the reader must see it, and the widget go on
            _set(self.report_box, "")
            style = f"color:{theme.BAD_WORD};border-left:4px solid {theme.BAD};padding:4px 8px"
            _set(self.error_box, f"<div role='alert' style='{style}'><b>{type(error).__name__}</b>: "
                                 f"{html.escape(str(error))}</div>")

    def _share_width(self) -> None:
        if self._ruler.width and self.pictures:  # 0 until the widget is on a page
            width = max(self._ruler.width // len(self.pictures) - SPARE, LEAST)
            beside = theme.BAR if any(draw_plotly.has_bar(figure) for figure in self.pictures) else 0
            for figure in self.pictures:  # a scene narrower than high would be cut left and right
                figure.update_layout(width=width, height=min(width - beside, theme.HEIGHT))

    def _changed(self, _: object) -> None:
        self.redraw()

    def __repr__(self) -> str:
        values = self.values if hasattr(self, "_start") else {}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in values.items())})"


def slider(description: str, value: Real, low: Real, high: Real, step: Real = 1.0, unit: str = ""
           ) -> widgets.FloatSlider:
    """A slider that answers while it is dragged."""
    return widgets.FloatSlider(value=value, min=low, max=high, step=step, description=description,
                               readout_format=".0f" if step >= 1 else ".1f" if step >= 0.1 else ".2f",
                               tooltip=f"{description} in {unit}" if unit else description)


def choice(description: str, options: list, value: object = None) -> widgets.Dropdown:
    """A drop-down list; options are values or (label, value)."""
    return widgets.Dropdown(options=options, description=description, tooltip=description,
                            **({} if value is None else {"value": value}))


def switch(description: str, value: bool = False) -> widgets.Checkbox:
    """A check box."""
    return widgets.Checkbox(value=value, description=description, tooltip=description, indent=False)


def button(description: str, icon: str = "") -> widgets.Button:
    """A button; give it its task with `.on_click`."""
    return widgets.Button(description=description, icon=icon, tooltip=description)


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread: of so little work the others only wait, on cores where the browser should draw."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cell(figure: widgets.Widget) -> widgets.Box:
    return widgets.Box([figure], layout={"flex": "1 1 0", "min_width": "0", "overflow": "hidden", "display": "block"})


def _set(box: widgets.HTML, value: str) -> None:
    if box.value != value:
        box.value = value

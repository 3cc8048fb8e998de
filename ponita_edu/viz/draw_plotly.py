"""A `Scene` as a plotly figure, or as the least change to one that is shown already."""

from functools import lru_cache
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from traitlets import Int, Unicode, default

from ponita_edu.quick import quick_start
from ponita_edu.viz import shapes, theme
from ponita_edu.viz.items import Arrows, Balls, Field, Item, Labels, Lines, Mesh, Points, Rods, Sphere

with quick_start():
    import plotly
    import plotly.graph_objects as go
    from plotly.basedatatypes import BaseFigure, Undefined
    from plotly.graph_objects import FigureWidget

LIGHT = {"ambient": 0.62, "diffuse": 0.55, "specular": 0.12, "roughness": 0.6, "fresnel": 0.0}
LIGHT_FROM = {"x": 2000, "y": 500, "z": 3000}
BUNDLE = Path(plotly.__file__).parent / "package_data" / "widgetbundle.js"
ASSETS = Path(__file__).resolve().parents[1] / "assets"


class Picture(FigureWidget):
    """Plotly's live figure, which hears all that Python says, however long plotly takes to load.

    It does not tell Python what the page made of a change (a turned camera it does tell): plotly's script compares all
    that is drawn with all that was sent, and sends back what differs, which takes as long as the drawing. Python needs
    none of it, nor the page the numbers of the changes, by which the answers are known.
    """

    script = ""  # where the page finds plotly; empty: Python sends it
    _esm = "".join((ASSETS / name).read_text(encoding="utf-8") for name in ("rest.js", "picture.js"))
    _plotly = Unicode().tag(sync=True)
    _last_trace_edit_id = Int(0)  # of Python alone: each would be a message of its own before every change
    _last_layout_edit_id = Int(0)

    @default("_plotly")
    def _library(self) -> str:
        return self.script or _bundle()


@lru_cache(maxsize=1)  # one text in memory for all pictures
def _bundle() -> str:
    return BUNDLE.read_text(encoding="utf-8")


def draw(scene, figure: BaseFigure | None = None) -> BaseFigure:
    """Draw a scene; see `Scene.plotly`.

    A figure that this function drew before is updated in place: properties that did not change are not sent again,
    and the camera is never touched. Where kinds or number of the traces differ all are new, which takes a browser
    several times as long.
    """
    traces = _all_traces(scene)
    if figure is None:
        return go.Figure(data=traces, layout=_layout(scene))
    drawn = getattr(figure, "_drawn", None)
    if drawn is None or [t["type"] for t in drawn["traces"]] != [t["type"] for t in traces]:
        figure.data = ()
        figure.add_traces(traces)
        figure.update_layout(_layout(scene) if drawn is None else _moving_layout(scene))
    else:
        changes = [{key: value for key, value in new.items() if not _same(old.get(key), value)}
                   | {key: None for key in old if key not in new}
                   for old, new in zip(drawn["traces"], traces, strict=True)]
        places = [place for place, change in enumerate(changes) if change]
        # one message, as it is: batch_update checks and copies every array three times, which takes as long as the rest
        figure.plotly_update({key: [changes[place].get(key, Undefined) for place in places]
                              for key in sorted({key for change in changes for key in change})},
                             _by_path(_moving_layout(scene), drawn["layout"]), places)
    figure._drawn = {"traces": traces, "layout": _moving_layout(scene)}
    return figure


def widget(scene) -> Picture:
    """A live figure of the scene, whole from the start: the page draws it once."""
    traces = _all_traces(scene)
    figure = Picture(data=traces, layout=_layout(scene))
    # one pixel for one of the page: plotly's four take a machine without a graphics card twice as long
    figure._config = {**figure._config, "displaylogo": False, "responsive": True, "plotGlPixelRatio": 1}
    figure._drawn = {"traces": traces, "layout": _moving_layout(scene)}
    return figure


def _all_traces(scene) -> list[dict]:
    traces = [trace for item in scene.painted for trace in _traces(item, scene)] + _axes(scene)
    return [_packed(trace) for trace in traces]


def _packed(value: Any) -> Any:
    """Arrays in one piece of memory, as a message takes them."""
    if isinstance(value, dict):
        return {key: _packed(part) for key, part in value.items()}
    return np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value


def has_bar(figure: BaseFigure) -> bool:
    """Whether a bar of colours stands beside the picture."""
    parts = [trace.marker if trace.type.startswith("scatter") else trace for trace in figure.data]
    return any(part.showscale is not False and part.colorbar.thickness for part in parts)


# ------------------------------------------------------------------------------------------------------------ layout
def _moving_layout(scene) -> dict:
    """What may differ between two states of the same picture."""
    return {"title": {"text": scene.title}} | _ranges(scene)


def _by_path(layout: dict, shown: dict, above: str = "") -> dict[str, Any]:
    """What differs from the layout that is shown, by its path: "scene.xaxis.range"."""
    changed = {}
    for key, value in layout.items():
        if not _same(shown.get(key), value):
            changed |= (_by_path(value, shown.get(key, {}), f"{above}{key}.") if isinstance(value, dict)
                        else {above + key: value})
    return changed


def _ranges(scene) -> dict:
    half = scene.half_width
    span = [[float(c) - half, float(c) + half] for c in scene.centre]
    if scene.dim == 2:
        return {"xaxis": {"range": span[0]}, "yaxis": {"range": span[1]}}
    return {"scene": {f"{axis}axis": {"range": r} for axis, r in zip("xyz", span, strict=True)}}


def _layout(scene) -> dict:
    layout = {
        "title": {"text": scene.title, "x": 0.02, "y": 0.98, "yanchor": "top", "font": {"size": theme.FONT_SIZE + 1}},
        "font": {"family": theme.FONT, "size": theme.FONT_SIZE, "color": theme.BLACK},
        "paper_bgcolor": theme.WHITE,
        "plot_bgcolor": theme.WHITE,
        "margin": {"l": 4, "r": 4, "t": 34 if scene.title else 4, "b": 4},
        "height": theme.HEIGHT,
        "legend": {"orientation": "h", "x": 0.5, "xanchor": "center", "y": 0.0, "yanchor": "top",
                   "itemsizing": "constant"},  # below the picture, as in print
        "uirevision": "keep",
        "showlegend": True,
    }
    ranges = _ranges(scene)
    if scene.dim == 2:
        quiet = {"showgrid": False, "zeroline": False, "visible": False}
        layout["xaxis"] = ranges["xaxis"] | quiet
        layout["yaxis"] = ranges["yaxis"] | quiet | {"scaleanchor": "x", "scaleratio": 1}
        return layout
    azimuth, elevation = np.radians(scene.view)
    eye = 1.4 * np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    layout["scene"] = {axis: r | {"visible": False, "showspikes": False} for axis, r in ranges["scene"].items()}
    layout["scene"] |= {"aspectmode": "cube", "dragmode": "orbit",
                        "camera": {"eye": dict(zip("xyz", map(float, eye), strict=True))}}
    return layout


# ------------------------------------------------------------------------------------------------------------ traces
def _traces(item: Item, scene) -> list[dict[str, Any]]:
    flat = scene.dim == 2
    match item:
        case Points():
            marker = {"size": item.sizes, "opacity": 1.0, "line": {"width": 1 if flat else 0, "color": theme.WHITE},
                      "color": _one_or_all(item.colours)}
            if item.values is not None:
                marker |= {"color": item.values, "colorbar": _bar(item.label)} | _scale(item, "c")
            return [_scatter(item.xyz, flat, item.name, mode="markers", marker=marker, hovertext=item.hover)]
        case Lines():
            return [_polyline(item.paths, item.colours, item.width, item.dash, item.name, flat)]
        case Arrows():
            return _arrows(item, flat, scene.half_width)
        case Labels():
            return [_scatter(item.xyz, flat, "", mode="text", text=item.texts,
                             textfont={"size": theme.FONT_SIZE + 2, "color": item.colour})]
        case Mesh():
            trace = _mesh(item.vertices, item.triangles, item.name) | {"opacity": item.opacity, "color": item.colour}
            if item.values is not None:
                per = "vertex" if len(item.values) == len(item.vertices) else "cell"
                trace |= {"intensity": item.values, "intensitymode": per, "showscale": True,
                          "colorbar": _bar(item.label), "lighting": LIGHT | {"ambient": 0.9, "diffuse": 0.15}}
                trace |= _scale(item, "c")
            elif item.vertex_colours is not None:
                trace["vertexcolor"] = item.vertex_colours
            return [trace]
        case Field():
            # a table of numbers goes to the browser as JSON, which knows no NaN, and as text: digits cost time
            table = [[None if np.isnan(v) else float(f"{v:.4g}") for v in row] for row in item.values.tolist()]
            return [{"type": "heatmap", "x": item.x, "y": item.y, "z": table, "hoverinfo": "z",
                     "colorbar": _bar(item.label)} | _scale(item, "z")]
        case Sphere():
            if flat:
                angle = np.linspace(0, 2 * np.pi, 65)
                circle = item.centre + item.radius * np.stack((np.cos(angle), np.sin(angle)), 1).astype(np.float32)
                return [_scatter(circle, True, "", mode="lines", line={"color": item.colour, "width": 1}, fill="toself",
                                 fillcolor=_rgba(item.colour, item.opacity), hovertext=None)]
            points, faces = shapes.unit_sphere(4)
            return [_mesh(item.centre + item.radius * points, faces, "")
                    | {"color": item.colour, "opacity": item.opacity, "hoverinfo": "skip"}]
        case Balls():
            # many balls are small, and each of their corners is sent and turned with every move
            vertices, faces = shapes.balls(item.xyz, item.radii, level=2 if len(item.xyz) < 10 else 1)
            each = len(vertices) // max(len(item.xyz), 1)
            trace = _mesh(vertices, faces, item.name) | _paint(item.colours, each) | {"opacity": item.opacity}
            if item.hover is not None:
                trace |= {"hovertext": np.repeat(item.hover, each).tolist(), "hoverinfo": "text"}
            return [trace]
        case Rods():
            vertices, faces = shapes.rods(item.start, item.end, item.radii)
            return [_mesh(vertices, faces, "") | {"color": item.colour, "hoverinfo": "skip"}]
    raise TypeError(f"no drawing of {type(item).__name__}")


def _arrows(item: Arrows, flat: bool, half_width: Real) -> list[dict]:
    tips, axes, radii = item.heads(half_width)
    shafts = [np.stack(pair) for pair in zip(item.start, tips - axes * 0.9, strict=True)]
    line = _polyline(shafts, item.colours, item.width, False, item.name, flat)
    if flat:
        side = radii[:, None] * np.stack((-axes[:, 1], axes[:, 0]), 1) / np.maximum(
            np.linalg.norm(axes, axis=1, keepdims=True), 1e-12)
        corners = [np.stack(c) for c in zip(tips, tips - axes + side, tips - axes - side, tips, strict=True)]
        heads = _polyline(corners, item.colours, 1, False, "", True)
        return [line, heads | {"fill": "toself", "fillcolor": item.colours[0] if item.colours else theme.BLUE}]
    vertices, faces = shapes.cones(tips, axes, radii)
    each = len(vertices) // max(len(tips), 1)
    return [line, _mesh(vertices, faces, "") | _paint(item.colours, each) | {"hoverinfo": "skip"}]


def _polyline(paths, colours, width, dash, name, flat) -> dict:
    """All paths in one trace, with a gap (NaN) between two of them."""
    gap = np.full((1, 2 if flat else 3), np.nan, dtype=np.float32)
    xyz = np.concatenate([part for path in paths for part in (path, gap)]) if paths else gap
    line = {"width": width, "color": colours[0] if colours else theme.GREY}
    if len(set(colours)) > 1:
        if flat:
            raise ValueError("in 2D all lines or arrows of one call must have the same colour. Call once per colour.")
        line["color"] = [c for path, c in zip(paths, colours, strict=True) for c in [c] * (len(path) + 1)]
    if dash:
        line["dash"] = "dash"
    return _scatter(xyz, flat, name, mode="lines", line=line)


def _scatter(xyz: np.ndarray, flat: bool, name: str, **more) -> dict:
    trace = {"type": "scatter" if flat else "scatter3d", "name": name, "showlegend": bool(name), "x": xyz[:, 0],
             "y": xyz[:, 1], **more}
    if not flat:
        trace["z"] = xyz[:, 2]
    hover = more.get("hovertext")
    trace["hoverinfo"] = "text" if hover is not None else "skip"
    return {key: value for key, value in trace.items() if value is not None}


def _mesh(vertices: np.ndarray, faces: np.ndarray, name: str) -> dict:
    columns = np.asarray(vertices, dtype=np.float32).T
    return {"type": "mesh3d", "name": name, "showlegend": bool(name) and len(vertices) > 0, "showscale": False,
            **dict(zip("xyz", columns, strict=True)),
            **dict(zip("ijk", np.asarray(faces, dtype=np.int32).reshape(-1, 3).T, strict=True)),
            "lighting": LIGHT, "lightposition": LIGHT_FROM, "hoverinfo": "name" if name else "skip"}


def _scale(item: Points | Mesh | Field, prefix: str) -> dict:
    stops = theme.SCALES[item.scale]
    places = np.linspace(0, 1, len(stops)).tolist()
    return {f"{prefix}min": float(item.limits[0]), f"{prefix}max": float(item.limits[1]),
            "colorscale": [list(pair) for pair in zip(places, stops, strict=True)]}


def _bar(label: str) -> dict:
    return {"title": {"text": label, "side": "right"}, "thickness": 12, "len": 0.7, "x": 1.0}


def _axes(scene) -> list[dict]:
    if not scene.axes:
        return []
    tips = scene.half_width * 0.95 * np.eye(scene.dim, dtype=np.float32)
    paths = [np.stack((scene.centre, scene.centre + tip)) for tip in tips]
    return [_polyline(paths, [theme.GREY] * scene.dim, 2, False, "", scene.dim == 2),
            _scatter(scene.centre + 1.04 * tips, scene.dim == 2, "", mode="text", text=list("xyz"[: scene.dim]),
                     textfont={"color": theme.GREY, "size": theme.FONT_SIZE})]


def _paint(colours: list[str], each: int) -> dict:
    """The colours of a mesh of several bodies with so many vertices each."""
    if len(set(colours)) <= 1:
        return {"color": colours[0] if colours else theme.GREY}  # the legend of plotly fails without one
    return {"vertexcolor": np.repeat(colours, each).tolist()}


def _one_or_all(colours: list[str]) -> str | list[str]:
    return colours[0] if len(set(colours)) == 1 else colours


def _rgba(colour: str, opacity: float) -> str:
    return "rgba({:.0f},{:.0f},{:.0f},{})".format(*(255 * theme.rgb(colour)), opacity)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        # bit by bit, which knows NaN and takes a tenth of the time of np.array_equal
        return type(a) is type(b) and (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b

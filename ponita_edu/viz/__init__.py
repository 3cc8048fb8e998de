"""Pictures that can be turned, widgets around them, and their printed twins."""

from ponita_edu.viz import theme
from ponita_edu.viz.display import png, show
from ponita_edu.viz.scene import Scene
from ponita_edu.viz.widget import Explorer

__all__ = ["Explorer", "Scene", "png", "show", "theme"]

"""Draw a training's sheets: three planes of every volume, differences in colour."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy import ndarray

from neurolatent.provenance import whole_file
from neurolatent.report.drawing import STYLE
from neurolatent.report.slices import PLANES, Picture, bare, cut
from neurolatent.training.pictures import Cell, Sheet

CHANGE_LIMIT = 0.2
"""Of intensity: what differs by so much, or more, is drawn in the strongest colour."""
CELL_INCHES, TITLE_INCHES, MARGIN_INCHES, DPI = (3.4, 1.5), 0.6, 0.25, 120


def draw_sheet(sheet: Sheet, path: Path) -> UInt8[ndarray, "height width 3"]:
    """Write a sheet as PNG and return its pixels."""
    columns = max(len(cells) for cells in sheet.rows.values())
    width, height = CELL_INCHES[0] * columns + MARGIN_INCHES, CELL_INCHES[1] * len(sheet.rows) + TITLE_INCHES
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        figure.suptitle(sheet.title, fontsize=9, fontweight="bold")
        grid = figure.subplots(len(sheet.rows), columns, squeeze=False)
        for axes, (label, cells) in zip(grid, sheet.rows.items(), strict=True):
            axes[0].set_ylabel(label, fontsize=7.5)
            for place, cell in zip(axes, cells, strict=True):
                _draw_cell(place, cell, sheet)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    with whole_file(path) as temporary:
        imsave(temporary, pixels, format="png")
    return pixels


def _draw_cell(axes: Axes, cell: Cell, sheet: Sheet) -> None:
    picture = Picture(cell.volume, sheet.world_from_voxel)
    slices = [cut(picture, plane) for plane in PLANES]
    tallest = max(len(image) for image in slices)
    mosaic = np.hstack([np.pad(image, ((0, tallest - len(image)), (0, 0))) for image in slices])
    low, colours = (-CHANGE_LIMIT, "RdBu_r") if cell.change else (0.0, "gray")
    high = CHANGE_LIMIT if cell.change else 1.0
    axes.imshow(mosaic, cmap=colours, vmin=low, vmax=high, origin="lower", interpolation="nearest")
    title = f"{cell.title} (red +{CHANGE_LIMIT:g}, blue −{CHANGE_LIMIT:g})" if cell.change else cell.title
    axes.set_title(title, fontsize=7.5, fontweight="normal", loc="center", pad=4)
    bare(axes)

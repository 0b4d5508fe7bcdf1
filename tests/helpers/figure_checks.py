"""What tests ask of drawn figures: texts, artists by name, a layout in which all can be read."""

from __future__ import annotations

from matplotlib.text import Text

from bcnmf_pipeline.figures import style

NAN = float("nan")


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def gids(axes, gid):
    return [artist for artist in axes.findobj() if artist.get_gid() == gid]


def shown_texts(figure):
    """All texts that end up on the page, with their boxes."""
    with style.style():
        style.settle(figure)
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        hidden = set()
        for axes in figure.axes:
            for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
                for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                    inside = min(limits) <= tick.get_loc() <= max(limits)
                    if not inside or not axis.get_visible() or not axes.axison:
                        hidden |= {tick.label1, tick.label2}
        return [
            (text, text.get_window_extent(renderer))
            for text in figure.findobj(Text)
            if text.get_visible() and text.get_text().strip() and text not in hidden
        ]


def check_layout(figure):
    """No text is cut, none lies on another one, none is too small to read."""
    width, height = figure.get_size_inches() * figure.dpi
    found = shown_texts(figure)
    assert found
    for text, box in found:
        assert text.get_fontsize() >= style.SMALL
        assert box.x0 >= -1, text.get_text()
        assert box.y0 >= -1, text.get_text()
        assert box.x1 <= width + 1, text.get_text()
        assert box.y1 <= height + 1, text.get_text()
    for place, (text, box) in enumerate(found):
        for other, other_box in found[place + 1 :]:
            dx = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
            dy = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
            assert dx < 1.5 or dy < 1.5, (text.get_text(), other.get_text())

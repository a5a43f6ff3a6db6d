"""One look for all pictures, and a font that has Chinese where it is needed."""

import re
import warnings
from pathlib import Path
from typing import Any

CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "SimHei",
    "PingFang SC",
)
CHINESE_FILES = ("NotoSansCJK-Regular", "wqy-zenhei", "simhei", "PingFang")


def new_figure(columns: int = 1, width: float = 7.0, height: float = 4.2) -> tuple[Any, list[Any]]:
    """A figure and its axes, side by side, with grids."""
    from matplotlib.figure import Figure  # a second to import

    figure = Figure(figsize=(width, height), layout="constrained")
    all_axes = list(figure.subplots(1, columns, squeeze=False)[0])
    for axes in all_axes:
        axes.grid(which="both", alpha=0.3)
    return figure, all_axes


def save(figure: Any, path: Path) -> None:
    """Write the picture; say so where its Chinese text has no font."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fonts = ["DejaVu Sans", *_chinese_fonts_here()]
    if len(fonts) == 1 and _has_chinese(figure):
        warnings.warn(
            f"{path.name}: no font here has Chinese characters; install one of"
            f" {', '.join(CHINESE_FONTS)} (Debian: fonts-noto-cjk)",
            stacklevel=2,
        )
    for text in _texts(figure):
        text.set_fontfamily(fonts)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # said above, once
        figure.savefig(path, dpi=150)
    print(f"picture in {path}")


def _chinese_fonts_here() -> list[str]:
    from matplotlib import font_manager

    for path in font_manager.findSystemFonts():  # matplotlib's own list may be older than the font
        if Path(path).name.startswith(CHINESE_FILES):
            font_manager.fontManager.addfont(path)
    here = set(font_manager.get_font_names())
    return [font for font in CHINESE_FONTS if font in here]


def _has_chinese(figure: Any) -> bool:
    return any(re.search("[\u4e00-\u9fff]", text.get_text()) for text in _texts(figure))


def _texts(figure: Any) -> list[Any]:
    from matplotlib.text import Text

    return list(figure.findobj(Text))

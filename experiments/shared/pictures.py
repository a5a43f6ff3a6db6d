"""Pictures with a common look, and a Chinese font where a picture needs one."""

import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

from jaxrnn.runs.pictures import new_figure as new_figure
from jaxrnn.runs.pictures import plain_ticks as plain_ticks
from jaxrnn.runs.run_folder import check_no_run

CHINESE = re.compile("[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]")
"""Chinese characters and punctuation."""
CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "SimHei",
    "PingFang SC",
)
CHINESE_FILES = ("NotoSansCJK-Regular", "wqy-zenhei", "simhei", "PingFang")


def make_folder(out: Path) -> None:
    """Make the folder for pictures and numbers, so that errors come before minutes of work.

    Raises:
        RunFolderError: it is the folder of a run.
        OSError: it cannot be made or written to.
    """
    check_no_run(out)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        pass


def save(figure: Any, path: Path) -> None:
    """Write the picture; without a Chinese font, warn and show Chinese text as code points."""
    fonts = ["DejaVu Sans", *_chinese_fonts_here()]
    texts = _texts(figure)
    if len(fonts) == 1 and any(CHINESE.search(text.get_text()) for text in texts):
        warnings.warn(
            f"{path.name}: no installed font has Chinese characters, so they are shown as code"
            f" points; install one of {', '.join(CHINESE_FONTS)} (Debian: fonts-noto-cjk)",
            stacklevel=2,
        )
        for text in texts:
            text.set_text(CHINESE.sub(lambda c: f"\\u{ord(c[0]):04x}", text.get_text()))
    for text in texts:
        text.set_fontfamily(fonts)
    figure.savefig(path, dpi=150)
    print(f"picture in {path}")


def legend_below(axes: Any, columns: int) -> None:
    """Put a legend below the label of the x-axis, where it hides nothing."""
    pad = 4.4  # room for ticks, their numbers and the label, in font sizes
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=pad, ncols=columns,
                fontsize="small", frameon=False)  # fmt: skip


def has_chinese_font() -> bool:
    """Return whether an installed font has Chinese characters."""
    return bool(_chinese_fonts_here())


def _chinese_fonts_here() -> list[str]:
    from matplotlib import font_manager

    for path in font_manager.findSystemFonts():  # matplotlib's own list may be older than the font
        if Path(path).name.startswith(CHINESE_FILES):
            font_manager.fontManager.addfont(path)
    here = set(font_manager.get_font_names())
    return [font for font in CHINESE_FONTS if font in here]


def _texts(figure: Any) -> list[Any]:
    from matplotlib.text import Text

    return list(figure.findobj(Text))

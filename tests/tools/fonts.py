"""make fonts: the book's Chinese fonts, cut down to what is needed from Noto Sans CJK SC (Debian: fonts-noto-cjk).

Two files in nbs/_static/fonts:
- book-zh.woff, for the site: the characters that stand in the book, in its data and in what its cells print. A browser
  fetches it only where none of the reader's own fonts has a character; so it is small, and without it a page would show
  boxes there.
- EB-NotoSansSC-subset.otf, for figures: these and the 3755 most common ones (GB 2312, level 1), because a learner draws
  words of their own. Matplotlib reads no compressed font, and no page loads this one.

Run it after `make book`: the pages hold what the cells print. (The text that the network of 01_networks/04_recurrent
writes depends on the processor: a character that it writes elsewhere only comes from the reader's own font.)
"""
import argparse
import json
from pathlib import Path

from engagement_book.workbench.house import ROOT

SOURCE = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
FAMILY = "Noto Sans CJK SC"
FONTS = ROOT / "nbs" / "_static" / "fonts"
SITE, FIGURES = FONTS / "book-zh.woff", FONTS / "EB-NotoSansSC-subset.otf"
LATIN = {chr(i) for i in range(32, 127)}
COMMON = {bytes([row, column]).decode("gb2312") for row in range(0xB0, 0xD8) for column in range(0xA1, 0xFF)
          if (row, column) < (0xD7, 0xFA)}


def texts() -> list[Path]:
    "Files of the repository whose text is on pages."
    nbs = ROOT / "nbs"
    found = [p for p in nbs.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts]
    found += [p for kind in ("*.toml", "*.csv") for p in (ROOT / "data").glob(kind)]
    found += [p for folder in ("_templates", "_sphinx", "_ext") for p in (nbs / folder).glob("*.*")]
    return sorted([*found, nbs / "conf.py", nbs / "references.bib", *(nbs / "_static").glob("*.js")])


def characters(files: list[Path]) -> set[str]:
    "Characters of these files; those of a notebook as it shows them, not as JSON escapes them."
    found = set()
    for path in files:
        text = path.read_text(encoding="utf-8")
        found |= set(json.dumps(json.loads(text), ensure_ascii=False) if path.suffix == ".ipynb" else text)
    return {c for c in found if ord(c) > 127}


def is_chinese(c: str) -> bool:
    "In the blocks that the style sheet asks this font for."
    return any(a <= ord(c) <= b for a, b in ((0x2E80, 0x2FDF), (0x3000, 0x303F), (0x3400, 0x9FFF), (0xF900, 0xFAFF),
                                             (0xFF00, 0xFFEF)))


def source_font(path: Path):
    "The simplified Chinese face of the collection; LookupError if there is none."
    from fontTools.ttLib import TTCollection

    for face in TTCollection(path, lazy=True).fonts:
        if face["name"].getDebugName(1) == FAMILY:
            return face
    raise LookupError(f"{path} has no {FAMILY}")


def cut(path: Path, wanted: set[str], out: Path) -> int:
    "Write the font with these characters, as far as it has them; how many it has."
    from fontTools import subset

    font = source_font(path)
    options = subset.Options(layout_features=[], hinting=False, notdef_outline=True,
                             name_IDs=[0, 1, 2, 3, 4, 5, 6, 13, 14])
    options.drop_tables += ["VORG", "vmtx", "vhea", "BASE", "GSUB", "GPOS"]
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=sorted(map(ord, wanted)))
    cutter.subset(font)
    font["head"].modified = font["head"].created      # the same bytes from the same text
    font.recalcTimestamp = False
    font.flavor = "woff" if out.suffix == ".woff" else None
    font.save(out)
    return len(font.getBestCmap())


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="cut the book's Chinese fonts from Noto Sans CJK SC")
    parser.add_argument("source", nargs="?", type=Path, default=SOURCE, help=f"by default {SOURCE}")
    source = parser.parse_args(args).source
    if not source.exists():
        raise SystemExit(f"{source} is missing; it comes with Debian's package fonts-noto-cjk")
    used = characters([*texts(), *sorted((ROOT / "_build" / "site").rglob("*.html"))])
    for out, wanted in ((SITE, {c for c in used if is_chinese(c)}), (FIGURES, LATIN | used | COMMON)):
        n = cut(source, wanted, out)
        print(f"{out.relative_to(ROOT)}: {n} characters, {out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

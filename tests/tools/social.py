"""The picture that a chat shows beside a link to the book: nbs/_static/social.png, 1200 × 630.
Run it by hand when the title changes."""
import matplotlib.pyplot as plt
import numpy as np

import engagement_book.workbench.figure as style
from engagement_book.workbench.house import ROOT


def main() -> None:
    style.use_style()
    blue, orange, green = style.PALETTE[:3]
    fig = plt.figure(figsize=(12, 6.3), dpi=100, layout="none", facecolor="white")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.axis("off")
    ax.set(xlim=(0, 12), ylim=(0, 6.3))
    layers = [(9, (1.4, 3.15, 4.9)), (10.2, (2.2, 4.1)), (11.2, (3.15,))]
    for (x0, left), (x1, right), colour in zip(layers, layers[1:], (blue, orange), strict=False):
        for a in left:
            for b in right:
                ax.plot((x0, x1), (a, b), color=colour, lw=2.5, zorder=1, alpha=.8)
    points = np.array([(x, y) for x, ys in layers for y in ys])
    ax.scatter(*points.T, s=900, color="white", edgecolor=style.LIGHT["ink"], lw=2.5, zorder=2)
    ax.text(.7, 4.3, "AI and user engagement", fontsize=40, weight="bold", va="center")
    ax.text(.7, 3.35, "用户参与度", fontsize=34, va="center", color=blue)
    ax.text(.7, 2.2, "A workbook: every model built on real data,\nevery statement settled by running something.",
            fontsize=19, va="center", linespacing=1.5)
    ax.plot((.7, 3.7), (1.25, 1.25), color=green, lw=5)
    fig.savefig(ROOT / "nbs" / "_static" / "social.png", dpi=100)


if __name__ == "__main__":
    main()

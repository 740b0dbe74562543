"""Tables of results as plots and as legible tables: plots are made from a page's own numbers as the site is built."""

import html
import re
from typing import NamedTuple

NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?"
VALUE = re.compile(rf"\**({NUMBER})[%x]?\**(?:\s*±\s*({NUMBER})|\s*\[({NUMBER}),\s*({NUMBER})\])?")
INTERVAL = re.compile(rf"\(?{NUMBER} \[{NUMBER}, {NUMBER}\]\)?|{NUMBER}%? ± {NUMBER}")  # is not broken over lines


class Plot(NamedTuple):
    "A plot of columns of a table, by the heading above the table."

    heading: str
    columns: tuple[str, ...]
    says: str  # the caption
    zero: bool = True  # a line at zero
    ordered: bool = True  # the largest first
    label: int = 1  # the columns that name a row


OVER_PEOPLE = "with 95 % intervals over people; right of the line is better."
GAIN = f"Points over {{}}, {OVER_PEOPLE}"
MEAN_GAIN = GAIN.format("CLIP-AU, mean of three tasks")
TASKS = ("pain", "stress", "ambivalence")
MUSCLE = "For an AU: is the score higher in the videos where the muscle was stronger?"
PLOTS = {  # by page; the first stands at its top, the others below their headings
    "results": [
        Plot("All methods on strangers", ("gain over CLIP-AU",), MEAN_GAIN),
        Plot("The same help for everyone", ("gain over CLIP-AU",), MEAN_GAIN),
    ],
    "family": [Plot("Control videos", ("over CLIP-AU",), MEAN_GAIN)],
    "beyond": [
        Plot(
            "Persons: what does adapting gain?",
            ("gain over source only",),
            f"AVGF1 over the source alone, {OVER_PEOPLE}",
        ),
        Plot("Told in words", ("against the trained head",), GAIN.format("the trained head")),
        Plot("Signals: what a body adds to a face", ("against the face",), GAIN.format("the face alone")),
    ],
    "real_people": [
        Plot("Self-report", ("points over raw",), GAIN.format("raw action units, self-report of stress")),
        Plot("Stressor or rest", ("points over raw",), GAIN.format("raw action units")),
        Plot("Self-report within spoken tasks", ("points over raw",), GAIN.format("raw action units")),
    ],
    "personal_settings": [
        Plot(
            "On strangers",
            ("chosen minus before", "gain of the threshold"),
            f"Points on each stream, {OVER_PEOPLE}",
            ordered=False,
        )
    ],
    "departures": [
        Plot(
            "One switch in the paper's method",
            TASKS,
            "What each departure changes, in points of WAR: mean ± standard deviation over seeds.",
            ordered=False,
            label=2,
        )
    ],
    "action_units": [
        Plot("Which action units may I trust?", ("AUC",), "AUC on rendered faces; .5 is chance.", zero=False, label=2)
    ],
    "real_faces": [
        Plot("Real faces", ("facs-tiny", "chance stays below"), "Agreement on real faces, and what chance stays below.")
    ],
    "explanations": [Plot(MUSCLE, TASKS, "Agreement, mean ± standard deviation; 0 is chance.", ordered=False)],
}
OWN = {  # the rows of this library's own method, by page
    "results": r"personal\b",
    "family": r"personal\b",
    "beyond": r"personal\b",
    "real_people": "shrunk, a k for each number measured",
}


class Row(NamedTuple):
    "A row of a plot: name, and for each column value, low, high, and how they are written."

    name: str
    values: list[tuple[float, float, float, str] | None]


def tables(text: str) -> list[tuple[str, list[list[str]]]]:
    "The tables of a page as rows of cells, each with the heading above it; the first row is the head."
    found, heading = [], ""
    for block in re.split(r"\n\s*\n", text):
        if head := re.match(r"#+ (.+)", block):
            heading = head[1].strip()
        if block.lstrip().startswith("|"):
            lines = [line.strip().strip("|").split("|") for line in block.strip().splitlines()]
            found.append((heading, [[c.strip() for c in line] for line in (lines[0], *lines[2:])]))
    return found


def number(text: str) -> tuple[float, float, float, str] | None:
    "A cell as value, low and high: '+1.3 [+0.3, +2.3]', '3.1 ± 2', '0.95'."
    if not (m := VALUE.match(text)):
        return None
    value, sd, low, high = (float(x.replace(",", "")) if x else None for x in m.groups())
    if sd is not None:
        low, high = value - sd, value + sd
    return value, value if low is None else low, value if high is None else high, text.replace("*", "")


def rows_of(text: str, plot: Plot) -> list[Row]:
    "The rows that a plot shows, from the first table under its heading that has its columns."
    for heading, (head, *body) in tables(text):
        if heading == plot.heading and all(c in head for c in plot.columns):
            places = [head.index(c) for c in plot.columns]
            rows = [Row(" ".join(r[: plot.label]).strip(), [number(r[p]) for p in places]) for r in body]
            rows = [r for r in rows if any(r.values)]
            return sorted(rows, key=lambda r: -r.values[0][0]) if plot.ordered else rows
    raise ValueError(f"no table with {', '.join(plot.columns)} under the heading {plot.heading!r}: see PLOTS")


def span(rows: list[Row], zero: bool) -> tuple[float, float]:
    "The ends of the common scale."
    ends = [x for r in rows for v in r.values if v for x in v[1:3]] + ([0.0] if zero else [])
    low, high = min(ends), max(ends)
    margin = 0.04 * (high - low or 1)
    return low - margin, high + margin


def track(value: tuple | None, low: float, high: float, zero: bool) -> str:
    "One row of one column: the line at zero, the interval, the value."

    def at(x: float) -> str:
        return f"{100 * (x - low) / (high - low):.1f}%"

    line = f'<i class="zero" style="left:{at(0)}"></i>' if zero else ""
    if value is None:
        return f'<span><span class="track">{line}</span><span class="value"></span></span>'
    wide = (
        f'<i class="ci" style="left:{at(value[1])};right:calc(100% - {at(value[2])})"></i>'
        if value[1] < value[2]
        else ""
    )
    dot = f'<i class="dot" style="left:{at(value[0])}"></i>'
    said = f'<span class="value">{html.escape(value[3])}</span>'
    return f'<span><span class="track">{line}{wide}{dot}</span>{said}</span>'


def drawn(rows: list[Row], plot: Plot, own: str | None) -> str:
    "A forest plot that is text and boxes: it fits any width, can be read aloud, and follows the colours of the page."
    low, high = span(rows, plot.zero)
    lines = []
    if len(plot.columns) > 1:
        heads = "".join(f"<span>{html.escape(c)}</span>" for c in plot.columns)
        lines.append(f'<div class="head"><span></span>{heads}</div>')
    for r in rows:
        name = html.escape(re.sub(r"[`*]", "", r.name))
        kind = ' class="own"' if own and re.match(own, name) else ""
        cells = "".join(track(v, low, high, plot.zero) for v in r.values)
        lines.append(f"<div{kind}><span>{name}</span>{cells}</div>")
    mine = " Bold: this library's own method." if any('class="own"' in line for line in lines) else ""
    caption = f"{plot.says} From the table “{plot.heading}”.{mine}"
    kind = "forest many" if len(plot.columns) > 1 else "forest"
    head = f"<figcaption>{html.escape(caption)}</figcaption>"
    return "\n".join([f'<figure class="{kind}" style="--n:{len(plot.columns)}">', head, *lines, "</figure>"])


def with_plots(text: str, name: str) -> str:
    "A page of results with its plots: the first above all tables and sections, others below their headings."
    first, *others = PLOTS.get(name, [None])
    for plot in others:
        picture = drawn(rows_of(text, plot), plot, OWN.get(name))
        text = re.sub(rf"^#+ {re.escape(plot.heading)}$", lambda m: f"{m[0]}\n\n{picture}", text, count=1, flags=re.M)  # noqa: B023
    if first:
        place = re.search(r"^(?:##|\|) ?", text, re.M).start()
        text = f"{text[:place]}{drawn(rows_of(text, first), first, OWN.get(name))}\n\n{text[place:]}"
    return text


def dressed(content: str, name: str = "") -> str:
    "The HTML of a page: intervals stay on one line, tables of notebooks look like those of pages, own rows are marked."
    content = content.replace('<table border="1" class="dataframe">', "<table>")

    def cell(found: re.Match) -> str:
        return found[1] + INTERVAL.sub(r'<span class="nowrap">\g<0></span>', found[2])

    content = re.sub(r"(<td[^>]*>)([^<]*\d[^<]*)(?=</td>)", cell, content)
    if own := OWN.get(name):
        content = re.sub(rf"<tr>(\s*<td[^>]*>(?:<code>)?{own})", r'<tr class="own">\1', content)
    return content

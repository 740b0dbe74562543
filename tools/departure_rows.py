# ruff: noqa: E501  (rows of a page)
"""The departures of the released code, one in each row: what it does, how it is switched on, what is compared with what."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from departure_setups import PAPER, RELEASED, Setup

from clip_autt.faces.tasks import TASKS

BATCH = 8


@dataclass(frozen=True)
class Row:
    "A departure: what the code does, how it is switched on, and the setups compared (without it, with it)."

    item: str
    what: str
    how: str
    paper: tuple[Setup, Setup] | None = None
    released: tuple[Setup, Setup] | None = None
    tasks: tuple[str, ...] = tuple(TASKS)


def row(item: str, what: str, how: str, tasks: Sequence[str] = tuple(TASKS), **switch) -> Row:
    "A row for one switch: turned on in the method as described, and compared with its absence in the released code."
    own = {k: False for k in switch if hasattr(RELEASED.departures, k)}
    pair = RELEASED.turned(**own), RELEASED.turned(**switch)
    return Row(item, what, how, (PAPER, PAPER.turned(**switch)), pair, tuple(tasks))


KEPT, TEN = PAPER.turned(never_reset=True), PAPER.turned(never_reset=True, passes="best")
ROWS = (
    row(
        "1",
        "The learnable prompt holds no AU words: start token, four context vectors, token 0, zeros.",
        "`wordless_prompts`",
        wordless_prompts=True,
    ),
    row(
        "2",
        "What is scored is the prediction on the chosen window, made before the update.",
        "`predict_before_update`",
        predict_before_update=True,
    ),
    Row(
        "2a",
        "One half of 2: the prediction is the chosen window's, but after the update.",
        "`predict_on='window'`",
        (PAPER, PAPER.turned(predict_on="window")),
    ),
    row("3", "The prompt is never reset; AdamW is new for each batch.", "`never_reset`", never_reset=True),
    Row(
        "4",
        "`drop_last` at test: the rest of each person's videos after full batches is never scored. With batches of 40, no person here would be scored at all.",
        "`batch=8`; 16 of 20 clips are scored",
        (PAPER, replace(PAPER, batch=BATCH)),
    ),
    row(
        "5",
        "One prompt, tuned on the mean entropy of a batch of up to 40 videos: all of a person.",
        "`one_context`",
        one_context=True,
    ),
    Row(
        "6",
        "Ten passes over the test videos; the best by test labels counts and is handed to the next person.",
        "`passes='best'`, on top of 3: with a reset all passes are equal",
        (KEPT, TEN),
        (RELEASED, replace(RELEASED, passes="best")),
    ),
    Row(
        "6a",
        "The same ten passes without a look at the labels: the last one counts.",
        "`passes='last'`",
        (KEPT, replace(KEPT, passes="last")),
        (RELEASED, replace(RELEASED, passes="last")),
    ),
    row(
        "7",
        "Clips of 20 frames from a random start, wrapped at the end.",
        "`frames='wrapped'`, at test",
        frames="wrapped",
    ),
    row("8", "The window search leaves out tau.", "`unscaled_search`", unscaled_search=True),
    row(
        "9",
        "Trained on phrases with underscores, tested with spaces.",
        "`head='underscores'`: trained anew, tuned in plain words",
        head="underscores",
    ),
    row(
        "10",
        "A missing comma: 46 prompts, two of them in one.",
        "`head='46 prompts'`: trained anew, the last two prompts run together",
        head="46 prompts",
    ),
    row(
        "11",
        "Frames are sorted by name as text (StressID).",
        "`frames='string-sorted'`, at test",
        ("stress",),
        frames="string-sorted",
    ),
    row("12", "The first frame of every list is lost.", "`frames='without first'`, at test", frames="without first"),
    row(
        "13a",
        "Source videos are split by video, not by person.",
        "`head='split by video'`: trained anew",
        head="split by video",
    ),
    row(
        "13b",
        "The source checkpoint is chosen by training accuracy.",
        "`head='training accuracy'`: trained anew",
        head="training accuracy",
    ),
    row(
        "13c",
        "Ten batches of 8 in an epoch, 10 epochs (stress: 20).",
        "`head='ten batches'`: trained anew",
        head="ten batches",
    ),
    *(
        row(
            "0",
            "None: the bundled recipe with another random start. The size of chance, for 9, 10 and 13.",
            f"`head='seed {i}'`: trained anew",
            head=f"seed {i}",
        )
        for i in (1, 2, 3)
    ),
    Row(
        "14",
        "Frames are resized bicubically for training and bilinearly at test.",
        "cannot be switched: faces are rendered at the size that the backbone takes, so no frame is resized",
    ),
    row(
        "15",
        "Sentences are normalised before the text adapter at test, but not in training.",
        "`normalized_text`",
        normalized_text=True,
    ),
    row(
        "16",
        "The search adds 1e-8 inside the logarithm; the first of equal windows wins.",
        "`entropy_epsilon`",
        entropy_epsilon=True,
    ),
)

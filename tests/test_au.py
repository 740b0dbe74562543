"The action-unit bank: order, wording, lookups, the published list, prototypes and PSPI."

import json
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from clip_autt import au as module
from clip_autt.au import (
    AU,
    DEFAULT_TEMPLATE,
    EMOTIONS,
    INTENSITY,
    LEVEL,
    MIRROR,
    PAIN,
    REGIONS,
    TEMPLATES,
    AUBank,
    fill_template,
    mirror_order,
    multi_hot,
    prototype,
    pspi,
    to_letter,
)
from clip_autt.utils.errors import BankError, InputError

SHARED = Path(__file__).parents[2] / "shared"
PUBLISHED_CODES = (
    1,
    2,
    4,
    5,
    6,
    7,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    16,
    17,
    18,
    20,
    22,
    23,
    24,
    25,
    26,
    27,
    28,
    41,
    42,
    43,
    44,
    45,
    46,
    51,
    52,
    53,
    54,
    61,
    62,
    63,
    64,
    29,
    31,
    32,
    37,
    37,
    33,
    38,
    39,
)


@pytest.fixture(scope="module")
def bank():
    return AUBank.default()


@pytest.fixture(scope="module")
def released():
    return AUBank.released()


@pytest.fixture(scope="module")
def encode():
    from open_clip import SimpleTokenizer

    return SimpleTokenizer().encode


# The two banks


def test_codes_keep_the_published_order(bank, released):
    assert bank.codes == (*PUBLISHED_CODES, 19)
    assert released.codes == PUBLISHED_CODES


def test_released_prompts_are_the_published_ones(released):
    golden = SHARED / "golden" / "released_seed7.json"
    if not golden.exists():
        pytest.skip("shared/golden is not beside the repository")
    assert list(released.prompts) == json.loads(golden.read_text())["prompts"]


def test_released_bank_never_changes(released):
    assert released.hash == "9ec38233dfc5298f"
    assert released[45].id == "AU39+19" and released[45].prompt == "nostrils_compressedtongue_show"


def test_wording_is_plain_and_our_own(bank, released):
    published = {p.replace("_", " ") for p in released.prompts}
    for prompt in bank.prompts:
        assert "_" not in prompt and not prompt.endswith(".") and prompt == prompt.lower().strip()
        assert 2 <= len(prompt.split()) <= 6, prompt
    assert not published & set(bank.prompts)


def test_prompts_name_no_emotion(bank):
    words = set(" ".join(bank.prompts).split())
    assert not words & {
        "happy",
        "sad",
        "angry",
        "afraid",
        "scared",
        "surprised",
        "disgusted",
        "pain",
        "sleepy",
        "joy",
        "fear",
        "anger",
    }


def test_prompts_are_short_and_distinct_in_tokens(bank, encode):
    tokens = [tuple(encode(p)) for p in bank.prompts]
    assert len(set(tokens)) == 47
    assert max(map(len, tokens)) <= 8


def test_sentences_are_short_in_tokens(bank, encode):
    lengths = [len(encode(s)) + 2 for s in fill_template(DEFAULT_TEMPLATE, bank.prompts)]  # + start and end of text
    assert max(lengths) <= 16 and np.mean(lengths) <= 12.5


def test_template_starts_with_four_tokens(encode):
    assert len(encode(DEFAULT_TEMPLATE.split("{}")[0])) == 4


def test_ids_follow_codes(bank):
    for au in bank:
        assert au.id.split("-")[0] == f"AU{au.code}"
    assert len(set(bank.ids)) == 47


def test_every_au_is_filled_in(bank):
    assert set(REGIONS) - {"other"} == {au.region for au in bank}
    for au in bank:
        assert au.name and (au.muscles or au.note)


def test_action_descriptors_say_so(bank):
    assert {au.code for au in bank if "Action descriptor" in au.note} == {19, 29, 32, 33, 37}


def test_side_is_said_wherever_it_matters(bank):
    for au in bank:
        assert ("mirrored" in au.note) == (au.code in MIRROR)


# AU and AUBank


@pytest.mark.parametrize(
    "fields, message",
    [
        ((1, "x", "y", "mouht"), "Did you mean 'mouth'"),
        ((1, "x", "y", "zzz"), "Choose from: brow"),
        ((1, "x", " "), "at least one word"),
        (("12", "x", "y"), "FACS number"),
        ((1, "x", None), "are text"),
    ],
)
def test_bad_au(fields, message):
    with pytest.raises(BankError, match=message):
        AU(*fields)


@pytest.mark.parametrize(
    "aus", [[], "a smile", 3, None, [""], [3], [None], ["a smile", "A  Smile"], [AU(1, "x", "y"), AU(1, "x", "z")]]
)
def test_bad_bank(aus):
    with pytest.raises(BankError):
        AUBank(aus)


def test_bank_is_a_sequence(bank):
    assert len(bank) == len(list(bank)) == 47
    assert bank[-1] is bank["AU19"] and bank[np.int64(9)].code == 12
    assert bank[2:4].codes == (4, 5) and isinstance(bank[2:4], AUBank)
    assert next(reversed(bank)).code == 19
    with pytest.raises(IndexError):
        bank[47]
    with pytest.raises(BankError):
        bank[5:5]


def test_membership_and_index(bank):
    for i, au in enumerate(bank):
        assert au in bank and au.id in bank and au.code in bank and bank.index(au) == bank.index(au.id) == i
    assert 8 not in bank and "AU8" not in bank and None not in AUBank(["a smile"])
    with pytest.raises(BankError, match="AU37-wipe, AU37-lick"):
        bank.by_code(37)
    with pytest.raises(BankError, match="Did you mean 'AU12'"):
        bank["au12"]
    with pytest.raises(BankError, match=r"8 is not in this bank\. Choose from: 1, 2"):
        bank.by_code(8)


def test_subset(bank):
    assert bank.subset(codes=(12, 1)).codes == (1, 12)
    assert bank.subset(codes=12).codes == (12,)
    assert bank.subset(codes=(1, 12), regions="mouth").codes == (12,)
    assert sum(len(bank.subset(regions=r)) for r in REGIONS if r != "other") == 47
    assert bank.subset() == bank
    assert AUBank(["a smile", bank[0]]).subset(regions="other").prompts == ("a smile",)
    with pytest.raises(BankError, match=r"'mouths'\. Did you mean 'mouth'"):
        bank.subset(regions="mouths")
    with pytest.raises(BankError, match="code 99"):
        bank.subset(codes=(1, 99))
    with pytest.raises(BankError, match="at least one AU"):
        bank.subset(codes=12, regions="eyes")


def test_bank_cannot_be_changed(bank):
    with pytest.raises(FrozenInstanceError):
        bank.aus = ()
    with pytest.raises(FrozenInstanceError):
        bank[0].prompt = "other words"
    assert {bank: 1}[AUBank.default()] == 1 and pickle.loads(pickle.dumps(bank)) == bank


def test_hash_covers_what_changes_numbers(bank):
    first, *rest = bank
    changed = [rest, [*rest, first], [replace(first, prompt="raised brows"), *rest], [replace(first, id="AU1x"), *rest]]
    assert len({bank.hash, *(AUBank(b).hash for b in changed)}) == 5
    assert AUBank([replace(au, muscles="", note="", region="other") for au in bank]).hash == bank.hash


@pytest.mark.parametrize(
    "bank", [AUBank.default(), AUBank.released(), AUBank(["a smile", AU(34, "Cheek puff", "puffed cheeks", "jaw")])]
)
def test_json_round_trip(bank):
    assert AUBank.from_dict(json.loads(json.dumps(bank.to_dict()))) == bank


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        None,
        {"aus": None},
        {"aus": []},
        {"aus": [{"code": 1}]},
        {"aus": ["a smile"]},
        {"aus": [{"code": 1, "name": "x", "prompt": "y", "colour": "red"}]},
    ],
)
def test_damaged_dict(data):
    with pytest.raises(BankError):
        AUBank.from_dict(data)


class _Balance(HTMLParser):
    "Collects tags and text, and fails on a tag that closes another."

    def __init__(self):
        super().__init__()
        self.open, self.text, self.rows = [], [], 0

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.rows += tag == "tr"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_html_is_balanced_and_escaped(bank):
    page = _Balance()
    page.feed(AUBank([*bank, '<script>alert("x")</script> & more'])._repr_html_())
    assert not page.open and page.rows == 1 + 48
    assert '<script>alert("x")</script> & more' in page.text and set(bank.prompts) <= set(page.text)


def test_repr_is_short(bank):
    assert repr(bank) == "AUBank(47 AUs: AU1 ... AU19)"


# Templates


@pytest.mark.parametrize("template", ["", "a face", "{} and {}", "{au}", "a {} face {", "{{}}", "{0}"])
def test_bad_template(template):
    with pytest.raises(BankError, match="exactly one"):
        fill_template(template, ["x"])


def test_fill(bank):
    assert fill_template("a {}!", ["b", "c"]) == ["a b!", "a c!"]
    assert fill_template("{}", ["50 {odd} %s"]) == ["50 {odd} %s"]
    for template in TEMPLATES:
        assert len(set(fill_template(template, bank.prompts))) == 47


# Mirror, prototypes, letters


def test_mirror_swaps_sides_and_nothing_else(bank):
    scores = np.arange(47)
    flipped = scores[mirror_order(bank)]
    moved = {bank[i].code: bank[int(flipped[i])].code for i in range(47) if flipped[i] != i}
    assert moved == {51: 52, 52: 51, 61: 62, 62: 61}
    assert (flipped[mirror_order(bank)] == scores).all()
    assert mirror_order(AUBank(["a smile"])) == [0]
    with pytest.raises(BankError, match="52 is not in this bank"):
        mirror_order(bank.subset(codes=51))
    assert all(MIRROR[MIRROR[code]] == code for code in MIRROR)


def test_prototypes_lie_in_both_banks(bank, released):
    for name in (*EMOTIONS, "pain"):
        codes = prototype(name)
        for b in (bank, released):
            assert [au.code for au, hot in zip(b, multi_hot(b, codes), strict=True) if hot] == sorted(codes)
    assert prototype("pain") == PAIN == (4, 6, 7, 9, 10, 43)
    assert len({*EMOTIONS.values(), PAIN}) == 8


def test_multi_hot(bank):
    assert sum(multi_hot(bank, 37)) == 2
    with pytest.raises(BankError, match="code 43"):
        multi_hot(bank.subset(codes=(4, 6, 7, 9, 10)), PAIN)


@pytest.mark.parametrize("name", ["hapiness", "", None, 4])
def test_unknown_prototype(name):
    with pytest.raises(InputError, match="unknown prototype"):
        prototype(name)


def test_letters():
    assert [to_letter(x) for x in INTENSITY.values()] == list("ABCDE") == list(LEVEL)
    assert list(LEVEL.values()) == [1, 2, 3, 4, 5]
    assert to_letter(0) == to_letter(0.07) == "" and to_letter(0.08) == "A" and to_letter(0.95) == "E"
    for bad in (-0.1, 1.5, float("nan")):
        with pytest.raises(InputError):
            to_letter(bad)


# PSPI


def test_pspi_is_the_published_formula():
    rng = np.random.default_rng(0)
    for _ in range(50):
        a = {c: int(rng.integers(0, 6)) for c in (4, 6, 7, 9, 10)} | {43: int(rng.integers(0, 2))}
        assert pspi(a) == a[4] + max(a[6], a[7]) + max(a[9], a[10]) + a[43]
    assert pspi({4: 5, 6: 5, 7: 5, 9: 5, 10: 5, 43: 1}) == 16 and isinstance(pspi({}), float)


def test_pspi_missing_and_foreign_codes():
    assert pspi({}) == 0 and pspi({12: 99, 4: 2.5}) == 2.5
    assert pspi({7: 3}) == pspi({6: 1, 7: 3}) == 3


def test_pspi_over_time_equals_frame_by_frame():
    rng = np.random.default_rng(1)
    aus = {c: rng.uniform(0, 5, 20) for c in (4, 6, 7, 9, 10)} | {43: rng.random(20) > 0.5}
    assert np.array_equal(pspi(aus), [pspi({c: x[t] for c, x in aus.items()}) for t in range(20)])
    assert pspi({4: np.ones((2, 1)), 7: [1, 2, 3]}).tolist() == [[2, 3, 4]] * 2


def test_blink_stands_in_only_when_asked():
    assert pspi({4: 2, 45: 1}) == 2 and pspi({4: 2, 45: 1}, closed=45) == 3
    assert pspi({43: 0, 45: 1}, closed=45) == 0  # a real AU43 wins
    assert pspi({45: 5}) == 0  # not asked for, not looked at
    with pytest.raises(InputError, match="AU45 must be 0 or 1, got 3"):
        pspi({45: 3}, closed=45)
    with pytest.raises(InputError, match="43 or 45"):
        pspi({}, closed=46)


@pytest.mark.parametrize(
    "aus, message",
    [
        ({4: -1}, "AU4 must be 0 to 5, got -1"),
        ({9: float("nan")}, "AU9.*nan"),
        ({10: [0, 6]}, "AU10 must be 0 to 5, got 6"),
        ({43: 0.7}, "AU43 must be 0 or 1, got 0.7"),
        ({"AU4": 1}, "got 'AU4'"),
        ({4: [1, 2], 6: [1, 2, 3]}, "same frames"),
        ({6: "much"}, "AU6.*'much'"),
        ({6: None}, "AU6"),
        ([4], "got list"),
        (3, "got int"),
    ],
)
def test_bad_levels_are_named(aus, message):
    with pytest.raises(InputError, match=message):
        pspi(aus)


# The floor this module stands on


def test_module_needs_no_torch():
    code = "import sys, clip_autt.au; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert "torch" not in vars(module)

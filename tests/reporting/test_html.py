"""The page of a report stands alone, and everybody can read it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import gradient_oracle
import numpy as np
import pytest

from oracle.findings import InconclusiveReason
from oracle.reporting import html
from oracle.values import BudgetMap, Finding, Verdict

VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """Reads a page: the elements, what they hold, and whether each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)


@pytest.fixture(scope="module")
def reports():
    """One report of each kind, as the client receives it."""
    rng = np.random.default_rng(2)
    x, t = rng.normal(size=(5, 80)), np.array([0, 1, 2, 1, 0])
    with gradient_oracle.embedded() as oracle:
        params = oracle.two_layer_net.init(80, 70, 3, weight_init_std=0.5, seed=1)
        right = oracle.two_layer_net.gradient(params, x, t)
        wrong = {name: values.copy() for name, values in right.items()}
        wrong["W1"][3, 2] += 1e-9
        v = np.linspace(0.0, 1.0, 5)
        return {
            "pass": oracle.check_two_layer_net(params, x, t, right).value,
            "fail": oracle.check_two_layer_net(params, x, t, wrong).value,
            "measured": oracle.check_gradient(lambda v: np.exp(v).sum(), v, np.exp(v) * 1.01).value,
        }


@pytest.fixture(params=["pass", "fail", "measured"])
def report(request, reports):
    return reports[request.param]


def test_the_page_is_well_formed_and_needs_no_network(report):
    """It is attached to CI runs and read offline."""
    text = html.render(report)
    page = Page(text)
    assert page.open == []
    assert not re.search(r"https?:|@import|url\(|<script|<img", text)
    assert {attributes.get("href") for _, attributes in page.elements} == {None, "data:,"}


def test_the_verdict_comes_first(report):
    """Before any figure and any number."""
    headline = next(text for text in Page(html.render(report)).texts["span"])
    assert headline == report.verdict.upper()


def test_every_figure_has_a_text_in_its_place(report):
    """A screen reader reads the title of a drawing."""
    page = Page(html.render(report))
    drawings = [attributes for tag, attributes in page.elements if tag == "svg"]
    titles = [tag for tag, _ in page.elements if tag == "title"]
    assert len(titles) == 1 + len(drawings)
    assert all(attributes["role"] == "img" for attributes in drawings)


def test_a_black_box_has_ladders_and_a_known_function_has_maps(reports):
    """The figure fits what was done."""
    assert "central difference" in html.render(reports["measured"])
    assert "Map of the error over the budget in W1" in html.render(reports["fail"])


def test_what_is_right_is_folded_away_below_what_is_wrong(reports):
    """The reader of a failure looks for the wrong tensor; of a pass, every tensor is shown."""
    text = html.render(reports["fail"])
    assert re.findall(r"<summary><h2>(\w+)", text) == ["b1", "W2", "b2"]
    assert text.index("<h2>W1") < text.index("<details>")
    assert "<summary><h2>" not in html.render(reports["pass"])


def test_an_inconclusive_report_says_what_to_do(reports):
    """As its text does; it claims no limit, and has no table without rows."""
    fields = {"verdict": Verdict.INCONCLUSIVE, "reason": InconclusiveReason.DOMAIN}
    tensors = tuple(replace(t, verdict=Verdict.INCONCLUSIVE) for t in reports["measured"].tensors)
    nothing = replace(reports["measured"].measurement, directions=())
    report = replace(reports["measured"], tensors=tensors, measurement=nothing, **fields)
    text = html.render(report)
    assert "Move the point into the domain of the function." in text
    assert "would have been seen" not in text
    assert "<tbody></tbody>" not in text
    assert "is missed with probability" not in text


def test_the_directions_that_are_wrong_come_first(reports):
    """Eight are shown, the others on demand."""
    measurement = reports["measured"].measurement
    one = measurement.directions[0]
    many = [replace(one, begin=n, verdict=Verdict.PASS) for n in range(9)]
    directions = (*many, replace(one, begin=77, verdict=Verdict.FAIL))
    report = replace(reports["measured"], measurement=replace(measurement, directions=directions))
    text = html.render(report)
    assert "2 directions more" in text
    rows = re.findall(r"<td>x\[(\d+):", text)
    assert (rows[0], len(rows)) == ("77", 10)


def test_each_plot_says_which_direction_it_is_of(reports):
    """Those of one tensor differ by their signs alone; the table of slopes counts them too."""
    measurement = reports["measured"].measurement
    one = measurement.directions[0]
    report = replace(
        reports["measured"], measurement=replace(measurement, directions=(one, one, one))
    )
    captions = re.findall(r"<figcaption>(x.*?)</figcaption>", html.render(report))
    assert captions == [f"x[0:5], direction {n}" for n in (1, 2, 3)]


def test_no_word_of_a_plot_lies_on_its_lines(reports):
    """What a line is, the key above the plots says; the line may be at the top of the axis."""
    text = html.render(reports["measured"])
    assert "your gradient</p>" in text
    assert "your gradient</text>" not in text


def test_the_map_counts_its_wrong_cells(reports):
    """One wrong entry is one cell of another colour, and the text says so."""
    told = next(
        text for text in Page(html.render(reports["fail"])).texts["title"] if "in W1" in text
    )
    assert re.search(r", 1 cells (1-10|10-1e3|1e3-1e6|> 1e6)$", told), told


def test_an_unexplained_failure_is_seen_at_a_glance(reports):
    """Its size in words, and maps of what was sent, of what is right, and of the difference."""
    text = html.render(reports["fail"])
    titles = Page(text).texts["title"]
    starts = ("Yours: W1", "The right one: W1", "Difference: W1")
    assert [sum(title.startswith(start) for title in titles) for start in starts] == [1, 1, 1]
    assert "1 of 5,600 entry is wrong. The worst is off by" in text
    difference = next(title for title in titles if title.startswith("Difference"))
    assert re.search(r"1 cells plus [^,]*e-\d+", difference)
    assert "Yours: " not in html.render(reports["pass"])


def test_the_map_of_differences_does_not_saturate(reports):
    """Errors of 1e-9 and of 1e3 have shades of their own, and signs theirs."""
    gaps = [-1e3, 1e-3, 0.0, 1e-9, 1e3]
    grid = BudgetMap(1, 5, (2.0, 2.0, 0.5, 2.0, 2.0), tuple(1.0 + g for g in gaps), (1.0,) * 5)
    tensor = replace(reports["fail"].tensors[0], budget_map=grid)
    text = html.render(replace(reports["fail"], tensors=(tensor,)), fragment=True)
    drawn = text.partition("Difference: ")[2].partition("</svg>")[0]
    assert re.findall(r'path class="(\w+)"', drawn) == ["n5", "p3", "zero", "p1", "p5"]


def test_nothing_is_said_twice(reports):
    """What the headline says, the finding below it leaves out."""
    finding = replace(reports["fail"].findings[0], message="It is off. See why.", remedy="")
    report = replace(reports["fail"], summary="it is off", findings=(finding,))
    text = html.render(report)
    assert text.lower().count("it is off") == 1
    assert "See why." in text


def test_remedies_are_prose_and_code_is_code(reports):
    """A sentence in a typewriter's letters is hard to read."""
    finding = replace(reports["fail"].findings[0], remedy="Write db1 = da.sum(axis=0), not da.")
    text = html.render(replace(reports["fail"], findings=(finding,)))
    wanted = '<p class="remedy">Write <code>db1 = da.sum(axis=0)</code>, not da.</p>'
    assert wanted in text


def test_a_cell_of_a_notebook_keeps_its_own_style(reports):
    """Every rule is about what is inside of the report."""
    text = html.render(reports["fail"], fragment=True)
    assert "<body" not in text
    assert "<html" not in text
    style = re.sub(r"@media[^{]*{", "", text.partition("<style>")[2].partition("</style>")[0])
    selectors = [s for rule in re.findall(r"([^{}]+){", style) for s in rule.split(",")]
    assert all(".gradient-oracle" in selector for selector in selectors), selectors


@pytest.mark.parametrize("share", [float("nan"), 0.0, 1.0, float("inf")])
def test_any_share_can_be_drawn(reports, share):
    """A map may hold no number, and shares beyond float64."""
    tensor = replace(reports["fail"].tensors[0], budget_map=BudgetMap(1, 3, (share, 0.5, 2.0)))
    assert Page(html.render(replace(reports["fail"], tensors=(tensor,)))).open == []


def test_what_a_caller_names_is_shown_and_never_run(reports):
    """Names of functions and tensors come from outside."""
    hostile = "<script>alert(1)</script>"
    finding = Finding(reports["fail"].findings[0].kind, hostile, hostile, hostile, {hostile: 1.0})
    tensor = replace(reports["fail"].tensors[0], name=hostile)
    report = replace(
        reports["fail"], subject=hostile, findings=(finding,), tensors=(tensor,), notes=(hostile,)
    )
    text = html.render(report, reproduce={hostile: hostile})
    assert "<script" not in text
    assert Page(text).open == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["ink", "soft", "pass", "fail", "inconclusive"])
@pytest.mark.parametrize("ground", ["paper", "panel"])
def test_text_has_the_contrast_that_wcag_asks_for(reports, scheme, name, ground):
    """4.5 to 1 between the luminances, in both schemes."""
    style = html.render(reports["pass"]).partition("<style>")[2]
    light, _, dark = style.partition("@media")
    colours = dict(re.findall(r"--(\w+):(#\w+)", light if scheme == "light" else dark))
    lighter, darker = sorted((luminance(colours[name]), luminance(colours[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def luminance(colour: str) -> float:
    """WCAG 2: the relative luminance of an sRGB colour."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue

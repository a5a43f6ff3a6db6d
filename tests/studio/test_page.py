"""Each view of the page, used in Chromium."""

import http.server
import re
import threading

import pytest
from studio_run import TEXT, make_run, serve

TABS = {"write": "Write", "read": "Read", "inside": "Look inside", "training": "Training"}


def look_often(served):
    """Let a studio's page look for new epochs ten times a second, as tests wait for it."""
    script = served.pages.files["training.js"]
    assert b"EVERY = 2000;" in script
    served.pages.files["training.js"] = script.replace(b"EVERY = 2000;", b"EVERY = 100;")


@pytest.fixture(scope="module")
def served(served):
    """The studio, whose page looks often."""
    look_often(served)
    return served


def open_tab(page, name):
    page.get_by_role("tab", name=TABS[name]).click()
    return page.locator(f"#{name}")


def fill(view, text):
    view.locator("textarea").fill(text)
    view.locator("textarea").press("Control+Enter")


def done(view):
    """The line that says how long it took."""
    status = view.locator(".status")
    status.filter(has_text=re.compile(r"in \d+\.\d s")).wait_for()
    return status.inner_text()


def write(page, prompt="He said", **options):
    view = open_tab(page, "write")
    for name, value in {"length": 20, **options}.items():
        view.locator(f"[name={name}]").fill(str(value))
    fill(view, prompt)
    return view, done(view)


def read(page, text):
    view = open_tab(page, "read")
    fill(view, text)
    return view, done(view)


def look(page, text):
    view = open_tab(page, "inside")
    fill(view, text)
    return view, done(view)


def colours(view):
    """Those of the tokens, and of a long text of the first 300."""
    script = "nodes => nodes.slice(0, 300).map(node => getComputedStyle(node).backgroundColor)"
    return view.locator(".text b").evaluate_all(script)


def test_the_page_says_what_it_shows(page):
    assert page.locator("#run").inner_text() == "· run, step 0"
    about = page.locator("#about").inner_text()
    assert about.startswith("LanguageModel(")
    assert "parameters" in about
    assert "characters" in about


def test_the_token_leaves_the_address(page):
    assert page.evaluate("location.search") == ""
    assert page.evaluate("document.cookie") == ""  # HttpOnly


def test_the_page_can_be_reloaded(page):
    page.reload()
    page.wait_for_selector("body[data-ready=yes]")


def test_one_view_is_open_at_a_time(page):
    for name in TABS:
        open_tab(page, name)
        shown = [each for each in TABS if page.locator(f"#{each}").is_visible()]
        assert shown == [name]


def test_tabs_are_reached_with_the_arrow_keys(page):
    page.get_by_role("tab", name="Write").focus()
    for name in ("read", "inside", "training", "write"):
        page.keyboard.press("ArrowRight")
        assert page.locator(f"#{name}").is_visible()
        assert page.evaluate("document.activeElement.id") == f"tab-{name}"
    page.keyboard.press("ArrowLeft")
    assert page.locator("#training").is_visible()


def test_writing_shows_each_token(page):
    view, said = write(page)
    assert said.startswith("20 tokens in")
    assert view.locator(".text b").count() == 21
    assert view.locator(".text b.given").inner_text() == "He said"


def test_the_same_seed_writes_the_same_text(page):
    texts = []
    for seed in (1, 1, 2):
        view, _ = write(page, seed=seed, length=40)
        texts.append(view.locator(".text").text_content())
    assert texts[0] == texts[1] != texts[2]


def test_pointing_at_a_token_shows_what_else_was_likely(page):
    view, _ = write(page)
    token = view.locator(".text b").nth(5)
    token.hover()
    details = view.locator(".details")
    assert "probability" in details.inner_text()
    assert details.locator("meter").count() == 8
    assert "at" in token.get_attribute("class")


def test_tokens_are_reached_with_the_arrow_keys(page):
    view, _ = write(page)
    view.locator(".text").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert view.locator(".text b.at").count() == 1
    assert view.locator(".text b").nth(2).get_attribute("class").strip() == "at"
    page.keyboard.press("ArrowLeft")
    assert "at" in view.locator(".text b").nth(1).get_attribute("class")


def test_a_stop_text_ends_the_writing_and_is_cut_off(page):
    view, said = write(page, length=500, stop="e", temperature=1.5)
    assert "stopped by its text" in said
    assert "e" not in view.locator(".text").text_content().removeprefix("He said")


def test_escape_stops_the_writing(page):
    view = open_tab(page, "write")
    view.locator("[name=length]").fill("5000")
    fill(view, "He")
    view.locator(".text b").nth(10).wait_for()
    page.keyboard.press("Escape")
    view.locator(".status").filter(has_text="stopped").wait_for()
    assert view.locator(".text b").count() < 5000
    write(page)  # the place is free again


def test_escape_works_wherever_the_focus_is(page):
    view = open_tab(page, "write")
    view.locator("[name=length]").fill("5000")
    view.locator("textarea").fill("He")
    view.get_by_role("button", name="Write").click()
    view.locator(".text b").nth(3).wait_for()
    page.keyboard.press("Escape")
    view.locator(".status").filter(has_text="stopped").wait_for()


def test_the_latest_of_two_computations_wins(page):
    view = open_tab(page, "write")
    view.locator("[name=length]").fill("5000")
    fill(view, "He")
    view.locator(".text b").nth(3).wait_for()
    _, said = read(page, "He said")  # which first stops the writing
    assert said.startswith("7 tokens")


def test_an_unknown_character_is_explained(page):
    view = open_tab(page, "write")
    fill(view, "天")
    error = page.locator("#error")
    error.filter(has_text="not in the vocabulary").wait_for()
    page.complaints.clear()  # Chromium logs every answer of 400
    write(page)
    assert not error.is_visible()


def test_reading_colours_what_was_not_expected(page):
    view, said = read(page, "He said xylophone")
    assert re.search(r"17 tokens, perplexity \d+\.\d\d", said)
    assert view.locator(".text").text_content() == "He said xylophone"
    assert len(set(colours(view))) > 3
    assert view.locator("canvas").is_visible()


def height_of_drawing(page, canvas):
    """The height of a canvas on the screen, and whether anything is drawn there."""
    box = page.locator(canvas).bounding_box()
    drawn = page.locator(canvas).evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(x => x)"
    )
    return box["height"], drawn


def test_curves_are_there_again_when_a_view_is(page):
    read(page, "He said no")
    before = height_of_drawing(page, "#read canvas")
    open_tab(page, "training").locator(".status").filter(has_text="epoch 3").wait_for()
    assert height_of_drawing(page, "#training canvas") == (320, True)
    open_tab(page, "read")
    assert height_of_drawing(page, "#read canvas") == before == (120, True)


def test_characters_that_the_model_does_not_know_are_marked(page):
    view, _ = read(page, "He 天 said")
    assert view.locator(".text b.unknown").all_inner_texts() == ["天"]


def test_pointing_at_a_token_read_tells_its_surprise_and_the_perplexity_so_far(page):
    view, _ = read(page, "He said no")
    view.locator(".text b").nth(4).hover()
    details = view.locator(".details").inner_text()
    assert "bits" in details
    assert "perplexity so far" in details


def test_the_network_goes_on_at_any_place(page):
    view, _ = read(page, "He said no")
    view.locator(".text b").nth(4).click()
    view.locator(".text b").nth(8).hover()  # on the way to the button
    view.get_by_role("button", name="Go on from token 5").click()
    view.locator(".status").filter(has_text="went on from token 5").wait_for()
    assert len(view.locator(".continuation").inner_text()) > 50
    view.locator(".text b").nth(2).hover()
    assert view.locator(".continuation").is_visible()


def test_the_network_goes_on_behind_an_unknown_character(page):
    view, _ = read(page, "He 天 said no")
    view.locator(".text b").nth(6).click()
    view.get_by_role("button", name="Go on from token 7").click()
    view.locator(".status").filter(has_text="went on from token 7").wait_for()


def test_looking_inside_draws_the_units(page):
    view, said = look(page, TEXT[:60])
    assert said.startswith("60 tokens, 16 units in")
    assert view.locator(".map").is_visible()
    script = """canvas => {
        const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(data).size;
    }"""
    page.wait_for_function(f"() => ({script})(document.querySelector('.map canvas')) > 20")


def test_a_click_on_the_map_colours_the_text_by_that_unit(page):
    view, _ = look(page, TEXT[:60])
    before = colours(view)
    view.locator(".map canvas").click(position={"x": 63, "y": 31})
    assert view.locator("[name=unit]").input_value() == "10"
    assert colours(view) != before
    assert "unit 10:" in view.locator(".details").inner_text()
    assert view.locator(".text b.at").count() == 1


def test_every_array_of_every_layer_can_be_shown(page):
    view, _ = look(page, TEXT[:40])
    arrays = view.locator("[name=array] option").all_inner_texts()
    assert arrays[:3] == ["hidden", "memory", "gate input"]
    shown = set()
    for layer in ("0", "1"):
        view.locator("[name=layer]").select_option(layer)
        done(view)
        for array in arrays[1:3]:
            with page.expect_response("**/api/inside") as answer:
                view.locator("[name=array]").select_option(array)
            assert answer.value.ok
            done(view)
            shown.add(tuple(colours(view)))
    assert len(shown) == 4


def test_units_are_ranked_by_what_they_follow(page):
    view, _ = look(page, TEXT[:90])
    ranks = view.locator(".ranks")
    for feature in ("place in line", "inside quotes", "inside brackets"):
        assert feature in ranks.inner_text()
    button = ranks.locator("div", has_text="inside quotes").locator("button").first
    button.click()
    assert view.locator("[name=unit]").input_value() == button.inner_text().split(":")[0]


def test_units_are_chosen_with_the_arrow_keys(page):
    view, _ = look(page, TEXT[:40])
    view.locator(".map").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert view.locator("[name=unit]").input_value() == "1"


def test_the_curve_of_the_training_is_drawn(page):
    view = open_tab(page, "training")
    view.locator(".status").filter(has_text="epoch 3").wait_for()
    assert "training: 3.000" in view.locator(".legend").inner_text()
    assert "perplexity" in view.locator("table").inner_text()


def test_a_run_in_progress_moves_on(window, tmp_path):
    from jaxrnn.runs.metrics import MetricsLog

    run_dir = make_run(tmp_path / "c")
    served, end = serve(run_dir)
    look_often(served)
    page = window.context.new_page()
    page.goto(served.address)
    view = open_tab(page, "training")
    view.locator(".status").filter(has_text="epoch 3").wait_for()
    with MetricsLog(run_dir, 3) as log:
        log.add({"epoch": 4, "step": 4, "perplexity": 2.5, "seconds": 1.0})
    view.locator(".status").filter(has_text="epoch 4").wait_for()
    view.get_by_role("button", name="Use the newest parameters").click()
    view.locator(".said").filter(has_text="loaded step 0 at").wait_for()
    page.close()
    end()


def test_dark_and_light(page):
    background = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(background)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(background)
    assert light != dark
    page.locator("#theme").click()
    assert page.evaluate(background) == light
    page.reload()
    page.wait_for_selector("body[data-ready=yes]")
    assert page.evaluate(background) == light  # remembered


@pytest.mark.parametrize("name", TABS)
def test_nothing_is_cut_off_on_a_phone(name, page):
    page.set_viewport_size({"width": 375, "height": 700})
    view = open_tab(page, name)
    if name != "training":
        fill(view, TEXT[:300])
        done(view)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 375
    assert view.is_visible()


def test_a_long_text_stays_usable(page):
    view, said = look(page, (TEXT * 6)[:10_000])
    assert said.startswith("10,000 tokens, 16 units in")
    page.evaluate("document.querySelector('.map').scrollLeft = 30000")
    view.locator("[name=unit]").fill("7")
    assert len(set(colours(view))) > 5
    frame = """async () => {
        const begin = performance.now(), map = document.querySelector(".map");
        for (let k = 0; k < 20; k++) {
            map.scrollLeft = k * 3000;
            await new Promise(requestAnimationFrame);
        }
        return (performance.now() - begin) / 1000;
    }"""
    assert page.evaluate(frame) < 30  # seconds for twenty frames: no measurement


@pytest.mark.parametrize("unit", ["word", "byte"])
def test_words_and_bytes_read_like_text(unit, window, tmp_path):
    served, end = serve(make_run(tmp_path / "d", unit=unit))
    page = window.context.new_page()
    page.goto(served.address)
    page.wait_for_selector("body[data-ready=yes]")
    view = open_tab(page, "read")
    fill(view, "He said “no” twice.")
    done(view)
    assert view.locator(".text").inner_text() == "He said “no” twice."
    view, _ = write(page, "He said")
    assert view.locator(".text b").count() == 21
    page.close()
    end()


HOSTILE_PAGE = """
<iframe id="frame" src="{address}"></iframe>
<script>
const tried = {{}};
const attempt = async (name, options) => {{
  try {{
    const answer = await fetch("{base}/api/" + name, options);
    tried[name] = answer.type === "opaque" ? "opaque" : await answer.text();
  }} catch (error) {{ tried[name] = "refused"; }}
}};
Promise.all([
  attempt("model", {{credentials: "include"}}),
  attempt("training", {{credentials: "include", mode: "no-cors"}}),
  attempt("read", {{method: "POST", credentials: "include", body: '{{"text": "He"}}',
    headers: {{"content-type": "application/json"}}}}),
  attempt("write", {{method: "POST", credentials: "include", mode: "no-cors", body: "{{}}"}}),
]).then(() => {{ document.title = JSON.stringify(tried); }});
</script>
<script src="{base}/page/main.js"></script>
"""


@pytest.fixture
def other_server():
    """(content) -> the address of a page that another program of this machine serves."""
    servers = []

    def serve_page(content):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/"

    yield serve_page
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("from_this_machine", [True, False])
def test_a_hostile_page_in_the_same_browser_can_do_nothing(
    from_this_machine, page, served, other_server
):
    """One of another site; and one of this machine, to which a browser sends the cookie along."""
    answered = []
    other = page.context.new_page()
    other.on("response", lambda answer: answered.append((answer.url, answer.status)))
    base = f"http://127.0.0.1:{served.port}"
    content = HOSTILE_PAGE.format(base=base, address=base + "/")
    if from_this_machine:
        other.goto(other_server(content))
    else:
        other.route(
            "http://evil.example/",
            lambda route: route.fulfill(body=content, content_type="text/html"),
        )
        other.goto("http://evil.example/")
    other.wait_for_function("document.title.startsWith('{')")
    tried = other.evaluate("JSON.parse(document.title)")
    assert len(tried) == 4
    assert set(tried.values()) <= {"refused", "opaque"}
    statuses = {status for url, status in answered if url.startswith(base)}
    assert statuses <= {403, 405}
    assert statuses or not from_this_machine  # Chromium lets no other site reach this machine
    other.close()

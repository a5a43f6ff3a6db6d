"""A studio, and a browser that uses it."""

import shutil

import pytest
from studio_run import make_run, serve

CHROMIUM = shutil.which("chromium")
SIZE = {"width": 1200, "height": 900}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    for package in ("starlette", "uvicorn"):
        pytest.importorskip(package)
    return make_run(tmp_path_factory.mktemp("studio") / "a")


@pytest.fixture(scope="module")
def served(run_dir):
    served, end = serve(run_dir)
    yield served
    end()


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, without a window."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: the studio is not tried in a browser")
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def window(browser):
    """A page that the tests of a module share: a context for each would take half a second."""
    context = browser.new_context(viewport=SIZE)
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.complaints = errors = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()


@pytest.fixture
def page(window, served):
    """The window, which has opened the studio anew; an error in its console fails the test."""
    window.set_viewport_size(SIZE)
    window.emulate_media(color_scheme="light")
    window.mouse.move(0, 0)
    window.goto(served.address)
    window.wait_for_selector("body[data-ready=yes]")
    yield window
    window.evaluate("localStorage.clear()")
    complaints = window.complaints.copy()
    window.goto("about:blank")
    window.complaints.clear()  # and what came meanwhile, which is not the next test's
    assert complaints == []

"""A studio, and a browser that uses it."""

import shutil

import pytest
from studio_run import make_run, serve

CHROMIUM = shutil.which("chromium")


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


@pytest.fixture
def page(browser, served):
    """A page that has opened the studio; an error in its console fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(30_000)
    errors = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(served.address)
    page.wait_for_selector("body[data-ready=yes]")
    page.complaints = errors
    yield page
    context.close()
    assert errors == []

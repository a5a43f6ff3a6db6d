"""What the Python index shows, and that all places name one version."""

import re
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import jaxrnn

ROOT = Path(__file__).parent.parent


def test_links_of_the_readme_lead_somewhere_from_the_index():
    """The build makes them absolute; in the repository they are relative, and exist."""
    shown = metadata("jaxrnn").get_payload() or metadata("jaxrnn")["Description"]
    here = (ROOT / "README.md").read_text(encoding="utf-8")
    relative = [link for link in re.findall(r"\]\((\S+?)\)", here) if "://" not in link]
    assert len(relative) > 20
    for link in relative:
        assert (ROOT / link.split("#")[0]).is_file(), link
        kind = "raw.githubusercontent.com/jaxrnn/jaxrnn/main" if link.endswith(".png") else (
            "github.com/jaxrnn/jaxrnn/blob/main")  # fmt: skip
        assert f"](https://{kind}/{link})" in shown
    assert [link for link in re.findall(r"\]\((\S+?)\)", shown) if "://" not in link] == []


def test_all_places_name_one_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {jaxrnn.__version__}\n" in citation
    assert metadata("jaxrnn")["Version"] == jaxrnn.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert changelog.split("\n## ")[1].startswith(jaxrnn.__version__)


def test_every_extra_is_explained():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    explained = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for extra in project["optional-dependencies"]:
        assert f"| `{extra}` |" in explained

"""The named list of pages and states. A scene writes rows, says which address to open, and what is done there."""

# Each puts its scenes on the list, in this order.
from tests.screenshots.scenes import arrivals, home, jobs, forms, operating, crowds  # isort: skip
from tests.screenshots.scenes.listing import SCENES, Scene

__all__ = ["SCENES", "Scene", "arrivals", "crowds", "forms", "home", "jobs", "operating"]

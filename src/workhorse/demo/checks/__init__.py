"""What the demo does with a project: build it, run its tests, lint it.

Each check works on a folder, needs only Python, and returns plain JSON.
"""

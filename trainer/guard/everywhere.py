"""The guard for a whole program, in one line: `import gradline_guard.everywhere`, by the name that the folder has."""

from .whole_program import install

install()

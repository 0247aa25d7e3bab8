"""`import gradline_guard.everywhere`, under whatever name the folder has: the guard for a whole program, in one line."""

from .program import install

install()
